package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldOwner owns the caBundles, and nothing else.
const fieldOwner = client.FieldOwner("stayput-certificates")

// A configuration is the certificate-related part of one webhook configuration.
type configuration struct {
	kind, name string
	uid        types.UID
	version    string
	hooks      []hook
	owned      bool                        // fieldOwner owns the fields that it wrote
	others     []metav1.ManagedFieldsEntry // the fields of all other owners
}

// A hook is one webhook of a configuration.
type hook struct {
	name   string
	host   string // the name that the API server expects in the certificate
	bundle []byte
}

func newConfiguration(kind string, m metav1.ObjectMeta) configuration {
	c := configuration{kind: kind, name: m.Name, uid: m.UID, version: m.ResourceVersion}
	for _, f := range m.ManagedFields {
		if f.Manager == string(fieldOwner) {
			c.owned = true
		} else {
			c.others = append(c.others, f)
		}
	}
	return c
}

func newHook(name string, c admissionv1.WebhookClientConfig) hook {
	h := hook{name: name, bundle: c.CABundle}
	switch {
	case c.Service != nil:
		h.host = c.Service.Name + "." + c.Service.Namespace + ".svc"
	case c.URL != nil:
		if u, err := url.Parse(*c.URL); err == nil {
			h.host = u.Hostname()
		}
	}
	return h
}

// readConfigurations returns the configurations of the two that exist.
func readConfigurations(ctx context.Context, reader client.Reader, name string) ([]configuration, error) {
	var out []configuration
	var mutating admissionv1.MutatingWebhookConfiguration
	switch err := reader.Get(ctx, client.ObjectKey{Name: name}, &mutating); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("read MutatingWebhookConfiguration %s: %w", name, err)
	default:
		c := newConfiguration("MutatingWebhookConfiguration", mutating.ObjectMeta)
		for _, w := range mutating.Webhooks {
			c.hooks = append(c.hooks, newHook(w.Name, w.ClientConfig))
		}
		out = append(out, c)
	}
	var validating admissionv1.ValidatingWebhookConfiguration
	switch err := reader.Get(ctx, client.ObjectKey{Name: name}, &validating); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("read ValidatingWebhookConfiguration %s: %w", name, err)
	default:
		c := newConfiguration("ValidatingWebhookConfiguration", validating.ObjectMeta)
		for _, w := range validating.Webhooks {
			c.hooks = append(c.hooks, newHook(w.Name, w.ClientConfig))
		}
		out = append(out, c)
	}
	return out, nil
}

// holds says whether every webhook has exactly this bundle.
func (c configuration) holds(bundle []byte) bool {
	for _, h := range c.hooks {
		if !bytes.Equal(h.bundle, bundle) {
			return false
		}
	}
	return true
}

// verify returns why the API server would refuse a certificate, or nil.
func (c configuration) verify(leaf *x509.Certificate, opts x509.VerifyOptions) error {
	for _, h := range c.hooks {
		opts.Roots, opts.DNSName = x509.NewCertPool(), h.host
		switch {
		case len(h.bundle) == 0:
			return fmt.Errorf("%s %s: the caBundle of %s is empty", c.kind, c.name, h.name)
		case !opts.Roots.AppendCertsFromPEM(h.bundle):
			return fmt.Errorf("%s %s: the caBundle of %s holds no certificate", c.kind, c.name, h.name)
		}
		if _, err := leaf.Verify(opts); err != nil {
			return fmt.Errorf("%s %s: the serving certificate is not valid for %s under the caBundle of %s: %w", c.kind, c.name,
				h.host, h.name, err)
		}
	}
	return nil
}

// apply writes the bundle, and nothing else, into the configuration that was
// read. It sends the configuration's uid, because an apply would create a
// deleted one, and people delete it in an emergency. It sends the resource
// version, so that a replica with an older view of the Secret cannot undo a
// newer change.
func (c configuration) apply(ctx context.Context, writer client.Writer, bundle []byte) error {
	var obj runtime.ApplyConfiguration
	if c.kind == "MutatingWebhookConfiguration" {
		a := applyv1.MutatingWebhookConfiguration(c.name).WithUID(c.uid).WithResourceVersion(c.version)
		for _, h := range c.hooks {
			a.WithWebhooks(applyv1.MutatingWebhook().WithName(h.name).
				WithClientConfig(applyv1.WebhookClientConfig().WithCABundle(bundle...)))
		}
		obj = a
	} else {
		a := applyv1.ValidatingWebhookConfiguration(c.name).WithUID(c.uid).WithResourceVersion(c.version)
		for _, h := range c.hooks {
			a.WithWebhooks(applyv1.ValidatingWebhook().WithName(h.name).
				WithClientConfig(applyv1.WebhookClientConfig().WithCABundle(bundle...)))
		}
		obj = a
	}
	if err := writer.Apply(ctx, obj, fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("apply the caBundle to %s %s: %w", c.kind, c.name, err)
	}
	return nil
}

// disown gives up the ownership of the fields that apply wrote. Otherwise, if a
// tool that applies server-side removed a webhook one day, an entry with only
// our caBundle would remain, which the API server refuses. A field without an
// owner stays until its webhook is removed.
func (c configuration) disown(ctx context.Context, writer client.Writer) error {
	if !c.owned || len(c.others) == 0 {
		return nil // an empty list would change nothing
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": c.uid, "resourceVersion": c.version,
		"managedFields": c.others}})
	if err != nil {
		return fmt.Errorf("give up the caBundle of %s %s: %w", c.kind, c.name, err)
	}
	var obj client.Object = &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: c.name}}
	if c.kind == "MutatingWebhookConfiguration" {
		obj = &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: c.name}}
	}
	if err := writer.Patch(ctx, obj, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
		return fmt.Errorf("give up the caBundle of %s %s: %w", c.kind, c.name, err)
	}
	return nil
}
