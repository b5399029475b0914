package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/internal/config"
	"stayput.dev/manifest"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

func mutateCommand() *cobra.Command {
	var file string
	var kustomizations []string
	var meaning meaningFlags
	var diff bool
	cmd := &cobra.Command{
		Use:   "mutate [PATH...] [-k DIR]",
		Short: "Print manifests as admission would make them",
		Long: `Print manifests as admission would make them, as YAML, or what would change with
--diff. A mutator that has to look up a kind that the manifests do not hold
leaves the object as it is, and standard error says so.`,
		Example: `  stayput mutate deploy/ --diff
  helm template ./chart | stayput mutate - > rendered.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args)+len(kustomizations) == 0 {
				return errors.New("nothing to mutate: give a file, a directory, - for standard input, or -k DIR")
			}
			if err := meaning.check(); err != nil {
				return err
			}
			if err := linked.needs(false, kustomizations); err != nil {
				return err
			}
			meaning.warn(cmd.ErrOrStderr())
			s, err := config.Load(file)
			if err != nil {
				return err
			}
			in, err := sources{paths: args, kustomizations: kustomizations, stdin: cmd.InOrStdin()}.read()
			if err != nil {
				return err
			}
			if len(in.errors) > 0 {
				return errors.New(in.errors[0].String())
			}
			for kind, n := range in.others {
				fmt.Fprintf(cmd.ErrOrStderr(), "stayput: %d %s left out: no convention is about that kind\n", n, kind)
			}
			m := mutation{Settings: s, diff: diff, out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr()}
			if meaning.namespace != "" {
				in.place(meaning.namespace)
			}
			snapshot := &cluster.Snapshot{}
			meaning.complete.declare(snapshot)
			return m.run(cmd.Context(), in.manifests, snapshot)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "config", "", "configuration file")
	flags.StringArrayVarP(&kustomizations, "kustomize", "k", nil, "directory of a kustomization to build and mutate")
	meaning.register(cmd)
	meaning.registerWhole(cmd)
	flags.BoolVar(&diff, "diff", false, "print what would change, as a unified diff")
	return cmd
}

// A mutation is the command mutate.
type mutation struct {
	config.Settings
	diff       bool
	out, notes io.Writer
}

func (m *mutation) run(ctx context.Context, manifests []manifest.Manifest, snapshot *cluster.Snapshot) error {
	for _, d := range manifests {
		if err := d.AddTo(snapshot); err != nil {
			return fmt.Errorf("%s:%d: %w", d.File, d.Line(""), err)
		}
	}
	environment := m.Environment
	environment.Source, environment.Finder = snapshot, snapshot
	for _, d := range manifests {
		before, err := d.JSON()
		if err != nil {
			return fmt.Errorf("%s:%d: %w", d.File, d.Line(""), err)
		}
		after, err := m.mutate(environment.View(ctx, cluster.Request{}), d, before)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", d.File, d.Line(""), err)
		}
		if err := m.print(d, before, after); err != nil {
			return err
		}
	}
	return nil
}

// mutate returns the object as it is written, patched as admission patches it.
func (m *mutation) mutate(v *cluster.View, d manifest.Manifest, raw []byte) ([]byte, error) {
	if mode, err := m.Policy.ModeFor(v, d.Object); err != nil || mode == validators.ModeOff {
		return raw, err
	}
	made, err := mutators.Apply(v, m.Mutators, nil, d.Object)
	if errors.Is(err, cluster.ErrUnknown) {
		fmt.Fprintf(m.notes, "%s:%d: left as it is: %v\n", d.File, d.Line(""), err)
		return raw, nil
	}
	if err != nil {
		return nil, err
	}
	for _, w := range made.Warnings {
		fmt.Fprintf(m.notes, "%s:%d: %s\n", d.File, d.Line(""), w)
	}
	ops, err := made.Patch(raw)
	if err != nil || len(ops) == 0 {
		return raw, err
	}
	text, err := json.Marshal(ops)
	if err != nil {
		return nil, err
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		return nil, err
	}
	return patch.Apply(raw)
}

func (m *mutation) print(d manifest.Manifest, before, after []byte) error {
	is, err := yaml.JSONToYAML(after)
	if err != nil {
		return err
	}
	if !m.diff {
		_, err = fmt.Fprintf(m.out, "---\n%s", is)
		return err
	}
	was, err := yaml.JSONToYAML(before)
	if err != nil {
		return err
	}
	_, err = io.WriteString(m.out, udiff.Unified(fmt.Sprintf("%s:%d", d.File, d.Line("")),
		fmt.Sprintf("%s, as admitted", objectOf(d.Object)), string(was), string(is)))
	return err
}
