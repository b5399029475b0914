package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"stayput.dev/cluster"
)

// namespaced is what --complete means without kinds: what a chart brings.
const namespaced = "namespaced"

// A completeFlag is the flag --complete: the kinds of which the manifests hold
// all objects that there are. It implements pflag.Value.
type completeFlag struct {
	kinds []*cluster.Kind
	whole bool // --assume-complete
}

// String implements pflag.Value.
func (c *completeFlag) String() string {
	var names []string
	for _, k := range c.kinds {
		names = append(names, k.GVK().Kind)
	}
	return strings.Join(names, ",")
}

// Type implements pflag.Value. It is the placeholder in the help.
func (c *completeFlag) Type() string { return "KIND,..." }

// Set implements pflag.Value. A kind may be named as in a manifest or as for
// kubectl: StorageClass, storageclass or storageclasses.
func (c *completeFlag) Set(value string) error {
	for name := range strings.SplitSeq(value, ",") {
		before := len(c.kinds)
		for i := range cluster.Kinds {
			k := &cluster.Kinds[i]
			if name == namespaced && !k.ClusterScoped || strings.EqualFold(name, k.GVK().Kind) ||
				strings.EqualFold(name, k.Resource) {
				c.kinds = append(c.kinds, k)
			}
		}
		if len(c.kinds) == before {
			return fmt.Errorf("%q is no kind that a rule looks up; the form is --complete or --complete=KIND,... "+
				"with KIND one of %s", name, strings.Join(completable(), ", "))
		}
	}
	return nil
}

// completable returns what --complete may name.
func completable() []string {
	names := []string{namespaced}
	for i := range cluster.Kinds {
		names = append(names, cluster.Kinds[i].GVK().Kind)
	}
	slices.Sort(names[1:])
	return names
}

// meaningFlags are the flags of lint, lsp and mutate that say what manifests stand
// for.
type meaningFlags struct {
	complete  completeFlag
	namespace string
}

func (m *meaningFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(&m.complete, "complete", "take the manifests for all objects of these kinds that there are; without "+
		"kinds, for all namespaced ones, as in a chart")
	flags.Lookup("complete").NoOptDefVal = namespaced
	_ = cmd.RegisterFlagCompletionFunc("complete", cobra.FixedCompletions(completable(),
		cobra.ShellCompDirectiveNoFileComp))
	flags.StringVarP(&m.namespace, "namespace", "n", "", "the namespace of objects that name none, as for the command "+
		"that applies them")
}

// registerWhole adds the flag that --complete has replaced.
func (m *meaningFlags) registerWhole(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&m.complete.whole, "assume-complete", false, "deprecated: --complete of all kinds, but classes "+
		"only if the manifests hold some")
}

// warn tells of a flag that is deprecated.
func (m *meaningFlags) warn(w io.Writer) {
	if m.complete.whole {
		fmt.Fprintln(w, "stayput: --assume-complete is deprecated: use --complete, or --complete=KIND,...")
	}
}

func (m *meaningFlags) check() error {
	if m.namespace == "" {
		return nil
	}
	if errs := validation.IsDNS1123Label(m.namespace); len(errs) > 0 {
		return fmt.Errorf("--namespace %q: %s", m.namespace, errs[0])
	}
	return nil
}

// declare tells a snapshot of which kinds it has all objects. For
// --assume-complete these are all kinds but classes: no manifests are a cluster
// without a StorageClass.
func (c *completeFlag) declare(snapshot *cluster.Snapshot) {
	for _, k := range c.kinds {
		snapshot.Know(k.GVK())
	}
	for i := range cluster.Kinds {
		if k := &cluster.Kinds[i]; c.whole && k.Resource != "storageclasses" {
			snapshot.Know(k.GVK())
		}
	}
}
