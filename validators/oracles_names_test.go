package validators_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"stayput.dev/validators"
)

// Oracles of the rules about names that Pods themselves use.

var _ = register(map[string]oracle{
	"workload-env-order": ofAnyPod(func(_ *world, _ Object, pod *corev1.PodSpec) validators.Level {
		for _, c := range allContainers(pod) {
			if len(c.EnvFrom) > 0 {
				continue
			}
			above, all := map[string]bool{}, map[string]bool{}
			for _, e := range c.Env {
				all[e.Name] = true
			}
			late := func(name string) bool { return all[name] && !above[name] && !strings.HasSuffix(name, "_SERVICE_HOST") }
			for _, e := range c.Env {
				if slices.ContainsFunc(substituted(e.Value), late) {
					return warn
				}
				above[e.Name] = true
			}
			nowhere := func(name string) bool { return !all[name] && !strings.HasSuffix(name, "_SERVICE_HOST") }
			for _, m := range c.VolumeMounts {
				if slices.ContainsFunc(substituted(m.SubPathExpr), nowhere) {
					return warn
				}
			}
			words := slices.Concat(c.Command, c.Args)
			if slices.Contains(words, "/bin/sh") || slices.Contains(words, "-c") {
				continue
			}
			for _, w := range words {
				if slices.ContainsFunc(substituted(w), func(name string) bool {
					return nowhere(name) && name == strings.ToUpper(name)
				}) {
					return warn
				}
			}
		}
		return nothing
	}),
	"fixed-labels": created(func(_ *world, o Object) validators.Level {
		moves := func(labels map[string]string) bool {
			_, chart := labels["helm.sh/chart"]
			_, tracked := labels["argocd.argoproj.io/instance"]
			_, sum := labels["checksum/config"]
			version, numbered := labels["app.kubernetes.io/version"]
			numbered = numbered || labels["version"] == "9.1"
			if o.GetName() == "db-9-1" {
				numbered = numbered && version != "" && version != "9" && version != "9.1"
			}
			return chart || tracked || sum || numbered || labels["chart"] == "db-1.2.3" || labels["chart"] == "9.1"
		}
		has := func(text string) bool {
			version := o.GetLabels()["app.kubernetes.io/version"]
			in := func(text string) bool {
				return regexp.MustCompile(`(^|\D)` + strings.ReplaceAll(version, ".", "[.-]") + `(\D|$)`).MatchString(text)
			}
			return version != "" && in(text) && !in(o.GetName())
		}
		hasAny := func(labels map[string]string) bool {
			return slices.ContainsFunc(slices.Collect(maps.Values(labels)), has)
		}
		selects := func(sel *metav1.LabelSelector) bool {
			return sel != nil && (moves(sel.MatchLabels) || hasAny(sel.MatchLabels) || slices.ContainsFunc(sel.MatchExpressions,
				func(e metav1.LabelSelectorRequirement) bool {
					return slices.ContainsFunc(e.Values, func(v string) bool {
						return moves(map[string]string{e.Key: v}) || has(v)
					})
				}))
		}
		switch o := o.(type) {
		case sts:
			const name = "app.kubernetes.io/instance"
			app, release := o.Labels[name], o.Spec.Template.Labels[name]
			for _, t := range o.Spec.VolumeClaimTemplates {
				// As the claims have them.
				labels := maps.Clone(t.Labels)
				if o.Spec.Selector != nil {
					for k, v := range o.Spec.Selector.MatchLabels {
						if has, ok := labels[k]; ok && has != v && (k == name || k == "argocd.argoproj.io/instance") {
							delete(labels, k)
						}
					}
				}
				by := app != "" && release != "" && app != release && labels[name] == app
				if moves(labels) || moves(t.Annotations) || by || hasAny(labels) || selects(t.Spec.Selector) {
					return warn
				}
				for _, text := range []string{t.Name, t.Spec.VolumeName, ptr.Deref(t.Spec.StorageClassName, ""),
					ptr.Deref(t.Spec.VolumeAttributesClassName, "")} {
					if has(text) {
						return warn
					}
				}
				if d := t.Spec.DataSource; d != nil && has(d.Name) {
					return warn
				}
				if d := t.Spec.DataSourceRef; d != nil && has(d.Name) {
					return warn
				}
			}
			return warnIf(has(o.Spec.ServiceName) || selects(o.Spec.Selector))
		case deployment:
			return warnIf(selects(o.Spec.Selector))
		}
		return nothing
	}),
	"workload-host-network-dns": ofAnyPod(func(_ *world, o Object, pod *corev1.PodSpec) validators.Level {
		if !pod.HostNetwork || pod.DNSPolicy == "ClusterFirstWithHostNet" || pod.DNSPolicy == "None" ||
			pod.DNSConfig != nil && len(pod.DNSConfig.Nameservers) > 0 {
			return nothing
		}
		member := "^$"
		if s, ok := o.(sts); ok && s.Spec.ServiceName != "" {
			member = `((^|[^a-z0-9-])` + s.Name + `-[0-9]+|\$\([A-Za-z_]+\)|\$\{[A-Za-z_]+\}|\$[A-Za-z_]+)\.` +
				s.Spec.ServiceName + `($|[^a-z0-9-])`
		}
		for _, c := range allContainers(pod) {
			all := slices.Concat(c.Command, c.Args)
			for _, e := range c.Env {
				all = append(all, e.Value)
			}
			for _, text := range all {
				if strings.Contains(text, "web.app.svc") || regexp.MustCompile(member).MatchString(text) && text != "" {
					return warn
				}
			}
		}
		return nothing
	}),
	"workload-data-path": ofAnyPod(func(_ *world, o Object, pod *corev1.PodSpec) validators.Level {
		s, isSet := o.(sts)
		lasting, going := map[string]bool{}, map[string]bool{}
		for _, v := range slices.Backward(pod.Volumes) { // of several of one name the first
			lasting[v.Name] = v.PersistentVolumeClaim != nil || v.HostPath != nil || v.NFS != nil
			going[v.Name] = !lasting[v.Name] && v.ConfigMap == nil
		}
		if isSet {
			for _, t := range s.Spec.VolumeClaimTemplates {
				lasting[t.Name], going[t.Name] = true, false
			}
		}
		some := isSet && len(s.Spec.VolumeClaimTemplates) > 0
		for _, v := range pod.Volumes {
			some = some || v.PersistentVolumeClaim != nil || v.HostPath != nil || v.NFS != nil
		}
		if !some {
			return nothing
		}
		// volumeAt returns the volume at the longest mount that is a path's beginning.
		volumeAt := func(c corev1.Container, path string) (mount, volume string) {
			for _, d := range c.VolumeDevices {
				if d.DevicePath == path {
					return path, d.Name
				}
			}
			for up := path; up != "/"; up = filepath.Dir(up) {
				for _, m := range c.VolumeMounts {
					if m.MountPath == up {
						return up, m.Name
					}
				}
			}
			return "", ""
		}
		for i, c := range pod.Containers {
			declared, data := "", ""
			switch c.Image {
			case "postgres:15":
				declared, data = "/var/lib/postgresql/data", "/var/lib/postgresql/data"
			case "docker.io/library/postgres:18":
				declared, data = "/var/lib/postgresql", "/var/lib/postgresql/18/docker"
			case "mongo:8":
				declared, data = "/data/db", "/data/db"
			}
			lost := func(path string) bool {
				mount, volume := volumeAt(c, path)
				covers := declared != "" && mount != "" && mount != declared && strings.HasPrefix(declared, mount+"/") &&
					(path == declared || strings.HasPrefix(path, declared+"/"))
				return volume == "" || covers
			}
			var named []string
			for _, e := range c.Env {
				if e.Name == "PGDATA" && strings.HasPrefix(e.Value, "/") {
					named = append(named, e.Value)
				}
			}
			words := c.Command
			if len(words) == 3 && words[0] == "sh" {
				words = strings.Fields(words[2])
			}
			for _, w := range words {
				if path, ok := strings.CutPrefix(w, "--data-dir="); ok && !slices.Contains(words, "|") {
					named = append(named, path)
				}
			}
			alone := len(c.Command)+len(c.EnvFrom) == 0
			if c.Image == "minio/minio" && len(c.Args) == 2 && c.Args[0] == "server" && alone {
				named = append(named, c.Args[1])
			}
			for _, path := range named {
				elsewhere := false
				for j, other := range pod.Containers {
					_, volume := volumeAt(other, path)
					elsewhere = elsewhere || j != i && lasting[volume]
				}
				if _, volume := volumeAt(c, path); !elsewhere && (going[volume] || lost(path)) {
					return warn
				}
			}
			writes := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
				return lasting[m.Name] && !m.ReadOnly
			})
			postgresElsewhere := declared != "/data/db" && slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
				return e.Name == "PGDATA"
			})
			asBuilt := data != "" && len(named)+len(c.Command)+len(c.EnvFrom) == 0 && !postgresElsewhere
			if asBuilt && writes && lost(data) {
				return warn
			}
		}
		return nothing
	}),
	"workload-node-name": ofAnyPod(func(w *world, o Object, pod *corev1.PodSpec) validators.Level {
		if pod.NodeName == "" {
			return nothing
		}
		for _, c := range claimsUsed(w, o, pod) {
			sc := classFor(w, c)
			reserved := func(pv *corev1.PersistentVolume) bool { return c.Name != "" && isRefTo(pv.Spec.ClaimRef, c) }
			if sc != nil && waitsForPod(sc) && c.Spec.VolumeName == "" && !slices.ContainsFunc(w.volumes, reserved) {
				return warn
			}
		}
		return nothing
	}),
	"claim-template-volume-mode": ofAnyPod(func(w *world, o Object, pod *corev1.PodSpec) (level validators.Level) {
		wrong := func(volume string, spec *corev1.PersistentVolumeClaimSpec) bool {
			block := spec.VolumeMode != nil && *spec.VolumeMode == "Block"
			for _, c := range allContainers(pod) {
				for _, m := range c.VolumeMounts {
					if m.Name == volume && block {
						return true
					}
				}
				for _, d := range c.VolumeDevices {
					if d.Name == volume && !block {
						return true
					}
				}
			}
			return false
		}
		s, isSet := o.(sts)
		if isSet {
			for i := range s.Spec.VolumeClaimTemplates {
				if t := &s.Spec.VolumeClaimTemplates[i]; lastOfName(s, i) && wrong(t.Name, &t.Spec) {
					return deny
				}
			}
		}
		for _, v := range pod.Volumes {
			switch {
			case isSet && hasTemplate(s, v.Name):
			case v.Ephemeral != nil && wrong(v.Name, &v.Ephemeral.VolumeClaimTemplate.Spec):
				return deny
			case v.PersistentVolumeClaim != nil:
				c := find(w.claims, o.GetNamespace(), v.PersistentVolumeClaim.ClaimName)
				level = max(level, warnIf(c != nil && wrong(v.Name, &c.Spec)))
			}
		}
		return level
	}),
})

// claimsUsed are the claims of a Pod, or of a workload's Pods: those that exist, and
// those that will be made; of an ephemeral volume it has no name.
func claimsUsed(w *world, o Object, pod *corev1.PodSpec) (all []*corev1.PersistentVolumeClaim) {
	s, isSet := o.(sts)
	if isSet {
		for _, t := range s.Spec.VolumeClaimTemplates {
			for _, n := range ordinalsOf(s) {
				c := t.DeepCopy()
				c.Namespace, c.Name = o.GetNamespace(), fmt.Sprintf("%s-%s-%d", t.Name, o.GetName(), n)
				if is := find(w.claims, c.Namespace, c.Name); is != nil {
					c = is
				}
				all = append(all, c)
			}
		}
	}
	for _, v := range pod.Volumes {
		switch {
		case isSet && hasTemplate(s, v.Name):
		case v.Ephemeral != nil:
			all = append(all, &corev1.PersistentVolumeClaim{Spec: v.Ephemeral.VolumeClaimTemplate.Spec})
		case v.PersistentVolumeClaim != nil:
			if c := find(w.claims, o.GetNamespace(), v.PersistentVolumeClaim.ClaimName); c != nil {
				all = append(all, c)
			}
		}
	}
	return all
}

// substituted returns what Kubernetes replaces in a text: $(NAME) by a variable, and
// $ with anything else behind it by a $.
func substituted(text string) (names []string) {
	for _, m := range regexp.MustCompile(`\$(?:\(([^)]*)\)|.)`).FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[0], "$(") && strings.HasSuffix(m[0], ")") {
			names = append(names, m[1])
		}
	}
	return names
}

// ofAnyPod asks about the templates of StatefulSets and Deployments, and about Pods
// of nobody when they are created.
func ofAnyPod(f func(w *world, o Object, pod *corev1.PodSpec) validators.Level) oracle {
	return exceptUpdatesOfPods(func(w *world, obj Object) validators.Level {
		switch o := obj.(type) {
		case sts:
			return f(w, o, &o.Spec.Template.Spec)
		case deployment:
			return f(w, o, &o.Spec.Template.Spec)
		case *corev1.Pod:
			if ownerOf(o) == nil {
				return f(w, o, &o.Spec)
			}
		}
		return nothing
	})
}

// podReads is what a rule looks at in templates.
func podReads(f func(pod *corev1.PodSpec) []any) func(w *world, o Object) any {
	return func(_ *world, o Object) any {
		switch o := o.(type) {
		case sts:
			return f(&o.Spec.Template.Spec)
		case deployment:
			return f(&o.Spec.Template.Spec)
		}
		return nil
	}
}

// texts are what the containers of a Pod are told.
func texts(pod *corev1.PodSpec) (all []any) {
	for _, list := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for _, c := range list {
			for i, said := range []any{c.Command, c.Args, c.Env, c.EnvFrom} {
				if n := []int{len(c.Command), len(c.Args), len(c.Env), len(c.EnvFrom)}[i]; n > 0 {
					all = append(all, c.Name, i, said)
				}
			}
		}
		all = append(all, "|")
	}
	return all
}
