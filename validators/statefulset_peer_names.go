package validators

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetPeerNames = &Rule{
	Name:  "statefulset-peer-names",
	Level: Warn,
	Loses: LosesName,
	Reads: []cluster.Object{&appsv1.StatefulSet{}, &autoscalingv2.HorizontalPodAutoscaler{}, &corev1.Service{}},
	Doc: `a member that is named in a list of peers must be one that the StatefulSet has

A Pod of a StatefulSet has the name <statefulset>-<ordinal>.<serviceName>, and no
other. Where a list of peers names another Service, nobody is found; where it names
five members of a set of three, two count as down from the start, and one more
failure costs the quorum.

Write the names that the Pods have. They are read in env, command and args. Lint
and audit read those of Jobs and CronJobs, too, but for Jobs that have ended, and
ConfigMaps, without the lines that begin with #, ; or //. Only whole host names
count, as they are or with .<namespace> or .<namespace>.svc.<cluster domain>, of a
StatefulSet that is there, or under a Service that is the governing one of others,
which lint and audit alone look at: the StatefulSet may be about to be created.
Ordinals above the range are found by lint and audit, which know autoscalers,
unless replicas is absent or 0 or an autoscaler scales the StatefulSet.`,

	Exempt: "the program waits for members that are added later, and its quorum does not count them",

	Checks: slices.Concat(ofPods(podPeerNames, peerTexts, "spec.serviceName", "spec.replicas", "spec.ordinals"),
		[]Check{
			ofTemplate(func(j *batchv1.Job) *corev1.PodTemplateSpec { return &j.Spec.Template }, "spec.template"),
			ofTemplate(func(c *batchv1.CronJob) *corev1.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template },
				"spec.jobTemplate.spec.template"),
			On(func(p *Pass, cm *corev1.ConfigMap) error {
				for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
					if err := peerNames(p, cm, cluster.MemberLines(cm.Data[key]), func() *field.Path {
						return field.NewPath("data").Key(key)
					}); err != nil {
						return err
					}
				}
				return nil
			}).Of("data"),
		}),
}

// peerTexts are the fields of a Pod's spec that may name peers.
var peerTexts = inContainers("command", "args", "env")

// ofTemplate returns the check of the Pods of a Job or of what makes Jobs, but for a
// Job that has ended or that a CronJob made. Path is that of the template.
func ofTemplate[T cluster.Object](templateOf func(T) *corev1.PodTemplateSpec, path string) Check {
	var reads []string
	for _, read := range peerTexts {
		reads = append(reads, path+".spec."+read)
	}
	first, rest, _ := strings.Cut(path, ".")
	at := field.NewPath(first, append(strings.Split(rest, "."), "spec")...)
	return On(func(p *Pass, obj T) error {
		if !counts(obj) {
			return nil
		}
		return podPeerNames(p, obj, &templateOf(obj).Spec, at)
	}).Of(reads...)
}

// podPeerNames reports the names in the containers of a Pod that no Pod has.
func podPeerNames(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
	for _, c := range containers(spec) {
		path := func() *field.Path { return at.Child(c.field).Index(c.index) }
		for _, list := range []struct {
			field string
			texts []string
		}{{"command", c.item.Command}, {"args", c.item.Args}} {
			for i, text := range list.texts {
				if !cluster.NamesMember(text) {
					continue
				}
				if err := peerNames(p, obj, text, func() *field.Path { return path().Child(list.field).Index(i) }); err != nil {
					return err
				}
			}
		}
		for i := range c.item.Env {
			if !cluster.NamesMember(c.item.Env[i].Value) {
				continue
			}
			if err := peerNames(p, obj, c.item.Env[i].Value, func() *field.Path {
				return path().Child("env").Index(i).Child("value")
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// A peer is the name of a Pod of a StatefulSet, as a text has it.
type peer struct {
	host, set, number, service, namespace string
	certain                               bool // that it is a host name, and no file's, whatever exists
}

// mostPeers is how many names of a text are looked at: a hostile object must not
// cause many lookups.
const mostPeers = 32

// peersIn returns the host names in a text that a Pod of a StatefulSet may have,
// each once.
func peersIn(text, namespace, domain string) (peers []peer) {
	part := func(c byte) bool { return isNameByte(c) || c == '.' }
	for i := 0; i < len(text) && len(peers) < mostPeers; i++ {
		if !part(text[i]) {
			continue
		}
		end := i
		for end < len(text) && part(text[end]) {
			end++
		}
		p, ok := peerOf(strings.Trim(text[i:end], "."), namespace, domain)
		url := strings.HasSuffix(text[:i], "//")
		if ok && (url || i == 0 || strings.IndexByte(` ="',;@[(|>`+"\t\n:", text[i-1]) >= 0) &&
			(end == len(text) || strings.IndexByte(` ="',;:/])|<`+"\t\n\r?&", text[end]) >= 0) {
			port := end+1 < len(text) && text[end] == ':' && digit(text[end+1])
			p.certain = p.certain || url || port
			if !slices.ContainsFunc(peers, func(o peer) bool { return o.host == p.host && o.certain == p.certain }) {
				peers = append(peers, p)
			}
		}
		i = end
	}
	return peers
}

// peerOf reads <set>-<number>.<service>, with the namespace and the domain of the
// cluster or without.
func peerOf(host, namespace, domain string) (p peer, ok bool) {
	pod, rest, ok := strings.Cut(host, ".")
	at := strings.LastIndexByte(pod, '-')
	if !ok || at < 1 || at == len(pod)-1 || len(pod)-at > 9 || strings.Trim(pod[at+1:], "0123456789") != "" {
		return p, false
	}
	p = peer{host: host, set: pod[:at], number: pod[at+1:], namespace: namespace}
	p.service, rest, ok = strings.Cut(rest, ".")
	if p.service == "" || p.service[0] < 'a' {
		return p, false
	}
	if !ok {
		return p, true
	}
	in, svc, ok := strings.Cut(rest, ".")
	if !ok {
		return p, in == namespace
	}
	p.namespace, p.certain = in, true
	return p, svc == "svc" || svc == "svc."+domain
}

// peerNames reports the names in a text of an object that no Pod has: one of
// another Service, and all of ordinals.
func peerNames(p *Pass, obj cluster.Object, text string, path func() *field.Path) error {
	misled := false
	absent := map[string][]peer{} // by StatefulSet
	for _, peer := range peersIn(text, obj.GetNamespace(), p.Cluster.ClusterDomain()) {
		sts, err := setOf(p.Cluster, obj, peer)
		if err != nil {
			return err
		}
		switch {
		case sts == nil:
			if misled || p.Cluster.Admission() {
				continue
			}
			governed, err := governedBy(p.Cluster, peer.namespace, peer.service)
			if err != nil {
				return err
			}
			if len(governed) == 0 {
				continue
			}
			svc, err := cluster.Get[corev1.Service](p.Cluster, peer.namespace, peer.service)
			if err != nil {
				return fmt.Errorf("get Service %s: %w", peer.service, err)
			}
			if svc == nil {
				continue
			}
			misled = true
			p.Report(field.Invalid(path(), short(peer.host), fmt.Sprintf(
				"must name a Pod of a StatefulSet that is there; under Service %s these are of %s, and there is no %s",
				peer.service, governed[0].Name, short(peer.set))),
				fmt.Sprintf("%s-%d.%s", governed[0].Name, ordinals(governed[0]).start, peer.service))
		case sts.Spec.ServiceName == "" || sts.DeletionTimestamp != nil: // statefulset-service-name
		case sts.Spec.ServiceName != peer.service:
			if misled {
				continue
			}
			if misled, err = misnamed(p, sts, peer, path); err != nil {
				return err
			}
		case !ordinal(sts, peer):
			absent[sts.Name] = append(absent[sts.Name], peer)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(absent)) {
		if err := beyond(p, obj, absent[name], path); err != nil {
			return err
		}
	}
	return nil
}

// setOf returns the StatefulSet that a name is of: the object under review, or one
// that is stored, or nil.
func setOf(v *cluster.View, obj cluster.Object, peer peer) (*appsv1.StatefulSet, error) {
	if sts, ok := obj.(*appsv1.StatefulSet); ok && sts.Name == peer.set && sts.Namespace == peer.namespace {
		return sts, nil
	}
	sts, err := cluster.Get[appsv1.StatefulSet](v, peer.namespace, peer.set)
	if err != nil {
		return nil, fmt.Errorf("get StatefulSet %s: %w", peer.set, err)
	}
	return sts, nil
}

// misnamed reports a name under a Service that is not the governing one, and says
// whether it did. Where that one is missing, or has a virtual IP,
// statefulset-service-missing or -headless speaks.
func misnamed(p *Pass, sts *appsv1.StatefulSet, peer peer, path func() *field.Path) (bool, error) {
	names := []string{sts.Spec.ServiceName}
	if !peer.certain {
		names = append(names, peer.service) // it may be the name of a file
	}
	for _, name := range names {
		svc, err := cluster.Get[corev1.Service](p.Cluster, peer.namespace, name)
		if err != nil {
			return false, fmt.Errorf("get Service %s: %w", name, err)
		}
		if svc == nil || name == sts.Spec.ServiceName && !cluster.Headless(svc) {
			return false, nil
		}
	}
	p.Report(field.Invalid(path(), short(peer.host), fmt.Sprintf(
		"must name Pods of StatefulSet %s under its serviceName, %s; under %s they have no names", sts.Name,
		sts.Spec.ServiceName, short(peer.service))), fmt.Sprintf("%s-%s.%s", peer.set, peer.number, sts.Spec.ServiceName))
	return true, nil
}

// ordinal says whether a name has an ordinal of a StatefulSet, or one that it may
// have for all that it says itself.
func ordinal(sts *appsv1.StatefulSet, peer peer) bool {
	n, err := strconv.Atoi(peer.number)
	if err != nil || strconv.Itoa(n) != peer.number {
		return false
	}
	above := n >= ordinals(sts).start && (sts.Spec.Replicas == nil || *sts.Spec.Replicas == 0)
	return above || ordinals(sts).has(n)
}

// beyond reports names of one StatefulSet that have no ordinal of it, unless it
// may be scaled to have it.
func beyond(p *Pass, obj cluster.Object, absent []peer, path func() *field.Path) error {
	sts, err := setOf(p.Cluster, obj, absent[0])
	if err != nil || sts == nil {
		return err
	}
	start := ordinals(sts).start
	below := slices.DeleteFunc(slices.Clone(absent), func(peer peer) bool {
		n, _ := strconv.Atoi(peer.number) // at most eight digits
		return n >= start
	})
	var unknown error
	if len(below) < len(absent) {
		scaled, err := autoscaled(p.Cluster, sts)
		if p.Cluster.Manifests() && errors.Is(err, cluster.ErrUnknown) {
			err = nil
		}
		if known(err) != nil {
			return err
		}
		if unknown = err; scaled || unknown != nil {
			absent = below
		}
	}
	if len(absent) == 0 {
		return unknown
	}
	var names []string
	for _, peer := range absent {
		names = append(names, peer.set+"-"+peer.number)
	}
	p.Report(field.Invalid(path(), short(absent[0].host), fmt.Sprintf(
		"must name Pods that StatefulSet %[1]s has, %[1]s-%[2]d to %[1]s-%[3]d; any other counts as a member that is down",
		sts.Name, start, start+max(replicasOf(sts.Spec.Replicas), 1)-1)), "leave out "+cluster.Few(names))
	return unknown
}

// autoscaled says whether an autoscaler decides the replicas of a StatefulSet.
func autoscaled(v *cluster.View, sts *appsv1.StatefulSet) (bool, error) {
	all, err := cluster.List[autoscalingv2.HorizontalPodAutoscalerList](v, cluster.InNamespace(sts.Namespace))
	if err != nil {
		return false, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	return slices.ContainsFunc(all.Items, func(h autoscalingv2.HorizontalPodAutoscaler) bool {
		return h.Spec.ScaleTargetRef.Kind == "StatefulSet" && h.Spec.ScaleTargetRef.Name == sts.Name
	}), nil
}
