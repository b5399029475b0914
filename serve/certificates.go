package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/certs"
	"stayput.dev/webhook"
)

// certificateFlags say where the serving certificate comes from and which
// clients may send requests.
type certificateFlags struct {
	Place
	source                    string
	certFile, keyFile, caFile string
	names                     []string
	clientCAFile              string
	clientNames               []string

	callers *certs.Callers
	trust   *certs.Trust
	metrics *certs.Metrics
}

// A Place says where in the cluster certificates and configurations are, by name.
type Place struct {
	Namespace      string // of the Service and the Secret
	Service        string // that the certificate is for
	Secret         string // of self-signed certificates
	Certificate    string // of cert-manager
	Configurations string // both have it
}

// The sources.
const (
	sourceSelfSigned  = "self-signed"
	sourceCertManager = "cert-manager"
	sourceFiles       = "files"
	sourceMemory      = "memory"
)

func (f *certificateFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.source, "certificates", "",
		"where the serving certificate comes from: self-signed, cert-manager, files or memory; without it, files with "+
			"--tls-cert-file, memory with --ca-file, else self-signed")
	flags.StringVar(&f.certFile, "tls-cert-file", "", "PEM file of the serving certificate, with files and cert-manager")
	flags.StringVar(&f.keyFile, "tls-key-file", "", "PEM file of its key")
	flags.StringVar(&f.caFile, "ca-file", "", "file to write the CA of the certificate made in memory to")
	flags.StringSliceVar(&f.names, "tls-names", nil,
		"DNS names and addresses in the certificate besides those of the Service; localhost, 127.0.0.1 and ::1 for one "+
			"made in memory")
	f.Register(flags)
	flags.StringVar(&f.clientCAFile, "client-ca-file", "",
		"PEM file of the authorities that certify who may ask; without it, anybody may")
	flags.StringSliceVar(&f.clientNames, "client-names", nil,
		"with --client-ca-file: common names or DNS names; the caller's certificate must have one of them")
}

// Register registers a flag for each name but the namespace.
func (p *Place) Register(flags *pflag.FlagSet) {
	flags.StringVar(&p.Service, "service", "stayput", "Service that leads to Stayput, whose name the certificate bears")
	flags.StringVar(&p.Secret, "secret", webhook.DefaultSecret, "Secret that holds the CA of self-signed certificates")
	flags.StringVar(&p.Certificate, "certificate", "stayput", "Certificate of cert-manager")
	flags.StringVar(&p.Configurations, "configurations", "stayput", "name of the two webhook configurations")
}

// prepareCertificates checks the flags before anything is done.
func (f *serveFlags) prepareCertificates() error {
	namespace, err := f.ownNamespace()
	if err != nil {
		return err
	}
	f.certificates.Namespace = cmp.Or(namespace, "stayput")
	return f.certificates.check(f.standalone)
}

// kind returns which source is meant.
func (f *certificateFlags) kind() string {
	switch {
	case f.source != "":
		return f.source
	case f.certFile != "" || f.keyFile != "":
		return sourceFiles
	case f.caFile != "":
		return sourceMemory
	}
	return sourceSelfSigned
}

// check reports flags that exclude each other, before anything is done.
func (f *certificateFlags) check(standalone bool) error {
	kind := f.kind()
	files := kind == sourceFiles || kind == sourceCertManager
	switch {
	case !files && kind != sourceSelfSigned && kind != sourceMemory:
		return fmt.Errorf("--certificates %q: must be self-signed, cert-manager, files or memory", f.source)
	case (f.certFile == "") != (f.keyFile == ""):
		return errors.New("--tls-cert-file and --tls-key-file: both are needed, or neither")
	case files && f.certFile == "":
		return fmt.Errorf("--certificates %s: needs --tls-cert-file and --tls-key-file", kind)
	case !files && f.certFile != "":
		return fmt.Errorf("--tls-cert-file: is not read with --certificates %s", kind)
	case f.caFile != "" && kind != sourceMemory:
		return errors.New("--ca-file: is only written for a certificate made in memory, without --tls-cert-file")
	case kind == sourceMemory && f.caFile == "":
		return errors.New("--certificates memory: needs --ca-file, to write the CA to")
	case standalone && f.source == "" && kind == sourceSelfSigned:
		return errors.New("no certificate: give --tls-cert-file and --tls-key-file, or --ca-file to write the CA of one " +
			"made in memory to")
	case standalone && (kind == sourceSelfSigned || kind == sourceCertManager):
		return fmt.Errorf("--certificates %s: needs an API server, and --standalone has none", kind)
	case len(f.clientNames) > 0 && f.clientCAFile == "":
		return errors.New("--client-names: needs --client-ca-file")
	}
	for flag, value := range map[string]string{"--service": f.Service, "--secret": f.Secret,
		"--configurations": f.Configurations} {
		if kind == sourceSelfSigned && strings.TrimSpace(value) == "" {
			return fmt.Errorf("%s: must not be empty", flag)
		}
	}
	return nil
}

// open returns the source that the flags choose. It does not need an API
// server.
func (f *certificateFlags) open(log *slog.Logger) (certs.Source, error) {
	f.metrics = certs.NewMetrics()
	f.trust = &certs.Trust{Name: f.Configurations, Log: log, Metrics: f.metrics}
	if f.clientCAFile != "" {
		f.callers = &certs.Callers{File: f.clientCAFile, Names: f.clientNames, Log: log, Metrics: f.metrics}
		if err := f.callers.Load(); err != nil {
			return nil, fmt.Errorf("--client-ca-file: %w", err)
		}
	}
	switch f.kind() {
	case sourceMemory:
		return f.memory()
	case sourceFiles:
		return certs.Files(f.certFile, f.keyFile, log, f.metrics)
	case sourceCertManager:
		files := &certs.FileSource{CertFile: f.certFile, KeyFile: f.keyFile, Log: log, Metrics: f.metrics}
		return &certs.CertManager{FileSource: files, Namespace: f.Namespace, Name: f.Certificate}, nil
	default:
		source := f.SelfSigned(f.trust)
		source.Names, source.Metrics = f.names, f.metrics
		return source, nil
	}
}

// SelfSigned returns the source of self-signed certificates in this place, which
// logs where trust does.
func (p *Place) SelfSigned(trust *certs.Trust) *certs.SelfSigned {
	return &certs.SelfSigned{Namespace: p.Namespace, Service: p.Service, Secret: p.Secret, Trust: trust, Log: trust.Log}
}

// connect gives the source its API server, has readiness depend on what that
// trusts, and returns what is to run beside the server.
func (f *certificateFlags) connect(config *rest.Config, server *webhook.Server,
	reg prometheus.Registerer) (func(context.Context) error, error) {
	c, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("prepare to look at certificates: %w", err)
	}
	f.trust.Client = c
	server.Trusted = func() error { return f.trust.Verify(server.Source) }
	f.metrics.Expose(reg, server.Source, f.trust, nil)
	run := []func(context.Context) error{server.Source.Start}
	switch source := server.Source.(type) {
	case *certs.SelfSigned:
		source.Client = c
	case *certs.CertManager:
		source.Client = c
		run = append(run, f.trust.Start)
	default:
		run = append(run, f.trust.Start)
	}
	return f.together(run), nil
}

// alone is connect where there is no API server.
func (f *certificateFlags) alone(server *webhook.Server, reg prometheus.Registerer) func(context.Context) error {
	f.metrics.Expose(reg, server.Source, nil, nil)
	return f.together([]func(context.Context) error{server.Source.Start})
}

func (f *certificateFlags) together(run []func(context.Context) error) func(context.Context) error {
	if f.callers != nil {
		run = append(run, f.callers.Start)
	}
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, r := range run {
			group.Go(func() error { return r(ctx) })
		}
		return group.Wait()
	}
}

func (f *certificateFlags) memory() (certs.Source, error) {
	names := f.names
	if len(names) == 0 {
		names = []string{"localhost", "127.0.0.1", "::1"}
	}
	m, err := certs.NewMemory(names...)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(f.caFile, m.CA(), 0o644); err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	return m, nil
}
