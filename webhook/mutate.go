package webhook

import (
	"context"
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"

	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// mutate is the door at /mutate: it edits the object, and hints at what the
// API server will refuse by itself. It never denies.
func (w *Webhook) mutate(ctx context.Context, req *request) (*admissionv1.AdmissionResponse, error) {
	if _, isScale := req.obj.(*autoscalingv1.Scale); isScale || req.obj == nil {
		return &admissionv1.AdmissionResponse{Allowed: true}, nil
	}
	v := w.World.View(ctx, req.facts())
	if mode, err := w.Policy.ModeFor(v, req.obj); err != nil {
		return nil, err
	} else if mode == validators.ModeOff {
		return &admissionv1.AdmissionResponse{Allowed: true, AuditAnnotations: map[string]string{"mode": string(mode)}}, nil
	}
	after, warnings, err := mutators.Apply(v, w.Mutators, req.old, req.obj)
	if err != nil {
		return nil, err
	}
	ops, err := mutators.Patch(req.Object.Raw, req.obj, after)
	if err != nil {
		return nil, fmt.Errorf("write the patch: %w", err)
	}
	verdict, err := w.hints.Review(v, req.old, after)
	if err != nil {
		return nil, err
	}
	resp, err := w.respond(req, verdict)
	if err != nil {
		return nil, err
	}
	resp.Warnings = fit(append(warnings, resp.Warnings...), 0)
	if len(ops) > 0 {
		if resp.Patch, err = json.Marshal(ops); err != nil {
			return nil, fmt.Errorf("write the patch: %w", err)
		}
		resp.PatchType = new(admissionv1.PatchTypeJSONPatch)
	}
	return resp, nil
}
