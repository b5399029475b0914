//go:build !light

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/config"
	"stayput.dev/rehearsal"
	"stayput.dev/validators"
)

// A rehearser is the command rehearse.
type rehearser struct {
	clusterFlags
	config, as string
	formats    []string
	try        bool
}

var rehearsalFormats = []string{"text", "json", "markdown"}

func rehearseCommand() *cobra.Command {
	var r rehearser
	cmd := &cobra.Command{
		Use:   "rehearse [AUDITLOG...]",
		Short: "Replay the audit log against enforce: who would have been denied",
		Long: `Replay what the API server's audit log recorded against the rules, as if every
namespace that is not off were in enforce: what would have been denied, to whom,
by which rule, how often, and the narrowest configuration that lets these callers
through. Entries that let a disk be destroyed are commented out. The present
cluster is read, as audit reads it: it has the objects that the log does not, and
says what would be denied if it were made anew.

An AUDITLOG is a file of audit.k8s.io/v1 events: JSON objects, as the API server
writes them, one a line, or an EventList as JSON or YAML; compressed by gzip or not.
Rotated files and those of several API servers may be given in any order. They are
read twice, and take no memory for their length. Creations and updates need the
level Request; patches, and deletions of what is gone by now, RequestResponse. What
cannot be replayed is listed, with the reason.

--try-deletions tries, for one instance of each kind of custom resource that owns a
StatefulSet or claims, what its operator does at the end: it makes the StatefulSet
anew, and deletes the claims, the StatefulSet and the volumes. The rules say what
enforce would deny, and the API server, in a dry run under the operator's account,
what it and its webhooks do. That needs the right to impersonate. Nothing is changed.

Exit code 0: nothing would be denied. 1: something would. 2: bad usage, or
something could not be read.`,
		Example: `  stayput rehearse audit.log --config stayput.yaml
  stayput rehearse audit-*.log.gz audit.log --format text --format json=rehearsal.json
  stayput rehearse --try-deletions --as system:serviceaccount:databases:operator`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.config, "config", "", "configuration file")
	flags.StringArrayVarP(&r.formats, "format", "f", nil,
		"FORMAT or FORMAT=FILE, several times: "+strings.Join(rehearsalFormats, ", ")+" (default text)")
	flags.BoolVar(&r.try, "try-deletions", false, "try the re-creation and deletion of one instance of each owner's kind")
	flags.StringVar(&r.as, "as", "", "account of the operators; else the log or a field manager's name tells")
	r.clusterFlags.register(flags)
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(rehearsalFormats,
		cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *rehearser) run(ctx context.Context, files []string, stdout, stderr io.Writer) error {
	outs, err := parseOutputs(c.formats, rehearsalFormats)
	if err != nil {
		return err
	}
	if len(files) == 0 && !c.try {
		return errors.New("nothing to rehearse: give a file of the audit log, or --try-deletions")
	}
	s, err := config.Load(c.config)
	if err != nil {
		return err
	}
	go cli.LimitGarbage(ctx)
	bar := newProgress(stderr)
	snapshot := cache.NewSnapshot()
	f, err := c.fetcher(snapshot, bar)
	if err != nil {
		return err
	}
	problems := newReport(s, "rehearse", validators.Deny)
	subjects, err := (&auditor{}).read(ctx, f, s, labels.Everything(), problems)
	if err != nil {
		return err
	}
	log := rehearsal.NewLog(kindsOf(s.Policy.Rules))
	defer log.Close()
	for _, file := range files {
		if err := log.Add(file); err != nil {
			return err
		}
	}
	environment := s.Environment
	environment.Source, environment.Finder = snapshot, snapshot
	if environment.Kubernetes, err = f.versionsFor(ctx, problems); err != nil {
		return err
	}
	r := rehearsal.New(*s.Policy, s.Mutators, environment)
	if err := r.Replay(ctx, snapshot, log); err != nil {
		return err
	}
	for _, ref := range subjects {
		subject, err := ref.get(ctx, snapshot)
		if err != nil {
			return err
		}
		r.MadeNow(ctx, subject.Object)
	}
	if c.try {
		if err := c.trials(ctx, f, environment, r); err != nil {
			return err
		}
	}
	r.Finish()
	err = writeOutputs(outs, stdout, stderr, r.Sentence(), func(format string, w io.Writer) error {
		switch format {
		case "json":
			return r.JSON(w)
		case "markdown":
			return r.Markdown(w)
		}
		return r.Text(w)
	})
	switch {
	case err != nil:
		return err
	case len(problems.Errors) > 0:
		return fmt.Errorf("not all could be read: %s", problems.Errors[0])
	case r.Denies():
		return cli.ErrFindings
	}
	return nil
}

// kindsOf returns the kinds that rules are about.
func kindsOf(rules []*validators.Rule) (kinds []schema.GroupVersionKind) {
	for _, r := range rules {
		for _, check := range r.Checks {
			kinds = append(kinds, check.Kind)
		}
	}
	return kinds
}

// trials tries one instance of each kind of owner.
func (c *rehearser) trials(ctx context.Context, f *fetcher, environment cluster.Environment, r *rehearsal.Rehearsal,
) error {
	instances, err := rehearsal.Instances(environment.View(ctx, cluster.Request{}))
	if err != nil {
		return err
	}
	config, err := c.restConfig()
	if err != nil {
		return err
	}
	for _, i := range instances {
		subject := i.Subject()
		if subject == nil {
			continue
		}
		as, by := c.as, "--as"
		if as == "" {
			as, by = r.Account(subject), "the log"
		}
		if as == "" {
			as, by = accountByManager(ctx, f, subject), "the field manager"
		}
		r.Try(ctx, i, as, by, dryRuns(config))
	}
	return nil
}

// accountByManager returns the one service account that is called what manages
// the fields of an object, or "".
func accountByManager(ctx context.Context, f *fetcher, obj cluster.Object) string {
	kind, err := cluster.GVK(obj)
	if err != nil {
		return ""
	}
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(kind)
	if err := f.client.Get(ctx, cluster.KeyOf(obj), live); err != nil {
		return ""
	}
	accounts, err := f.metadata(ctx, corev1.SchemeGroupVersion.WithKind("ServiceAccount"), metav1.NamespaceAll)
	if err != nil {
		return ""
	}
	found := map[string]bool{}
	for _, entry := range live.ManagedFields {
		for _, a := range accounts {
			if entry.Subresource == "" && a.Name == entry.Manager {
				found["system:serviceaccount:"+a.Namespace+":"+a.Name] = true
			}
		}
	}
	if len(found) != 1 {
		return ""
	}
	for name := range found {
		return name
	}
	return ""
}

// dryRuns returns a server that answers dry runs under the account of others.
func dryRuns(config *rest.Config) rehearsal.Server {
	return func(ctx context.Context, user authenticationv1.UserInfo, verb string, obj cluster.Object) string {
		as := rest.CopyConfig(config)
		as.Impersonate = rest.ImpersonationConfig{UserName: user.Username, Groups: user.Groups}
		cl, err := client.New(as, client.Options{Scheme: cluster.Scheme()})
		if err != nil {
			return err.Error()
		}
		obj = obj.DeepCopyObject().(cluster.Object)
		if verb == "create" {
			obj.SetResourceVersion("")
			obj.SetUID("")
			// Admission is asked before the name is looked for, which is taken.
			if err = cl.Create(ctx, obj, client.DryRunAll); apierrors.IsAlreadyExists(err) {
				return ""
			}
		} else {
			err = cl.Delete(ctx, obj, client.DryRunAll, client.PropagationPolicy(metav1.DeletePropagationBackground))
		}
		if err == nil {
			return ""
		}
		return strings.Join(strings.Fields(err.Error()), " ")
	}
}
