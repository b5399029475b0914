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

// The paths that the API server calls.
const (
	ValidatePath = "/validate"
	MutatePath   = "/mutate"
)

// defaultTimeout is the API server's timeout if its request names none.
const defaultTimeout = 10 * time.Second

// A Webhook answers AdmissionReviews at [ValidatePath] and [MutatePath]. Make
// its [http.Handler] with Handler once its fields are set.
type Webhook struct {
	Environment cluster.Environment
	Policy      *validators.Policy
	Mutators    []*mutators.Mutator
	Limits      Limits
	Metrics     *Metrics
	Log         *slog.Logger

	rules, hints *validators.Policy // the rules of Policy that each webhook runs
	limiter      *limiter
	buffers      sync.Pool
}

// Handler returns the handler of both webhooks. Any other path is 404.
func (w *Webhook) Handler() http.Handler {
	rules, hints := *w.Policy, *w.Policy
	rules.Rules, hints.Rules = validators.WithoutHints(w.Policy.Rules), validators.Hints(w.Policy.Rules)
	w.rules, w.hints = &rules, &hints
	w.limiter = newLimiter(w.Limits)
	w.buffers.New = func() any { return new(bytes.Buffer) }
	mux := http.NewServeMux()
	validate := w.handle(validating, w.validate)
	mux.Handle(ValidatePath, validate)
	mux.Handle(StaticPath, w.static(validate))
	mux.Handle(MutatePath, w.handle(mutating, w.mutate))
	return mux
}

// The two webhooks, as the API server's metrics call them.
const (
	validating = "validating"
	mutating   = "mutating"
)

// An admitter answers a decoded request. After an error there is no answer, and
// the failurePolicy decides.
type admitter func(ctx context.Context, req *request) (*admissionv1.AdmissionResponse, error)

func (w *Webhook) handle(name string, admit admitter) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := &call{Webhook: w, rw: rw, r: r, webhook: name, verdict: "refused", reservation: reservation{limiter: w.limiter}}
		defer func() {
			if p := recover(); p != nil {
				c.panicked(p)
			}
			c.reservation.release()
			w.Metrics.answered(c, time.Since(start))
		}()
		c.serve(admit)
	})
}

// A call is one HTTP request and its answer.
type call struct {
	*Webhook
	rw          http.ResponseWriter
	r           *http.Request
	webhook     string   // validating or mutating
	req         *request // nil until decoded
	reservation reservation
	verdict     string // for metrics and logs
}

func (c *call) serve(admit admitter) {
	timeout, err := c.timeout()
	if err != nil {
		c.sendStatus(http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	if err := c.accept(); err != nil {
		c.fail(err)
		return
	}
	buf := c.buffers.Get().(*bytes.Buffer)
	defer c.giveBack(buf)
	buf.Reset()
	switch err := c.read(buf); {
	case errors.Is(err, errBodyTooLarge):
		uid, _, _ := c.Limits.scan(buf.Bytes())
		c.failReview(clean(uid), http.StatusRequestEntityTooLarge, fmt.Sprintf("is larger than %d bytes", c.Limits.Bytes))
		return
	case err != nil:
		c.fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), timeout)
	defer cancel()
	if !c.limiter.enter(ctx, timeout) {
		c.fail(errOverloaded)
		return
	}
	defer c.limiter.leave()
	req, failed := c.Limits.decodeReview(buf.Bytes(),
		func(n int64) bool { return c.reservation.extend(int64(buf.Cap()) + n) })
	if failed == errNoMemory {
		c.fail(errOverloaded)
		return
	}
	if failed != nil {
		c.failReview(failed.uid, failed.code, failed.why)
		return
	}
	c.req = req
	resp, err := admit(ctx, req)
	if err != nil {
		c.verdict = "undecided"
		c.log(slog.LevelWarn, "undecided", "error", err.Error())
		c.sendStatus(http.StatusInternalServerError, metav1.StatusReasonInternalError, "undecided: "+err.Error())
		return
	}
	resp.UID = req.UID
	c.verdict = verdictOf(resp)
	level := slog.LevelDebug
	if !resp.Allowed {
		level = slog.LevelInfo
	}
	c.log(level, "answered", "findings", resp.AuditAnnotations[validators.AuditRules])
	c.write(resp)
}

// giveBack returns a buffer to the pool, unless a large body has made it large:
// the pool would keep its memory.
func (c *call) giveBack(buf *bytes.Buffer) {
	if buf.Cap() <= 64<<10 {
		c.buffers.Put(buf)
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

// timeout returns how long the answer may take: the API server's timeout, less
// a margin for the network.
func (c *call) timeout() (time.Duration, error) {
	// A query as an API server writes it needs no parsing.
	text, alone := strings.CutPrefix(c.r.URL.RawQuery, "timeout=")
	if !alone || strings.ContainsAny(text, "&;%+=") {
		text = c.r.URL.Query().Get("timeout")
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

// fail sends the HTTP error that err is.
func (c *call) fail(err error) {
	e := new(httpError)
	if !errors.As(err, &e) {
		panic(err) // accept and read return nothing else
	}
	reason := metav1.StatusReasonBadRequest
	switch e {
	case errOverloaded:
		c.verdict, reason = "shed", metav1.StatusReasonTooManyRequests
	case errSlowBody:
		reason = metav1.StatusReasonServiceUnavailable
	}
	if reason != metav1.StatusReasonBadRequest {
		c.rw.Header().Set("Retry-After", "1") // without it the API server would not ask again
	}
	c.sendStatus(e.code, reason, e.message)
}

// failReview answers a review that cannot be decoded: with its uid if it is
// known, or else with an HTTP error.
func (c *call) failReview(uid string, code int32, why string) {
	c.log(slog.LevelWarn, "rejected", "error", why, "uid", uid)
	if uid == "" {
		c.sendStatus(int(code), metav1.StatusReasonBadRequest, "the AdmissionReview "+why)
		return
	}
	c.write(malformed(types.UID(uid), code, why))
}

// sendStatus sends an HTTP error and a Status. The API server passes on the
// message of the Status.
func (c *call) sendStatus(code int, reason metav1.StatusReason, message string) {
	c.send(code, failure(int32(code), reason, "stayput: "+message))
}

func (c *call) write(resp *admissionv1.AdmissionResponse) {
	c.send(http.StatusOK, &admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Response: resp,
	})
}

func (c *call) send(code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // our own types always marshal
	}
	h := c.rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	c.rw.WriteHeader(code)
	if _, err := c.rw.Write(data); err != nil {
		c.log(slog.LevelDebug, "write the answer", "error", err.Error())
	}
}

// panicked answers a request when its handling panicked; the server goes on.
func (c *call) panicked(p any) {
	c.verdict = "panicked"
	c.log(slog.LevelError, "panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	c.sendStatus(http.StatusInternalServerError, metav1.StatusReasonInternalError,
		"a defect of stayput: its log has the stack")
}

// log writes one line about the request, without its objects.
func (c *call) log(level slog.Level, msg string, args ...any) {
	if !c.Log.Enabled(c.r.Context(), level) {
		return
	}
	args = append(args, "webhook", c.webhook, "verdict", c.verdict)
	if c.req != nil {
		args = append(args, "uid", c.req.UID, "operation", c.req.Operation, "resource", c.req.Resource.Resource,
			"subresource", c.req.SubResource, "namespace", c.req.Namespace, "name", c.req.Name, "user", c.req.UserInfo.Username)
	}
	c.Log.Log(c.r.Context(), level, msg, args...)
}
