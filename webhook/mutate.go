package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// mutate answers at /mutate: it edits the object, and adds hints about what the
// API server itself will refuse. It never denies.
func (w *Webhook) mutate(ctx context.Context, req *request) (*admissionv1.AdmissionResponse, error) {
	_, isScale := req.obj.(*autoscalingv1.Scale)
	if isScale || req.obj == nil || validators.Unchanged(req.old, req.obj) {
		return &admissionv1.AdmissionResponse{Allowed: true}, nil
	}
	v := w.Environment.View(ctx, req.facts())
	if mode, err := w.Policy.ModeFor(v, req.obj); err != nil {
		return nil, err
	} else if mode == validators.ModeOff {
		off := validators.Verdict{Mode: mode}
		return &admissionv1.AdmissionResponse{Allowed: true, AuditAnnotations: off.AuditAnnotations()}, nil
	}
	made, err := mutators.Apply(v, w.Mutators, req.old, req.obj)
	if err != nil {
		return nil, err
	}
	patch, err := made.Patch(req.Object.Raw)
	if err != nil {
		return nil, fmt.Errorf("write the patch: %w", err)
	}
	verdict, err := w.hints.Review(v, req.old, made.Object)
	if err != nil {
		return nil, err
	}
	again, err := w.madeAgain(v, req, &verdict, made.Object)
	if err != nil {
		return nil, err
	}
	resp, err := w.respond(req, verdict)
	if err != nil {
		return nil, err
	}
	var warnings []string
	for _, warning := range made.Warnings {
		warnings = append(warnings, warning.String())
	}
	resp.Warnings = fit(slices.Concat(warnings, again, resp.Warnings), 0)
	if len(patch) > 0 {
		if resp.Patch, err = json.Marshal(patch); err != nil {
			return nil, fmt.Errorf("write the patch: %w", err)
		}
		resp.PatchType = new(admissionv1.PatchTypeJSONPatch)
	}
	return resp, nil
}

const mendFirst = "mend first what its re-creation is denied for: "

// madeAgain returns the denials for an object that is deleted and applied again
// as a hint's remedy says: an update may keep what the object always had, but a
// creation may have only what its running Pods show. If there are any, no hint
// gives such a remedy.
func (w *Webhook) madeAgain(v *cluster.View, req *request, hints *validators.Verdict,
	after cluster.Object) (warnings []string, err error) {
	recreates := func(f validators.Finding) bool { return f.Recreates }
	if req.old == nil || !slices.ContainsFunc(hints.Findings, recreates) {
		return nil, nil
	}
	made := after.DeepCopyObject().(cluster.Object)
	made.SetResourceVersion("") // as it will be applied, around the running Pods
	verdict, err := w.rules.Review(v, nil, made)
	if err != nil {
		return nil, err
	}
	for _, f := range verdict.Findings {
		if f.Level == validators.Deny {
			warnings = append(warnings, mendFirst+f.Short(warningRunes-len(mendFirst)))
		}
	}
	for _, u := range verdict.Undecided {
		if u.Rule.Level == validators.Deny {
			warnings = append(warnings, fmt.Sprintf("%s: whether its re-creation is denied could not be checked: %v",
				u.Rule.Name, u.Err))
		}
	}
	for i := range hints.Findings {
		if len(warnings) > 0 {
			hints.Findings[i] = hints.Findings[i].InPlace()
		}
	}
	return warnings, nil
}
