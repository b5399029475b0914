package validators

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var workloadFQDNLength = &Rule{
	Name:  "workload-fqdn-length",
	Level: Warn,
	Loses: LosesName,
	Doc: `with setHostnameAsFQDN the full name of a Pod must have at most 64 characters

The Linux kernel accepts no longer hostname. The full name is
<hostname>.<subdomain>.<namespace>.svc.<cluster domain>, which is longer than it
looks. If it is longer than 64 characters, the kubelet does not start the Pod,
which stays in ContainerCreating with an event that says why. The API server
does not check it.

Leave setHostnameAsFQDN out, because the DNS name of the Pod does not depend on
it, or shorten the names. For a Deployment the rule checks the longest Pod names
that it can generate.`,

	Exempt: "the configured cluster domain is longer than that of the cluster in which it will run",

	Checks: []Check{
		On(func(p *Pass, sts *appsv1.StatefulSet) error {
			fqdnLength(p, sts.Namespace, podSpecPath, &sts.Spec.Template.Spec, memberNameLen(sts), sts.Spec.ServiceName)
			return nil
		}).Of("spec.replicas", "spec.ordinals", "spec.serviceName", "spec.template.spec.setHostnameAsFQDN",
			"spec.template.spec.hostNetwork", "spec.template.spec.hostnameOverride"),
		On(func(p *Pass, d *appsv1.Deployment) error {
			pod := &d.Spec.Template.Spec
			host := generatedName(len(d.Name))
			if pod.Hostname != "" {
				host = len(pod.Hostname)
			}
			subdomain := pod.Subdomain
			if subdomain == "" {
				subdomain = d.Spec.Template.Labels[cluster.LabelSubdomain] // as the webhook will set it
			}
			fqdnLength(p, d.Namespace, podSpecPath, pod, host, subdomain)
			return nil
		}).Of("spec.template.spec.hostname", "spec.template.spec.subdomain",
			"spec.template.metadata.labels[stayput.dev/subdomain]", "spec.template.spec.setHostnameAsFQDN",
			"spec.template.spec.hostNetwork", "spec.template.spec.hostnameOverride"),
		OnCreate(func(p *Pass, pod *corev1.Pod) error {
			if metav1.GetControllerOfNoCopy(pod) != nil {
				return nil // the workload is reported, where it can be mended
			}
			host := len(pod.Spec.Hostname)
			if host == 0 {
				host = len(pod.Name)
			}
			fqdnLength(p, pod.Namespace, specPath, &pod.Spec, host, pod.Spec.Subdomain)
			return nil
		}),
	},
}

// fqdnLength reports a Pod whose fully qualified name is too long for Linux.
// Source: k8s.io/kubernetes@v1.37.1 pkg/kubelet/util/util.go,
// GetNodenameForKernel.
func fqdnLength(p *Pass, namespace string, path *field.Path, pod *corev1.PodSpec, host int, subdomain string) {
	const most = 64
	if pod.SetHostnameAsFQDN == nil || !*pod.SetHostnameAsFQDN || pod.HostNetwork || pod.HostnameOverride != nil ||
		subdomain == "" {
		return // the Pod has no full name, or does not use it as its hostname
	}
	n := min(host, validation.DNS1123LabelMaxLength) + len("."+subdomain+"."+namespace+".svc."+p.Cluster.ClusterDomain())
	if n <= most {
		return
	}
	p.Report(field.Invalid(path.Child("setHostnameAsFQDN"), true,
		fmt.Sprintf("must be false: the full name has %d characters, the kernel takes %d, and the Pod never starts", n,
			most)),
		"setHostnameAsFQDN: false", fmt.Sprintf(", or names %d characters shorter in all", n-most))
}

// memberNameLen returns the length of the name of a StatefulSet's Pod with the
// highest ordinal, or with the first if it has no replicas.
func memberNameLen(sts *appsv1.StatefulSet) int {
	all := ordinals(sts)
	return len(sts.Name) + len("-") + len(strconv.Itoa(max(all.end()-1, all.start)))
}

// generatedName returns the maximum length of the names of a Deployment's Pods.
// The ReplicaSet adds a dash and up to ten characters to the Deployment's name;
// a Pod adds a dash and five random characters to at most the first 58 of
// these. Source: k8s.io/apiserver@v0.37.1 pkg/storage/names/generate.go.
func generatedName(deployment int) int {
	const hash, base, random = 10, 58, 5
	return min(deployment+len("-")+hash+len("-"), base) + random
}
