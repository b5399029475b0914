package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stayput.dev/mutators"
	"stayput.dev/validators"
	"stayput.dev/webhook/cluster"
)

func lintCommand() *cobra.Command {
	var configFile string
	var complete bool
	cmd := &cobra.Command{
		Use:   "lint PATH...",
		Short: "Review manifests as admission would",
		Long: `Review manifests as admission would. A PATH is a file, a directory (read
recursively) or - for standard input. The manifests are all that is known of
the cluster: a rule that needs a kind they do not hold is skipped.

Exit code 0: nothing would be denied. 1: something would be. 2: bad usage or
unreadable input.`,
		Example: `  stayput lint examples/notes
  helm template ./chart | stayput lint -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(configFile)
			if err != nil {
				return err
			}
			docs, skipped, err := readManifests(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			l := &linter{settings: s, out: cmd.OutOrStdout(), snapshot: cluster.Snapshot{Complete: complete}}
			return l.run(cmd.Context(), docs, skipped)
		},
	}
	cmd.Flags().StringVar(&configFile, "config", "", "configuration file")
	cmd.Flags().BoolVar(&complete, "assume-complete", false, "take the manifests for the whole cluster: what they do not hold does not exist")
	return cmd
}

// readManifests reads files, directories and, for -, standard input.
func readManifests(paths []string, stdin io.Reader) (docs []cluster.Manifest, skipped int, err error) {
	parse := func(name string, data []byte) error {
		found, n, err := cluster.ParseManifests(name, data)
		docs, skipped = append(docs, found...), skipped+n
		return err
	}
	for _, path := range paths {
		if path == "-" {
			data, err := io.ReadAll(stdin)
			if err != nil {
				return nil, 0, fmt.Errorf("read standard input: %w", err)
			}
			if err := parse("standard input", data); err != nil {
				return nil, 0, err
			}
			continue
		}
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() || name != path && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
				return nil
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return parse(name, data)
		})
		if err != nil {
			return nil, 0, err
		}
	}
	if len(docs) == 0 && skipped == 0 {
		return nil, 0, fmt.Errorf("no manifest in %s", strings.Join(paths, ", "))
	}
	return docs, skipped, nil
}

// A linter reviews manifests against each other.
type linter struct {
	settings
	snapshot cluster.Snapshot
	out      io.Writer
	denials  int
	warnings int
}

func (l *linter) run(ctx context.Context, docs []cluster.Manifest, skipped int) error {
	for _, d := range docs {
		if err := l.snapshot.Add(d.Object); err != nil {
			return fmt.Errorf("%s:%d: %w", d.File, d.Line(""), err)
		}
	}
	world := l.world
	world.Source = &l.snapshot
	for _, d := range docs {
		if err := l.review(world.View(ctx, cluster.Request{}), d); err != nil {
			return fmt.Errorf("%s:%d: %w", d.File, d.Line(""), err)
		}
	}
	fmt.Fprintf(l.out, "%d objects: %d denials, %d warnings", len(docs), l.denials, l.warnings)
	if skipped > 0 {
		fmt.Fprintf(l.out, "; %d objects of other kinds skipped", skipped)
	}
	fmt.Fprintln(l.out)
	if l.denials > 0 {
		return errFindings
	}
	return nil
}

func (l *linter) review(v *cluster.View, d cluster.Manifest) error {
	for _, err := range d.Unknown {
		l.warnings++
		fmt.Fprintf(l.out, "%s:%d: warn: %v: the API server drops it, and kubectl refuses it; is it misspelt?\n", d.File, d.Line(fieldOf(err)), err)
	}
	obj, notes, err := mutators.Apply(v, l.mutators, nil, d.Object)
	if errors.Is(err, cluster.ErrUnknown) {
		obj = d.Object
	} else if err != nil {
		return err
	}
	verdict, err := l.policy.Review(v, nil, obj)
	if err != nil {
		return err
	}
	for _, f := range verdict.Findings {
		level := f.Level
		if level == validators.Hint || level == validators.Deny {
			l.denials++
		} else {
			l.warnings++
		}
		fmt.Fprintf(l.out, "%s:%d: %s: %s\n", d.File, d.Line(f.Field), level, f)
	}
	for _, note := range append(notes, verdict.Notes...) {
		l.warnings++
		fmt.Fprintf(l.out, "%s:%d: warn: %s\n", d.File, d.Line(""), note)
	}
	for _, u := range verdict.Undecided {
		if !errors.Is(u, cluster.ErrUnknown) {
			return u
		}
		fmt.Fprintf(l.out, "%s:%d: skipped: %v\n", d.File, d.Line(""), u)
	}
	return nil
}

// fieldOf returns the path in a strict decoding error: unknown field "a.b".
func fieldOf(err error) string {
	_, rest, _ := strings.Cut(err.Error(), `"`)
	path, _, _ := strings.Cut(rest, `"`)
	return path
}
