package validators

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var workloadHostNetworkDNS = &Rule{
	Name:  "workload-host-network-dns",
	Level: Warn,
	Loses: LosesName,
	Doc: `a Pod with hostNetwork that addresses cluster names must ask the cluster's DNS

With hostNetwork, dnsPolicy: ClusterFirst, the default, works like dnsPolicy:
Default: the Pod asks the DNS servers of its node, which know neither Services
nor Pods, and the members never find each other. Set dnsPolicy:
ClusterFirstWithHostNet. The rule looks for names of the cluster in env, command
and args: names that end in .svc or in the cluster's domain, and in a
StatefulSet <pod>.<serviceName> and $(POD_NAME).<serviceName>.

The rule is silent with dnsPolicy: None, and where dnsConfig names servers,
because the author has chosen the DNS servers.`,

	Exempt: "the DNS servers of the nodes forward the cluster's domain to the cluster's DNS",

	Checks: ofPods(func(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		if !spec.HostNetwork || spec.DNSConfig != nil && len(spec.DNSConfig.Nameservers) > 0 {
			return nil
		}
		policy := spec.DNSPolicy
		switch policy {
		case corev1.DNSClusterFirstWithHostNet, corev1.DNSNone:
			return nil
		case "":
			policy = corev1.DNSClusterFirst
		}
		name := clusterName(spec, p.Cluster.ClusterDomain())
		if sts, ok := obj.(*appsv1.StatefulSet); ok && name == "" && sts.Spec.ServiceName != "" &&
			addressed(spec, sts.Name, sts.Spec.ServiceName, true) {
			name = fmt.Sprintf("%s-%d.%s", sts.Name, ordinals(sts).start, sts.Spec.ServiceName)
		}
		if name != "" {
			path := at.Child("dnsPolicy")
			p.ReportFix(field.Invalid(path, policy,
				"must be ClusterFirstWithHostNet beside hostNetwork; the node's DNS does not know "+short(name)),
				setting(path, string(corev1.DNSClusterFirstWithHostNet), 1))
		}
		return nil
	}, append(inContainers("command", "args", "env"), "hostNetwork", "dnsPolicy", "dnsConfig"),
		"spec.serviceName", "spec.ordinals"),
}

// clusterName returns the first name in the cluster's DNS domain that the
// containers of a Pod are configured with, or "".
func clusterName(spec *corev1.PodSpec, domain string) string {
	for _, c := range containers(spec) {
		texts := append(append([]string{}, c.item.Command...), c.item.Args...)
		for i := range c.item.Env {
			texts = append(texts, c.item.Env[i].Value)
		}
		for _, text := range texts {
			if !strings.Contains(text, ".svc") {
				continue
			}
			for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !isNameRune(r) && r != '.' }) {
				name := strings.Trim(word, ".")
				short := strings.TrimSuffix(name, "."+domain)
				if strings.HasSuffix(short, ".svc") && strings.Count(short, ".") > 1 {
					return name
				}
			}
		}
	}
	return ""
}
