//go:build !light

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/internal/config"
	"stayput.dev/internal/kubeconfig"
	"stayput.dev/report"
	"stayput.dev/webhook"
)

// requestTimeout is how long one answer of the API server may take.
const requestTimeout = time.Minute

func (c *clusterFlags) restConfig() (*rest.Config, error) {
	if c.chunkSize < 1 {
		return nil, fmt.Errorf("--chunk-size %d: must be at least 1", c.chunkSize)
	}
	config, err := kubeconfig.Connection(c.kubeconfig, c.context)
	if err != nil {
		return nil, err
	}
	config.Timeout = requestTimeout
	// Warnings of a proxy or of a newer API server are no findings.
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

// A fetcher lists kinds of a live cluster into memory, page by page.
type fetcher struct {
	client     client.Client
	config     *rest.Config
	chunkSize  int64
	namespaces []string          // empty for all
	into       *cluster.Snapshot // whose objects the fetcher may edit
	progress   *progress
	keep       func(cluster.Object) // sees each object
}

func (c *clusterFlags) fetcher(into *cluster.Snapshot, bar *progress) (*fetcher, error) {
	config, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	cl, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return &fetcher{client: cl, config: config, chunkSize: c.chunkSize, into: into, progress: bar}, nil
}

// versionsFor asks the API servers for their releases. If none answers, these are
// unknown, and the report says so.
func (f *fetcher) versionsFor(ctx context.Context, r *report.Report) (cluster.Versions, error) {
	servers, err := cache.NewServers(f.config, slog.New(slog.DiscardHandler))
	if err != nil {
		return cluster.Versions{}, err
	}
	v, err := servers.ReadAll(ctx)
	if err != nil {
		r.Errors = append(r.Errors, report.Problem{Message: fmt.Sprintf(
			"read the API server's version: %s; what depends on it counts as unknown", err)})
	}
	return v, nil
}

// fetch lists one kind. If that is forbidden, it records a problem, and the
// kind stays unknown. Any other error means that the cluster does not answer.
func (f *fetcher) fetch(ctx context.Context, gvk schema.GroupVersionKind) (*report.Problem, error) {
	namespaces := f.namespaces
	if len(namespaces) == 0 || !cluster.Namespaced(gvk.GroupKind()) {
		namespaces = []string{metav1.NamespaceAll}
	}
	done := f.progress.begin("listing "+gvk.Kind+"s", -1)
	defer done()
	read := 0
	for _, ns := range namespaces {
		err := f.list(ctx, gvk, ns, func(obj cluster.Object) error {
			read++
			f.progress.step()
			if f.keep != nil {
				f.keep(obj)
			}
			cluster.StripManagedFields(obj)
			return f.into.Add(obj)
		})
		if err != nil { // an incomplete kind would be taken for complete
			f.into.Forget(gvk)
		}
		if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) && read > 0 {
			return &report.Problem{Message: fmt.Sprintf("list %s: %s; its rules are skipped", several(gvk.Kind), err)}, nil
		}
		if meta.IsNoMatchError(err) { // an older API server, which cannot say
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %s at %s: %w; nothing is reported, for half a cluster would look wrong",
				several(gvk.Kind), f.config.Host, err)
		}
	}
	f.into.Know(gvk)
	return nil, nil
}

// list calls each with the objects of a kind. If a list takes so long that its
// continue token expires, it starts again, without pages.
func (f *fetcher) list(ctx context.Context, gvk schema.GroupVersionKind, namespace string,
	each func(cluster.Object) error) error {
	p := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		empty, err := cluster.Scheme().New(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err != nil {
			return nil, err
		}
		list, ok := empty.(cluster.ObjectList)
		if !ok {
			return nil, fmt.Errorf("%s is no list", gvk)
		}
		return list, f.client.List(ctx, list, &client.ListOptions{Namespace: namespace, Limit: opts.Limit,
			Continue: opts.Continue, Raw: &opts})
	})
	p.PageSize = f.chunkSize
	p.PageBufferSize = 1 // one is read while another is on its way
	return p.EachListItem(ctx, metav1.ListOptions{}, func(obj runtime.Object) error {
		o, ok := obj.(cluster.Object)
		if !ok {
			return fmt.Errorf("%T is no object", obj)
		}
		return each(o)
	})
}

// several returns the plural of a kind.
func several(kind string) string {
	if strings.HasSuffix(kind, "s") {
		return kind + "es"
	}
	return kind + "s"
}

// list lists the cluster, and asks for the releases of its API servers.
func (l *linter) list(ctx context.Context, s config.Settings, bar *progress) (*listed, error) {
	reads, err := webhook.Reads(s.Policy.Rules, s.Mutators)
	if err != nil {
		return nil, err
	}
	all := &listed{objects: &cluster.Snapshot{}}
	f, err := l.clusterFlags.fetcher(all.objects, bar)
	if err != nil {
		return nil, err
	}
	for _, obj := range reads {
		gvk, err := cluster.GVK(obj)
		if err != nil {
			return nil, err
		}
		problem, err := f.fetch(ctx, gvk)
		if err != nil {
			return nil, err
		}
		if problem != nil {
			all.problems.Errors = append(all.problems.Errors, *problem)
		}
		all.kinds = append(all.kinds, gvk)
	}
	if l.kubernetes == "" {
		all.versions, err = f.versionsFor(ctx, &all.problems)
	}
	return all, err
}
