package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
)

// An Inventory lists the StatefulSets, claims and volumes of a cluster.
type Inventory struct {
	StatefulSets []StatefulSet `json:"statefulSets"`
	Claims       []Claim       `json:"claims"`
	Volumes      []Volume      `json:"volumes"`
	// Unneeded are the claims that are not needed, as namespace/name: those that no
	// Pod has used for longest first, those of which that is not known last.
	Unneeded []string `json:"unneeded,omitempty"`
	// UnneededBytes is the sum of their sizes.
	UnneededBytes int64 `json:"unneededBytes,omitempty"`
	// Owners are the custom resources that own claims, sorted by the bytes that
	// are destroyed with them, most first.
	Owners []Owner `json:"owners,omitempty"`
	// UnreadOwners are the kinds of owners that could not be listed, each with
	// the reason.
	UnreadOwners []string `json:"unreadOwners,omitempty"`
	// Unknown are the kinds that could not be read. The entries of claims and
	// StatefulSets may then be incomplete.
	Unknown []string `json:"unknown,omitempty"`
}

// A StatefulSet is a StatefulSet, and whether the names of its Pods resolve.
type StatefulSet struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Replicas  int    `json:"replicas"`
	Service   string `json:"service,omitempty"`
	// Unresolved says why the names of its Pods do not resolve. It is empty if
	// they do.
	Unresolved string `json:"unresolved,omitempty"`
}

// A Fate says what happens to the data when a claim is deleted.
type Fate string

const (
	Retained  Fate = "retained"  // the volume stays, and is Released
	Destroyed Fate = "destroyed" // the volume and its disk are deleted
	Forgotten Fate = "forgotten" // the volume, which is being deleted already, is gone, but its disk stays
	NoData    Fate = "unbound"   // the claim has no volume yet
	Unknown   Fate = "unknown"   // volumes could not be read
)

// A Claim is a PersistentVolumeClaim.
type Claim struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// StatefulSet is the name of the StatefulSet that made or mounts the claim.
	// It is empty if none does.
	StatefulSet string `json:"statefulSet,omitempty"`
	Phase       string `json:"phase,omitempty"`
	Capacity    string `json:"capacity,omitempty"`
	Bytes       int64  `json:"bytes"`
	Class       string `json:"class,omitempty"`
	Volume      string `json:"volume,omitempty"`
	// Fate says what would happen to the data if the claim were deleted.
	Fate Fate `json:"fate" jsonschema:"enum=retained,enum=destroyed,enum=forgotten,enum=unbound,enum=unknown"`
	// Needed says whether a Pod, a workload, be it scaled to zero or between two
	// runs, or an owner uses the claim. It is true if that is not known.
	Needed bool `json:"needed"`
	// UnusedSince is the time since when at least no Pod has used the claim. It is
	// empty if a Pod does, and where it is not known: for a claim that is not bound,
	// and before Kubernetes 1.37.
	UnusedSince string `json:"unusedSince,omitempty" jsonschema:"format=date-time"`
}

// A Volume is a PersistentVolume.
type Volume struct {
	Name          string `json:"name"`
	Phase         string `json:"phase,omitempty"`
	Capacity      string `json:"capacity,omitempty"`
	Bytes         int64  `json:"bytes"`
	Class         string `json:"class,omitempty"`
	ReclaimPolicy string `json:"reclaimPolicy,omitempty"`
	// Claim is namespace/name of the claim in claimRef, which may be deleted.
	Claim string `json:"claim,omitempty"`
}

// Total returns the capacity of all volumes.
func (inv *Inventory) Total() string {
	var n int64
	for _, v := range inv.Volumes {
		n += v.Bytes
	}
	return size(n)
}

// size returns a number of bytes with a unit.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[u]
}

// others holds facts about other objects that entries of the inventory need.
type others struct {
	mounted  map[string]bool                                 // namespace/claim, and whether a Pod does
	used     bool                                            // whether mounted is complete
	services map[string]*corev1.Service                      // by namespace/name; nil if not known
	policies map[string]corev1.PersistentVolumeReclaimPolicy // by volume; nil if not known
	leaving  map[string]bool                                 // names of volumes that are being deleted
}

// TakeInventory returns the inventory of the objects in a view, which must have a
// [cluster.Walker]. It contains the claims and StatefulSets of the namespaces for
// which keep returns true, and the volumes of claims there; a volume without a
// claim is of the namespace "". Kinds that could not be read are missing, and Unknown
// names them. TakeInventory calls done with a kind of which there may be many
// objects when it no longer needs them. Lookup lists the custom resources that own
// claims or StatefulSets.
func TakeInventory(v *cluster.View, keep func(namespace string) bool, done func(schema.GroupVersionKind),
	lookup Lookup) *Inventory {
	depend := &owned{}
	inv := &Inventory{StatefulSets: []StatefulSet{}, Claims: []Claim{}, Volumes: []Volume{}}
	o := &others{mounted: map[string]bool{}, services: map[string]*corev1.Service{},
		policies: map[string]corev1.PersistentVolumeReclaimPolicy{}, leaving: map[string]bool{}}
	if !each(v, inv, func(svc *corev1.Service) { o.services[svc.Namespace+"/"+svc.Name] = svc }) {
		o.services = nil
	}
	pods := each(v, inv, func(p *corev1.Pod) {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			o.mount(p.Namespace, &p.Spec, true)
		}
	})
	done(cluster.KindOf[*corev1.Pod]())
	template := func(namespace string, t *corev1.PodTemplateSpec) { o.mount(namespace, &t.Spec, false) }
	deployments := each(v, inv, func(d *appsv1.Deployment) { template(d.Namespace, &d.Spec.Template) })
	cronJobs := each(v, inv, func(c *batchv1.CronJob) { template(c.Namespace, &c.Spec.JobTemplate.Spec.Template) })
	jobs := each(v, inv, func(j *batchv1.Job) {
		if !cluster.Ended(j) {
			template(j.Namespace, &j.Spec.Template)
		}
	})
	done(cluster.KindOf[*batchv1.Job]())
	sets := each(v, inv, func(sts *appsv1.StatefulSet) {
		template(sts.Namespace, &sts.Spec.Template)
		if keep(sts.Namespace) {
			inv.StatefulSets = append(inv.StatefulSets, o.statefulSet(sts))
			depend.statefulSet(sts)
		}
	})
	o.used = pods && deployments && cronJobs && jobs && sets
	if !each(v, inv, func(pv *corev1.PersistentVolume) {
		o.policies[pv.Name] = pv.Spec.PersistentVolumeReclaimPolicy
		o.leaving[pv.Name] = pv.DeletionTimestamp != nil
		var namespace string
		if ref := pv.Spec.ClaimRef; ref != nil {
			namespace = ref.Namespace
		}
		if keep(namespace) {
			inv.Volumes = append(inv.Volumes, volume(pv))
		}
	}) {
		o.policies = nil
	}
	done(cluster.KindOf[*corev1.PersistentVolume]())
	each(v, inv, func(pvc *corev1.PersistentVolumeClaim) {
		if keep(pvc.Namespace) {
			inv.Claims = append(inv.Claims, o.claim(v, pvc))
			depend.claim(v, pvc, inv.Claims[len(inv.Claims)-1])
		}
	})
	inv.Owners, inv.UnreadOwners = depend.resolve(lookup)
	inv.sort()
	unneeded := inv.unneeded()
	for _, c := range unneeded {
		inv.Unneeded = append(inv.Unneeded, c.Namespace+"/"+c.Name)
	}
	inv.UnneededBytes = sizeOf(unneeded)
	return inv
}

// unneeded returns the claims that are not needed, in the order of Unneeded.
func (inv *Inventory) unneeded() []Claim {
	claims := slices.DeleteFunc(slices.Clone(inv.Claims), func(c Claim) bool { return c.Needed })
	slices.SortStableFunc(claims, func(a, b Claim) int {
		if (a.UnusedSince == "") != (b.UnusedSince == "") {
			return strings.Compare(b.UnusedSince, a.UnusedSince)
		}
		return strings.Compare(a.UnusedSince, b.UnusedSince)
	})
	return claims
}

// unneededTitle is the heading of a list of claims that are not needed, and
// unneededLines are its lines.
func unneededTitle(claims []Claim) string {
	return fmt.Sprintf("claims that no Pod, workload or owner is known to need, %s in all, unused for longest first",
		size(sizeOf(claims)))
}

func unneededLines(claims []Claim) (lines []string) {
	for i := range claims {
		c := &claims[i]
		line := strings.TrimSpace(c.Namespace + "/" + c.Name + " " + c.Capacity)
		if since := c.sinceUnused(); since != "" {
			line += ", " + since
		}
		lines = append(lines, line)
	}
	return lines
}

func sizeOf(claims []Claim) (n int64) {
	for _, c := range claims {
		n += c.Bytes
	}
	return n
}

// sinceUnused says since when no Pod has used a claim, as a clause, or is "" if
// that is not known.
func (c *Claim) sinceUnused() string {
	since, err := time.Parse(time.RFC3339, c.UnusedSince)
	if err != nil {
		return ""
	}
	return cluster.SinceUnused(since)
}

// each calls visit with all objects of a kind, and says whether they could be
// read.
func each[T any, P interface {
	*T
	cluster.Object
}](v *cluster.View, inv *Inventory, visit func(P)) bool {
	if err := cluster.Each(v, visit); err != nil {
		inv.Unknown = append(inv.Unknown, cluster.KindOf[P]().Kind)
		return false
	}
	return true
}

func (inv *Inventory) sort() {
	slices.SortFunc(inv.StatefulSets, func(a, b StatefulSet) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(inv.Claims, func(a, b Claim) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(inv.Volumes, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(inv.Unknown)
}

// mount records the claims that a Pod, or the template of a workload, mounts.
func (o *others) mount(namespace string, spec *corev1.PodSpec, pod bool) {
	for _, name := range cluster.ClaimsNamed(spec) {
		claim := namespace + "/" + name
		o.mounted[claim] = o.mounted[claim] || pod
	}
}

func (o *others) statefulSet(sts *appsv1.StatefulSet) StatefulSet {
	s := StatefulSet{Namespace: sts.Namespace, Name: sts.Name, Service: sts.Spec.ServiceName}
	_, s.Replicas = cluster.Ordinals(sts)
	if o.services != nil {
		s.Unresolved = unresolved(sts, o.services[sts.Namespace+"/"+sts.Spec.ServiceName])
	}
	return s
}

// unresolved says why the names of a StatefulSet's Pods do not resolve. A
// Service that is not headless still gives its Pods names.
func unresolved(sts *appsv1.StatefulSet, svc *corev1.Service) string {
	switch {
	case sts.Spec.ServiceName == "":
		return "it names no Service"
	case svc == nil:
		return fmt.Sprintf("Service %s does not exist", sts.Spec.ServiceName)
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return fmt.Sprintf("Service %s is an alias of another name", svc.Name)
	case len(svc.Spec.Selector) > 0 &&
		!labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(sts.Spec.Template.Labels)):
		return fmt.Sprintf("Service %s does not select its Pods", svc.Name)
	}
	return ""
}

func (o *others) claim(v *cluster.View, pvc *corev1.PersistentVolumeClaim) Claim {
	c := Claim{Namespace: pvc.Namespace, Name: pvc.Name, Phase: string(pvc.Status.Phase), Volume: pvc.Spec.VolumeName,
		Class: ptr.Deref(pvc.Spec.StorageClassName, "")}
	storage := pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	if got, ok := pvc.Status.Capacity[corev1.ResourceStorage]; ok {
		storage = got
	}
	c.Bytes, c.Capacity = amount(storage)
	c.Fate = o.fate(pvc)
	byPod, mounted := o.mounted[c.Namespace+"/"+c.Name]
	if since := cluster.UnusedSince(v, pvc); !since.IsZero() && !byPod {
		c.UnusedSince = since.Format(time.RFC3339)
	}
	c.Needed = !o.used || mounted || len(pvc.OwnerReferences) > 0
	if of, err := cluster.ClaimsOf(v, pvc); err == nil {
		for _, claimOf := range of {
			c.StatefulSet = claimOf.StatefulSet.Name
			_, replicas := cluster.Ordinals(claimOf.StatefulSet)
			c.Needed = c.Needed || replicas == 0 || claimOf.InRange()
		}
	}
	if mounters, err := cluster.MountersOf(v, pvc); err == nil && c.StatefulSet == "" && len(mounters) > 0 {
		c.StatefulSet = mounters[0].Name
	}
	return c
}

func (o *others) fate(pvc *corev1.PersistentVolumeClaim) Fate {
	policy, exists := o.policies[pvc.Spec.VolumeName]
	switch {
	case pvc.Spec.VolumeName == "":
		return NoData
	case o.policies == nil:
		return Unknown
	case !exists:
		return NoData
	case policy != corev1.PersistentVolumeReclaimRetain && policy != "":
		return Destroyed
	case o.leaving[pvc.Spec.VolumeName]:
		return Forgotten
	}
	return Retained
}

func volume(pv *corev1.PersistentVolume) Volume {
	v := Volume{Name: pv.Name, Phase: string(pv.Status.Phase), Class: pv.Spec.StorageClassName,
		ReclaimPolicy: string(pv.Spec.PersistentVolumeReclaimPolicy)}
	v.Bytes, v.Capacity = amount(pv.Spec.Capacity[corev1.ResourceStorage])
	if ref := pv.Spec.ClaimRef; ref != nil {
		v.Claim = ref.Namespace + "/" + ref.Name
	}
	return v
}

func amount(q resource.Quantity) (int64, string) {
	if q.IsZero() {
		return 0, ""
	}
	return q.Value(), q.String()
}
