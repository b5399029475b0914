package certs

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// certManager is cert-manager's API. Its Go types would add a megabyte to each
// program, for the few fields that are needed.
var certManager = schema.GroupVersion{Group: "cert-manager.io", Version: "v1"}

const (
	issuerKind      = "Issuer"
	certificateKind = "Certificate"

	// injectCA has the cainjector write the caBundle of what bears it.
	injectCA = "cert-manager.io/inject-ca-from"
)

// A certificate is what is read of a Certificate.
type certificate struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Status   struct {
		Conditions []struct {
			Type    string                 `json:"type"`
			Status  metav1.ConditionStatus `json:"status"`
			Reason  string                 `json:"reason"`
			Message string                 `json:"message"`
		} `json:"conditions"`
		NotAfter *metav1.Time `json:"notAfter"`
	} `json:"status"`
}

func readCertificate(ctx context.Context, c client.Reader, key client.ObjectKey) (*certificate, error) {
	u := object(certificateKind)
	if err := c.Get(ctx, key, u); err != nil {
		return nil, err
	}
	cert := &certificate{}
	return cert, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, cert)
}

// object returns an empty object of a kind of cert-manager.
func object(kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(certManager.WithKind(kind))
	return u
}

// CertManager is a Source that reads files written by cert-manager, in a
// mounted Secret. If they are missing for a while, the Certificate says why.
type CertManager struct {
	*FileSource
	Client    client.WithWatch
	Namespace string
	Name      string // of the Certificate

	mu   sync.Mutex
	why  string // the Certificate is not ready, or empty
	said string
}

// Start implements [Source].
func (c *CertManager) Start(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(certManager.WithKind(certificateKind + "List"))
	go watchNamed(ctx, c.Client, list, client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, changed)
	go func() {
		for ctx.Err() == nil {
			c.look(ctx)
			pause(ctx, changed, time.Minute)
		}
	}()
	return c.FileSource.Start(ctx)
}

// look reads the state of the Certificate.
func (c *CertManager) look(ctx context.Context) {
	cert, err := readCertificate(ctx, c.Client, client.ObjectKey{Namespace: c.Namespace, Name: c.Name})
	why := ""
	switch {
	case ctx.Err() != nil:
		return
	case meta.IsNoMatchError(err):
		why = "cert-manager is not installed"
	case apierrors.IsNotFound(err):
		why = fmt.Sprintf("Certificate %s/%s does not exist: stayput certs apply makes it", c.Namespace, c.Name)
	case err != nil:
		why = fmt.Sprintf("cannot look at Certificate %s/%s: %v", c.Namespace, c.Name, err)
	default:
		why = notReady(cert)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if why != "" {
		c.Metrics.failed("certificate")
	}
	if why != c.said {
		if why != "" {
			c.Log.Warn("cert-manager has no certificate ready", "because", why)
		} else {
			c.Log.Info("cert-manager's certificate is ready", "until", cert.Status.NotAfter)
		}
	}
	c.why, c.said = why, why
}

// notReady returns in cert-manager's words why a Certificate is not ready.
func notReady(cert *certificate) string {
	why := "it has no condition yet: does cert-manager run?"
	for _, cond := range cert.Status.Conditions {
		switch {
		case cond.Type == "Ready" && cond.Status == metav1.ConditionTrue:
			return ""
		case cond.Type == "Ready":
			why = cond.Reason + ": " + cond.Message
		}
	}
	return fmt.Sprintf("Certificate %s/%s is not ready: %s", cert.Metadata.Namespace, cert.Metadata.Name, why)
}

// Explain adds to an error about the certificate what cert-manager says.
func (c *CertManager) Explain(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, c.why)
}

// A CertManagerPlan describes the objects of cert-manager for one Service.
type CertManagerPlan struct {
	Namespace, Service string
	Name               string   // of the Certificate and its Secret
	Names              []string // besides the Service's
	Issuer             string   // an Issuer of the namespace; empty means one of Stayput's own, self-signed
}

// Objects returns the objects to apply. A self-signed Issuer signs a CA, and an
// Issuer with that CA signs the certificate, so that the caBundle outlives the
// renewal of a leaf.
func (p CertManagerPlan) Objects() []*unstructured.Unstructured {
	made := func(kind, name string, spec map[string]any) *unstructured.Unstructured {
		u := object(kind)
		u.SetNamespace(p.Namespace)
		u.SetName(name)
		u.SetLabels(map[string]string{"app.kubernetes.io/name": "stayput"})
		u.Object["spec"] = spec
		return u
	}
	key := func(rotation string) map[string]any {
		return map[string]any{"algorithm": "ECDSA", "size": int64(256), "rotationPolicy": rotation}
	}
	by := func(issuer string) map[string]any { return map[string]any{"kind": issuerKind, "name": issuer} }
	var out []*unstructured.Unstructured
	issuer := p.Issuer
	if issuer == "" {
		issuer = p.Name + "-ca"
		secret := p.Name + "-issuer"
		out = append(out,
			made(issuerKind, p.Name+"-self-signed", map[string]any{"selfSigned": map[string]any{}}),
			made(certificateKind, issuer, map[string]any{
				"isCA": true, "commonName": "stayput-ca", "secretName": secret, "duration": caLife.String(),
				// As with Stayput's own CA: the key stays, so that earlier
				// signatures verify.
				"privateKey": key("Never"), "issuerRef": by(p.Name + "-self-signed"),
			}),
			made(issuerKind, issuer, map[string]any{"ca": map[string]any{"secretName": secret}}))
	}
	names, addresses := []any{p.Service + "." + p.Namespace + ".svc"}, []any(nil)
	for _, name := range p.Names {
		if isAddress(name) {
			addresses = append(addresses, name)
		} else {
			names = append(names, name)
		}
	}
	leaf := map[string]any{
		"dnsNames": names, "secretName": p.Name + "-tls", "duration": leafLife.String(),
		"usages": []any{"digital signature", "server auth"}, "privateKey": key("Always"), "issuerRef": by(issuer),
	}
	if addresses != nil {
		leaf["ipAddresses"] = addresses
	}
	return append(out, made(certificateKind, p.Name, leaf))
}
