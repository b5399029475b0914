// Package serve runs the webhook server: its flags, its certificates, and what it
// listens on and watches. probe.go asks whether it is asked.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/cluster/cache/trim"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/config"
	"stayput.dev/internal/kubeconfig"
	"stayput.dev/webhook"
	"stayput.dev/webhook/repair"
)

// serveFlags are what may differ between two Pods of one Deployment.
type serveFlags struct {
	listen, healthListen, metricsListen string
	kubeconfig, config                  string
	standalone                          bool
	manifests                           string
	certificates                        certificateFlags
	drain                               time.Duration
	logLevel                            string
	namespace                           string

	snapshot Snapshot
}

// A Snapshot reads the manifests of a file or a directory as a cluster; of none
// where the path is empty. Errors name the flag --manifests.
type Snapshot func(path string) (*cluster.Snapshot, error)

// settle is how long endpoints take to become known throughout a cluster, with
// room to spare. In kind 1 of 5 015 admissions failed without it, at 36 a second.
const settle = 10 * time.Second

// Command returns the command that serves. Without a reader of manifests it
// needs an API server: there is no --standalone.
func Command(snapshot Snapshot) *cobra.Command {
	f := serveFlags{snapshot: snapshot}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer the API server's admission requests",
		Long: `Answer AdmissionReviews at /validate and /mutate.

In a cluster, or with --kubeconfig, lookups are answered from informers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.serve(cmd.Context(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", ":10250", "address of the webhook")
	flags.StringVar(&f.healthListen, "health-listen", ":8081", "address of /healthz and /readyz; 0 for none")
	flags.StringVar(&f.metricsListen, "metrics-listen", ":8080", "address of /metrics; 0 for none")
	cli.RegisterKubeconfig(flags, &f.kubeconfig)
	flags.StringVar(&f.config, "config", "", "configuration file")
	if snapshot != nil {
		cmd.Long += ` With
--standalone there is no API server at all: the manifests of a directory are
the cluster.`
		cmd.Example = `  stayput serve --kubeconfig ~/.kube/config --listen 127.0.0.1:9443 --ca-file ca.crt
  stayput serve --standalone --manifests examples/notes --listen 127.0.0.1:9443 --ca-file ca.crt
  curl --cacert ca.crt -H 'Content-Type: application/json' -d @review.json https://127.0.0.1:9443/validate`
		flags.BoolVar(&f.standalone, "standalone", false, "work without an API server")
		flags.StringVar(&f.manifests, "manifests", "", "with --standalone: the directory of manifests that is the cluster")
	}
	f.certificates.register(flags)
	flags.StringVar(&f.namespace, "namespace", "",
		"namespace that Stayput runs in; without it, that of the Pod's service account")
	flags.DurationVar(&f.drain, "drain", 100*time.Second, "how long to serve on after SIGTERM while clients leave")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug (one line for each request), info, warn or error")
	return cmd
}

func (f *serveFlags) serve(ctx context.Context, stderr io.Writer) error {
	logger, err := f.logger(stderr)
	if err != nil {
		return err
	}
	go cli.TuneGarbage(ctx)
	s, err := config.Load(f.config)
	if err != nil {
		return err
	}
	if f.manifests != "" && !f.standalone {
		return errors.New("--manifests: needs --standalone")
	}
	if err := f.prepareCertificates(); err != nil {
		return err
	}
	source, err := f.certificates.open(logger)
	if err != nil {
		return err
	}
	// First, before anything slow, so that a port in use is reported at once.
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", f.listen, err)
	}
	w := &webhook.Webhook{
		Environment: s.Environment, Policy: s.Policy, Mutators: s.Mutators,
		Limits: webhook.DefaultLimits(), Log: logger,
	}
	server := &webhook.Server{Listener: listener, Source: source, Log: logger, Drain: f.drain, Settle: settle,
		Callers: f.certificates.callers}
	if f.standalone {
		err = f.runStandalone(ctx, w, server)
	} else {
		err = f.runInCluster(ctx, w, server, s.Repair)
	}
	if err != nil {
		_ = listener.Close()
	}
	return err
}

func (f *serveFlags) logger(out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: must be debug, info, warn or error", f.logLevel)
	}
	handler := slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetSlogLogger(slog.New(handler))
	return slog.New(handler), nil
}

// runStandalone serves a directory of manifests.
func (f *serveFlags) runStandalone(ctx context.Context, w *webhook.Webhook, server *webhook.Server) error {
	snapshot, err := f.snapshot(f.manifests)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	w.Environment.Source, w.Environment.Finder, w.Metrics = snapshot, snapshot, webhook.NewMetrics(registry)
	server.Handler = w.Handler()
	group, ctx := errgroup.WithContext(ctx)
	keepCertificates := f.certificates.alone(server, registry)
	group.Go(func() error { return keepCertificates(ctx) })
	group.Go(func() error { return server.Start(ctx) })
	for _, side := range []struct {
		flag, address string
		handler       http.Handler
	}{
		{"--health-listen", f.healthListen, health(server)},
		{"--metrics-listen", f.metricsListen, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})},
	} {
		if side.address == "0" {
			continue
		}
		l, err := net.Listen("tcp", side.address)
		if err != nil {
			return fmt.Errorf("%s %s: %w", side.flag, side.address, err)
		}
		srv := &http.Server{Handler: side.handler, ReadHeaderTimeout: 5 * time.Second}
		group.Go(func() error { return ignoreClosed(srv.Serve(l)) })
		group.Go(func() error { <-ctx.Done(); return srv.Close() })
	}
	return group.Wait()
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func health(server *webhook.Server) http.Handler {
	mux := http.NewServeMux()
	for path, check := range map[string]healthz.Checker{"/healthz": healthz.Ping, "/readyz": server.Ready} {
		mux.Handle(path, http.StripPrefix(path, &healthz.Handler{Checks: map[string]healthz.Checker{"serving": check}}))
	}
	return mux
}

// runInCluster serves beside an API server, with an informer for each kind
// that a lookup is about.
func (f *serveFlags) runInCluster(ctx context.Context, w *webhook.Webhook, server *webhook.Server,
	repair repair.Mode) error {
	config, err := f.restConfig()
	if err != nil {
		return err
	}
	watching, err := watchingClient(config)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  cluster.Scheme(),
		Cache:                   cacheOptions(watching),
		Metrics:                 metricsserver.Options{BindAddress: f.metricsListen},
		HealthProbeBindAddress:  f.healthListen,
		GracefulShutdownTimeout: new(f.drain + 10*time.Second),
	})
	if err != nil {
		return fmt.Errorf("prepare to serve: %w", err)
	}
	reads, err := webhook.Watches(w.Policy.Rules, w.Mutators)
	if err != nil {
		return err
	}
	caches := cache.Caches{}
	for _, obj := range reads {
		switch served, err := serves(mgr.GetRESTMapper(), obj); {
		case err != nil:
			return fmt.Errorf("watch %T at %s: %w", obj, config.Host, err)
		case !served:
			w.Log.Info("the API server does not serve this kind: it is asked for when it is needed",
				"kind", fmt.Sprintf("%T", obj))
			continue
		}
		informer, err := mgr.GetCache().GetInformer(ctx, obj, ctrlcache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T at %s: %w", obj, config.Host, err)
		}
		if err := caches.Add(obj, informer); err != nil {
			return err
		}
	}
	w.Metrics = webhook.NewMetrics(metrics.Registry)
	asked, err := cache.Live(config, cache.Reader(mgr.GetAPIReader()))
	if err != nil {
		return err
	}
	w.Environment.Source, w.Environment.Finder = cache.Cached(cache.Reader(mgr.GetCache())), caches
	w.Environment.Live = cache.Shared(w.Metrics.Counted(asked))
	servers, err := cache.NewServers(config, w.Log)
	if err != nil {
		return err
	}
	servers.Ask(ctx) // so that it is known from the first request on
	w.Environment.Kubernetes = servers
	server.Handler = w.Handler()
	if err := f.addRepair(mgr, w, repair); err != nil {
		return err
	}
	keepCertificates, err := f.certificates.connect(config, server, metrics.Registry)
	if err != nil {
		return err
	}
	if err := errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("serving", server.Ready),
		mgr.Add(everyReplica{keepCertificates}),
		mgr.Add(everyReplica{servers.Start}),
		mgr.Add(server),
	); err != nil {
		return fmt.Errorf("prepare to serve: %w", err)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// serves says whether the API server serves a kind. Of one that all versions do
// it is not asked.
func serves(mapper meta.RESTMapper, obj cluster.Object) (bool, error) {
	kind := cluster.KnownObject(obj)
	if !kind.Optional {
		return true, nil
	}
	gvk := kind.GVK()
	_, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	return err == nil, err
}

func (f *serveFlags) restConfig() (*rest.Config, error) {
	config, err := kubeconfig.Connection(f.kubeconfig, "")
	if errors.Is(err, kubeconfig.ErrNoCluster) {
		return nil, fmt.Errorf("%w; --standalone needs none", err)
	}
	if err != nil {
		return nil, err
	}
	// No limit of our own: only what is not in a cache, and what would deny, goes
	// to the API server, in at most as many requests at a time as are answered. A
	// limit would queue them until their deadlines; the API server has its own.
	config.QPS = -1
	return config, nil
}

// watchingClient returns the client of the caches, which removes unread fields.
// Most caches begin with a list (package packed). It uses HTTP/1.1: HTTP/2,
// with its small frames, takes a third more CPU in the API server, and more in
// this process as well. It is uncompressed, as watches are.
func watchingClient(config *rest.Config) (*http.Client, error) {
	listing := rest.CopyConfig(config)
	listing.NextProtos, listing.DisableCompression = []string{"http/1.1"}, true
	watches, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare to watch %s: %w", config.Host, err)
	}
	lists, err := rest.TransportFor(listing)
	if err != nil {
		return nil, fmt.Errorf("prepare to list from %s: %w", config.Host, err)
	}
	return &http.Client{Transport: trim.Transport(watches, lists), Timeout: config.Timeout}, nil
}

// cacheOptions make caches that strip unread fields, pack kinds with many
// objects, and return objects without a copy: rules never edit what a lookup
// returned.
func cacheOptions(watching *http.Client) ctrlcache.Options {
	return ctrlcache.Options{
		HTTPClient:                   watching,
		NewInformer:                  cache.NewInformer,
		ReaderFailOnMissingInformer:  true,
		DefaultUnsafeDisableDeepCopy: new(true),
		DefaultTransform:             cache.Strip,
	}
}

// everyReplica runs a function on every replica, not only on a leader.
type everyReplica struct{ start func(context.Context) error }

func (r everyReplica) Start(ctx context.Context) error { return r.start(ctx) }
func (everyReplica) NeedLeaderElection() bool          { return false }

var _ manager.LeaderElectionRunnable = everyReplica{}
