package paper

import (
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// A Size is the number of StatefulSets, of namespaces that contain them, and of the
// replicas of each. A StatefulSet has a headless Service, and each replica a claim
// and a volume.
type Size struct {
	Namespaces, StatefulSets, Replicas int
}

// String returns the resulting numbers of objects.
func (s Size) String() string {
	return fmt.Sprintf("%d StatefulSets with a Service each, %d Pods, claims and volumes, in %d namespaces",
		s.StatefulSets, s.StatefulSets*s.Replicas, s.Namespaces)
}

// Read returns the objects of a file that was written by kubectl get -o json.
func Read(file string, data []byte) ([]cluster.Object, error) {
	manifests, _, err := manifest.ParseManifests(file, data)
	if err != nil {
		return nil, err
	}
	objects := make([]cluster.Object, len(manifests))
	for i, m := range manifests {
		objects[i] = m.Object
	}
	return objects, nil
}

// Fill returns the objects, and copies of the first of each kind under other names,
// until there are as many as the size says.
func Fill(objects []cluster.Object, size Size) ([]cluster.Object, error) {
	var (
		sts appsv1.StatefulSet
		svc corev1.Service
		pod corev1.Pod
		pvc corev1.PersistentVolumeClaim
		pv  corev1.PersistentVolume
		ns  corev1.Namespace
	)
	first(objects, &sts)
	first(objects, &pvc)
	first(objects, &pv)
	first(objects, &ns)
	for _, obj := range objects {
		switch obj := obj.(type) {
		case *corev1.Pod:
			if obj.Name == sts.Name+"-0" {
				pod = *obj
			}
		case *corev1.Service:
			if obj.Name == sts.Spec.ServiceName {
				svc = *obj
			}
		}
	}
	if sts.Name == "" || svc.Name == "" || pod.Name == "" || pvc.Name == "" || pv.Name == "" {
		return nil, fmt.Errorf("the cluster lacks what to make others after: StatefulSet %q, Service %q, Pod %q, claim %q, "+
			"volume %q", sts.Name, svc.Name, pod.Name, pvc.Name, pv.Name)
	}
	filled := objects[:len(objects):len(objects)]
	for i := range size.Namespaces {
		made := ns
		made.ObjectMeta = named(ns.ObjectMeta, "", fmt.Sprintf("team-%04d", i))
		filled = append(filled, &made)
	}
	for i := range size.StatefulSets {
		namespace := fmt.Sprintf("team-%04d", i%size.Namespaces)
		name := fmt.Sprintf("db%05d", i)
		app := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop"}
		service := svc
		service.ObjectMeta = named(svc.ObjectMeta, namespace, name+"-headless")
		service.Spec.Selector = app
		set := sts
		set.ObjectMeta = named(sts.ObjectMeta, namespace, name)
		set.Spec.ServiceName, set.Spec.Replicas = service.Name, new(int32(size.Replicas))
		set.Spec.Selector = &metav1.LabelSelector{MatchLabels: app}
		set.Spec.Template.Labels = app
		filled = append(filled, &service, &set)
		for n := range size.Replicas {
			p, c, v := pod, pvc, pv
			p.ObjectMeta = named(pod.ObjectMeta, namespace, fmt.Sprintf("%s-%d", name, n))
			p.Labels = maps.Clone(app)
			p.Labels["apps.kubernetes.io/pod-index"] = fmt.Sprint(n)
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: name, UID: set.UID,
				Controller: new(true)}}
			p.Spec.Hostname, p.Spec.Subdomain = p.Name, service.Name
			p.Spec.Volumes = append([]corev1.Volume{}, pod.Spec.Volumes...)
			c.ObjectMeta = named(pvc.ObjectMeta, namespace, fmt.Sprintf("data-%s-%d", name, n))
			c.Labels = app
			v.ObjectMeta = named(pv.ObjectMeta, "", "pvc-"+string(c.UID))
			c.Spec.VolumeName = v.Name
			v.Spec.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: namespace,
				Name: c.Name, UID: c.UID}
			for i, vol := range p.Spec.Volumes {
				if vol.PersistentVolumeClaim != nil {
					p.Spec.Volumes[i].PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.Name}
				}
			}
			filled = append(filled, &p, &c, &v)
		}
	}
	return filled, nil
}

// Jobs returns n CronJobs and n Jobs of a usual size, in some namespaces, as Fill names
// them. One in ten mounts a claim by its name, "backups".
func Jobs(n, namespaces int) (all []cluster.Object) {
	for i := range n {
		meta := named(metav1.ObjectMeta{
			Labels:      map[string]string{"app.kubernetes.io/name": "backup", "app.kubernetes.io/part-of": "shop"},
			Annotations: map[string]string{"meta.helm.sh/release-name": "shop"},
		}, fmt.Sprintf("team-%04d", i%namespaces), fmt.Sprintf("nightly-backup-%05d", i))
		pod := corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Volumes: []corev1.Volume{{Name: "backups"}},
			Containers: []corev1.Container{{
				Name: "dump", Image: "registry.example.com/shop/backup:1.2.3",
				Command: []string{"sh", "-c", "pg_dump > /backups/dump.sql"},
				Env:     []corev1.EnvVar{{Name: "PGHOST", Value: "db"}, {Name: "PGUSER", Value: "backup"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}},
				VolumeMounts: []corev1.VolumeMount{{Name: "backups", MountPath: "/backups"}},
			}}}
		if i%10 == 0 {
			pod.Volumes[0].PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "backups"}
		}
		template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels}, Spec: pod}
		cronJob := &batchv1.CronJob{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"}, ObjectMeta: meta}
		job := &batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: meta}
		cronJob.Spec.Schedule, cronJob.Spec.JobTemplate.Spec.Template = "0 3 * * *", template
		job.Spec.Template = template
		all = append(all, cronJob, job)
	}
	return all
}

// first returns a copy of the first object of a kind.
func first[T any, P interface {
	*T
	cluster.Object
}](objects []cluster.Object, into P) {
	for _, obj := range objects {
		if o, ok := obj.(P); ok {
			*into = *o
			return
		}
	}
}

// named returns a copy of metadata with another name, and so with another UID,
// version and age.
func named(meta metav1.ObjectMeta, namespace, name string) metav1.ObjectMeta {
	meta.Namespace, meta.Name = namespace, name
	id := uuid.NewSHA1(uuid.Nil, []byte(namespace+"/"+name))
	meta.UID = types.UID(id.String())
	meta.ResourceVersion = fmt.Sprint(1_000_000 + id.ID()%9_000_000)
	meta.CreationTimestamp.Time = meta.CreationTimestamp.Add(-time.Duration(id.ID()%10_000_000) * time.Second)
	return meta
}
