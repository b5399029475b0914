package validators

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// A podCheck checks a Pod or a workload's Pod template. Path is the path of its
// spec.
type podCheck func(p *Pass, obj cluster.Object, spec *corev1.PodSpec, path *field.Path) error

// ofPods returns the check for the template of a StatefulSet, for that of a
// Deployment, and for a Pod that no controller made; the Pods of controllers
// are checked in their template, where they can be mended. Reads are the fields
// of a Pod's spec that the check reads, and ofSet the other fields of a
// StatefulSet.
func ofPods(check podCheck, reads []string, ofSet ...string) []Check {
	var template []string
	for _, read := range reads {
		template = append(template, "spec.template.spec."+read)
	}
	return []Check{
		On(func(p *Pass, sts *appsv1.StatefulSet) error {
			return check(p, sts, &sts.Spec.Template.Spec, podSpecPath)
		}).Of(append(ofSet, template...)...),
		On(func(p *Pass, d *appsv1.Deployment) error {
			return check(p, d, &d.Spec.Template.Spec, podSpecPath)
		}).Of(template...),
		// The fields of a Pod that such rules read can no longer change.
		OnCreate(func(p *Pass, pod *corev1.Pod) error {
			if metav1.GetControllerOfNoCopy(pod) != nil {
				return nil
			}
			return check(p, pod, &pod.Spec, specPath)
		}),
	}
}

// inContainers returns, as reads of a check, fields of a Pod's containers and
// init containers.
func inContainers(fields ...string) (reads []string) {
	for _, f := range fields {
		reads = append(reads, "containers[*]."+f, "initContainers[*]."+f)
	}
	return reads
}

// A selectedCheck checks a workload and a Service that selects its Pods. It
// returns nil if nothing is wrong.
type selectedCheck func(p *Pass, obj cluster.Object, svc *corev1.Service) (*fault, error)

// A fault is what a [selectedCheck] finds.
type fault struct {
	what   string
	remedy Remedy
	brief  string // a shorter remedy, or ""
}

// ofSelected returns the checks of a rule about Services for a workload that is
// created, or whose Pods' labels or other fields of their spec, given by reads,
// change. It reports the labels, which are below the path of the template, for the
// first Service by name. Of what is there, and of a Service in the same manifests,
// the rule speaks at the Service.
func ofSelected[T cluster.Object](templateOf func(T) *corev1.PodTemplateSpec, path string, check selectedCheck,
	reads ...string) []Check {
	checked := func(p *Pass, obj T) error {
		template := templateOf(obj)
		found, err := cluster.Find(p.Cluster, cluster.ServicesBySelector, obj.GetNamespace(),
			cluster.LabelKeys(template.Labels)...)
		if err != nil {
			return fmt.Errorf("list Services: %w", err)
		}
		slices.SortFunc(found, func(a, b *corev1.Service) int { return strings.Compare(a.Name, b.Name) })
		var unknown error
		for _, svc := range found {
			if !cluster.Selects(svc, template.Labels) || p.Cluster.Manifests() && svc.ResourceVersion == "" {
				continue
			}
			wrong, err := check(p, obj, svc)
			if known(err) != nil {
				return err
			}
			unknown = cmp.Or(unknown, err)
			if wrong != nil {
				first, rest, _ := strings.Cut(path, ".")
				at := field.NewPath(first, append(strings.Split(rest, "."), "metadata", "labels")...)
				p.Report(field.Invalid(at, short(labels.FormatLabels(template.Labels)), wrong.what),
					wrong.remedy...)
				if wrong.brief != "" {
					p.Briefly(wrong.brief)
				}
				break
			}
		}
		return unknown
	}
	fields := []string{path + ".metadata.labels"}
	for _, read := range reads {
		fields = append(fields, path+".spec."+read)
	}
	return []Check{
		OnCreate(func(p *Pass, obj T) error {
			if obj.GetResourceVersion() != "" && !p.Cluster.Manifests() {
				return nil
			}
			return checked(p, obj)
		}),
		OnUpdate(func(p *Pass, _, obj T) error { return checked(p, obj) }).Of(fields...),
	}
}

func templateOfSet(sts *appsv1.StatefulSet) *corev1.PodTemplateSpec { return &sts.Spec.Template }

func templateOfDeployment(d *appsv1.Deployment) *corev1.PodTemplateSpec { return &d.Spec.Template }
