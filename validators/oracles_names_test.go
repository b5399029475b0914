package validators_test

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/validators"
)

// Oracles of the rules about names that Pods themselves use.

var _ = register(map[string]oracle{
	"workload-env-order": ofAnyPod(func(_ *world, _ client.Object, pod *corev1.PodSpec) validators.Level {
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
})

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
func ofAnyPod(f func(w *world, o client.Object, pod *corev1.PodSpec) validators.Level) oracle {
	return exceptUpdatesOfPods(func(w *world, obj client.Object) validators.Level {
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
func podReads(f func(pod *corev1.PodSpec) []any) func(w *world, o client.Object) any {
	return func(_ *world, o client.Object) any {
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
