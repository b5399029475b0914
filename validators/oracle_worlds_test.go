package validators_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"stayput.dev/cluster"
)

// A world is a small random cluster, and who asks about it. Names, labels and
// sizes come from so few that references often meet, and often just miss.
type world struct {
	statefulSets []*appsv1.StatefulSet
	deployments  []*appsv1.Deployment
	replicaSets  []*appsv1.ReplicaSet
	pods         []*corev1.Pod
	services     []*corev1.Service
	claims       []*corev1.PersistentVolumeClaim
	volumes      []*corev1.PersistentVolume
	classes      []*storagev1.StorageClass
	attributes   []*storagev1.VolumeAttributesClass
	nodes        []*corev1.Node
	budgets      []*policyv1.PodDisruptionBudget
	namespaces   []*corev1.Namespace
	jobs         []*batchv1.Job
	cronJobs     []*batchv1.CronJob
	autoscalers  []autoscaler
	configMaps   []*corev1.ConfigMap
	definitions  []definition

	retain string // the configuration's: statefulsets, owned, all, off
	user   string // who asks
	orphan bool   // of a deletion: dependents stay
	same   bool   // of an update: what the rule looks at is as it was

	// servers are the releases of the oldest and the newest API server; zero if
	// nothing is known of them.
	servers [2]release
}

// A release of Kubernetes is 1.minor.patch.
type release struct{ minor, patch int }

// before says whether all API servers are known to be older than a minor.
func (w *world) before(minor int) bool { return w.servers[1].minor > 0 && w.servers[1].minor < minor }

// since says whether all API servers are known to be of a minor or newer.
func (w *world) since(minor int) bool { return w.servers[0].minor >= minor }

// objects returns all that is in a world.
func (w *world) objects() (all []cluster.Object) {
	for _, list := range []any{w.statefulSets, w.deployments, w.replicaSets, w.pods, w.services, w.claims, w.volumes,
		w.classes, w.attributes, w.nodes, w.budgets, w.namespaces, w.jobs, w.cronJobs,
		w.autoscalers, w.configMaps, w.definitions} {
		v := reflect.ValueOf(list)
		for i := range v.Len() {
			all = append(all, v.Index(i).Interface().(cluster.Object))
		}
	}
	return all
}

// ofKind returns the objects that are of the kind of another.
func (w *world) ofKind(like cluster.Object) (all []cluster.Object) {
	for _, o := range w.objects() {
		if reflect.TypeOf(o) == reflect.TypeOf(like) {
			all = append(all, o)
		}
	}
	return all
}

// put puts an object into the world, in the place of one of the same name.
func (w *world) put(obj cluster.Object) {
	switch obj := obj.(type) {
	case *appsv1.StatefulSet:
		w.statefulSets = with(w.statefulSets, obj)
	case *appsv1.Deployment:
		w.deployments = with(w.deployments, obj)
	case *appsv1.ReplicaSet:
		w.replicaSets = with(w.replicaSets, obj)
	case *corev1.Pod:
		w.pods = with(w.pods, obj)
	case *corev1.Service:
		w.services = with(w.services, obj)
	case *corev1.PersistentVolumeClaim:
		w.claims = with(w.claims, obj)
	case *corev1.PersistentVolume:
		w.volumes = with(w.volumes, obj)
	case *storagev1.StorageClass:
		w.classes = with(w.classes, obj)
	case *storagev1.VolumeAttributesClass:
		w.attributes = with(w.attributes, obj)
	case *corev1.Node:
		w.nodes = with(w.nodes, obj)
	case *policyv1.PodDisruptionBudget:
		w.budgets = with(w.budgets, obj)
	case *corev1.Namespace:
		w.namespaces = with(w.namespaces, obj)
	case *batchv1.Job:
		w.jobs = with(w.jobs, obj)
	case *batchv1.CronJob:
		w.cronJobs = with(w.cronJobs, obj)
	case autoscaler:
		w.autoscalers = with(w.autoscalers, obj)
	case *corev1.ConfigMap:
		w.configMaps = with(w.configMaps, obj)
	case definition:
		w.definitions = with(w.definitions, obj)
	}
}

func with[T cluster.Object](all []T, obj T) []T {
	for i, o := range all {
		if o.GetName() == obj.GetName() && o.GetNamespace() == obj.GetNamespace() {
			all[i] = obj
			return all
		}
	}
	return append(all, obj)
}

// A gen makes objects of one seed.
type gen struct{ *rand.Rand }

func newGen(seed uint64) gen { return gen{rand.New(rand.NewPCG(seed, 9))} }

func (g gen) chance(p float64) bool { return g.Float64() < p }

func one[T any](g gen, of ...T) T { return of[g.IntN(len(of))] }

// servers returns releases of API servers: of one, of two neighbours that an
// upgrade leaves behind, or unknown.
func (g gen) servers() [2]release {
	oldest := release{30 + g.IntN(9), g.IntN(6)}
	switch newer := (release{oldest.minor + 1, g.IntN(6)}); {
	case g.chance(.3):
		return [2]release{}
	case g.chance(.4):
		return [2]release{oldest, newer}
	}
	return [2]release{oldest, oldest}
}

// world makes a cluster.
func (g gen) world() *world {
	w := &world{
		retain: one(g, "statefulsets", "statefulsets", "owned", "owned", "all", "off"),
		user: one(g, "jane", "system:serviceaccount:argo:argo",
			"system:serviceaccount:kube-system:generic-garbage-collector"),
		orphan:  g.chance(.2),
		servers: g.servers(),
	}
	for _, create := range append(g.makers(), func() cluster.Object { return g.node() },
		func() cluster.Object { return g.budget() },
		func() cluster.Object { return g.attributesClass() }) {
		for range g.IntN(5) {
			w.put(create())
		}
	}
	g.bind(w)
	newGen(uint64(len(w.claims)*100 + len(w.pods))).claimsOwned(w)
	its := newGen(uint64(len(w.services)*100 + len(w.pods))) // as above
	for _, create := range its.filed() {
		for range its.IntN(3) {
			w.put(create())
		}
	}
	return w
}

// filed make an object of each kind that only lint and audit review.
func (g gen) filed() []func() cluster.Object {
	return []func() cluster.Object{func() cluster.Object { return g.job() }, func() cluster.Object { return g.cronJob() },
		func() cluster.Object { return g.autoscaler() }, func() cluster.Object { return g.configMap() }}
}

type autoscaler = *autoscalingv2.HorizontalPodAutoscaler

func (g gen) autoscaler() autoscaler {
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: g.meta(true, "db", "web")}
	h.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1",
		Kind: one(g, "StatefulSet", "StatefulSet", "Deployment"), Name: one(g, "db", "c", "web")}
	return h
}

type definition = *cluster.CustomResourceDefinition

// definition makes one of the kind of [gen.operator], or of one that has half its name.
func (g gen) definition() cluster.Object {
	d := &cluster.CustomResourceDefinition{ObjectMeta: g.meta(false, "clusters.db.example.com")}
	d.Spec.Group, d.Spec.Names.Kind = one(g, "db.example.com", "db.example.com", "example.com"),
		one(g, "Cluster", "Cluster", "Database")
	return d
}

// operated gives claims the owners that go with a custom resource, and owners that stay.
func (g gen) operated(w *world) {
	for _, c := range w.claims {
		c.OwnerReferences = nil
		for range g.IntN(3) {
			o := g.operator()
			switch sets := in(w.statefulSets, c.Namespace); {
			case len(sets) > 0 && g.chance(.5):
				s := one(g, sets...)
				o = metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: s.Name,
					UID: one(g, s.UID, s.UID, s.UID, "another")}
				if g.chance(.5) {
					s.OwnerReferences = []metav1.OwnerReference{g.operator()}
				}
			case g.chance(.2):
				o = metav1.OwnerReference{APIVersion: "v1", Kind: one(g, "ConfigMap", "Pod"), Name: "c", UID: "c"}
			}
			c.OwnerReferences = append(c.OwnerReferences, o)
		}
	}
}

func (g gen) configMap() *corev1.ConfigMap {
	cm := &corev1.ConfigMap{ObjectMeta: g.meta(true, "peers", "files")}
	cm.Data = map[string]string{"all": one(g, "", "# db-7.db\n", "x\n") + one(g, "db-1.db,db-2.db", "a=db-0.db-h",
		"a=web-0.db", "http://db-0.web:80", "db-4.db.app:80", "x")}
	return cm
}

func (g gen) job() *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: g.meta(true, "once", "again")}
	j.Spec.Template = g.template()
	if g.chance(.2) {
		j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: one(g, "CronJob", "Workflow"),
			Name: "nightly", Controller: new(true)}}
	}
	if g.chance(.3) {
		j.Status.Conditions = []batchv1.JobCondition{{Type: one(g, batchv1.JobComplete, batchv1.JobFailed,
			batchv1.JobSuspended), Status: one(g, corev1.ConditionTrue, corev1.ConditionFalse)}}
	}
	return j
}

func (g gen) cronJob() *batchv1.CronJob {
	c := &batchv1.CronJob{ObjectMeta: g.meta(true, "nightly", "weekly")}
	c.Spec.JobTemplate.Spec.Template = g.template()
	return c
}

// listens gives the containers of a Pod ports, by the UID of its workload.
func listens(uid types.UID, pod *corev1.PodSpec) {
	var port corev1.ContainerPort
	switch uid[len(uid)-1] {
	case '1', '2', '3':
		port.ContainerPort = 80
	case '4', '5', '6':
		port.ContainerPort, port.Name = 81, "web"
	case '7':
		port.ContainerPort, port.Protocol = 80, corev1.ProtocolUDP
	default:
		return
	}
	pod.Containers[0].Ports = append(pod.Containers[0].Ports, port)
}

// ports are those of a Service, by its UID.
func ports(uid types.UID) []corev1.ServicePort {
	switch uid[len(uid)-1] {
	case '1', '2', '3', '4':
		return []corev1.ServicePort{{Port: 80}}
	case '5':
		return []corev1.ServicePort{{Port: 90, TargetPort: intstr.FromInt32(81)}}
	case '6', '7':
		return []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("web")}}
	case '8':
		return []corev1.ServicePort{{Port: 80}, {Port: 90, TargetPort: intstr.FromString("web")}}
	}
	return nil
}

// claimsOwned puts the Pods into the world that are written on claims as their
// owners, with the volume that such a Pod has or without; some claims have another
// owner besides.
func (g gen) claimsOwned(w *world) {
	for _, c := range w.claims {
		owner := ownerOf(c)
		if owner == nil || owner.Kind != "Pod" || g.chance(.3) {
			continue
		}
		pod := g.pod()
		pod.Namespace, pod.Name = c.Namespace, owner.Name
		owners := slices.Clone(c.OwnerReferences)
		for i := range owners {
			if owners[i].Kind == "Pod" {
				owners[i].UID = one(g, pod.UID, pod.UID, "another")
			}
		}
		if g.chance(.2) {
			owners = append(owners, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "c"})
		}
		c.OwnerReferences = owners
		if name, ok := strings.CutPrefix(c.Name, pod.Name+"-"); ok && g.chance(.6) {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
				Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}}}})
		}
		w.put(pod)
	}
}

// makers make an object of each kind that a rule reviews.
func (g gen) makers() []func() cluster.Object {
	return []func() cluster.Object{
		func() cluster.Object { return g.statefulSet() }, func() cluster.Object { return g.deployment() },
		func() cluster.Object { return g.pod() }, func() cluster.Object { return g.service() },
		func() cluster.Object { return g.claim() }, func() cluster.Object { return g.volume() },
		func() cluster.Object { return g.class() }, func() cluster.Object { return g.namespace() },
	}
}

// belongings puts into the world some of what an object may meet there: the
// claims that it names, or that its controller would make, volumes that are
// reserved for them, and Pods that have its names.
func (g gen) belongings(w *world, obj cluster.Object) {
	if g.chance(.3) {
		g.remnants(w, obj)
	}
	if g.chance(.4) {
		return
	}
	var names []string
	mounted := func(s *corev1.PodSpec) {
		for _, v := range s.Volumes {
			if v.PersistentVolumeClaim != nil {
				names = append(names, v.PersistentVolumeClaim.ClaimName)
			}
		}
	}
	switch o := obj.(type) {
	case definition:
		g.operated(w)
	case *appsv1.StatefulSet:
		for _, t := range o.Spec.VolumeClaimTemplates {
			for n := range 5 {
				names = append(names, fmt.Sprintf("%s-%s-%d", t.Name, o.Name, n))
			}
		}
		mounted(&o.Spec.Template.Spec)
	case *appsv1.Deployment:
		mounted(&o.Spec.Template.Spec)
	case *corev1.Pod:
		mounted(&o.Spec)
		twin := g.pod()
		twin.Namespace, twin.Spec.Hostname, twin.Spec.Subdomain = o.Namespace, o.Spec.Hostname, o.Spec.Subdomain
		w.put(twin)
	case *corev1.PersistentVolumeClaim:
		names = append(names, o.Name)
		pv := g.volume() // one that is free, as the claim wants it, and perhaps larger
		pv.Spec.AccessModes, pv.Spec.ClaimRef, pv.Spec.VolumeMode, pv.Status.Phase = o.Spec.AccessModes, nil,
			o.Spec.VolumeMode, corev1.VolumeAvailable
		if o.Spec.StorageClassName != nil {
			pv.Spec.StorageClassName = *o.Spec.StorageClassName
		}
		if g.chance(.5) {
			pv.Spec.VolumeAttributesClassName = o.Spec.VolumeAttributesClassName
		}
		w.put(pv)
	}
	for _, name := range names {
		pvc := g.claim()
		pvc.Namespace, pvc.Name = obj.GetNamespace(), name
		its := newGen(uint64(len(w.claims)*100 + len(names))) // so that the rest of each world stays what it was
		if set, ok := obj.(*appsv1.StatefulSet); ok && its.chance(.3) {
			pvc.OwnerReferences = append(pvc.OwnerReferences[:len(pvc.OwnerReferences)*its.IntN(2)],
				metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: set.Name, UID: set.UID,
					Controller: new(true)})
		}
		if _, itself := obj.(*corev1.PersistentVolumeClaim); !itself && g.chance(.5) {
			w.put(pvc)
		}
		if g.chance(.3) { // reserved for it, and sometimes as it would have it
			pv := g.volume()
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: pvc.Namespace, Name: name}
			pv.Status.Phase = one(g, "", corev1.VolumeAvailable)
			w.put(pv)
		}
	}
	g.bind(w)
}

// remnants puts into the world what may live on of a workload that was deleted
// without it: Pods or a ReplicaSet as its controller made them, or nearly.
func (g gen) remnants(w *world, obj cluster.Object) {
	controlled := func(o cluster.Object, kind string) {
		if g.chance(.4) {
			o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: one(g, "apps/v1", "apps.example.com/v1"), Kind: kind,
				Name: one(g, obj.GetName(), "other"), Controller: new(true)}})
		}
		if g.chance(.1) {
			o.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1_700_000_000, 0)})
		}
	}
	switch o := obj.(type) {
	case *appsv1.StatefulSet:
		start, whole := 0, g.chance(.5) // all Pods, and volumes that nothing destroys
		if o.Spec.Ordinals != nil {
			start = int(o.Spec.Ordinals.Start)
		}
		if whole && g.chance(.4) {
			w.retain = "off"
			o.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: "Delete",
			}
		}
		for i := range count(o.Spec.Replicas) {
			n := start + i
			if !whole && g.chance(.3) {
				continue
			}
			pod := &corev1.Pod{ObjectMeta: *o.Spec.Template.ObjectMeta.DeepCopy(), Spec: *o.Spec.Template.Spec.DeepCopy()}
			if g.chance(.3) {
				pod.Spec = g.podSpec()
			}
			pod.Namespace, pod.Name = o.Namespace, fmt.Sprintf("%s-%d", o.Name, n)
			pod.Spec.Hostname, pod.Spec.Subdomain = one(g, pod.Name, pod.Name, ""),
				one(g, o.Spec.ServiceName, o.Spec.ServiceName, "web", "")
			for _, t := range o.Spec.VolumeClaimTemplates {
				name := fmt.Sprintf("%s-%s-%d", t.Name, o.Name, n)
				pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: t.Name, VolumeSource: corev1.VolumeSource{
					PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
				if whole || g.chance(.8) { // with a volume that is kept, mostly
					pvc, pv := g.claim(), g.volume()
					pvc.Namespace, pvc.Name, pv.Name = o.Namespace, name, cmp.Or(t.Spec.VolumeName, "pv-"+name)
					pvc.Spec.VolumeName, pv.Spec.ClaimRef = pv.Name, &corev1.ObjectReference{Namespace: pvc.Namespace, Name: name,
						UID: pvc.UID}
					pv.Spec.PersistentVolumeReclaimPolicy = one(g, corev1.PersistentVolumeReclaimRetain,
						corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete)
					if whole {
						pv.Spec.PersistentVolumeReclaimPolicy, pv.DeletionTimestamp = corev1.PersistentVolumeReclaimRetain, nil
					}
					pv.Status.Phase, pvc.Status.Phase = corev1.VolumeBound, corev1.ClaimBound
					w.put(pvc)
					w.put(pv)
				}
			}
			pod.Status.Phase = one(g, corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodFailed)
			controlled(pod, "StatefulSet")
			w.put(pod)
		}
	case *appsv1.Deployment:
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name + "-5d8c",
			Labels: o.Spec.Template.Labels}}
		rs.Spec.Template = *o.Spec.Template.DeepCopy()
		if g.chance(.3) {
			rs.Spec.Template.Spec = g.podSpec()
		}
		rs.Status.Replicas = one(g, int32(0), 1, 2, 3)
		if rs.Status.Replicas == 3 && count(o.Spec.Replicas) > 1 { // what only one Pod may use, and several do
			for _, c := range claimsMounted(w, o) {
				c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
			}
		}
		controlled(rs, "Deployment")
		w.put(rs)
	}
}

// bind does what the volume controller does, for some claims and volumes.
func (g gen) bind(w *world) {
	for _, pvc := range w.claims {
		if len(w.volumes) == 0 || g.chance(.4) {
			continue
		}
		pv := one(g, w.volumes...)
		if pv.Spec.ClaimRef != nil && g.chance(.8) {
			continue
		}
		pv.Spec.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: pvc.Namespace, Name: pvc.Name,
			UID: one(g, pvc.UID, pvc.UID, pvc.UID, pvc.UID, "", "of-another")}
		pv.Status.Phase = corev1.VolumeBound
		pvc.Spec.VolumeName, pvc.Status.Phase = pv.Name, corev1.ClaimBound
		if g.chance(.8) {
			pvc.Spec.StorageClassName = &pv.Spec.StorageClassName
		}
		pvc.Status.Capacity = pv.Spec.Capacity
	}
}

func (g gen) meta(namespaced bool, names ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: one(g, names...), UID: types.UID(fmt.Sprintf("uid-%d", g.IntN(1000)))}
	if namespaced {
		m.Namespace = one(g, "app", "app", "app", "app", "other")
	}
	if g.chance(.05) {
		m.DeletionTimestamp = &metav1.Time{Time: time.Unix(1_700_000_000, 0)}
	}
	m.CreationTimestamp = metav1.Time{Time: time.Unix(1_600_000_000+int64(g.IntN(3)), 0)}
	g.ours(&m)
	switch m.UID[len(m.UID)-1] { // by chance, too
	case '0':
		metav1.SetMetaDataLabel(&m, "stayput.dev/protect", "true")
	case '1':
		metav1.SetMetaDataLabel(&m, "stayput.dev/protect", "false")
	}
	return m
}

// ours writes labels and annotations of Stayput's, right ones and others.
func (g gen) ours(m *metav1.ObjectMeta) {
	if g.chance(.2) {
		metav1.SetMetaDataAnnotation(m, "stayput.dev/reclaim-policy", one(g, "Retain", "Delete", "Delete", "retain"))
	}
	if g.chance(.15) {
		key := one(g, "stayput.dev/subdomain", "stayput.dev/inject", "stayput.dev/mode", "stayput.dev/claim-of",
			"stayput.dev/reclaim-policy-set",
			"stayput.dev/reclaim-policy-defaulted", "stayput.dev/subdomian", "stayput.dev/", "exempt.stayput.dev/claim-in-use",
			"exempt.stayput.dev/claim-in-used", "exempt.stayput.dev/",
			"stayput.dev/reclaim-policy", "notstayput.dev/mode")
		value := one(g, "db", "enabled", "disabled", "warn", "enforce", "off", "db/data/0", "db/data/00", "db/data",
			"Retain/claim", "Retain/volume", "retain/claim", "Delete/nobody", "true", "false",
			"because", " ", "", "Retain", "Delete", "Not A Name")
		if g.chance(.5) {
			metav1.SetMetaDataLabel(m, key, value)
		} else {
			metav1.SetMetaDataAnnotation(m, key, value)
		}
	}
}

func (g gen) labels() map[string]string {
	l := map[string]string{}
	if g.chance(.95) {
		l["app"] = one(g, "db", "db", "web")
	}
	if g.chance(.5) {
		l["tier"] = one(g, "a", "b")
	}
	return l
}

func (g gen) selector() *metav1.LabelSelector {
	switch g.IntN(20) {
	case 0:
		return nil
	case 1:
		return &metav1.LabelSelector{}
	case 2:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app",
			Operator: metav1.LabelSelectorOpIn, Values: []string{"db", "x"}}}}
	case 3:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier",
			Operator: metav1.LabelSelectorOpDoesNotExist}}}
	case 4:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: one(g,
			"app.kubernetes.io/version", "helm.sh/chart", "version"), Operator: metav1.LabelSelectorOpIn,
			Values: []string{one(g, "9.1", "9")}}}}
	case 5:
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db",
			one(g, "version", "helm.sh/chart", "chart", "argocd.argoproj.io/instance"): one(g, "9.1", "9")}}
	}
	return &metav1.LabelSelector{MatchLabels: g.labels()}
}

func (g gen) replicas() *int32 {
	return one(g, nil, new(int32(0)), new(int32(1)), new(int32(2)), new(int32(3)), new(int32(5)))
}

var long52, long53 = strings.Repeat("n", 52), strings.Repeat("n", 53)

func (g gen) statefulSet() *appsv1.StatefulSet {
	sts := &appsv1.StatefulSet{ObjectMeta: g.meta(true, "db", "db", "db", "c", "b-c", "web")}
	switch g.IntN(20) {
	case 0:
		sts.Name = long52
	case 1:
		sts.Name = long53
	}
	s := &sts.Spec
	s.Replicas, s.ServiceName = g.replicas(), one(g, "", "db", "db", "db", "db-h", "db-headless", "web")
	s.PodManagementPolicy = one(g, "", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)
	s.Template = g.template()
	listens(sts.UID, &s.Template.Spec)
	s.Selector = &metav1.LabelSelector{MatchLabels: s.Template.Labels}
	if g.chance(.3) {
		s.Selector = g.selector()
	}
	if g.chance(.2) {
		metav1.SetMetaDataLabel(&sts.ObjectMeta, "app.kubernetes.io/instance", one(g, "prod", "db"))
		s.Template.Labels["app.kubernetes.io/instance"] = one(g, "prod", "db")
	}
	if g.chance(.1) {
		metav1.SetMetaDataLabel(&sts.ObjectMeta, "app.kubernetes.io/version", one(g, "9.1", "9.1", "15.2"))
		s.ServiceName = one(g, "db-9-1", "db-19-1", "db-9")
		if g.chance(.3) {
			sts.Name = "db-9-1"
		}
	}
	s.MinReadySeconds = one(g, int32(0), 10)
	if g.chance(.3) {
		s.Ordinals = &appsv1.StatefulSetOrdinals{Start: one(g, int32(0), 1, 3)}
	}
	s.UpdateStrategy.Type = one(g, "", appsv1.RollingUpdateStatefulSetStrategyType,
		appsv1.RollingUpdateStatefulSetStrategyType, appsv1.RollingUpdateStatefulSetStrategyType,
		appsv1.OnDeleteStatefulSetStrategyType, appsv1.RecreateStatefulSetStrategyType)
	rolling := s.UpdateStrategy.Type == "" || s.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType
	if rolling && g.chance(.6) {
		s.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{
			Partition: one(g, nil, nil, new(int32(0)), new(int32(1)), new(int32(3))),
			MaxUnavailable: one(g, nil, new(intstr.FromInt32(1)), new(intstr.FromInt32(2)), new(intstr.FromInt32(3)),
				new(intstr.FromString("100%")), new(intstr.FromString("50%")), new(intstr.FromString("99%"))),
		}
	}
	if g.chance(.4) {
		policies := []appsv1.PersistentVolumeClaimRetentionPolicyType{"",
			appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType}
		s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: one(g,
			policies...), WhenScaled: one(g, policies...)}
	}
	for range one(g, 0, 1, 1, 1, 2) {
		s.VolumeClaimTemplates = append(s.VolumeClaimTemplates, *g.claimTemplate())
	}
	versioned(sts.UID, s)
	if g.chance(.3) {
		sts.OwnerReferences = []metav1.OwnerReference{g.operator()}
		if sts.Name == "c" { // as LeaderWorkerSet has it
			sts.OwnerReferences[0] = metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "web-0", UID: "leader",
				Controller: new(true)}
		}
	}
	return sts
}

// versioned writes a version into a name of some claim templates, or into what a
// StatefulSet selects, and leaves the rest of the world as it was.
func versioned(uid types.UID, s *appsv1.StatefulSetSpec) {
	g := newGen(uint64(uid[len(uid)-1]) + 7*uint64(uid[len(uid)-2]))
	named := func(of string) string { return of + one(g, "-9.1", "-9-1", "-9-1x", "-19-1", "-9") }
	if g.chance(.1) {
		s.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": named("db")}}
	}
	for i := range s.VolumeClaimTemplates {
		t := &s.VolumeClaimTemplates[i]
		switch g.IntN(16) {
		case 0:
			t.Spec.VolumeName = named("pv")
		case 1:
			t.Spec.StorageClassName = new(named("fast"))
		case 2:
			t.Spec.VolumeAttributesClassName = new(named("gold"))
		case 3:
			t.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "VolumeSnapshot", Name: named("seed")}
		case 4:
			t.Spec.DataSource = nil // or it would be the same
			t.Spec.DataSourceRef = &corev1.TypedObjectReference{Kind: "VolumeSnapshot", Name: named("seed")}
		case 5:
			t.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"disk": named("ssd")}}
		case 6:
			t.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: one(g, "disk",
				"helm.sh/chart"), Operator: metav1.LabelSelectorOpNotIn, Values: []string{"a", named("ssd")}}}}
		case 7:
			metav1.SetMetaDataLabel(&t.ObjectMeta, "made-by", named("db"))
		}
	}
}

func (g gen) deployment() *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: g.meta(true, "db", "web", "api")}
	if g.chance(.1) {
		d.Name = long53
	}
	d.Spec.Replicas, d.Spec.Template = g.replicas(), g.template()
	listens(d.UID, &d.Spec.Template.Spec)
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: d.Spec.Template.Labels}
	if g.chance(.3) {
		d.Spec.Selector = g.selector()
	}
	d.Spec.Strategy.Type = one(g, "", appsv1.RollingUpdateDeploymentStrategyType, appsv1.RecreateDeploymentStrategyType)
	if d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType && g.chance(.5) {
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{
			MaxSurge: one(g, nil, new(intstr.FromInt32(0)), new(intstr.FromInt32(1)), new(intstr.FromString("0%")),
				new(intstr.FromString("25%"))),
		}
	}
	return d
}

func (g gen) template() corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: g.labels()}, Spec: g.podSpec()}
	if g.chance(.1) {
		g.ours(&t.ObjectMeta)
	}
	if g.chance(.1) {
		t.Labels["stayput.dev/subdomain"] = one(g, "db", "web", "Not A Name")
	}
	return t
}

func (g gen) pod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: g.meta(true, "db-0", "db-1", "web-x", "web-y", "named", "dotted.name"),
		Spec: g.podSpec()}
	for k, v := range g.labels() {
		metav1.SetMetaDataLabel(&pod.ObjectMeta, k, v)
	}
	if g.chance(.3) {
		metav1.SetMetaDataLabel(&pod.ObjectMeta, "stayput.dev/subdomain", one(g, "db", "web", "Not A Name"))
	}
	switch g.IntN(8) {
	case 0:
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db",
			Controller: new(true)}}
	case 1:
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1",
			Controller: new(true)}}
		if g.chance(.7) {
			metav1.SetMetaDataLabel(&pod.ObjectMeta, "pod-template-hash", "1")
		}
	case 2:
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent",
			Controller: new(true)}}
	case 3:
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "kubernetes.io/config.mirror", "hash")
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "one", Controller: new(true)}}
	}
	pod.Status.Phase = one(g, "", corev1.PodPending, corev1.PodRunning, corev1.PodRunning, corev1.PodSucceeded,
		corev1.PodFailed)
	// By the UID, which leaves all that is drawn behind this as it was.
	switch uid := string(pod.UID); {
	case pod.Name == "db-1" && strings.HasSuffix(uid, "7"):
		pod.Name = "db-01"
	case pod.Name == "db-1" && strings.HasSuffix(uid, "8"):
		pod.Name = "db-9"
	case pod.OwnerReferences == nil && strings.HasSuffix(uid, "3"):
		metav1.SetMetaDataLabel(&pod.ObjectMeta, "pod-template-hash", "1")
	}
	return pod
}

func (g gen) podSpec() corev1.PodSpec {
	s := corev1.PodSpec{
		Hostname:  one(g, "", "", "", "db-0", "web-x"),
		Subdomain: one(g, "", "", "db", "web"),
		TerminationGracePeriodSeconds: one(g, nil, nil, new(int64(0)), new(int64(-1)), new(int64(9)), new(int64(10)),
			new(int64(30))),
	}
	if g.chance(.1) {
		s.HostnameOverride = new("shown")
	}
	if g.chance(.1) {
		s.HostNetwork = true
		s.DNSPolicy = one(g, "", "", "", corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone,
			corev1.DNSClusterFirstWithHostNet)
		s.DNSConfig = one(g, nil, nil, nil, &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.10"}}, &corev1.PodDNSConfig{})
	}
	if g.chance(.2) {
		s.SetHostnameAsFQDN = one(g, new(true), new(true), new(false))
	}
	if g.chance(.1) {
		s.NodeName = "one"
	}
	if g.chance(.2) {
		s.NodeSelector = one(g, map[string]string{"kubernetes.io/hostname": "one"},
			map[string]string{"topology.kubernetes.io/zone": "a"}, map[string]string{"disk": "ssd"})
	}
	for range one(g, 0, 0, 1, 1, 2) {
		s.Volumes = append(s.Volumes, g.podVolume())
	}
	for i := range 1 + g.IntN(2) {
		s.Containers = append(s.Containers, g.container(fmt.Sprint("c", i)))
	}
	if g.chance(.2) {
		c := g.container("init")
		if g.chance(.5) {
			c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		} else {
			c.ReadinessProbe = nil // the API server refuses it
		}
		s.InitContainers = append(s.InitContainers, c)
	}
	if g.chance(.3) {
		s.Affinity = g.affinity()
	}
	if g.chance(.3) {
		s.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: one(g, "kubernetes.io/hostname", "topology.kubernetes.io/zone", "kubernetes.io/arch"),
			LabelSelector:     g.selector(),
			WhenUnsatisfiable: one(g, corev1.DoNotSchedule, corev1.ScheduleAnyway),
		}}
	}
	return s
}

func (g gen) podVolume() corev1.Volume {
	v := corev1.Volume{Name: one(g, "data", "log", "host")}
	switch g.IntN(8) {
	case 0:
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	case 1, 2, 3:
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: g.claimName(), ReadOnly: g.chance(.2)}
	case 4, 5:
		types := []corev1.HostPathType{corev1.HostPathUnset, corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate,
			corev1.HostPathSocket, corev1.HostPathFile, corev1.HostPathCharDev}
		v.HostPath = &corev1.HostPathVolumeSource{Path: "/srv/data"}
		if g.chance(.7) {
			v.HostPath.Type = new(one(g, types...))
		}
	case 6:
		v.ConfigMap = &corev1.ConfigMapVolumeSource{}
	case 7:
		if g.chance(.5) {
			var its corev1.PersistentVolumeClaim
			g.claimSpec(&its)
			v.Ephemeral = &corev1.EphemeralVolumeSource{
				VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: its.Spec},
			}
		} else {
			v.NFS = &corev1.NFSVolumeSource{Server: "nfs", Path: "/"}
		}
	}
	return v
}

func (g gen) container(name string) corev1.Container {
	c := corev1.Container{Name: name, Image: "db"}
	for range one(g, 0, 1, 1, 2) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: one(g, "data", "log", "host"), MountPath: "/data",
			ReadOnly: g.chance(.3)})
	}
	if g.chance(.1) {
		c.VolumeDevices = []corev1.VolumeDevice{{Name: one(g, "data", "log"), DevicePath: "/dev/x"}}
	}
	if g.chance(.4) {
		c.ReadinessProbe = &corev1.Probe{}
	}
	if g.chance(.15) {
		c.Args = []string{one(g, "db-0.db", "--peers=c-1.db:80,db-7.db.app", "web-0.web", "db-0.db-h", "x-db-0.db", "db-x.db",
			"db.db", "$(POD_NAME).db", "n@${POD}.web", "$HOST.db-h", "db-0.dbs")}
	}
	if g.chance(.2) {
		c.Env = []corev1.EnvVar{{Name: "POD_NAME",
			ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: one(g, "metadata.name",
				"metadata.name", "metadata.namespace")}}}}
		for i := range c.VolumeMounts {
			c.VolumeMounts[i].SubPathExpr = one(g, "$(POD_NAME)", "$(POD_NAME)", "db/$(POD_NAME)", "$(OTHER)", "")
		}
	}
	if g.chance(.05) {
		c.Env = append(c.Env, corev1.EnvVar{Name: "PEER", Value: one(g, "db-1.db", "web-0.web")})
	}
	if g.chance(.1) {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
	}
	g.names(&c)
	if g.chance(.1) {
		c.Image = one(g, "postgres:15", "docker.io/library/postgres:18", "mongo:8", "postgres", "example.com/mongo:8")
		for i := range c.VolumeMounts {
			c.VolumeMounts[i].MountPath = one(g, "/var/lib/postgresql/data", "/var/lib/postgresql", "/data/db", "/data")
		}
	}
	if g.chance(.1) {
		c.Env = append(c.Env, corev1.EnvVar{Name: "PGDATA", Value: one(g, "/data/pg", "/var/lib/postgresql/data/pg", "/x",
			"x")})
	}
	if g.chance(.1) {
		c.Command = []string{"db", one(g, "--data-dir=/data", "--data-dir=/dev/x", "--data-dir=/data2", "--dir=/x")}
		if g.chance(.3) {
			c.Command = []string{"sh", "-c", "exec " + strings.Join(c.Command, " ") + one(g, "", " | tee /log")}
		}
	}
	if g.chance(.05) {
		c.Image, c.Args = "minio/minio", []string{one(g, "server", "server", "gateway"), one(g, "/data", "/data2", "/x/y")}
	}
	if g.chance(.15) {
		run := func(command ...string) corev1.LifecycleHandler {
			return corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}
		}
		c.Lifecycle = &corev1.Lifecycle{PreStop: new(one(g, run("sleep", "30"), run("drain"),
			run("/bin/sh", "-c", "sleep 4; date; sleep 5s && sleep 1"), run("sh", "-c", "date && sleep 99"),
			corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: one(g, int64(5), 10, 30)}}))}
	}
	return c
}

// names puts texts with names of variables into a container.
func (g gen) names(c *corev1.Container) {
	text := func() string {
		return one(g, "$(POD_NAME)", "x$(LATER)y", "$$(LATER)", "$$$(LATER)", "$(date)", "$(DB_SERVICE_HOST)", "$a$(OPEN",
			"$")
	}
	if g.chance(.1) {
		e := []corev1.EnvVar{{Name: one(g, "LATER", "DB_SERVICE_HOST", "FIRST"), Value: text()}}
		if g.chance(.5) {
			c.Env = append(e, c.Env...)
		} else {
			c.Env = append(c.Env, e...)
		}
		if g.chance(.5) {
			c.Env = append(c.Env, corev1.EnvVar{Name: one(g, "LATER", "DB_SERVICE_HOST"), Value: text()})
		}
	}
	if g.chance(.05) {
		c.Args = append(c.Args, one(g, "--to=web.app.svc", "https://web.app.svc.cluster.local:80", "web.svc"))
	}
	if g.chance(.05) {
		c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
	}
	if g.chance(.05) {
		c.Command = one(g, []string{"/bin/sh"}, []string{"run", "-c"}, []string{"run"})
		c.Command = append(c.Command, text())
	}
}

func (g gen) affinity() *corev1.Affinity {
	a := &corev1.Affinity{}
	term := corev1.PodAffinityTerm{LabelSelector: g.selector(), TopologyKey: one(g, "kubernetes.io/hostname",
		"topology.kubernetes.io/zone", "kubernetes.io/os", "beta.kubernetes.io/arch")}
	switch g.IntN(4) {
	case 0:
		a.PodAntiAffinity = &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term},
		}
	case 1:
		a.PodAntiAffinity = &corev1.PodAntiAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
				Weight: 1, PodAffinityTerm: term,
			}},
		}
	default:
		a.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{}}
		for range 1 + g.IntN(2) {
			required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
			required.NodeSelectorTerms = append(required.NodeSelectorTerms,
				corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key:      one(g, "kubernetes.io/hostname", "kubernetes.io/hostname", "topology.kubernetes.io/zone", "disk"),
					Operator: one(g, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn),
					Values:   one(g, []string{"one"}, []string{"one"}, []string{"one", "two"}),
				}}},
			)
		}
	}
	return a
}

func (g gen) service() *corev1.Service {
	svc := &corev1.Service{ObjectMeta: g.meta(true, "db", "db", "db-h", "web")}
	svc.Spec.Selector, svc.Spec.Ports = g.labels(), ports(svc.UID)
	switch g.IntN(8) {
	case 0:
		svc.Spec.Type, svc.Spec.ExternalName, svc.Spec.Selector = corev1.ServiceTypeExternalName, "db.example.com", nil
	case 1, 2:
		svc.Spec.ClusterIP = one(g, "10.0.0.1", "10.0.0.2")
		svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP}
	case 3:
		svc.Spec.Selector = nil
		fallthrough
	default:
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = "None", []string{"None"}
	}
	svc.Spec.PublishNotReadyAddresses = g.chance(.4)
	return svc
}

// claimName returns the name of a claim, or of none that a StatefulSet makes.
func (g gen) claimName() string {
	return one(g, "data-db-0", "data-db-0", "data-db-1", "data-db-2", "data-db-5", "data-db-00", "data-db", "log-db-0",
		"a-b-c-0", "a-b-c-1", "files")
}

func (g gen) claim() *corev1.PersistentVolumeClaim {
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: g.meta(true, "x")}
	pvc.Name = g.claimName()
	g.claimSpec(pvc)
	if g.chance(.2) {
		pvc.Spec.VolumeName = one(g, "pv-0", "pv-1", "pv-2", "pv-9")
	}
	pvc.Status.Phase = one(g, "", corev1.ClaimPending, corev1.ClaimBound)
	pvc.Status.CurrentVolumeAttributesClassName = one(g, nil, pvc.Spec.VolumeAttributesClassName)
	if g.chance(.7) {
		for k, v := range g.labels() {
			metav1.SetMetaDataLabel(&pvc.ObjectMeta, k, v)
		}
	}
	if g.chance(.5) {
		pvc.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: one(g, "kube-controller-manager", "kube-controller-manager",
			"kubectl"), Operation: metav1.ManagedFieldsOperationUpdate,
			FieldsV1: metav1.NewFieldsV1(one(g, `{"f:spec":{"f:accessModes":{}}}`, `{"f:spec":{"f:accessModes":{}}}`,
				`{"f:status":{}}`))}}
	}
	if g.chance(.1) {
		metav1.SetMetaDataAnnotation(&pvc.ObjectMeta, "pv.kubernetes.io/bind-completed", "yes")
	}
	switch g.IntN(8) {
	case 0:
		pvc.OwnerReferences = []metav1.OwnerReference{g.operator()}
	case 1:
		pvc.OwnerReferences = []metav1.OwnerReference{{Kind: "Pod", Name: one(g, "db-0", "data-db"), Controller: new(true)}}
	case 2:
		pvc.OwnerReferences = []metav1.OwnerReference{{Kind: "StatefulSet", Name: "db"}}
	}
	return pvc
}

// operator is the custom resource that controls an object.
func (g gen) operator() metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "db.example.com/v1", Kind: "Cluster", Name: "operated",
		UID: one(g, types.UID("o-1"), "o-2"), Controller: new(true)}
}

func (g gen) claimTemplate() *corev1.PersistentVolumeClaim {
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: one(g, "data", "data", "data", "log", "a",
		"a-b")}}
	g.ours(&pvc.ObjectMeta)
	if g.chance(.15) {
		metav1.SetMetaDataLabel(&pvc.ObjectMeta, one(g, "helm.sh/chart", "chart", "argocd.argoproj.io/instance",
			"app.kubernetes.io/instance", "app.kubernetes.io/instance", "app.kubernetes.io/name"),
			one(g, "db-1.2.3", "prod", "prod", "db"))
	}
	if g.chance(.05) {
		metav1.SetMetaDataAnnotation(&pvc.ObjectMeta, one(g, "checksum/config", "note"), "0d1f2e")
	}
	g.claimSpec(pvc)
	if g.chance(.1) {
		pvc.Spec.VolumeName = one(g, "pv-0", "pv-9")
	}
	return pvc
}

func (g gen) claimSpec(pvc *corev1.PersistentVolumeClaim) {
	s := &pvc.Spec
	s.AccessModes = g.modes()
	if g.chance(.9) {
		s.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: g.size()}
	}
	s.StorageClassName = one(g, nil, nil, new(""), new("fast"), new("fast"), new("slow"), new("missing"))
	if g.chance(.1) {
		s.VolumeMode = new(one(g, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem))
	}
	if g.chance(.15) {
		s.Selector = one(g, &metav1.LabelSelector{}, &metav1.LabelSelector{MatchLabels: map[string]string{"disk": "ssd"}})
	}
	if g.chance(.1) {
		s.DataSource = one(g, &corev1.TypedLocalObjectReference{Kind: "VolumeSnapshot", Name: "s"},
			&corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: g.claimName()})
	}
	s.VolumeAttributesClassName = g.attributes()
}

// attributes returns the name of a VolumeAttributesClass, mostly none.
func (g gen) attributes() *string {
	return one(g, nil, nil, nil, nil, nil, nil, new(""), new("gold"), new("gold"), new("ghost"))
}

func (g gen) attributesClass() *storagev1.VolumeAttributesClass {
	return &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: one(g, "gold", "gold", "silver")},
		DriverName: one(g, "disk.example.com", "other.example.com")}
}

func (g gen) modes() []corev1.PersistentVolumeAccessMode {
	const rwo, rwop, rox, rwx = corev1.ReadWriteOnce, corev1.ReadWriteOncePod, corev1.ReadOnlyMany, corev1.ReadWriteMany
	type modes = []corev1.PersistentVolumeAccessMode
	return one(g, modes{rwo}, modes{rwo}, modes{rwo}, modes{rwop}, modes{rox}, modes{rwx}, modes{rwo, rwx}, nil)
}

func (g gen) size() resource.Quantity {
	return resource.MustParse(one(g, "1Gi", "2Gi", "10Gi", "10500Mi", "12Gi"))
}

func (g gen) volume() *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: g.meta(false, "pv-0", "pv-1", "pv-2", "pv-3")}
	s := &pv.Spec
	s.AccessModes, s.Capacity = g.modes(), corev1.ResourceList{corev1.ResourceStorage: g.size()}
	s.StorageClassName = one(g, "", "", "fast", "slow", "missing")
	s.PersistentVolumeReclaimPolicy = one(g, corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete,
		corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle)
	if g.chance(.5) {
		metav1.SetMetaDataAnnotation(&pv.ObjectMeta, "pv.kubernetes.io/provisioned-by", "disk.example.com")
	}
	if g.chance(.15) {
		metav1.SetMetaDataAnnotation(&pv.ObjectMeta, "stayput.dev/claim-of",
			one(g, "db/data/0", "db/data/0", "db/data/1", "c/a-b/0", "db/files"))
	}
	if g.chance(.3) {
		metav1.SetMetaDataLabel(&pv.ObjectMeta, "disk", one(g, "ssd", "hdd"))
	}
	if g.chance(.1) {
		s.VolumeMode = new(one(g, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem))
	}
	if g.chance(.4) {
		s.HostPath = &corev1.HostPathVolumeSource{Path: "/srv"}
	} else {
		s.CSI = &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com", VolumeHandle: pv.Name}
	}
	if g.chance(.3) {
		local := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpIn, Values: []string{"one"}}}}
		s.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{local}}}
	}
	if uid := string(pv.UID); strings.HasSuffix(uid, "3") { // as with Pods
		s.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: "topology.kubernetes.io/zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}}}}}}
	}
	if uid := string(pv.UID); s.CSI != nil && strings.ContainsAny(uid[len(uid)-1:], "567") {
		s.CSI.VolumeHandle = "shared"
	} else if s.HostPath != nil && strings.HasSuffix(uid, "8") {
		s.HostPath, s.Local = nil, &corev1.LocalVolumeSource{Path: "/srv"}
	}
	s.VolumeAttributesClassName = g.attributes()
	pv.Status.Phase = one(g, "", corev1.VolumePending, corev1.VolumeAvailable, corev1.VolumeAvailable,
		corev1.VolumeAvailable)
	if g.chance(.3) {
		s.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: one(g, "app", "app", "other"),
			Name: g.claimName(), UID: one(g, "", types.UID("uid-gone"))}
		if s.ClaimRef.UID != "" {
			pv.Status.Phase = one(g, corev1.VolumeBound, corev1.VolumeReleased, corev1.VolumeFailed)
		}
	}
	return pv
}

func (g gen) class() *storagev1.StorageClass {
	sc := &storagev1.StorageClass{ObjectMeta: g.meta(false, "fast", "fast", "slow", "third"),
		Provisioner: one(g, "disk.example.com", "disk.example.com", "kubernetes.io/no-provisioner")}
	if g.chance(.4) {
		key := one(g, "storageclass.kubernetes.io/is-default-class", "storageclass.kubernetes.io/is-default-class",
			"storageclass.beta.kubernetes.io/is-default-class")
		metav1.SetMetaDataAnnotation(&sc.ObjectMeta, key, one(g, "true", "true", "false"))
	}
	sc.ReclaimPolicy = one(g, nil, new(corev1.PersistentVolumeReclaimDelete), new(corev1.PersistentVolumeReclaimRetain))
	sc.VolumeBindingMode = one(g, nil, new(storagev1.VolumeBindingImmediate),
		new(storagev1.VolumeBindingWaitForFirstConsumer))
	sc.AllowVolumeExpansion = one(g, nil, new(true), new(false))
	if g.chance(.2) {
		sc.Parameters = map[string]string{"type": one(g, "ssd", "hdd")}
	}
	if uid := string(sc.UID); strings.HasSuffix(uid, "3") || strings.HasSuffix(uid, "4") { // as with Pods
		zones := []string{"b", "c"}
		if strings.HasSuffix(uid, "3") {
			zones = []string{"a", "b"}
		}
		sc.AllowedTopologies = []corev1.TopologySelectorTerm{{
			MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{
				{Key: "topology.kubernetes.io/zone", Values: zones}}}}
	}
	return sc
}

func (g gen) node() *corev1.Node {
	name := one(g, "one", "two", "three")
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": one(g, "a", "b", "one"), "disk": one(g, "ssd", "one"),
	}}, Spec: corev1.NodeSpec{Unschedulable: g.chance(.1)}}
}

func (g gen) budget() *policyv1.PodDisruptionBudget {
	pdb := &policyv1.PodDisruptionBudget{ObjectMeta: g.meta(true, "db", "web", "all"),
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: g.selector()}}
	value := one(g, intstr.FromInt32(0), intstr.FromInt32(1), intstr.FromInt32(2), intstr.FromInt32(3),
		intstr.FromString("0%"), intstr.FromString("1%"), intstr.FromString("50%"), intstr.FromString("80%"),
		intstr.FromString("100%"))
	switch g.IntN(5) {
	case 0:
	case 1, 2:
		pdb.Spec.MinAvailable = &value
	default:
		pdb.Spec.MaxUnavailable = &value
	}
	if g.chance(.1) {
		pdb.OwnerReferences = []metav1.OwnerReference{g.operator()}
	}
	return pdb
}

func (g gen) namespace() *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: g.meta(false, "app", "app", "other")}
	if g.chance(.3) {
		metav1.SetMetaDataLabel(&ns.ObjectMeta, "stayput.dev/inject", one(g, "enabled", "enabled", "disabled"))
	}
	return ns
}

// changed returns what obj may have been before: some fields of its spec, and of
// the Pod template's, are another's.
func (g gen) changed(obj, other cluster.Object) cluster.Object {
	old := obj.DeepCopyObject().(cluster.Object)
	g.mix(reflect.ValueOf(old).Elem(), reflect.ValueOf(other).Elem())
	old.SetName(obj.GetName())
	old.SetNamespace(obj.GetNamespace())
	old.SetUID(obj.GetUID())
	old.SetDeletionTimestamp(nil)
	if svc, ok := old.(*corev1.Service); ok {
		from := one(g, obj, other).(*corev1.Service).Spec // these fields depend on each other
		svc.Spec.Type, svc.Spec.ExternalName, svc.Spec.ClusterIP, svc.Spec.ClusterIPs = from.Type, from.ExternalName,
			from.ClusterIP, from.ClusterIPs
	}
	return old
}

func (g gen) mix(into, from reflect.Value) {
	for i := range into.NumField() {
		switch f := into.Type().Field(i); {
		case f.Name == "TypeMeta" || f.Name == "Status":
		case f.Name == "Spec" || f.Name == "Template" || f.Name == "ObjectMeta":
			g.mix(into.Field(i), from.Field(i))
		case g.chance(.15):
			into.Field(i).Set(from.Field(i))
		}
	}
}
