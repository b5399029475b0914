package webhook

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/validators"
)

// The API server passes on 4096 runes of warnings in total, its own included,
// and cuts each to 256 if there are more. It does not limit a denial's message,
// so we keep it readable. Source: k8s.io/apiserver@v0.37.1
// pkg/endpoints/filters/warning.go:39-133.
const (
	warningRunes     = 250
	allWarningsRunes = 3500
	denialRunes      = 500
	denialBytes      = 4 << 10

	// most is how many findings are written out: no answer has room for more,
	// and an object can be made to have many thousands.
	most = 100
)

// deny returns the answer that refuses a request for all its denials at once.
// The code is 403: after 409 and 422, kubectl apply --force deletes and
// recreates the object.
func deny(req *admissionv1.AdmissionRequest, denials []validators.Finding) *metav1.Status {
	var causes []metav1.StatusCause
	for _, f := range denials[:min(len(denials), most)] {
		causes = append(causes, metav1.StatusCause{
			Type:    metav1.CauseType(f.Rule.Name),
			Field:   f.Field,
			Message: f.Short(denialRunes),
		})
	}
	status := failure(http.StatusForbidden, metav1.StatusReasonForbidden, denialMessage(causes, len(denials)))
	status.Details = &metav1.StatusDetails{Name: req.Name, Group: req.Resource.Group, Kind: req.Resource.Resource,
		Causes: causes}
	return status
}

// denialMessage puts each finding on a line of its own while there is room, and
// says how many of all it leaves out.
func denialMessage(causes []metav1.StatusCause, all int) string {
	if all == 1 {
		return causes[0].Message
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d findings:", all)
	written := 0
	for _, c := range causes {
		if b.Len()+len("\n- ")+len(c.Message) > denialBytes-64 {
			break
		}
		b.WriteString("\n- ")
		b.WriteString(c.Message)
		written++
	}
	if written < all {
		fmt.Fprintf(&b, "\n- and %d more", all-written)
	}
	return b.String()
}

// failure returns the Status of a denial or of an error.
func failure(code int32, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure,
		Code:     code,
		Reason:   reason,
		Message:  message,
	}
}

// malformed returns the answer to a review whose size or shape is not accepted.
// It is an answer and not an HTTP error, because a webhook that fails open
// would allow the request after an error.
func malformed(uid types.UID, code int32, why string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{
		UID:    uid,
		Result: failure(code, metav1.StatusReasonBadRequest, "stayput: the AdmissionReview "+why),
	}
}

// fit cuts warnings, the most important first, to the length that the API
// server passes on. It counts those that are left out, in addition to left.
func fit(warnings []string, left int) []string {
	var fitting []string
	room := allWarningsRunes
	for i, w := range warnings {
		if n := utf8.RuneCountInString(w); n > room {
			left += len(warnings) - i
			break
		} else if !slices.Contains(fitting, w) {
			fitting, room = append(fitting, w), room-n
		}
	}
	if left > 0 {
		fitting = append(fitting, fmt.Sprintf("and %d more warnings of stayput", left))
	}
	return fitting
}
