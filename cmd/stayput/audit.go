//go:build !light

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/config"
	"stayput.dev/report"
	"stayput.dev/validators"
	"stayput.dev/webhook"
)

// An auditor is the command audit.
type auditor struct {
	reportFlags
	namespaces []string
	selector   string
	report     string
}

func auditCommand() *cobra.Command {
	var a auditor
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Review a live cluster, and take stock of its data",
		Long: `Review what a cluster has as lint reviews manifests, and take stock: StatefulSets,
claims, volumes, what would be destroyed with its claim, claims that nobody
needs, and names that do not resolve. Of every custom resource that owns claims or
StatefulSets, it says which claims and disks go with it and which stay, and the
command that keeps them: the garbage collector deletes these, and no rule is asked.
Of custom resources only the metadata is read, with your rights; a kind that you may
not list is named. Audit only reads, unless --report says so.

Exit code 0: nothing at or above --fail-on was found. 1: something was. 2: bad
usage, or something could not be read; a kind that is forbidden is named, and
the rest is reported.`,
		Example: `  stayput audit
  stayput audit -n shop -l app=web --format html=report.html
  stayput audit --report openreports`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&a.namespaces, "namespace", "n", nil, "only these namespaces, and the volumes of their claims")
	flags.StringVarP(&a.selector, "selector", "l", "",
		"review only objects with these labels; all others are still looked up")
	flags.StringVar(&a.report, "report", "", "write reports into the cluster, in the API openreports or policyreport")
	a.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("report", cobra.FixedCompletions([]string{"openreports", "policyreport"},
		cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *auditor) run(ctx context.Context, stdout, stderr io.Writer) error {
	outs, failOn, err := a.outputs()
	if err != nil {
		return err
	}
	selector, err := a.check()
	if err != nil {
		return err
	}
	s, err := config.Load(a.config)
	if err != nil {
		return err
	}
	s.Mutators = nil // what is there is not made anew
	go cli.LimitGarbage(ctx)
	bar := newProgress(stderr)
	snapshot := cache.NewSnapshot()
	f, err := a.fetcher(snapshot, bar)
	if err != nil {
		return err
	}
	f.namespaces = a.namespaces
	r := newReport(s, "audit", failOn)
	r.Time = time.Now().UTC().Format(time.RFC3339)
	subjects, err := a.read(ctx, f, s, selector, r)
	if err != nil {
		return err
	}
	r.Reviewed = reviewed(subjects, reference.reviewed)
	environment := s.Environment
	environment.Source, environment.Finder = snapshot, snapshot
	if environment.Kubernetes, err = f.versionsFor(ctx, r); err != nil {
		return err
	}
	r.Kubernetes = environment.Kubernetes.Versions().String()
	rv := &reviewer{Settings: s, progress: bar}
	stored := func(i int) (subject, error) { return subjects[i].get(ctx, snapshot) }
	if err := rv.review(ctx, environment, len(subjects), stored, r); err != nil {
		return err
	}
	r.Inventory = report.TakeInventory(environment.View(ctx, cluster.Request{}), a.wants, snapshot.Forget, f.owners(ctx))
	r.Finish()
	if a.report != "" {
		if err := a.publish(ctx, f.client, r, stderr); err != nil {
			return err
		}
	}
	return a.write(r, outs, stdout, stderr)
}

// check checks the flags.
func (a *auditor) check() (labels.Selector, error) {
	selector, err := labels.Parse(a.selector)
	if err != nil {
		return nil, fmt.Errorf("--selector %q: %w", a.selector, err)
	}
	for _, ns := range a.namespaces {
		if errs := validation.IsDNS1123Label(ns); len(errs) > 0 {
			return nil, fmt.Errorf("--namespace %q: %s", ns, strings.Join(errs, ", "))
		}
	}
	if !slices.Contains([]string{"", openReports, policyReport}, a.report) {
		return nil, fmt.Errorf("--report %q: must be %s or %s", a.report, openReports, policyReport)
	}
	return selector, nil
}

// A reference names an object to review.
type reference struct {
	kind *schema.GroupVersionKind
	types.NamespacedName
}

func (ref reference) get(ctx context.Context, from cluster.Reader) (subject, error) {
	made, err := cluster.Scheme().New(*ref.kind)
	if err != nil {
		return subject{}, err
	}
	obj := made.(cluster.Object)
	if err := from.Get(ctx, ref.NamespacedName, obj); err != nil {
		return subject{}, err
	}
	// Findings keep these strings, so use ref's, which stay in memory anyway.
	obj.SetNamespace(ref.Namespace)
	obj.SetName(ref.Name)
	return subject{Object: obj}, nil
}

func (ref reference) reviewed() report.Reviewed {
	return report.Reviewed{Object: report.Object{APIVersion: ref.kind.GroupVersion().String(), Kind: ref.kind.Kind,
		Namespace: ref.Namespace, Name: ref.Name}}
}

// read reads the kinds that rules are about or look up, and returns what is to be
// reviewed, by namespace and kind.
func (a *auditor) read(ctx context.Context, f *fetcher, s config.Settings, selector labels.Selector,
	r *report.Report) ([]reference, error) {
	reviewed := map[schema.GroupVersionKind]bool{}
	kinds := []schema.GroupVersionKind{}
	for _, rule := range s.Policy.Rules {
		for _, c := range rule.Checks {
			if (c.When == validators.Stored || c.When == validators.Created) && !cluster.Known(c.Kind).Linted {
				reviewed[c.Kind] = true
				kinds = append(kinds, c.Kind)
			}
		}
	}
	reads, err := webhook.Reads(s.Policy.Rules, nil)
	if err != nil {
		return nil, err
	}
	for _, obj := range append(reads, inventoried()...) {
		gvk, err := cluster.GVK(obj)
		if err != nil {
			return nil, err
		}
		if !cluster.Known(gvk).Linted {
			kinds = append(kinds, gvk)
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	var subjects []reference
	for _, gvk := range slices.Compact(kinds) {
		before := len(subjects)
		f.keep = func(obj cluster.Object) {
			if reviewed[gvk] && a.wantsObject(obj) && selector.Matches(labels.Set(obj.GetLabels())) {
				subjects = append(subjects, reference{&gvk, cluster.KeyOf(obj)})
			}
		}
		problem, err := f.fetch(ctx, gvk)
		if err != nil {
			return nil, err
		}
		if problem != nil {
			r.Errors = append(r.Errors, *problem)
			subjects = subjects[:before]
		}
		// A list that was started again has returned some objects twice.
		of := subjects[before:]
		slices.SortFunc(of, func(a, b reference) int {
			return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
		})
		subjects = subjects[:before+len(slices.Compact(of))]
	}
	slices.SortStableFunc(subjects, func(a, b reference) int { return strings.Compare(a.Namespace, b.Namespace) })
	return subjects, nil
}

// inventoried are the kinds that the inventory is made of.
func inventoried() []cluster.Object {
	return []cluster.Object{&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, &corev1.Service{}, &corev1.Pod{},
		&appsv1.StatefulSet{}, &appsv1.Deployment{}, &batchv1.CronJob{}, &batchv1.Job{}}
}

// wants says whether a namespace was asked for.
func (a *auditor) wants(namespace string) bool {
	return len(a.namespaces) == 0 || slices.Contains(a.namespaces, namespace)
}

// wantsObject says whether an object was asked for: a volume by the namespace
// of its claim; other cluster-scoped objects only if all namespaces were.
func (a *auditor) wantsObject(obj cluster.Object) bool {
	switch o := obj.(type) {
	case *corev1.Namespace:
		return a.wants(o.Name)
	case *corev1.PersistentVolume:
		return len(a.namespaces) == 0 || o.Spec.ClaimRef != nil && a.wants(o.Spec.ClaimRef.Namespace)
	}
	return a.wants(obj.GetNamespace())
}
