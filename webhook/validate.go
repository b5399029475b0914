package webhook

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// validate answers at /validate: it reviews the objects with the rules.
func (w *Webhook) validate(ctx context.Context, req *request) (*admissionv1.AdmissionResponse, error) {
	v := w.Environment.View(ctx, req.facts())
	verdict, err := w.review(v, req)
	if err != nil {
		return nil, err
	}
	// The scaled workload was itself looked up in the cache, and may have
	// changed since.
	_, isScale := req.obj.(*autoscalingv1.Scale)
	if live := v.Live(); isScale && verdict.Denied() && live != nil {
		if verdict, err = w.review(live, req); err != nil {
			return nil, fmt.Errorf("look again before denying: %w", err)
		}
	}
	return w.respond(req, verdict)
}

// review reviews the objects of a request, or the workload of a Scale.
func (w *Webhook) review(v *cluster.View, req *request) (validators.Verdict, error) {
	old, obj := req.old, req.obj
	if _, isScale := obj.(*autoscalingv1.Scale); isScale {
		var err error
		if old, obj, err = scaled(v, req); err != nil || obj == nil {
			return validators.Verdict{}, err
		}
	}
	return w.rules.Review(v, old, obj)
}

// respond answers with a verdict. Any denial is 403. Otherwise, a rule that
// might have denied and could not look is an error, so that the failurePolicy
// decides. Otherwise the request is allowed, with warnings.
func (w *Webhook) respond(req *request, verdict validators.Verdict) (*admissionv1.AdmissionResponse, error) {
	w.Metrics.judged(verdict)
	resp := &admissionv1.AdmissionResponse{Allowed: true, AuditAnnotations: verdict.AuditAnnotations()}
	var denials []validators.Finding
	var warnings []string
	left := 0
	for _, f := range verdict.Findings {
		switch {
		case f.Level == validators.Deny:
			denials = append(denials, f)
		case len(warnings) < most:
			warnings = append(warnings, f.Short(warningRunes))
		default:
			left++
		}
	}
	for _, u := range verdict.Undecided {
		if u.Rule.Level == validators.Deny && len(denials) == 0 {
			return nil, u
		}
		warnings = append(warnings, fmt.Sprintf("%s: could not be checked: %v", u.Rule.Name, u.Err))
	}
	for _, n := range verdict.Notes {
		warnings = append(warnings, n.String())
	}
	resp.Warnings = fit(warnings, left)
	if len(denials) > 0 {
		resp.Allowed, resp.Result = false, deny(req.AdmissionRequest, denials)
	}
	return resp, nil
}
