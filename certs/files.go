package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// FileSource serves a certificate and its key from PEM files, and reads them
// again every second. It compares the whole files: controller-runtime's
// certwatcher compares only the leaf, and keeps an intermediate that was
// replaced. An unusable pair changes nothing.
type FileSource struct {
	CertFile, KeyFile string
	Log               *slog.Logger
	Metrics           *Metrics

	current atomic.Pointer[pair]
	errors  errorLog
}

type pair struct {
	text []byte
	cert *tls.Certificate
}

// Load reads the files.
func (f *FileSource) Load() error {
	certPEM, err := os.ReadFile(f.CertFile)
	if err != nil {
		return f.wrap(err)
	}
	keyPEM, err := os.ReadFile(f.KeyFile)
	if err != nil {
		return f.wrap(err)
	}
	text := bytes.Join([][]byte{certPEM, keyPEM}, []byte{0})
	last := f.current.Load()
	if last != nil && bytes.Equal(last.text, text) {
		return nil
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return f.wrap(err)
	}
	f.current.Store(&pair{text, &cert})
	if last != nil {
		f.Metrics.renewed("leaf")
		f.Log.Info("read another serving certificate", "file", f.CertFile, "certificates", len(cert.Certificate), "until",
			cert.Leaf.NotAfter)
	}
	return nil
}

func (f *FileSource) wrap(err error) error {
	return fmt.Errorf("serve the certificate %s with the key %s: %w", f.CertFile, f.KeyFile, err)
}

// GetCertificate implements [Source].
func (f *FileSource) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p := f.current.Load()
	if p == nil {
		return nil, errors.New("no certificate yet")
	}
	return p.cert, nil
}

// Start implements [Source].
func (f *FileSource) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		f.reload()
		pause(ctx, nil, time.Second)
	}
	return nil
}

// reload loads the files, and logs each error once: a writer may be between its
// two files.
func (f *FileSource) reload() {
	err := f.Load()
	if err != nil {
		f.Metrics.failed("files")
	}
	f.errors.report(f.Log, "the serving certificate stays as it was", err)
}

// Files returns a Source that serves a certificate and its key from PEM files
// and reads them again when they change.
func Files(certFile, keyFile string, log *slog.Logger, m *Metrics) (*FileSource, error) {
	f := &FileSource{CertFile: certFile, KeyFile: keyFile, Log: log, Metrics: m}
	return f, f.Load()
}
