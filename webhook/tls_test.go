package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stayput.dev/certs"
)

// A callerCA certifies callers.
type callerCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCallerCA(t *testing.T) *callerCA {
	t.Helper()
	ca := &callerCA{}
	ca.cert, ca.key = sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "callers"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	return ca
}

func sign(t *testing.T, template *x509.Certificate, parent *callerCA) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = &callerCA{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (ca *callerCA) client(t *testing.T, template *x509.Certificate, usage x509.ExtKeyUsage) []tls.Certificate {
	t.Helper()
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	cert, key := sign(t, template, ca)
	return []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
}

func (ca *callerCA) write(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHandshakes goes through who may connect, and how.
func TestHandshakes(t *testing.T) {
	ours, others := newCallerCA(t), newCallerCA(t)
	file := filepath.Join(t.TempDir(), "callers.crt")
	ours.write(t, file)
	named := func(cn string, dns ...string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: cn}, DNSNames: dns}
	}
	apiServer := ours.client(t, named("kube-apiserver"), x509.ExtKeyUsageClientAuth)
	expired := named("kube-apiserver")
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	anybody, anyOfOurs := (*certs.Callers)(nil), &certs.Callers{File: file, Log: slog.New(slog.DiscardHandler)}
	one := &certs.Callers{File: file, Names: []string{"kube-apiserver", "api.example"}, Log: slog.New(slog.DiscardHandler)}
	for _, c := range []*certs.Callers{anyOfOurs, one} {
		if err := c.Load(); err != nil {
			t.Fatal(err)
		}
	}
	const good = ""
	for name, tc := range map[string]struct {
		callers *certs.Callers
		client  *tls.Config
		want    string // in the error
	}{
		"TLS 1.3":                        {anybody, &tls.Config{}, good},
		"TLS 1.2":                        {anybody, &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version"},
		"ALPN h2 and http/1.1":           {anybody, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, good},
		"ALPN http/1.1":                  {anybody, &tls.Config{NextProtos: []string{"http/1.1"}}, good},
		"ALPN h2 alone":                  {anybody, &tls.Config{NextProtos: []string{"h2"}}, "no application protocol"},
		"SNI of the Service":             {anybody, &tls.Config{ServerName: "stayput.guard.svc"}, good},
		"SNI of something else":          {anybody, &tls.Config{ServerName: "example.com"}, "not example.com"},
		"a certificate nobody asked for": {anybody, &tls.Config{Certificates: apiServer}, good},
		"no certificate":                 {anyOfOurs, &tls.Config{}, "certificate required"},
		"one of ours": {anyOfOurs,
			&tls.Config{Certificates: ours.client(t, named("somebody"), x509.ExtKeyUsageClientAuth)}, good},
		"one of another CA": {anyOfOurs,
			&tls.Config{Certificates: others.client(t, named("kube-apiserver"), x509.ExtKeyUsageClientAuth)}, "certificate"},
		"one for servers": {anyOfOurs,
			&tls.Config{Certificates: ours.client(t, named("kube-apiserver"), x509.ExtKeyUsageServerAuth)}, "certificate"},
		"one that has expired": {anyOfOurs,
			&tls.Config{Certificates: ours.client(t, expired, x509.ExtKeyUsageClientAuth)}, "expired"},
		"the name by common name": {one, &tls.Config{Certificates: apiServer}, good},
		"the name by DNS name": {one,
			&tls.Config{Certificates: ours.client(t, named("x", "api.example"), x509.ExtKeyUsageClientAuth)}, good},
		"another name": {one,
			&tls.Config{Certificates: ours.client(t, named("mallory"), x509.ExtKeyUsageClientAuth)}, "certificate"},
		"the name by another CA": {one,
			&tls.Config{Certificates: others.client(t, named("kube-apiserver"), x509.ExtKeyUsageClientAuth)}, "certificate"},
		"one of ours over TLS 1.2": {one, &tls.Config{Certificates: apiServer, MaxVersion: tls.VersionTLS12},
			"protocol version"},
		"one of ours that only speaks HTTP2": {one, &tls.Config{Certificates: apiServer, NextProtos: []string{"h2"}},
			"no application protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			address, ca := serveTLS(t, tc.callers)
			tc.client.RootCAs = ca
			if tc.client.ServerName == "" {
				tc.client.ServerName = "127.0.0.1"
			}
			state, err := ask(address, tc.client)
			if (err == nil) != (tc.want == good) || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v, want %q", err, tc.want)
			}
			if err != nil {
				return
			}
			if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol == "h2" {
				t.Errorf("version %x, protocol %q", state.Version, state.NegotiatedProtocol)
			}
		})
	}
	t.Run("tickets", func(t *testing.T) {
		for callers, want := range map[*certs.Callers]bool{anybody: true, one: false} {
			address, ca := serveTLS(t, callers)
			client := &tls.Config{RootCAs: ca, ServerName: "127.0.0.1", Certificates: apiServer,
				ClientSessionCache: tls.NewLRUClientSessionCache(8)}
			var resumed bool
			for range 3 {
				state, err := ask(address, client)
				if err != nil {
					t.Fatal(err)
				}
				resumed = resumed || state.DidResume
			}
			if resumed != want {
				t.Errorf("client authentication %t: sessions are resumed: %t", callers != nil, resumed)
			}
		}
	})
	t.Run("reload", func(t *testing.T) {
		address, ca := serveTLS(t, one)
		client := &tls.Config{RootCAs: ca, ServerName: "127.0.0.1", Certificates: others.client(t, named("kube-apiserver"),
			x509.ExtKeyUsageClientAuth)}
		if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := one.Load(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%v does not name %s", err, file)
		}
		if _, err := ask(address, &tls.Config{RootCAs: ca, ServerName: "127.0.0.1", Certificates: apiServer}); err != nil {
			t.Errorf("a broken file changed who may ask: %v", err)
		}
		others.write(t, file)
		if err := one.Load(); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(address, client); err != nil {
			t.Error(err)
		}
		client.Certificates = apiServer
		if _, err := ask(address, client); err == nil {
			t.Error("the authority that was replaced still counts")
		}
	})
}

func serveTLS(t *testing.T, callers *certs.Callers) (address string, ca *x509.CertPool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	source, err := certs.NewMemory("stayput.guard.svc", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ca = x509.NewCertPool()
	ca.AppendCertsFromPEM(source.CA())
	s := &Server{Listener: l, Handler: ok, Source: source, Callers: callers, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), ca
}

// ask sends a request: with TLS 1.3, only an answer shows that the server has
// accepted the client's certificate.
func ask(address string, config *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err = conn.Read(make([]byte, 1))
	return conn.ConnectionState(), err
}
