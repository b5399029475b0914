package validators

import (
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// addressed says whether the command, arguments or environment of a container
// name a Pod of a StatefulSet under a Service: db-0.peers. If own is true, the
// Pod is one of the StatefulSet, and a variable for its own name counts too:
// $(POD_NAME).peers.
func addressed(spec *corev1.PodSpec, sts, service string, own bool) bool {
	for _, c := range containers(spec) {
		for _, list := range [][]string{c.item.Command, c.item.Args} {
			for _, text := range list {
				if namesPod(text, sts, service, own) {
					return true
				}
			}
		}
		for i := range c.item.Env {
			if namesPod(c.item.Env[i].Value, sts, service, own) {
				return true
			}
		}
	}
	return false
}

// namesPod says whether a text holds <sts>-<ordinal>.<service> or, if variables
// is true, a variable followed by .<service>.
func namesPod(text, sts, service string, variables bool) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], "."+service)
		if i < 0 {
			return false
		}
		dot := from + i
		from = dot + 1 + len(service)
		if from < len(text) && isNameByte(text[from]) {
			continue // another Service, with a longer name
		}
		if podName(text[:dot], sts) || variables && variable(text[:dot]) {
			return true
		}
	}
}

// podName says whether a text ends in the name of a Pod of a StatefulSet.
func podName(text, sts string) bool {
	name := strings.TrimRightFunc(text, isNameRune)
	ordinal, ok := strings.CutPrefix(text[len(name):], sts+"-")
	return ok && ordinal != "" && strings.Trim(ordinal, "0123456789") == ""
}

// variable says whether a text ends in a variable: $(NAME), ${NAME} or $NAME.
func variable(text string) bool {
	for _, pair := range []string{"()", "{}"} {
		if inner, ok := strings.CutSuffix(text, pair[1:]); ok {
			i := strings.LastIndex(inner, "$"+pair[:1])
			return i >= 0 && strings.TrimFunc(inner[i+2:], isVariableRune) == ""
		}
	}
	before := strings.TrimRightFunc(text, isVariableRune)
	return len(before) < len(text) && strings.HasSuffix(before, "$")
}

// isNameByte says whether a byte may stand in the name of a Pod or a Service.
func isNameByte(c byte) bool { return isNameRune(rune(c)) }

func isNameRune(c rune) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}

func isVariableRune(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// templatesIn returns the Pod templates of the StatefulSets and Deployments of
// a namespace. If one of the kinds is not known, it returns the templates of
// the other together with the error, [cluster.ErrUnknown].
func templatesIn(v *cluster.View, namespace string) (all []*corev1.PodSpec, err error) {
	var unknown error
	sets, err := cluster.List[appsv1.StatefulSetList](v, cluster.InNamespace(namespace))
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		unknown = fmt.Errorf("list StatefulSets: %w", err)
	case err != nil:
		return nil, fmt.Errorf("list StatefulSets: %w", err)
	default:
		for i := range sets.Items {
			all = append(all, &sets.Items[i].Spec.Template.Spec)
		}
	}
	deployments, err := cluster.List[appsv1.DeploymentList](v, cluster.InNamespace(namespace))
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		return all, fmt.Errorf("list Deployments: %w", err)
	case err != nil:
		return nil, fmt.Errorf("list Deployments: %w", err)
	}
	for i := range deployments.Items {
		all = append(all, &deployments.Items[i].Spec.Template.Spec)
	}
	return all, unknown
}

// known returns an error unless it only says that a kind is not known here.
func known(err error) error {
	return cluster.Failed(err)
}

// presumed says whether the rule can go on: err is nil, or says that the
// manifests hold no object of a kind. It then takes that kind as empty; its
// findings are no more than warnings from then on, and where it has none, it
// must return err.
func (p *Pass) presumed(err error) bool {
	if err == nil {
		return true
	}
	if !p.Cluster.Manifests() || !errors.Is(err, cluster.ErrUnknown) {
		return false
	}
	p.presumes = true
	return true
}
