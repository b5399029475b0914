package validators

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
	"stayput.dev/internal/pattern"
)

var workloadEnvOrder = &Rule{
	Name:  "workload-env-order",
	Level: Warn,
	Loses: LosesName,
	Doc: `$(NAME) must stand below the definition of NAME

Kubernetes replaces $(NAME) by the value of the variable while it reads env from
top to bottom. In a value above the definition of NAME the text $(NAME) stays as
it is, and so does a name in command or args that no variable has: a member of a
cluster then registers under the name $(POD_NAME), or all members use one file
of that name. The API server accepts it. In a subPathExpr, a name that no
variable has prevents the creation of the container.

Move the definition up, or write $$(NAME) for the text itself. The order matters
among the values of env only: command, args and subPathExpr can use all
variables. The rule is silent where the variable may come from envFrom or from a
Service (DB_SERVICE_HOST), and where a shell reads the text.`,

	Exempt: "the program in the container replaces the text itself",

	Checks: ofPods(func(p *Pass, _ cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		links := spec.EnableServiceLinks == nil || *spec.EnableServiceLinks
		for _, c := range containers(spec) {
			if len(c.item.EnvFrom) == 0 && refers(c.item) { // envFrom may define anything
				envOrder(p, c.item, links, at.Child(c.field).Index(c.index))
			}
		}
		return nil
	}, append(inContainers("env", "envFrom", "command", "args", "volumeMounts"), "enableServiceLinks")),
}

// refers says whether any text of a container, as most have none, may refer to a
// variable.
func refers(c *corev1.Container) bool {
	reference := func(text string) bool { return strings.Contains(text, "$(") }
	return slices.ContainsFunc(c.Command, reference) || slices.ContainsFunc(c.Args, reference) ||
		slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return reference(e.Value) }) ||
		slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return reference(m.SubPathExpr) })
}

// envOrder reports the variables that a container's texts refer to and that are
// not replaced. Source: k8s.io/kubernetes@v1.37.1 pkg/kubelet/kubelet_pods.go,
// makeEnvironmentVariables.
func envOrder(p *Pass, c *corev1.Container, links bool, at *field.Path) {
	defined := map[string]int{} // index of a variable's first definition
	for i := range c.Env {
		if _, ok := defined[c.Env[i].Name]; !ok {
			defined[c.Env[i].Name] = i
		}
	}
	for i := range c.Env {
		env := &c.Env[i]
		for _, name := range variables(env.Value) {
			j, ok := defined[name]
			if !ok || j < i || ofService(name, links) {
				continue
			}
			value := at.Child("env").Index(i).Child("value")
			if j == i {
				p.Report(field.Invalid(value, short("$("+name+")"),
					"cannot be its own value; nothing defines it above, and the container gets the text $("+short(name)+")"),
					"write the value itself")
				continue
			}
			p.Report(field.Invalid(value, short("$("+name+")"),
				fmt.Sprintf("must stand below the definition of %s; above it, the container gets this very text", short(name))),
				fmt.Sprintf("move env %s above %s", name, env.Name))
		}
	}
	missing := func(name string) bool {
		_, ok := defined[name]
		return !ok && !ofService(name, links)
	}
	for i := range c.VolumeMounts {
		for _, name := range variables(c.VolumeMounts[i].SubPathExpr) {
			if missing(name) {
				p.Report(field.Invalid(at.Child("volumeMounts").Index(i).Child("subPathExpr"), short("$("+name+")"),
					"must name a variable of env; without it the container cannot be made"), defineIt(name))
			}
		}
	}
	if slices.ContainsFunc(c.Command, shell) || slices.ContainsFunc(c.Args, shell) {
		return
	}
	for _, list := range []struct {
		field string
		texts []string
	}{{"command", c.Command}, {"args", c.Args}} {
		for i, text := range list.texts {
			for _, name := range variables(text) {
				if missing(name) && asVariable().MatchString(name) {
					p.Report(field.Invalid(at.Child(list.field).Index(i), short("$("+name+")"),
						"must name a variable of env; without one, the container gets this very text"), defineIt(name))
				}
			}
		}
	}
}

// defineIt says how to define a variable; for usual names, with their usual
// source.
func defineIt(name string) string {
	path, ok := map[string]string{
		"POD_NAME": "metadata.name", "HOSTNAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace",
		"NAMESPACE": "metadata.namespace", "POD_IP": "status.podIP", "NODE_NAME": "spec.nodeName", "HOST_IP": "status.hostIP",
	}[name]
	if !ok {
		return fmt.Sprintf("env: [{name: %s, value: <value>}]", name)
	}
	return fmt.Sprintf("env: [{name: %s, valueFrom: {fieldRef: {fieldPath: %s}}}]", name, path)
}

// variables returns the names of the references that Kubernetes replaces in a
// text, each once. $$ is an escaped $. Source: k8s.io/kubernetes@v1.37.1
// third_party/forked/golang/expansion/expand.go.
func variables(text string) (names []string) {
	for {
		_, after, ok := strings.Cut(text, "$")
		if !ok || after == "" {
			return names
		}
		text = after[1:]
		if after[0] != '(' {
			continue // a $ with the character behind it, also $$
		}
		name, rest, ok := strings.Cut(text, ")")
		if !ok {
			continue
		}
		text = rest
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
}

// serviceVariable matches the names of variables that hold addresses of
// Services.
var serviceVariable = pattern.Lazy(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|` +
	`_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// ofService says whether a variable may hold the address of a Service. Those of
// the Service kubernetes are always set, the others where service links are
// enabled.
func ofService(name string, links bool) bool {
	return serviceVariable().MatchString(name) && (links || strings.HasPrefix(name, "KUBERNETES_"))
}

// asVariable matches usual names of variables. Any other text in $( ) in
// command and args is a command for a shell in the image, or syntax of the
// program.
var asVariable = pattern.Lazy(`^[A-Z_][A-Z0-9_]*$`)

// shell says whether a word of a command is a shell, or its option for a
// script.
func shell(word string) bool {
	switch path.Base(word) {
	case "sh", "ash", "bash", "dash", "ksh", "zsh", "fish", "busybox", "su", "pwsh", "powershell", "cmd", "cmd.exe":
		return true
	}
	return script().MatchString(word)
}

var script = pattern.Lazy(`^-[a-z]*c$`)
