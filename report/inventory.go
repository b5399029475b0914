package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

// An Inventory is what a cluster keeps for its stateful workloads.
type Inventory struct {
	StatefulSets []StatefulSet `json:"statefulSets"`
	Claims       []Claim       `json:"claims"`
	Volumes      []Volume      `json:"volumes"`
	// Unknown are the kinds that could not be read, so that what is said about
	// claims and names may lack something.
	Unknown []string `json:"unknown,omitempty"`
}

// A StatefulSet is one, and what its Pods are called.
type StatefulSet struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Replicas  int    `json:"replicas"`
	Service   string `json:"service,omitempty"`
	// Unresolved says why the names of its Pods do not resolve, if they do not.
	Unresolved string `json:"unresolved,omitempty"`
}

// A Fate is what becomes of the data of a claim that is deleted.
type Fate string

const (
	Retained  Fate = "retained"  // in a volume that is Released
	Destroyed Fate = "destroyed" // with the volume
	NoData    Fate = "unbound"   // there is no volume yet
	Unknown   Fate = "unknown"   // volumes could not be read
)

// A Claim is a PersistentVolumeClaim.
type Claim struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// StatefulSet is the one that the claim is of, if it is of any.
	StatefulSet string `json:"statefulSet,omitempty"`
	Phase       string `json:"phase,omitempty"`
	Capacity    string `json:"capacity,omitempty"`
	Bytes       int64  `json:"bytes"`
	Class       string `json:"class,omitempty"`
	Volume      string `json:"volume,omitempty"`
	// Fate is what would become of the data if the claim were deleted.
	Fate Fate `json:"fate" jsonschema:"enum=retained,enum=destroyed,enum=unbound,enum=unknown"`
	// Needed says whether a Pod, a workload or a controller wants it.
	Needed bool `json:"needed"`
}

// A Volume is a PersistentVolume.
type Volume struct {
	Name          string `json:"name"`
	Phase         string `json:"phase,omitempty"`
	Capacity      string `json:"capacity,omitempty"`
	Bytes         int64  `json:"bytes"`
	Class         string `json:"class,omitempty"`
	ReclaimPolicy string `json:"reclaimPolicy,omitempty"`
	// Claim is namespace/name of the claim that has or had it.
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

// size returns a number of bytes as people write it.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[u]
}

// A world is what the inventory is taken of.
type world struct {
	sets     *appsv1.StatefulSetList
	claims   *corev1.PersistentVolumeClaimList
	volumes  *corev1.PersistentVolumeList
	services *corev1.ServiceList
	pods     *corev1.PodList
	deploys  *appsv1.DeploymentList

	mounted map[string]bool // namespace/claim
	used    bool            // whether mounted is all there is
}

// TakeInventory takes stock of what is in view, and of the claims and
// StatefulSets that keep says are wanted. What cannot be listed is named, and
// left out.
func TakeInventory(v *cluster.View, keep func(namespace string) bool) *Inventory {
	inv := &Inventory{StatefulSets: []StatefulSet{}, Claims: []Claim{}, Volumes: []Volume{}}
	w := &world{
		sets: list[appsv1.StatefulSetList](v, inv, "StatefulSet"), claims: list[corev1.PersistentVolumeClaimList](v, inv, "PersistentVolumeClaim"),
		volumes: list[corev1.PersistentVolumeList](v, inv, "PersistentVolume"), services: list[corev1.ServiceList](v, inv, "Service"),
		pods: list[corev1.PodList](v, inv, "Pod"), deploys: list[appsv1.DeploymentList](v, inv, "Deployment"),
	}
	w.findMounts()
	inv.takeSets(w, keep)
	inv.takeClaims(v, w, keep)
	inv.takeVolumes(w, keep)
	return inv
}

func list[L any, P interface {
	*L
	client.ObjectList
}](v *cluster.View, inv *Inventory, kind string) P {
	l, err := cluster.List[L, P](v)
	if err != nil {
		inv.Unknown = append(inv.Unknown, kind)
		return nil
	}
	return l
}

// findMounts notes which claims Pods and workloads name.
func (w *world) findMounts() {
	w.mounted, w.used = map[string]bool{}, w.pods != nil && w.sets != nil && w.deploys != nil
	mount := func(namespace string, spec *corev1.PodSpec) {
		for _, vol := range spec.Volumes {
			if vol.PersistentVolumeClaim != nil {
				w.mounted[namespace+"/"+vol.PersistentVolumeClaim.ClaimName] = true
			}
		}
	}
	if w.pods != nil {
		for i := range w.pods.Items {
			if p := &w.pods.Items[i]; p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
				mount(p.Namespace, &p.Spec)
			}
		}
	}
	if w.sets != nil {
		for i := range w.sets.Items {
			mount(w.sets.Items[i].Namespace, &w.sets.Items[i].Spec.Template.Spec)
		}
	}
	if w.deploys != nil {
		for i := range w.deploys.Items {
			mount(w.deploys.Items[i].Namespace, &w.deploys.Items[i].Spec.Template.Spec)
		}
	}
}

func (inv *Inventory) takeSets(w *world, keep func(string) bool) {
	if w.sets == nil {
		return
	}
	services := map[string]*corev1.Service{}
	if w.services != nil {
		for i := range w.services.Items {
			svc := &w.services.Items[i]
			services[svc.Namespace+"/"+svc.Name] = svc
		}
	}
	for i := range w.sets.Items {
		sts := &w.sets.Items[i]
		if !keep(sts.Namespace) {
			continue
		}
		s := StatefulSet{Namespace: sts.Namespace, Name: sts.Name, Service: sts.Spec.ServiceName}
		_, s.Replicas = cluster.Ordinals(sts)
		if w.services != nil {
			s.Unresolved = unresolved(sts, services[sts.Namespace+"/"+sts.Spec.ServiceName])
		}
		inv.StatefulSets = append(inv.StatefulSets, s)
	}
	slices.SortFunc(inv.StatefulSets, func(a, b StatefulSet) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
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
	case len(svc.Spec.Selector) > 0 && !labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(sts.Spec.Template.Labels)):
		return fmt.Sprintf("Service %s does not select its Pods", svc.Name)
	}
	return ""
}

func (inv *Inventory) takeClaims(v *cluster.View, w *world, keep func(string) bool) {
	if w.claims == nil {
		return
	}
	volumes := map[string]*corev1.PersistentVolume{}
	if w.volumes != nil {
		for i := range w.volumes.Items {
			volumes[w.volumes.Items[i].Name] = &w.volumes.Items[i]
		}
	}
	for i := range w.claims.Items {
		pvc := &w.claims.Items[i]
		if !keep(pvc.Namespace) {
			continue
		}
		c := Claim{Namespace: pvc.Namespace, Name: pvc.Name, Phase: string(pvc.Status.Phase), Volume: pvc.Spec.VolumeName, Class: ptr.Deref(pvc.Spec.StorageClassName, "")}
		storage := pvc.Spec.Resources.Requests[corev1.ResourceStorage]
		if got, ok := pvc.Status.Capacity[corev1.ResourceStorage]; ok {
			storage = got
		}
		c.Bytes, c.Capacity = amount(storage)
		c.Fate = fate(volumes[pvc.Spec.VolumeName], pvc, w.volumes != nil)
		c.Needed = !w.used || w.mounted[c.Namespace+"/"+c.Name] || len(pvc.OwnerReferences) > 0
		if of, err := cluster.ClaimsOf(v, pvc); err == nil {
			for _, o := range of {
				c.StatefulSet = o.StatefulSet.Name
				c.Needed = c.Needed || o.InRange()
			}
		}
		inv.Claims = append(inv.Claims, c)
	}
	slices.SortFunc(inv.Claims, func(a, b Claim) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

func fate(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim, known bool) Fate {
	switch {
	case pvc.Spec.VolumeName == "":
		return NoData
	case !known:
		return Unknown
	case pv == nil:
		return NoData
	case pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain || pv.Spec.PersistentVolumeReclaimPolicy == "":
		return Retained
	}
	return Destroyed
}

func (inv *Inventory) takeVolumes(w *world, keep func(string) bool) {
	if w.volumes == nil {
		return
	}
	for i := range w.volumes.Items {
		pv := &w.volumes.Items[i]
		v := Volume{Name: pv.Name, Phase: string(pv.Status.Phase), Class: pv.Spec.StorageClassName, ReclaimPolicy: string(pv.Spec.PersistentVolumeReclaimPolicy)}
		v.Bytes, v.Capacity = amount(pv.Spec.Capacity[corev1.ResourceStorage])
		if ref := pv.Spec.ClaimRef; ref != nil {
			if !keep(ref.Namespace) {
				continue
			}
			v.Claim = ref.Namespace + "/" + ref.Name
		}
		inv.Volumes = append(inv.Volumes, v)
	}
	slices.SortFunc(inv.Volumes, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
}

func amount(q resource.Quantity) (int64, string) {
	if q.IsZero() {
		return 0, ""
	}
	return q.Value(), q.String()
}
