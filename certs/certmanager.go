package certs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Scheme knows Kubernetes' own kinds and those of cert-manager.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(s), cmapi.AddToScheme(s)); err != nil {
		return nil, fmt.Errorf("know cert-manager's kinds: %w", err)
	}
	return s, nil
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
	go watchNamed(ctx, c.Client, &cmapi.CertificateList{}, client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, changed)
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
	var cert cmapi.Certificate
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, &cert)
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
		why = notReady(&cert)
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
func notReady(cert *cmapi.Certificate) string {
	why := "it has no condition yet: does cert-manager run?"
	for _, cond := range cert.Status.Conditions {
		switch {
		case cond.Type == cmapi.CertificateConditionReady && cond.Status == cmmeta.ConditionTrue:
			return ""
		case cond.Type == cmapi.CertificateConditionReady:
			why = cond.Reason + ": " + cond.Message
		}
	}
	return fmt.Sprintf("Certificate %s/%s is not ready: %s", cert.Namespace, cert.Name, why)
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
func (p CertManagerPlan) Objects() []client.Object {
	at := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: p.Namespace, Name: name,
			Labels: map[string]string{"app.kubernetes.io/name": "stayput"}}
	}
	var out []client.Object
	issuer := p.Issuer
	if issuer == "" {
		issuer = p.Name + "-ca"
		ca := &cmapi.Certificate{TypeMeta: typeMeta(cmapi.CertificateKind), ObjectMeta: at(issuer),
			Spec: cmapi.CertificateSpec{
				IsCA: true, CommonName: "stayput-ca", SecretName: p.Name + "-issuer", Duration: &metav1.Duration{Duration: caLife},
				// As with Stayput's own CA: the key stays, so that earlier
				// signatures verify.
				PrivateKey: &cmapi.CertificatePrivateKey{Algorithm: cmapi.ECDSAKeyAlgorithm, Size: 256,
					RotationPolicy: cmapi.RotationPolicyNever},
				IssuerRef: cmmeta.IssuerReference{Kind: cmapi.IssuerKind, Name: p.Name + "-self-signed"},
			}}
		out = append(out,
			&cmapi.Issuer{TypeMeta: typeMeta(cmapi.IssuerKind), ObjectMeta: at(p.Name + "-self-signed"), Spec: cmapi.IssuerSpec{
				IssuerConfig: cmapi.IssuerConfig{SelfSigned: &cmapi.SelfSignedIssuer{}},
			}},
			ca,
			&cmapi.Issuer{TypeMeta: typeMeta(cmapi.IssuerKind), ObjectMeta: at(issuer), Spec: cmapi.IssuerSpec{
				IssuerConfig: cmapi.IssuerConfig{CA: &cmapi.CAIssuer{SecretName: p.Name + "-issuer"}},
			}})
	}
	leaf := &cmapi.Certificate{TypeMeta: typeMeta(cmapi.CertificateKind), ObjectMeta: at(p.Name),
		Spec: cmapi.CertificateSpec{
			DNSNames: []string{p.Service + "." + p.Namespace + ".svc"}, SecretName: p.Name + "-tls",
			Duration: &metav1.Duration{Duration: leafLife},
			Usages:   []cmapi.KeyUsage{cmapi.UsageDigitalSignature, cmapi.UsageServerAuth},
			PrivateKey: &cmapi.CertificatePrivateKey{Algorithm: cmapi.ECDSAKeyAlgorithm, Size: 256,
				RotationPolicy: cmapi.RotationPolicyAlways},
			IssuerRef: cmmeta.IssuerReference{Kind: cmapi.IssuerKind, Name: issuer},
		}}
	for _, name := range p.Names {
		if isAddress(name) {
			leaf.Spec.IPAddresses = append(leaf.Spec.IPAddresses, name)
		} else {
			leaf.Spec.DNSNames = append(leaf.Spec.DNSNames, name)
		}
	}
	return append(out, leaf)
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: cmapi.SchemeGroupVersion.String(), Kind: kind}
}
