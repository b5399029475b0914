package certs

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	applyv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// planOwner owns what certs apply writes.
const planOwner = client.FieldOwner("stayput-certs-apply")

// Apply applies the plan, and has cert-manager's cainjector write the caBundle
// of the configurations that exist.
func (p CertManagerPlan) Apply(ctx context.Context, c client.Client, configurations string, say func(string)) error {
	for _, obj := range p.Objects() {
		kind, name := obj.GetKind(), obj.GetName()
		err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), planOwner, client.ForceOwnership)
		switch {
		case meta.IsNoMatchError(err):
			return fmt.Errorf("apply %s %s: cert-manager is not installed", kind, name)
		case err != nil:
			return fmt.Errorf("apply %s %s: %w", kind, name, err)
		}
		say(strings.ToLower(kind) + " " + p.Namespace + "/" + name + " applied")
	}
	live, err := readConfigurations(ctx, c, configurations)
	if err != nil {
		return err
	}
	inject := map[string]string{injectCA: p.Namespace + "/" + p.Name}
	for _, conf := range live {
		var obj runtime.ApplyConfiguration = applyv1.ValidatingWebhookConfiguration(conf.name).
			WithUID(conf.uid).WithAnnotations(inject)
		if conf.kind == "MutatingWebhookConfiguration" {
			obj = applyv1.MutatingWebhookConfiguration(conf.name).WithUID(conf.uid).WithAnnotations(inject)
		}
		if err := c.Apply(ctx, obj, planOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("annotate %s %s: %w", conf.kind, conf.name, err)
		}
		say(conf.kind + " " + conf.name + ": the caBundle is cert-manager's to write")
	}
	if len(live) == 0 {
		say("no webhook configuration " + configurations + " exists: annotate it with " + injectCA + ": " +
			p.Namespace + "/" + p.Name)
	}
	return nil
}
