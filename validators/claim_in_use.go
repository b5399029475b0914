package validators

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimInUse = &Rule{
	Name:      "claim-in-use",
	Level:     Deny,
	Loses:     LosesData,
	SavesData: true,
	Reads: []cluster.Object{&appsv1.StatefulSet{}, &appsv1.Deployment{}, &batchv1.CronJob{}, &batchv1.Job{},
		&corev1.PersistentVolume{}, &corev1.Pod{}, &corev1.Namespace{}},
	Versions: []*cluster.Feature{cluster.UnusedConditions},
	Doc: `a claim that holds the data of a StatefulSet must not be deleted

A deletion cannot be taken back. Kubernetes only delays it: the Pod runs on, and
at its next restart, weeks later perhaps, the claim is gone and the Pod starts
on an empty volume. Where the volume's reclaim policy is Delete, the disk is
destroyed as well. Only the DELETE request itself can still be stopped.

The rule denies the deletion of (a) a claim that a StatefulSet needs for one of
its replicas, (b) a claim that a StatefulSet made, even if that StatefulSet is
gone, while the policy of its volume is Delete, and (c) a claim that the
template of a StatefulSet mounts by its name, at any number of replicas, while
the policy of its volume is Delete. To remove a member, scale the StatefulSet
down first; a StatefulSet that is gone or being deleted needs no claim. To keep
the disk, set the volume's policy to Retain; to let it go, annotate the claim
stayput.dev/reclaim-policy: Delete. To wipe a member that runs, exempt its
claim. The rule never denies the deletion of other claims, nor what controllers
and terminating namespaces delete. It warns where a Pod, or the template of a
StatefulSet, Deployment, CronJob or unfinished Job, mounts the claim by its
name. Each answer says what happens to the disk. A volume that is itself being
deleted goes with its claim whatever its policy, and the rule warns of that, too.
Where no Pod uses the claim, the answer says since when at least, if Kubernetes
tells.

Anybody who may write a claim may write ownerReferences on it, so an owner never
turns a denial into a warning: neither a custom resource, whether it is the
controller or not, nor a Pod. A claim whose owners no longer exist may be
deleted, because the garbage collector deletes it anyway. If no StatefulSet made
the claim and a custom resource controls it, the rule only warns, whether a
StatefulSet mounts it or not.

An operator may delete claims before the StatefulSet that it controls, and
cannot read an answer. In case (a) its service account therefore gets a warning
where no data can be destroyed, because the volume's policy is Retain and the
volume itself is not being deleted. Otherwise the operator waits until the
volumes are set to Retain, or until the configuration permits the deletion: the
denial contains the entry for deletions.callers. A person is denied, whatever
the ownerReferences say.`,

	Exempt: "the member is to be wiped and synchronised anew, or its data is elsewhere already",

	Checks: []Check{OnDelete(func(p *Pass, pvc *corev1.PersistentVolumeClaim) error {
		of, err := usesOf(p.Cluster, pvc)
		if err != nil {
			return err
		}
		pv, err := volumeOf(p.Cluster, pvc)
		if err != nil {
			return err
		}
		pods, err := podsWith(p.Cluster.Cached(), pvc) // they only warn
		if err != nil {
			return err
		}
		member, exists := memberOf(of)
		c := &goingClaim{PersistentVolumeClaim: pvc, volume: pv, member: member}
		if len(pods) == 0 {
			c.since = cluster.SinceUnused(cluster.UnusedSince(p.Cluster, pvc))
		}
		if err := c.report(p, of, pods, exists); err != nil {
			return err
		}
		c.leavesNoTrace(p)
		return nil
	})},
}

// A goingClaim is a claim that is to be deleted. Its methods are the outcomes.
type goingClaim struct {
	*corev1.PersistentVolumeClaim
	volume *corev1.PersistentVolume // nil if none is bound
	member cluster.ClaimOf          // the replica whose claim it is, if there is one
	since  string                   // since when no Pod has used it, as a clause, or ""

	// mounters are the StatefulSets that mount it by its name and are not being
	// deleted; looked up only for a claim that is nobody else's.
	mounters []*appsv1.StatefulSet
}

// report reports the outcomes that the deletion has.
func (c *goingClaim) report(p *Pass, of []cluster.ClaimOf, pods []string, exists bool) error {
	if exists && c.member.InRange() {
		spared, err := sparedOperator(p.Cluster, c.PersistentVolumeClaim, of)
		if err != nil {
			return err
		}
		if spared {
			c.neededButKept(p)
		} else {
			c.needed(p)
		}
		c.usedBy(p, slices.DeleteFunc(pods, func(name string) bool { return name == podOf(c.member) }))
		return nil
	}
	owner := controllerOf(c.PersistentVolumeClaim)
	whose, letGo, err := c.saved(p.Cluster, of, owner == nil)
	if err != nil {
		return err
	}
	switch {
	case letGo != "":
		c.destroys(p, whose, letGo)
		if len(c.mounters) > 0 {
			return nil // the Pods are theirs
		}
	case owner != nil: // operators delete claims before Pods, and must not hang
		c.controlled(p, owner)
	case exists:
		c.startsEmpty(p)
	case goesWithClaim(c.volume) && len(pods) > 0:
		c.takesDiskOf(p, pods)
		return nil
	case goesWithClaim(c.volume):
		return c.mountedByTemplate(p)
	case len(pods) == 0:
		c.missedByMounters(p)
	}
	c.usedBy(p, pods)
	return nil
}

// neededButKept warns an operator that a replica needs the claim, whose volume
// outlives it.
func (c goingClaim) neededButKept(p *Pass) {
	keeps, remedy := "no volume is bound to it", "have it made anew, "
	if c.volume != nil {
		keeps, remedy = "volume "+c.volume.Name+" keeps the data", "stayput recover brings it back; act "
	}
	owner := cluster.ForeignController(c.member.StatefulSet)
	through := throughOwner(owner)
	p.Warn(field.Forbidden(namePath, fmt.Sprintf("is needed: Pod %s would start empty at its next restart; %s",
		podOf(c.member), keeps)), remedy+through)
	p.Briefly(through)
	p.Through(owner)
}

// needed denies to delete what a replica needs.
func (c goingClaim) needed(p *Pass) {
	sts, pod := c.member.StatefulSet.Name, podOf(c.member)
	start, replicas := cluster.Ordinals(c.member.StatefulSet)
	remove := fmt.Sprintf("to remove the Pod: kubectl scale statefulset %s -n %s --replicas=%d", sts, c.Namespace,
		c.member.Ordinal-start)
	if last := start + replicas - 1; c.member.Ordinal < last { // scaling down to it would remove the later replicas, too
		remove = fmt.Sprintf("scaling down removes %s-%d first", sts, last)
	}
	wipe := fmt.Sprintf("to wipe it: kubectl annotate pvc %s -n %s %s=\"why\"", c.Name, c.Namespace,
		cluster.ExemptPrefix+p.rule.Name)
	remedy := Remedy{remove, "; " + wipe}
	owner := cluster.ForeignController(c.member.StatefulSet)
	if owner != nil { // the owner scales it
		remedy = Remedy{wipe, "; to remove the Pod, scale " + throughOwner(owner)}
	}
	if safe := c.keepingDisk(); safe != "" {
		remedy = append(Remedy{"first " + safe, ", then " + remedy[0]}, remedy[1:]...)
	}
	p.Report(field.Forbidden(namePath, fmt.Sprintf("must stay: it holds the data of Pod %s of StatefulSet %s; the Pod "+
		"would start empty at its next restart%s", pod, sts, fate(c.volume))), remedy...)
	if owner != nil {
		p.Through(owner)
	}
	if goesWithClaim(c.volume) {
		p.Loses(c.volume.Name)
	}
}

// destroys denies to delete a claim whose disk would be destroyed with it.
func (c goingClaim) destroys(p *Pass, whose, letGo string) {
	unused := ""
	if c.since != "" {
		unused = " (" + c.since + ")"
	}
	p.Report(field.Forbidden(namePath, fmt.Sprintf("must stay: it holds the data of %s, and the reclaim policy of its "+
		"volume is Delete; the disk would be destroyed with it", whose)),
		fmt.Sprintf("to keep the disk: %s; to let it go%s: %s", retainCommand(c.volume.Name), unused, letGo))
	p.Loses(c.volume.Name)
}

// andSince adds to what is wrong since when no Pod has used the claim, where a warning
// has room for it beside the rule, the path, and the command that keeps the disk. Without
// one, the shortest remedy is what has to fit.
func (c goingClaim) andSince(what, command string) string {
	with := what + "; " + c.since
	if c.since != "" && fitsWarning(with, cmp.Or(command, printRule+"claim-in-use")) {
		return with
	}
	return what
}

// fitsWarning says whether a warning has room for what is wrong and a remedy, beside the
// rule and the path.
func fitsWarning(what, remedy string) bool {
	const room = 201
	return utf8.RuneCountInString(what)+utf8.RuneCountInString(remedy) <= room
}

// keepingDisk returns the command after which the disk outlives the claim, or ""
// where it does so anyway, or an annotation says that it may go, by which the
// policy would be set back. The Namespace's is not looked at: a lookup that fails
// would cost the answer.
func (c goingClaim) keepingDisk() string {
	if !goesWithClaim(c.volume) {
		return ""
	}
	const said, goes = cluster.AnnotationReclaim, string(corev1.PersistentVolumeReclaimDelete)
	if cmp.Or(c.volume.Annotations[said], c.Annotations[said]) == goes {
		return ""
	}
	return retainCommand(c.volume.Name)
}

// controlled warns that what controls the claim may make it anew.
func (c goingClaim) controlled(p *Pass, owner *metav1.OwnerReference) {
	if safe := c.keepingDisk(); safe != "" {
		first, through := "first "+safe, throughOwner(owner)
		p.Warn(field.Forbidden(namePath, c.andSince(fmt.Sprintf("is controlled by %s %s; the disk is destroyed with it",
			owner.Kind, owner.Name), first)), first, ", then have it deleted "+through)
		p.Briefly(first)
		p.Through(owner)
		return
	}
	p.Warn(field.Forbidden(namePath, c.andSince(fmt.Sprintf("is controlled by %s %s, which may make it anew, empty%s",
		owner.Kind, owner.Name, fate(c.volume)), "")),
		fmt.Sprintf("kubectl edit %s %s -n %s, and have it deleted %s", strings.ToLower(owner.Kind), owner.Name,
			c.Namespace, throughOwner(owner)))
	p.Through(owner)
}

// startsEmpty warns that a replica that is scaled away will start empty when it
// comes back.
func (c goingClaim) startsEmpty(p *Pass) {
	p.Warn(field.Forbidden(namePath,
		c.andSince(fmt.Sprintf("cannot be undone: StatefulSet %s would start ordinal %d empty when it "+
			"is scaled up again%s", c.member.StatefulSet.Name, c.member.Ordinal, fate(c.volume)), "")),
		"if the data may be wanted again, take a backup or a VolumeSnapshot first")
}

// takesDiskOf warns of Pods whose disk goes with the claim.
func (c goingClaim) takesDiskOf(p *Pass, pods []string) {
	p.Warn(field.Forbidden(namePath, fmt.Sprintf("is used by Pods: %s; the disk is destroyed with it",
		cluster.Few(pods))), "first "+retainCommand(c.volume.Name))
}

// usedBy warns of Pods that use the claim, beside the replica whose it is.
func (c goingClaim) usedBy(p *Pass, pods []string) {
	if len(pods) > 0 {
		p.Warn(field.Forbidden(namePath,
			fmt.Sprintf("is used by Pods: %s; they run on until they restart, then "+
				"wait for ever%s", cluster.Few(pods), fate(c.volume))),
			"stop them first: scale down what controls them", fmt.Sprintf(", or kubectl delete pod %s -n %s",
				strings.Join(pods[:min(len(pods), 5)], " "), c.Namespace))
	}
}

// leavesNoTrace warns that the volume goes, too, and with it what is known of the disk.
func (c goingClaim) leavesNoTrace(p *Pass) {
	if forgotten(c.volume) {
		p.Warn(field.Forbidden(namePath, "leaves no trace of its disk: the volume is being deleted, and goes with it"),
			"first "+saveCommand(c.volume.Name))
	}
}

// missedByMounters warns that StatefulSets without Pods mount the claim, whose
// data stays.
func (c goingClaim) missedByMounters(p *Pass) {
	if len(c.mounters) == 0 || c.volume == nil || forgotten(c.volume) {
		return
	}
	p.Warn(field.Forbidden(namePath, c.andSince(fmt.Sprintf("is mounted by %s%s", cluster.Few(setNames(c.mounters)),
		fate(c.volume)), "")), "if the data may be wanted again, take a backup or a VolumeSnapshot first")
}

// setNames returns the names of StatefulSets, after their kind.
func setNames(sets []*appsv1.StatefulSet) (names []string) {
	for _, s := range sets {
		names = append(names, "StatefulSet "+s.Name)
	}
	return names
}

// mountedByTemplate warns of a claim without Pods that a workload mounts by its name,
// be it scaled to zero, and whose disk is destroyed with it, unless somebody has said
// that it may go.
func (c goingClaim) mountedByTemplate(p *Pass) error {
	wanted, err := cluster.ReclaimByAnnotation(p.Cluster, c.volume, c.PersistentVolumeClaim)
	if err != nil || wanted.Policy == corev1.PersistentVolumeReclaimDelete {
		return err
	}
	names := setNames(c.mounters)
	cached := p.Cluster.Cached() // it only warns
	for _, list := range []func() ([]string, error){
		func() ([]string, error) { return mounting(cached, cluster.DeploymentsByMount, c) },
		func() ([]string, error) { return mounting(cached, cluster.CronJobsByMount, c) },
		func() ([]string, error) { return mounting(cached, cluster.JobsByMount, c) },
	} {
		some, err := list()
		if err != nil {
			return err
		}
		names = append(names, some...)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	first := "first " + retainCommand(c.volume.Name)
	what := func(most int) string {
		return fmt.Sprintf("is mounted by %s; its disk is destroyed with it", cluster.FewOf(names, most))
	}
	most := 5
	for most > 1 && !fitsWarning(what(most), first) { // the command is worth more than a name
		most--
	}
	p.Warn(field.Forbidden(namePath, c.andSince(what(most), first)), first)
	return nil
}

// mounting returns the workloads of a kind whose templates mount a claim by its name
// and that are not being deleted, each after its kind.
func mounting[P cluster.Object](v *cluster.View, idx *cluster.Index[P], c goingClaim) (names []string, err error) {
	kind := cluster.KindOf[P]().Kind
	found, err := cluster.Find(v, idx, c.Namespace, c.Name)
	if err != nil {
		return nil, fmt.Errorf("list %ss: %w", kind, err)
	}
	for _, obj := range found {
		if obj.GetDeletionTimestamp() == nil {
			names = append(names, kind+" "+obj.GetName())
		}
	}
	return names, nil
}

// mountersOf returns the StatefulSets that mount a claim by its name and are not
// being deleted. If there is none, and the disk goes with the claim, the API
// server is asked, as in [usesOf].
func mountersOf(v *cluster.View, pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) (
	[]*appsv1.StatefulSet, error) {
	sets, err := stayingMounters(v, pvc)
	live := v.Live()
	if err != nil || len(sets) > 0 || live == nil || !goesWithClaim(pv) {
		return sets, err
	}
	wanted, err := cluster.ReclaimByAnnotation(v, pv, pvc)
	if err != nil || wanted.Policy == corev1.PersistentVolumeReclaimDelete {
		return nil, err
	}
	return stayingMounters(live, pvc)
}

func stayingMounters(v *cluster.View, pvc *corev1.PersistentVolumeClaim) ([]*appsv1.StatefulSet, error) {
	sets, err := cluster.MountersOf(v, pvc)
	return slices.DeleteFunc(sets, func(sts *appsv1.StatefulSet) bool { return sts.DeletionTimestamp != nil }), err
}

// sparedOperator says whether the deletion of a claim that a replica needs
// comes from an operator and can destroy nothing: a service account asks, every
// StatefulSet that needs the claim has a foreign controller, and the volume, as
// the API server knows it now, will outlive the claim. The owner alone would
// not be enough, as anybody can write an owner reference.
func sparedOperator(v *cluster.View, pvc *corev1.PersistentVolumeClaim, of []cluster.ClaimOf) (bool, error) {
	if !v.Request.ByServiceAccount() {
		return false, nil
	}
	for _, c := range of {
		if c.StatefulSet.DeletionTimestamp == nil && c.InRange() && cluster.ForeignController(c.StatefulSet) == nil {
			return false, nil
		}
	}
	if live := v.Live(); live != nil {
		v = live
	}
	pv, err := volumeOf(v, pvc)
	if err != nil {
		return false, err
	}
	// A volume that is being deleted is deleted with its claim, under any
	// policy.
	return pv == nil || pv.DeletionTimestamp == nil &&
		pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain, nil
}

// usesOf returns the replicas that may use a claim. If none of them needs it,
// the API server is asked: a StatefulSet may be created or scaled up while a
// watch is cut, and after the claim's deletion it is too late to ask.
func usesOf(v *cluster.View, pvc *corev1.PersistentVolumeClaim) ([]cluster.ClaimOf, error) {
	of, err := cluster.ClaimsOf(v, pvc)
	if err != nil {
		return nil, err
	}
	if member, exists := memberOf(of); exists && member.InRange() {
		return of, nil // a denial is looked at again anyway
	}
	if now, asked, err := cluster.ClaimsOfNow(v, pvc); err != nil || asked {
		return now, err
	}
	return of, nil
}

// podOf returns the name of the Pod that the claim belongs to.
func podOf(c cluster.ClaimOf) string { return fmt.Sprintf("%s-%d", c.StatefulSet.Name, c.Ordinal) }

// memberOf returns the replica that the claim belongs to, if possible one that
// its StatefulSet still has. A StatefulSet that is being deleted has none:
// kubectl delete sends every DELETE at once, and foreground deletion waits.
func memberOf(of []cluster.ClaimOf) (member cluster.ClaimOf, exists bool) {
	for _, c := range of {
		if c.StatefulSet.DeletionTimestamp != nil {
			continue
		}
		if !exists || !member.InRange() && c.InRange() {
			member, exists = c, true
		}
	}
	return member, exists
}

// saved returns whose data a denial would save, and the command that lets the
// disk be destroyed: of a StatefulSet that made the claim, whatever owner the
// claim has, or else, if no owner controls it, of one that mounts it by its
// name. It looks up those mounters. Both texts are empty if a denial saves
// nothing.
func (c *goingClaim) saved(v *cluster.View, of []cluster.ClaimOf, uncontrolled bool) (whose, letGo string, err error) {
	doomed := c.volume != nil && c.volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete
	if doomed {
		if whose, err = c.madeFor(v, of); err != nil {
			return "", "", err
		}
		if whose != "" {
			if letGo, err = c.lettingGo(v); err != nil || letGo != "" {
				return whose, letGo, err
			}
		}
	}
	if !uncontrolled {
		return "", "", nil
	}
	c.mounters, err = mountersOf(v, c.PersistentVolumeClaim, c.volume)
	if err != nil || len(c.mounters) == 0 || !doomed || whose != "" {
		return "", "", err
	}
	letGo, err = c.lettingGo(v)
	return "StatefulSet " + c.mounters[0].Name, letGo, err
}

// madeFor names the StatefulSet that made the claim, or is "" if none did.
func (c *goingClaim) madeFor(v *cluster.View, of []cluster.ClaimOf) (string, error) {
	recorded, ok := cluster.ParseClaimRecord(c.volume.Annotations[cluster.AnnotationClaimOf])
	switch {
	case len(of) > 0:
		return "StatefulSet " + of[0].StatefulSet.Name, nil
	case ok && recorded.Mounted == "" && recorded.Claim() == c.Name:
		return "StatefulSet " + recorded.StatefulSet, nil // gone
	}
	made, err := cluster.MadeByStatefulSetNow(v, c.PersistentVolumeClaim)
	if err != nil || !made {
		return "", err
	}
	return "a StatefulSet", nil // gone, and nothing remembers its name
}

// lettingGo returns the command that lets the claim's disk be destroyed, or ""
// where nothing is to be saved: an annotation asks for that, or it would be
// destroyed in any case.
func (c *goingClaim) lettingGo(v *cluster.View) (string, error) {
	wanted, err := cluster.ReclaimByAnnotation(v, c.volume, c.PersistentVolumeClaim)
	if err != nil || wanted.Policy == corev1.PersistentVolumeReclaimDelete {
		return "", err
	}
	if goes, err := cluster.GoesByItself(v, c.PersistentVolumeClaim); err != nil || goes {
		return "", err // a denial would save nothing
	}
	what := fmt.Sprintf("pvc %s -n %s", c.Name, c.Namespace)
	if wanted.From == cluster.FromVolume { // an annotation of the volume overrides the claim's
		what = "pv " + c.volume.Name
	}
	return fmt.Sprintf("kubectl annotate --overwrite %s %s=Delete", what, cluster.AnnotationReclaim), nil
}

// goesWithClaim says whether a volume is destroyed when its claim is deleted.
func goesWithClaim(pv *corev1.PersistentVolume) bool {
	return pv != nil && pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain
}

// forgotten says whether a volume is deleted with its claim and leaves a disk
// that nothing in the cluster refers to. A volume that is being deleted waits
// for its claim; its reclaim policy, which is for Released volumes, does not
// matter.
func forgotten(pv *corev1.PersistentVolume) bool {
	return pv != nil && pv.DeletionTimestamp != nil && !goesWithClaim(pv)
}

// saveCommand keeps what volumes say of their disks.
func saveCommand(volumes ...string) string {
	return fmt.Sprintf("kubectl get pv %s -o yaml > volumes.yaml", strings.Join(volumes, " "))
}

// fate says what happens to the data on a claim's volume.
func fate(pv *corev1.PersistentVolume) string {
	switch {
	case pv == nil:
		return ""
	case goesWithClaim(pv):
		return "; the data is destroyed"
	case forgotten(pv):
		return ""
	default:
		return "; volume " + pv.Name + " keeps the data"
	}
}

// controllerOf returns the controller of a claim, unless the StatefulSet
// controller set it to implement persistentVolumeClaimRetentionPolicy: the
// StatefulSet itself or its condemned Pod.
func controllerOf(pvc *corev1.PersistentVolumeClaim) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(pvc)
	switch {
	case owner == nil,
		owner.Kind == "StatefulSet" && strings.HasPrefix(owner.APIVersion, appsv1.GroupName+"/"),
		owner.Kind == "Pod" && strings.HasSuffix(pvc.Name, "-"+owner.Name): // data-db-0 of db-0
		return nil
	}
	return owner
}
