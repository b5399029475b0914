package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/config"
	"stayput.dev/report"
)

// A linter is the command lint.
type linter struct {
	reportFlags
	kustomizations []string
	meaning        meaningFlags
	against        bool
	old            string
	pruned         bool
	kubernetes     string // --kubernetes-version
	fix, diff      bool

	live *listed // what the cluster has, once it is listed
}

// A listed is a cluster as it was when it was listed: for all reviews of one run.
type listed struct {
	kinds    []schema.GroupVersionKind
	objects  *cluster.Snapshot
	versions cluster.Versions
	problems report.Report // which has nothing else
}

func lintCommand() *cobra.Command {
	var l linter
	cmd := &cobra.Command{
		Use:   "lint [PATH...] [-k DIR]",
		Short: "Review manifests as admission would",
		Long: `Review manifests as admission would: the mutators first, then the rules. A PATH
is a file, a directory (read recursively) or - for standard input; -k builds a
kustomization. The manifests are all that is known of the cluster: a rule that
needs a kind they do not hold is skipped, and the report says so.

An object that is in the cluster (--against-cluster), or in the earlier state
that --old names, is reviewed as an update of it: what cannot be changed gets its
recipe before the rollout fails. Faults that it had before are warnings.

What differs between versions of Kubernetes is reviewed as in that of the cluster,
or in that of --kubernetes-version, or else in the newest one known.

--fix writes remedies into the files, all bytes around them untouched: what only a
new object can get (a name, a selector, what cannot change later) where
--against-cluster or --old shows that the object is new, and nothing into files that
Helm, kustomize, sops or a template made. --fix --diff shows all of it and writes nothing.

Exit code 0: nothing at or above --fail-on was found. 1: something was. 2: bad
usage or unreadable input; what could be read is reported all the same, and nothing
is written. With --fix, what it has mended does not count; with --diff it does.`,
		Example: `  stayput lint deploy/
  helm template ./chart | stayput lint -
  stayput lint -k overlays/production --against-cluster
  stayput lint deploy/ --old git:origin/main
  stayput lint deploy/ --fix --diff
  stayput lint deploy/ --format text --format sarif=stayput.sarif --format html=report.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cli.DelayGarbage()
			return l.run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&l.kustomizations, "kustomize", "k", nil, "directory of a kustomization to build and review")
	l.meaning.register(cmd)
	l.meaning.registerWhole(cmd)
	flags.BoolVar(&l.against, "against-cluster", false, "complete the manifests with what the cluster has, and review "+
		"them as changes of it")
	flags.StringVar(&l.old, "old", "", "the earlier state, which the manifests change: a directory (with -k, a "+
		"kustomization), a file, - for standard input, or git:REVISION for the same paths there")
	flags.BoolVar(&l.pruned, "pruned", false, "objects that are no longer in a file of --old are deleted: findings "+
		"about them count, too")
	flags.StringVar(&l.kubernetes, "kubernetes-version", "", "the version that the manifests are for, as 1.34 or 1.34.4; "+
		"without it that of the cluster, or "+cluster.AnyPatch(cluster.NewestMinor).String())
	flags.BoolVar(&l.fix, "fix", false, "write the remedies that are safe and certain into the files, and report the rest")
	flags.BoolVar(&l.diff, "diff", false, "with --fix, write a unified diff to standard output, and no file")
	l.register(cmd)
	return cmd
}

func (l *linter) run(ctx context.Context, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	outs, failOn, err := l.outputs()
	if err != nil {
		return err
	}
	switch {
	case len(paths)+len(l.kustomizations) == 0:
		return errors.New("nothing to lint: give a file, a directory, - for standard input, or -k DIR")
	case (len(l.meaning.complete.kinds) > 0 || l.meaning.complete.whole) && l.against:
		return errors.New("--complete and --against-cluster: only one of them can be true")
	case l.meaning.check() != nil:
		return l.meaning.check()
	case l.old != "" && l.against:
		return errors.New("--old and --against-cluster: only one of them can be the earlier state")
	case l.old == "-" && slices.Contains(paths, "-"):
		return errors.New("--old -: standard input is read for the manifests already")
	case strings.HasPrefix(l.old, gitRevision) && slices.Contains(paths, "-"):
		return errors.New("--old git:REVISION: has no standard input; give a file: --old FILE")
	case l.pruned && l.old == "":
		return errors.New("--pruned: needs --old, to say what was there")
	case l.diff && !l.fix:
		return errors.New("--diff: needs --fix, whose changes it shows")
	case !l.against && (l.kubeconfig != "" || l.context != ""):
		return errors.New("--kubeconfig and --context: need --against-cluster")
	}
	if err := linked.needs(l.against, l.kustomizations); err != nil {
		return err
	}
	versions := cluster.AnyPatch(cluster.NewestMinor)
	if l.kubernetes != "" {
		if versions, err = cluster.ParseVersions(l.kubernetes); err != nil {
			return fmt.Errorf("--kubernetes-version %w", err)
		}
	}
	s, err := config.Load(l.config)
	if err != nil {
		return err
	}
	l.meaning.warn(stderr)
	typed, err := l.typed(paths, stdin)
	if err != nil {
		return err
	}
	review := func(instead map[string][]byte) (*report.Report, *fixer, error) {
		r := newReport(s, "lint", failOn)
		x, err := l.review(ctx, s, versions, r, paths, bytes.NewReader(typed), instead, newProgress(stderr))
		return r, x, err
	}
	r, x, err := review(nil)
	if err != nil {
		return err
	}
	if l.fix && len(r.Errors) == 0 { // what cannot be read may make a fix wrong
		m, err := fixed(r, x, review)
		switch {
		case err != nil:
			return fmt.Errorf("--fix: %w", err)
		case l.diff:
			if err := writeDiff(stdout, m); err != nil {
				return err
			}
		default:
			if err := writeFiles(m.files); err != nil {
				return fmt.Errorf("--fix: %w", err)
			}
			r = m.report
		}
	}
	if l.diff {
		outs = slices.DeleteFunc(outs, func(out output) bool { return out.file == "" })
	}
	r.Fixing = l.fix
	return l.write(r, outs, stdout, stderr)
}

// typed reads standard input, where it is one of the sources, once for all
// reviews.
func (l *linter) typed(paths []string, stdin io.Reader) ([]byte, error) {
	if !slices.Contains(paths, "-") && l.old != "-" {
		return nil, nil
	}
	data, err := io.ReadAll(stdin)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return data, nil
}

// review fills in a report. Instead has what some files are to hold.
func (l *linter) review(ctx context.Context, s config.Settings, versions cluster.Versions, r *report.Report,
	paths []string, stdin io.Reader, instead map[string][]byte, bar *progress) (*fixer, error) {
	in, err := sources{paths: paths, kustomizations: l.kustomizations, stdin: stdin, instead: instead,
		progress: bar}.read()
	if err != nil {
		return nil, err
	}
	var was *olds
	if l.old != "" {
		if was, err = readOld(ctx, l.old, paths, l.kustomizations, stdin); err != nil {
			return nil, err
		}
	}
	return l.reviewInput(ctx, s, versions, r, in, was, bar)
}

// reviewInput is review of what was read: the manifests, and the state before them
// or nil.
func (l *linter) reviewInput(ctx context.Context, s config.Settings, versions cluster.Versions, r *report.Report,
	in *input, was *olds, bar *progress) (*fixer, error) {
	if namespace := l.meaning.namespace; namespace != "" {
		in.place(namespace)
		was.place(namespace)
	}
	r.Pruned = l.pruned
	r.Errors, r.Foreign, r.Summary.Others = in.errors, in.foreign, in.others
	snapshot := &cluster.Snapshot{}
	l.meaning.complete.declare(snapshot)
	if l.against {
		if l.live == nil {
			live, err := linked.list(l, ctx, s, bar)
			if err != nil {
				return nil, err
			}
			l.live = live
		}
		if err := l.live.fill(snapshot); err != nil {
			return nil, err
		}
		r.Errors = append(r.Errors, l.live.problems.Errors...)
		if l.kubernetes == "" {
			versions = l.live.versions
		}
	}
	environment := s.Environment
	environment.Source, environment.Finder = snapshot, snapshot
	environment.Manifests, environment.Kubernetes = true, versions
	r.Kubernetes = versions.String()
	rv := &reviewer{Settings: s, progress: bar, rendered: in.rendered}
	var before earlier
	switch {
	case l.against:
		var err error
		if before, err = deployed(ctx, snapshot, in.manifests); err != nil {
			return nil, err
		}
	case was != nil:
		before = rv.inOld(was)
	}
	subjects, err := rv.admitted(ctx, environment, snapshot, in.manifests, before)
	if err != nil {
		return nil, err
	}
	rv.fixer = newFixer(subjects)
	if was != nil {
		for _, m := range was.removed(in.manifests) {
			subjects = append(subjects, subject{Object: m.Object, old: m.Object, compare: true, removed: true})
		}
	}
	for i := range subjects {
		if s := &subjects[i]; s.compare {
			r.Changed(objectOf(s.Object), s.how())
		}
	}
	r.Reviewed = reviewed(subjects, func(s subject) report.Reviewed {
		if s.manifest == nil {
			return report.Reviewed{Object: objectOf(s.Object)}
		}
		return report.Reviewed{Object: objectOf(s.Object), File: s.manifest.File}
	})
	if err := rv.review(ctx, environment, len(subjects), func(i int) (subject, error) { return subjects[i], nil },
		r); err != nil {
		return nil, err
	}
	if err := rv.unread(environment.View(ctx, cluster.Request{}), in.custom, r); err != nil {
		return nil, err
	}
	byLocation(r)
	r.Finish()
	return rv.fixer, nil
}

// fill adds the cluster's objects to a snapshot. Manifests then replace those of the
// same name.
func (l *listed) fill(into *cluster.Snapshot) (err error) {
	for _, gvk := range l.kinds {
		walked := l.objects.Walk(gvk, func(obj cluster.Object) { err = errors.Join(err, into.Add(obj)) })
		switch {
		case errors.Is(walked, cluster.ErrUnknown): // it may not be listed, or is not served
		case walked != nil || err != nil:
			return errors.Join(walked, err)
		default:
			into.Know(gvk)
		}
	}
	return nil
}
