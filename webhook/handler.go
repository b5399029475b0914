// Package webhook answers the API server's admission requests with the
// validators and mutators.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// The paths of the two doors.
const (
	ValidatePath = "/validate"
	MutatePath   = "/mutate"
)

// defaultTimeout is the API server's when it names none.
const defaultTimeout = 10 * time.Second

// A Webhook answers AdmissionReviews at [ValidatePath] and [MutatePath]. Make
// its [http.Handler] with Handler once its fields are set.
type Webhook struct {
	World    cluster.World
	Policy   *validators.Policy
	Mutators []*mutators.Mutator
	Limits   Limits
	Metrics  *Metrics
	Log      *slog.Logger

	rules, hints *validators.Policy // what each door runs of Policy
	gate         *gate
	buffers      sync.Pool
}

// Handler returns the handler of both doors. Any other path is 404.
func (w *Webhook) Handler() http.Handler {
	rules, hints := *w.Policy, *w.Policy
	rules.Rules, hints.Rules = validators.WithoutHints(w.Policy.Rules), validators.Hints(w.Policy.Rules)
	w.rules, w.hints = &rules, &hints
	w.gate = newGate(w.Limits)
	w.buffers.New = func() any { return new(bytes.Buffer) }
	mux := http.NewServeMux()
	mux.Handle(ValidatePath, w.door("validate", w.validate))
	mux.Handle(MutatePath, w.door("mutate", w.mutate))
	return mux
}

// A door turns a decoded request into an answer. An error means that there is
// none, and the failurePolicy decides.
type door func(ctx context.Context, req *request) (*admissionv1.AdmissionResponse, error)

func (w *Webhook) door(name string, answer door) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := &exchange{Webhook: w, rw: rw, r: r, door: name, verdict: "refused", lease: lease{gate: w.gate}}
		defer func() {
			if p := recover(); p != nil {
				x.panicked(p)
			}
			x.lease.release()
			w.Metrics.answered(x, time.Since(start))
		}()
		x.serve(answer)
	})
}

// An exchange is one HTTP request and its answer.
type exchange struct {
	*Webhook
	rw      http.ResponseWriter
	r       *http.Request
	door    string
	req     *request // nil until decoded
	lease   lease
	verdict string // for metrics and logs
}

func (x *exchange) serve(answer door) {
	timeout, err := x.timeout()
	if err != nil {
		x.fail(http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	if err := x.accept(); err != nil {
		x.refuse(err)
		return
	}
	buf := x.buffers.Get().(*bytes.Buffer)
	defer x.giveBack(buf)
	buf.Reset()
	switch err := x.read(buf); {
	case errors.Is(err, errLarge):
		uid, _, _ := x.Limits.scan(buf.Bytes())
		x.reject(clean(uid), http.StatusRequestEntityTooLarge, fmt.Sprintf("is larger than %d bytes", x.Limits.Bytes))
		return
	case err != nil:
		x.refuse(err)
		return
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	if !x.gate.enter(ctx, timeout) {
		x.refuse(errShed)
		return
	}
	defer x.gate.leave()
	req, no := x.Limits.decodeReview(buf.Bytes(), func(n int64) bool { return x.lease.extend(int64(buf.Cap()) + n) })
	if no == noRoom {
		x.refuse(errShed)
		return
	}
	if no != nil {
		x.reject(no.uid, no.code, no.why)
		return
	}
	x.req = req
	resp, err := answer(ctx, req)
	if err != nil {
		x.verdict = "undecided"
		x.log(slog.LevelWarn, "undecided", "error", err.Error())
		x.fail(http.StatusInternalServerError, metav1.StatusReasonInternalError, "undecided: "+err.Error())
		return
	}
	resp.UID = req.UID
	x.verdict = verdictOf(resp)
	level := slog.LevelDebug
	if !resp.Allowed {
		level = slog.LevelInfo
	}
	x.log(level, "answered", "findings", resp.AuditAnnotations["rules"])
	x.write(resp)
}

// giveBack keeps a buffer for another request, unless one large body has made
// it large: the pool would hold on to its memory.
func (x *exchange) giveBack(buf *bytes.Buffer) {
	if buf.Cap() <= 64<<10 {
		x.buffers.Put(buf)
	}
}

func verdictOf(resp *admissionv1.AdmissionResponse) string {
	switch {
	case !resp.Allowed:
		return "denied"
	case len(resp.Patch) > 0:
		return "mutated"
	case len(resp.Warnings) > 0:
		return "warned"
	}
	return "allowed"
}

// timeout returns how long the answer may take: what the API server waits, less
// a margin for the way back.
func (x *exchange) timeout() (time.Duration, error) {
	// What an API server writes needs no parsing.
	text, alone := strings.CutPrefix(x.r.URL.RawQuery, "timeout=")
	if !alone || strings.ContainsAny(text, "&;%+=") {
		text = x.r.URL.Query().Get("timeout")
	}
	if text == "" {
		return defaultTimeout, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("timeout=%q: must be a positive duration such as 3s", text)
	}
	return d - min(d/10, 250*time.Millisecond), nil
}

// refuse answers with the HTTP error that err is.
func (x *exchange) refuse(err error) {
	r := new(refused)
	if !errors.As(err, &r) {
		panic(err) // accept and read return nothing else
	}
	reason := metav1.StatusReasonBadRequest
	switch r {
	case errShed:
		x.verdict, reason = "shed", metav1.StatusReasonTooManyRequests
	case errSlow:
		reason = metav1.StatusReasonServiceUnavailable
	}
	if reason != metav1.StatusReasonBadRequest {
		x.rw.Header().Set("Retry-After", "1") // without it the API server would not ask again
	}
	x.fail(r.code, reason, r.why)
}

// reject answers a review that cannot be worked on: with its uid if it has
// one, and else with an HTTP error.
func (x *exchange) reject(uid string, code int32, why string) {
	x.log(slog.LevelWarn, "rejected", "error", why, "uid", uid)
	if uid == "" {
		x.fail(int(code), metav1.StatusReasonBadRequest, "the AdmissionReview "+why)
		return
	}
	x.write(malformed(types.UID(uid), code, why))
}

// fail answers with an HTTP error and a Status, whose message the API server
// passes on.
func (x *exchange) fail(code int, reason metav1.StatusReason, message string) {
	x.send(code, refusal(int32(code), reason, "stayput: "+message))
}

func (x *exchange) write(resp *admissionv1.AdmissionResponse) {
	x.send(http.StatusOK, &admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Response: resp,
	})
}

func (x *exchange) send(code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // our own types always marshal
	}
	h := x.rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	x.rw.WriteHeader(code)
	if _, err := x.rw.Write(data); err != nil {
		x.log(slog.LevelDebug, "write the answer", "error", err.Error())
	}
}

// panicked answers for a request whose handling panicked; the server goes on.
func (x *exchange) panicked(p any) {
	x.verdict = "panicked"
	x.log(slog.LevelError, "panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	x.fail(http.StatusInternalServerError, metav1.StatusReasonInternalError, "a defect of stayput: its log has the stack")
}

// log writes one line about the request, without its objects.
func (x *exchange) log(level slog.Level, msg string, args ...any) {
	if !x.Log.Enabled(x.r.Context(), level) {
		return
	}
	args = append(args, "door", x.door, "verdict", x.verdict)
	if x.req != nil {
		args = append(args, "uid", x.req.UID, "operation", x.req.Operation, "resource", x.req.Resource.Resource,
			"subresource", x.req.SubResource, "namespace", x.req.Namespace, "name", x.req.Name, "user", x.req.UserInfo.Username)
	}
	x.Log.Log(x.r.Context(), level, msg, args...)
}
