package mutators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"stayput.dev/cluster"
)

var podIdentity = &Mutator{
	Name:  "pod-identity",
	Reads: []cluster.Object{&corev1.Namespace{}, &corev1.Service{}},
	Doc: `a Pod that asks for it has a DNS name of its own

The cluster's DNS gives a Pod a name of its own, <hostname>.<service>, only if
spec.hostname is set and spec.subdomain names a headless Service that selects
the Pod. StatefulSets set both; in a Deployment's template a hostname would be
the same for all replicas; and neither can be changed once the Pod exists.

Label the Pod, or a workload's template, stayput.dev/subdomain: <service>. Or
label the namespace stayput.dev/inject: enabled, for all its Pods that exactly
one headless Service selects. The hostname is the Pod's name. Where the API
server would choose the name (metadata.generateName), it is chosen here in the
same way, so that the two are equal.

Left alone are Pods that have a hostname, or another subdomain; those of
StatefulSets; those without a hostname of their own (hostNetwork,
hostnameOverride); static Pods; and those of DaemonSets that do not have the
label themselves.`,

	Edits: []Edit{OnCreate(func(p *Pass, pod *corev1.Pod) error {
		if pod.Spec.Hostname != "" || !cluster.MayBeNamed(p.Cluster.Request, pod) {
			return nil
		}
		if pod.Name == "" && pod.GenerateName == "" {
			return nil // the API server will refuse it
		}
		service, err := serviceOf(p, pod)
		if err != nil || service == "" {
			return err
		}
		if pod.Spec.Subdomain != "" && pod.Spec.Subdomain != service {
			return nil
		}
		name, hostname := identityOf(p.Cluster.Request, pod)
		if hostname == "" {
			p.Warn("%s gets no DNS name: a hostname cannot have dots or more than 63 characters; fix: another name, or "+
				"spec.hostname and spec.subdomain: %s", pod.Name, service)
			return nil
		}
		// The kubelet would never start the Pod.
		fqdn := fmt.Sprintf("%s.%s.%s.svc.%s", hostname, service, pod.Namespace, p.Cluster.ClusterDomain())
		if pod.Spec.SetHostnameAsFQDN != nil && *pod.Spec.SetHostnameAsFQDN && len(fqdn) > 64 {
			p.Warn("%s gets no DNS name: with setHostnameAsFQDN its hostname would have %d characters, and Linux allows 64; "+
				"fix: shorter names, or setHostnameAsFQDN: false", pod.GenerateName+pod.Name, len(fqdn))
			return nil
		}
		set(p, &pod.Name, name, "metadata", "name")
		set(p, &pod.Spec.Hostname, hostname, "spec", "hostname")
		set(p, &pod.Spec.Subdomain, service, "spec", "subdomain")
		return nil
	})},
}

// serviceOf returns the Service that is to give a Pod its name, or "" if there
// is none.
func serviceOf(p *Pass, pod *corev1.Pod) (string, error) {
	if service, ok := pod.Labels[cluster.LabelSubdomain]; ok {
		// The Service need not exist yet: the name appears together with the
		// Service, but a Pod cannot be renamed.
		if len(validation.IsDNS1123Label(service)) > 0 {
			p.Warn("label %s has no effect: its value must be the name of a headless Service", cluster.LabelSubdomain)
			return "", nil
		}
		return service, nil
	}
	if cluster.ControlledBy(pod, "DaemonSet") {
		return "", nil
	}
	// The webhook's selector sends only Pods of namespaces with injection, so
	// it is rare that the cache disagrees and the API server is asked.
	names, err := cluster.Injected(p.Cluster, pod)
	if live := p.Cluster.Live(); err == nil && len(names) != 1 && live != nil {
		names, err = cluster.Injected(live, pod)
	}
	if err != nil || len(names) == 0 {
		return "", err
	}
	if len(names) > 1 {
		p.Warn("%s gets no DNS name, for several headless Services select it (%s); fix: name one of them with label %s",
			pod.GenerateName+pod.Name, cluster.Few(names), cluster.LabelSubdomain)
		return "", nil
	}
	return names[0], nil
}
