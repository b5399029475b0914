package validators

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var podHostnameConflict = &Rule{
	Name:  "pod-hostname-conflict",
	Level: Warn,
	Loses: LosesName,
	Reads: []cluster.Object{&corev1.Pod{}},
	Doc: `no two Pods must have the same hostname and subdomain

Kubernetes lets two Pods of a namespace have one DNS name,
<hostname>.<subdomain>. The name then resolves to both, and each connection
reaches one of them by chance: writes meant for the first member of a database
arrive at the second. Neither field can be changed once the Pod exists. Give one
of them another hostname. If clients should reach both under one name, use the
name of the Service.`,

	Exempt: "two Pods are to answer for one name, as while one takes over from the other",

	Checks: []Check{OnCreate(func(p *Pass, pod *corev1.Pod) error {
		hostname, subdomain := pod.Spec.Hostname, pod.Spec.Subdomain
		if hostname == "" || subdomain == "" || !live(pod) {
			return nil
		}
		// Names that controllers make are unique. A conflict is reported at the
		// other Pod, so that an audit need not compare each member with all
		// others.
		if metav1.GetControllerOfNoCopy(pod) != nil && hostname == pod.Name {
			return nil
		}
		found, err := cluster.Find(p.Cluster, cluster.PodsByHostname, pod.Namespace, hostname+"."+subdomain)
		if err != nil {
			return fmt.Errorf("list Pods: %w", err)
		}
		var others []string
		for _, o := range found {
			if o.Name != pod.Name && o.Spec.Hostname == hostname && o.Spec.Subdomain == subdomain && live(o) {
				others = append(others, o.Name)
			}
		}
		if len(others) == 0 {
			return nil
		}
		slices.Sort(others)
		same := field.Duplicate(field.NewPath("spec", "hostname"), hostname)
		same.Detail = fmt.Sprintf("must be unique; %s.%s resolves to Pod %s as well", hostname, subdomain,
			cluster.Few(others))
		remedy := "make the Pod again with a hostname of its own"
		if pod.Name != hostname {
			remedy += ", spec: {hostname: " + short(pod.Name) + "}"
		}
		p.Report(same, remedy)
		return nil
	})},
}
