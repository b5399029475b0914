package validators

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var serviceSelectsStrangers = &Rule{
	Name:  "service-selects-strangers",
	Level: Warn,
	Loses: LosesName,
	Reads: []cluster.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &batchv1.CronJob{}, &batchv1.Job{},
		&corev1.Service{}},
	Doc: `a Service must select only Pods that serve what it is for

A Service leads to every Pod that its selector matches. If the selector is a
label of the whole application, it also matches the Pods of its cache or of its
nightly backup: some connections then go to a Pod that does not listen, and are
refused for as long as that Pod runs. Members that look each other up by the
Service's name find such a Pod, too.

Select a label that only the serving Pods have, such as
app.kubernetes.io/component, or remove the Service's label from the other Pods.

A workload is a stranger if its containers declare ports, but none that the
Service sends connections to, while another workload declares one. Pods of Jobs
and CronJobs are strangers beside any workload, unless their subdomain is the
Service. The rule ignores containers that declare no ports. If a Service with a
virtual IP names its target port, a Pod counts only if it has a port of that
name. For the governing Service of a StatefulSet the rule reports Jobs and
CronJobs only; statefulset-service-shared reports other workloads. Only lint and
audit look up Jobs and CronJobs.`,

	Exempt: "the other Pods listen at the Service's port, though their containers do not say so",

	Checks: slices.Concat(
		[]Check{On(func(p *Pass, svc *corev1.Service) error {
			m, err := meetingAt(p.Cluster, svc, nil)
			if known(err) != nil || len(m.strangers) == 0 {
				return err
			}
			path := specPath.Child("selector")
			p.Report(field.Invalid(path, short(labels.FormatLabels(svc.Spec.Selector)),
				fmt.Sprintf("must not match Pods of %s beside those of %s; connections to them are refused",
					fewWorkloads(m.strangers, 1), fewWorkloads(m.own, 1))), m.apart(p, svc)...)
			if on := m.narrower(svc); on != nil {
				p.Fix(setting(path, on, 1))
			}
			return err
		}).Of("spec.selector", "spec.ports", "spec.type", "spec.clusterIP", "spec.clusterIPs")},
		ofSelected(templateOfSet, "spec.template", meetsStrangers, listening...),
		ofSelected(templateOfDeployment, "spec.template", meetsStrangers, listening...),
		ofSelected(func(j *batchv1.Job) *corev1.PodTemplateSpec { return &j.Spec.Template }, "spec.template",
			meetsStrangers, listening...),
		ofSelected(func(c *batchv1.CronJob) *corev1.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template },
			"spec.jobTemplate.spec.template", meetsStrangers, listening...),
	),
}

// listening are the fields of a Pod's spec by which it is told what listens.
var listening = []string{"containers[*].ports", "initContainers"}

// meetsStrangers is about a workload that is a stranger among those of a Service,
// or has strangers beside it.
func meetsStrangers(p *Pass, obj cluster.Object, svc *corev1.Service) (*fault, error) {
	m, err := meetingAt(p.Cluster, svc, obj)
	if known(err) != nil || len(m.strangers) == 0 {
		return nil, err
	}
	what := fmt.Sprintf("must not match Service %s, which is for %s; connections to these Pods are refused",
		svc.Name, fewWorkloads(m.own, 1))
	if !slices.ContainsFunc(m.strangers, func(w workload) bool { return w.self }) {
		what = fmt.Sprintf("must not share Service %s with %s; connections to those Pods are refused", svc.Name,
			fewWorkloads(m.strangers, 1))
	}
	return &fault{what: what, remedy: m.apart(p, svc)}, err
}

// A meeting is what a Service leads to.
type meeting struct{ own, strangers []workload }

// meetingAt looks up what a Service leads to. Self is a workload as it will be,
// whatever is stored, or nil. In manifests, Jobs and CronJobs that are not known
// are none; if another kind is not known, the known ones decide, and the error is
// [cluster.ErrUnknown].
func meetingAt(v *cluster.View, svc *corev1.Service, self cluster.Object) (m meeting, _ error) {
	if len(svc.Spec.Selector) == 0 || alias(svc, nil) || svc.DeletionTimestamp != nil {
		return m, nil
	}
	all, err := servedBy(v, svc, self)
	if known(err) != nil || len(all) < 2 {
		return m, err
	}
	serves := func(b workload) bool { listens, _ := reached(svc, b.template); return !b.passing && listens }
	governs := cluster.Headless(svc) &&
		slices.ContainsFunc(all, func(b workload) bool { return b.kind == "StatefulSet" && b.service == svc.Name })
	some := slices.ContainsFunc(all, serves)
	for _, b := range all {
		_, refuses := reached(svc, b.template)
		switch {
		case b.service == svc.Name:
			m.own = append(m.own, b)
		case b.passing || refuses && some && !governs:
			m.strangers = append(m.strangers, b)
		default:
			m.own = append(m.own, b)
		}
	}
	if len(m.own) == 0 {
		m.strangers = nil // they have it for themselves
	}
	return m, err
}

// servedBy returns, sorted, the workloads that a Service selects, Jobs and CronJobs
// included, which admission does not know. Self and errors are as in [meetingAt].
func servedBy(v *cluster.View, svc *corev1.Service, self cluster.Object) ([]workload, error) {
	sel := labels.ValidatedSetSelector(svc.Spec.Selector)
	all, unknown := workloadsBeside(v, svc.Namespace, sel, self)
	if !v.Admission() { // which does not read Jobs
		keys := cluster.SelectorKeys(sel)
		var ofJobs, err error
		all, ofJobs = matched(all, v, cluster.JobsByLabel, svc.Namespace, keys, sel, self)
		all, err = matched(all, v, cluster.CronJobsByLabel, svc.Namespace, keys, sel, self)
		if err = worse(ofJobs, err); v.Manifests() {
			err = known(err)
		}
		unknown = worse(unknown, err)
	}
	if self != nil && counts(self) {
		if w := workloadOf(self); sel.Matches(labels.Set(w.template.Labels)) {
			w.self = true
			all = append(all, w)
		}
	}
	slices.SortFunc(all, byKind)
	return all, unknown
}

// reached says whether Pods listen at a port to which a Service leads, and whether
// they refuse connections instead: by what their containers say, if they say
// anything.
func reached(svc *corev1.Service, template *corev1.PodTemplateSpec) (listens, refuses bool) {
	var declared []corev1.ContainerPort
	for _, c := range containers(&template.Spec) {
		if c.field == "containers" || c.item.RestartPolicy != nil { // a sidecar
			declared = append(declared, c.item.Ports...)
		}
	}
	tcp := func(protocol corev1.Protocol) corev1.Protocol { return cmp.Or(protocol, corev1.ProtocolTCP) }
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		target := port.TargetPort
		if target == (intstr.IntOrString{}) {
			target = intstr.FromInt32(port.Port)
		}
		listens = listens || slices.ContainsFunc(declared, func(c corev1.ContainerPort) bool {
			named := target.Type == intstr.String && c.Name == target.StrVal
			numbered := target.Type == intstr.Int && c.ContainerPort == target.IntVal
			return tcp(c.Protocol) == tcp(port.Protocol) && (named || numbered)
		})
		refuses = refuses || target.Type == intstr.Int || cluster.Headless(svc)
	}
	return listens, refuses && !listens && len(declared) > 0
}

// apart returns the remedy: a selector that the Pods of the strangers do not match,
// if there is one.
func (m meeting) apart(p *Pass, svc *corev1.Service) Remedy {
	on := m.narrower(svc)
	if on == nil {
		return Remedy{fmt.Sprintf("give the Pods of %s other labels than %s", fewWorkloads(m.strangers, 1),
			short(labels.FormatLabels(svc.Spec.Selector)))}
	}
	return Remedy{p.Mend(fmt.Sprintf("selector: %s in Service %s", flowYAML(on), svc.Name),
		setSelector(svc.Name, svc.Namespace, on))}
}

// narrower returns a selector that the Pods of no stranger match, or nil.
func (m meeting) narrower(svc *corev1.Service) map[string]string {
	key := m.key()
	if key == "" {
		return nil
	}
	on := maps.Clone(svc.Spec.Selector)
	on[key] = m.own[0].template.Labels[key]
	return on
}

// key returns the key of a label that all the Pods of the Service's own have alike
// and those of no stranger, of several one by which a workload selects its own; or
// "".
func (m meeting) key() (best string) {
	first := m.own[0]
	for key, value := range first.template.Labels {
		has := func(b workload) bool { v, ok := b.template.Labels[key]; return ok && v == value }
		lacks := func(b workload) bool { return !has(b) }
		if slices.ContainsFunc(m.own, lacks) || slices.ContainsFunc(m.strangers, has) ||
			(changing{}).released(key, value) {
			continue
		}
		rank := func(key string) int {
			if _, ok := first.selects[key]; ok {
				return 0
			}
			return 1
		}
		if best == "" || cmp.Or(rank(key)-rank(best), strings.Compare(key, best)) < 0 {
			best = key
		}
	}
	return best
}
