package validators

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
)

var claimUnbindable = &Rule{
	Name:  "claim-unbindable",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}, &corev1.PersistentVolume{}},
	Doc: `a claim for which no class makes a volume must fit one that is available

A claim of the class "", of a class that is only a name, or of one whose
provisioner is kubernetes.io/no-provisioner is bound to a volume that somebody
made. It fits if it is available, of the class, as large as asked for, has all
access modes, the volumeMode and the attributes class asked for, matches the
selector, and is where the Pods may run. Otherwise the claim and its Pods are
Pending, and only the claim's events say so. The finding names the volume that
comes nearest, and what differs. The claims of a StatefulSet need a volume each.
A claim with a selector gets no volume from a provisioner either: none honours
selectors.

A claim that is bound, or for which a volume is reserved by claimRef, is no
finding. Lint says nothing where the files hold no volume of the class.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the volumes are made later by something else, such as a local static provisioner",

	Checks: append([]Check{
		OnCreate(func(p *Pass, pvc *corev1.PersistentVolumeClaim) error {
			if pvc.Spec.VolumeName != "" || pvc.Status.Phase == corev1.ClaimBound {
				return nil // claim-volume
			}
			return unbindable(p, pvc, specPath)
		}),
		OnCreate(unbindableTemplates),
	}, onEphemeral(func(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path) error {
		if pvc.Spec.VolumeName != "" {
			return nil
		}
		return unbindable(p, pvc, spec)
	})...),
}

// A handBound is a claim whose volume somebody must have made.
type handBound struct {
	claim *corev1.PersistentVolumeClaim // with the name of the class that it gets
	class *storagev1.StorageClass       // nil if there is none
}

// handBound returns what a claim is bound by if no class makes a volume for it, or
// nil. That its class does not exist others say. The error may be that the manifests
// hold no classes: one whose volumes they hold, none of a provisioner, makes none.
func (p *Pass) handBound(pvc *corev1.PersistentVolumeClaim) (*handBound, error) {
	name, class, named, unknown := classOf(p.Cluster, pvc)
	switch {
	case !p.presumed(unknown), unknown != nil && !cluster.NamesClass(pvc):
		return nil, unknown
	case unknown != nil:
		name = cluster.ClaimClass(pvc)
		pvs, err := cluster.Find(p.Cluster, cluster.VolumesByClaim, "", cluster.OfClass(name))
		if err != nil || len(pvs) == 0 || slices.ContainsFunc(pvs, provisioned) {
			return nil, cmp.Or(err, unknown)
		}
	case provisions(class) && pvc.Spec.Selector == nil:
		return nil, nil
	case class == nil:
		missing, err := missingClass(p.Cluster, pvc)
		if err != nil || missing != nil {
			return nil, err
		}
	}
	if !named && class != nil { // lint sees the claim before the API server fills in the default class
		of := *pvc
		of.Spec.StorageClassName = &name
		pvc = &of
	}
	return &handBound{claim: pvc, class: class}, unknown
}

// name returns the name of the class, or "".
func (h *handBound) name() string { return cluster.ClaimClass(h.claim) }

// finds returns the volume that a claim gets, or has, or nil. Those that nobody has and
// usable refuses are left out.
func (h *handBound) finds(v *cluster.View, pvc *corev1.PersistentVolumeClaim,
	usable func(*corev1.PersistentVolume) bool) (*corev1.PersistentVolume, error) {
	all, err := volumesFor(v, pvc)
	if err != nil {
		return nil, err
	}
	var left []*corev1.PersistentVolume
	for _, pv := range all {
		switch {
		case hasVolume(pvc, pv):
			return pv, nil
		case pv.Spec.ClaimRef != nil || usable(pv):
			left = append(left, pv)
		}
	}
	return bestVolume(v, pvc, left, waits(h.class)), nil
}

func unbindable(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path) error {
	h, unknown := p.handBound(pvc)
	if h == nil {
		return unknown
	}
	anyVolume := func(*corev1.PersistentVolume) bool { return true }
	pv, err := h.finds(p.Cluster, h.claim, anyVolume)
	if err != nil || pv != nil {
		return cmp.Or(err, unknown)
	}
	reserved, err := reservedVolumes(p.Cluster, h.claim)
	if err != nil || attributesApart(p.Cluster, h.claim, reserved) != nil { // claim-volume
		return cmp.Or(err, unknown)
	}
	if provisions(h.class) {
		p.Report(field.Forbidden(spec.Child("selector"),
			fmt.Sprintf("cannot be honoured by class %s, and no volume of it fits; the claim stays Pending", h.name())),
			"remove the selector", `, or write storageClassName: "" to choose among volumes made by hand`)
		return unknown
	}
	return cmp.Or(p.unfit(h, h.claim, nil, anyVolume, spec, nil), unknown)
}

// unbindableTemplates gives the claims of a StatefulSet's Pods the volumes that there
// are, Pod by Pod, and reports each template that finds none for one of them.
func unbindableTemplates(p *Pass, sts *appsv1.StatefulSet) error {
	type search struct {
		*handBound
		index, found int
		done         bool
	}
	var searches []*search
	var unknown error
	taken := map[string]bool{}
	for i := range sts.Spec.VolumeClaimTemplates {
		t := &sts.Spec.VolumeClaimTemplates[i]
		if t.Spec.VolumeName != "" {
			taken[t.Spec.VolumeName] = true // claim-template-pinned
			continue
		}
		h, err := p.handBound(p.firstClaim(sts, i)) // for which a volume may be reserved
		switch {
		case errors.Is(err, cluster.ErrUnknown):
			unknown = err
		case err != nil:
			return err
		}
		if h != nil && !provisions(h.class) { // claim-template-pinned
			searches = append(searches, &search{handBound: h, index: i})
		}
	}
	var pods areas
	if sts.Spec.Template.Spec.NodeName == "" { // or the scheduler is not asked
		pods = podAreas(&sts.Spec.Template.Spec)
	}
	usable := func(pv *corev1.PersistentVolume) bool { return !taken[pv.Name] && reaches(pods, pv) }
	const most = 100 // replicas, each of which takes a lookup
	wanted := ordinals(sts)
	for ordinal := wanted.start; ordinal < min(wanted.end(), wanted.start+most); ordinal++ {
		for _, s := range searches {
			if s.done {
				continue
			}
			pvc := *s.claim
			pvc.Name = cluster.ClaimName(sts, sts.Spec.VolumeClaimTemplates[s.index].Name, ordinal)
			pv, err := s.finds(p.Cluster, &pvc, usable)
			switch {
			case errors.Is(err, cluster.ErrUnknown):
				s.done, unknown = true, err
				continue
			case err != nil:
				return err
			case pv != nil:
				taken[pv.Name] = true
				s.found++
				continue
			}
			s.done = true
			spec := templatesPath.Index(s.index).Child("spec")
			if s.found == 0 {
				err = p.unfit(s.handBound, &pvc, pods, func(pv *corev1.PersistentVolume) bool { return !taken[pv.Name] }, spec, sts)
			} else {
				err = p.tooFew(s.handBound, s.found, spec, sts)
			}
			if err != nil {
				return err
			}
		}
	}
	return unknown
}

// reaches says whether a Pod that may run in some areas may run where a volume is.
func reaches(pods areas, pv *corev1.PersistentVolume) bool {
	for _, s := range volumeSite(pv) {
		if key, _ := pods.without(s.areas); key != "" {
			return false
		}
	}
	return true
}

// tooFew reports a template that finds a volume for some claims only.
func (p *Pass) tooFew(h *handBound, found int, spec *field.Path, sts *appsv1.StatefulSet) error {
	remedy, err := p.volumeOrClass(h, sts)
	if err != nil {
		return err
	}
	p.Report(field.Invalid(spec.Child("storageClassName"), h.name(),
		fmt.Sprintf("must have a volume for each replica: %d of %d claims find one that fits; Pods stay Pending",
			found, ordinals(sts).n)),
		remedy...)
	return nil
}

// A mismatch is why a volume cannot be bound to a claim.
type mismatch struct {
	at    *field.Path // the field of the claim
	value any         // that the claim has there
	what  string      // another of which the volume has, for a sentence
	has   string      // what the volume has instead, or ""
	is    string      // what it is, if it has nothing instead
	edit  string      // the field of the claim as the volume is, or "" where that is no way
}

// unfit reports a claim to which no volume can be bound, with the volume that comes
// nearest among those that consider does not refuse. Sts is the StatefulSet of a
// claim template, or nil.
func (p *Pass) unfit(h *handBound, pvc *corev1.PersistentVolumeClaim, pods areas,
	consider func(*corev1.PersistentVolume) bool, spec *field.Path, sts *appsv1.StatefulSet) error {
	all, err := cluster.Find(p.Cluster, cluster.VolumesByClaim, "", cluster.OfClass(h.name()))
	if err != nil {
		return fmt.Errorf("list PersistentVolumes: %w", err)
	}
	reserved, err := reservedVolumes(p.Cluster, pvc) // of whatever class
	if err != nil {
		return err
	}
	var nearest *corev1.PersistentVolume
	var differs []mismatch
	taken := false // by claims of the same Pods
	for _, pv := range slices.Concat(reserved, all) {
		if !consider(pv) {
			taken = true
			continue
		}
		d := p.mismatches(pv, pvc, pods, spec)
		if nearest == nil || nearer(pv, nearest, d, differs) {
			nearest, differs = pv, d
		}
	}
	cost := "claim and Pods stay Pending"
	if pvc.Name == "" || sts != nil {
		cost = "Pods stay Pending"
	}
	remedy, err := p.volumeOrClass(h, sts)
	switch {
	case err != nil:
		return err
	case len(all)+len(reserved) == 0 && p.Cluster.Manifests():
		return nil // the volumes are elsewhere
	case nearest == nil, len(differs) == 0, taken && len(differs) == 1 && differs[0].has == "":
		p.Report(field.Invalid(spec.Child("storageClassName"), h.name(),
			"must have a volume made by hand, and none is left; "+cost), remedy...)
		return nil
	}
	d := differs[0]
	if len(differs) == 1 && d.edit != "" && (sts == nil || p.Cluster.Manifests()) {
		remedy = Remedy{d.edit, ", or " + remedy[0]}
	}
	p.Report(field.Invalid(d.at, d.value,
		fmt.Sprintf("must fit a volume made by hand: the nearest, %s, %s; %s", nearest.Name, instead(differs), cost)),
		remedy...)
	return nil
}

// instead returns what a volume has or is that a claim does not ask for.
func instead(differs []mismatch) string {
	text := differs[0].is
	for i, d := range differs {
		switch {
		case d.has == "":
		case i == 0:
			text = "has " + d.has
		default:
			text += ", another " + d.what
		}
	}
	return text
}

// nearer says whether a volume comes nearer to a claim than another: it differs in
// less, is nobody's, is larger, or has the first name.
func nearer(a, b *corev1.PersistentVolume, differsA, differsB []mismatch) bool {
	owned := func(pv *corev1.PersistentVolume) int {
		if pv.Spec.ClaimRef != nil || pv.DeletionTimestamp != nil {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(len(differsA), len(differsB)),
		cmp.Compare(owned(a), owned(b)),
		b.Spec.Capacity.Storage().Cmp(*a.Spec.Capacity.Storage()),
		strings.Compare(a.Name, b.Name),
	) < 0
}

// mismatches returns in what a volume differs from what a claim asks for, whose spec
// has a path.
func (p *Pass) mismatches(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim, pods areas, spec *field.Path,
) (all []mismatch) {
	class := mismatch{at: spec.Child("storageClassName"), value: cluster.ClaimClass(pvc)}
	is := func(what string) {
		class.is = what
		all = append(all, class)
	}
	size, asked := pv.Spec.Capacity.Storage(), pvc.Spec.Resources.Requests.Storage()
	if size.Cmp(*asked) < 0 {
		all = append(all, mismatch{at: spec.Child("resources", "requests").Key("storage"), value: asked.String(),
			what: "size", has: size.String(), edit: fmt.Sprintf("resources: {requests: {storage: %s}}", size)})
	}
	if !cluster.AccessModesFit(pv, pvc) {
		has, edit := "no access modes", ""
		if modes := joinModes(pv.Spec.AccessModes); modes != "" {
			has, edit = modes, "accessModes: ["+modes+"]"
		}
		all = append(all, mismatch{at: spec.Child("accessModes"), value: joinModes(pvc.Spec.AccessModes),
			what: "list of accessModes", has: has, edit: edit})
	}
	if !cluster.VolumeModeFits(pv, pvc) {
		asked := ptr.Deref(pvc.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		all = append(all, mismatch{at: spec.Child("volumeMode"), value: string(asked),
			what: "volumeMode", has: string(volumeMode(pv))}) // what the Pods can use does not change
	}
	if !attributesFit(p.Cluster, pvc, pv) {
		all = append(all, mismatch{at: spec.Child("volumeAttributesClassName"),
			value: ptr.Deref(pvc.Spec.VolumeAttributesClassName, ""), edit: p.attributesOf(pv),
			what: "attributes class", has: fmt.Sprintf("%q", ptr.Deref(pv.Spec.VolumeAttributesClassName, ""))})
	}
	if !selectorMatches(pvc, pv) && pv.Spec.ClaimRef == nil {
		all = append(all, mismatch{at: spec.Child("selector"), value: short(formatSelector(pvc.Spec.Selector)),
			what: "set of labels", has: "other labels", edit: "remove the selector"})
	}
	switch ref := pv.Spec.ClaimRef; {
	case pv.DeletionTimestamp != nil:
		is("is being deleted")
	case claimGone(pv):
		is("still belongs to a claim that is gone")
	case ref != nil && !reservedFor(pv, pvc):
		is(fmt.Sprintf("belongs to claim %s/%s", ref.Namespace, ref.Name))
	case ref == nil && !reaches(pods, pv):
		is("is where the Pods may not run")
	}
	return all
}

// volumeOrClass returns how a claim can get a volume otherwise: somebody makes one, or
// a class does.
func (p *Pass) volumeOrClass(h *handBound, sts *appsv1.StatefulSet) (Remedy, error) {
	classes, err := listClasses(p.Cluster)
	if !p.presumed(err) {
		return nil, err
	}
	classes = slices.DeleteFunc(slices.Clone(classes), func(sc storagev1.StorageClass) bool { return !provisions(&sc) })
	remedy := Remedy{"create a PersistentVolume that fits"}
	others := &classless{classes: classes}
	switch {
	case len(classes) == 0 || h.claim.Spec.Selector != nil:
	case p.Cluster.Manifests():
		remedy = append(remedy, ", or "+others.named())
	case sts != nil:
		remedy = append(remedy, fmt.Sprintf(", or name another class (%s) after kubectl delete sts %s -n %s --cascade=orphan",
			offered(classes), sts.Name, sts.Namespace))
	case h.claim.Name == "":
		remedy = append(remedy, ", or "+others.named())
	default:
		remedy = append(remedy, fmt.Sprintf(", or make the claim anew with another class (%s)", offered(classes)))
	}
	return remedy, nil
}
