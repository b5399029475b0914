package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// newWebhook returns a webhook over a cluster of the objects, with all rules
// and mutators.
func newWebhook(t testing.TB, objs ...cluster.Object) *Webhook {
	t.Helper()
	snap := &cluster.Snapshot{Complete: true}
	if err := snap.Add(objs...); err != nil {
		t.Fatal(err)
	}
	rules, err := validators.Select(validators.All, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Webhook{
		Environment: cluster.Environment{Source: snap, Finder: snap}, Policy: &validators.Policy{Rules: rules},
		Mutators: mutators.All,
		Limits:   DefaultLimits(), Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	}
}

const (
	podKind = `"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1",` +
		`"resource":"pods"}`
	statefulSetKind = `"kind":{"group":"apps","version":"v1","kind":"StatefulSet"},"resource":{"group":"apps",` +
		`"version":"v1","resource":"statefulsets"}`
	pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}`
)

func review(fields string) string {
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1",` + fields + `}}`
}

// post sends a body and returns the answer.
func post(t *testing.T, h http.Handler, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

// answered decodes an answer of 200.
func answered(t *testing.T, rec *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	if got.APIVersion != "admission.k8s.io/v1" || got.Kind != "AdmissionReview" || got.Response == nil ||
		got.Request != nil {
		t.Fatalf("not an answer: %s", rec.Body)
	}
	return got.Response
}

func TestDenial(t *testing.T) {
	w := newWebhook(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "db"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Selector: map[string]string{"app": "db"}}})
	got := answered(t, post(t, w.Handler(), ValidatePath,
		review(statefulSetKind+`,"operation":"CREATE","namespace":"prod","name":"db","object":
		{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db"},"spec":{"replicas":3,"serviceName":"db",
		"template":{"metadata":{"labels":{"app":"db"}},"spec":{"terminationGracePeriodSeconds":0}},
			"volumeClaimTemplates":[{"metadata":{"name":"data"}}]}}`)))
	if got.Allowed || got.UID != "u-1" || got.Result.Code != http.StatusForbidden ||
		got.Result.Reason != metav1.StatusReasonForbidden {
		t.Errorf("%+v", got)
	}
	if !strings.HasPrefix(got.Result.Message, "2 findings:\n- ") {
		t.Errorf("message: %q", got.Result.Message)
	}
	causes := map[metav1.CauseType]string{}
	for _, c := range got.Result.Details.Causes {
		causes[c.Type] = c.Field
	}
	if causes["statefulset-service-headless"] != "spec.serviceName" || causes["statefulset-grace-period"] == "" {
		t.Errorf("causes: %v", causes)
	}
	if got.AuditAnnotations["mode"] != "enforce" || !strings.Contains(got.AuditAnnotations["rules"],
		"statefulset-grace-period=deny") {
		t.Errorf("audit annotations: %v", got.AuditAnnotations)
	}
}

func TestScaleIsReviewedAsTheWorkload(t *testing.T) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web"}}
	d.Spec.Replicas = new(int32(1))
	d.Spec.Template.Spec.Hostname = "same"
	scale := func(n int) string {
		return fmt.Sprintf(`{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web","namespace":"prod"},`+
			`"spec":{"replicas":%d}}`, n)
	}
	body := func(name string) string {
		return review(`"kind":{"group":"autoscaling","version":"v1","kind":"Scale"},
			"resource":{"group":"apps","version":"v1","resource":"deployments"},
			"subResource":"scale","operation":"UPDATE","namespace":"prod","name":"` + name + `",
				"oldObject":` + scale(1) + `,"object":` + scale(3))
	}
	h := newWebhook(t, d).Handler()
	if got := answered(t, post(t, h, ValidatePath, body("web"))); got.Allowed ||
		!strings.Contains(got.Result.Message, "deployment-hostname") {
		t.Errorf("%+v", got)
	}
	if got := answered(t, post(t, h, ValidatePath, body("gone"))); !got.Allowed {
		t.Errorf("a workload that is not there: %+v", got)
	}
	if got := answered(t, post(t, h, MutatePath, body("web"))); !got.Allowed || got.Patch != nil {
		t.Errorf("mutate: %+v", got)
	}
}

// TestMalformed holds every malformed request to an answer that says what is
// wrong: with its uid where it has one, and else an HTTP error.
func TestMalformed(t *testing.T) {
	create := podKind + `,"operation":"CREATE","object":`
	for name, tc := range map[string]struct {
		method, contentType, query, body string
		code                             int // 200: denied with the uid and the code in the result
		want                             string
	}{
		"GET":             {method: "GET", code: 405, want: "must be POST"},
		"no content type": {contentType: "-", body: "{}", code: 415, want: "must be application/json"},
		"YAML": {contentType: "application/yaml", body: "{}", code: 415,
			want: "must be application/json"},
		"empty":   {code: 400, want: "empty"},
		"no JSON": {body: "hello", code: 400, want: "invalid character"},
		"truncated": {body: `{"apiVersion":"admission.k8s.io/v1","kind":"Adm`, code: 400,
			want: "unexpected end"},
		"two documents": {body: review(create+pod) + "{}", code: 200, want: "after top-level value"},
		"no request": {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, code: 400,
			want: "request: is missing"},
		"no uid": {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}`,
			code: 400, want: "request.uid: is missing"},
		"v1beta1": {body: strings.Replace(review(create+pod), "k8s.io/v1", "k8s.io/v1beta1", 1), code: 200,
			want: `must be "admission.k8s.io/v1"`},
		"REQUEST is not request": {body: strings.Replace(review(create+pod), `"request"`, `"REQUEST"`, 1), code: 400,
			want: "request: is missing"},
		"a key twice": {body: review(create + `{"apiVersion":"v1","kind":"Pod","kind":"Pod"}`), code: 200,
			want: `duplicate field "kind"`},
		"another kind": {body: review(create + `{"apiVersion":"v1","kind":"Node"}`), code: 200,
			want: "request.object: is a /v1, Kind=Node"},
		"an unknown kind": {body: review(`"kind":{"group":"x","version":"v1","kind":"Y"},"operation":"CREATE",` +
			`"object":{"a":1}`), code: 200, want: "no convention is about"},
		"a wrong type": {body: review(create + `{"apiVersion":"v1","kind":"Pod","spec":{"containers":3}}`),
			code: 200, want: "request.object"},
		"an unknown operation": {body: review(podKind + `,"operation":"PATCH","object":` + pod), code: 200,
			want: "must be CREATE, UPDATE or DELETE"},
		"CONNECT": {body: review(podKind + `,"operation":"CONNECT","object":` + pod), code: 200,
			want: "CONNECT carries no object"},
		"CREATE without object": {body: review(podKind + `,"operation":"CREATE"`), code: 200,
			want: "request.object: is missing on CREATE"},
		"UPDATE without old": {body: review(podKind + `,"operation":"UPDATE","object":` + pod), code: 200,
			want: "request.oldObject: is missing on UPDATE"},
		"DELETE with object": {body: review(podKind + `,"operation":"DELETE","object":` + pod + `,"oldObject":` +
			pod), code: 200, want: "request.object: must be null"},
		"null for an object": {body: review(create + `null`), code: 200, want: "request.object: is missing"},
		"too deep": {body: review(create + strings.Repeat("[", 200) + strings.Repeat("]", 200)), code: 200,
			want: "nested too deeply"},
		"too wide": {body: review(create + `{"a":[` + strings.Repeat("{},", 60_000) + `{}]}`), code: 200,
			want: "too many values"},
		"too wide without a uid": {body: `{"a":[` + strings.Repeat("{},", 60_000) + `{}]}`, code: 413,
			want: "too many values"},
		"too large": {body: review(create + `"` + strings.Repeat("x", 8<<20)), code: 200,
			want: "larger than 7340032 bytes"},
		"too large without a uid": {body: `"` + strings.Repeat("x", 8<<20), code: 413, want: "larger than 7340032 bytes"},
		"timeout is no duration":  {query: "?timeout=soon", body: review(create + pod), code: 400, want: `timeout="soon"`},
		"timeout is not positive": {query: "?timeout=-1s", body: review(create + pod), code: 400,
			want: "positive duration"},
		"a uid with control letters": {body: strings.Replace(review(podKind), "u-1", `u\u0000`, 1), code: 400,
			want: "operation"},
	} {
		for _, path := range []string{ValidatePath, MutatePath} {
			t.Run(name+path, func(t *testing.T) {
				method, contentType := "POST", "application/json; charset=utf-8"
				if tc.method != "" {
					method = tc.method
				}
				if tc.contentType != "" {
					contentType = strings.Trim(tc.contentType, "-")
				}
				req := httptest.NewRequest(method, path+tc.query, strings.NewReader(tc.body))
				req.Header.Set("Content-Type", contentType)
				rec := httptest.NewRecorder()
				newWebhook(t).Handler().ServeHTTP(rec, req)
				if rec.Code != tc.code {
					t.Fatalf("%d %s, want %d", rec.Code, rec.Body, tc.code)
				}
				var message string
				if tc.code == http.StatusOK {
					got := answered(t, rec)
					if got.Allowed || got.UID != "u-1" || got.Result.Code < 400 {
						t.Errorf("%+v", got)
					}
					message = got.Result.Message
				} else {
					var status metav1.Status
					if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || status.Kind != "Status" ||
						int(status.Code) != tc.code {
						t.Errorf("no Status: %s", rec.Body)
					}
					message = status.Message
				}
				if !strings.Contains(message, tc.want) {
					t.Errorf("%q does not say %q", message, tc.want)
				}
			})
		}
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	if rec := post(t, newWebhook(t).Handler(), "/", "{}"); rec.Code != http.StatusNotFound {
		t.Errorf("%d", rec.Code)
	}
}

// ruleOf returns a rule about Pods that does what f does.
func ruleOf(level validators.Level, f func(p *validators.Pass, pod *corev1.Pod) error) *validators.Rule {
	return &validators.Rule{Name: "of-test", Level: level, Checks: []validators.Check{validators.On(f)}}
}

var createPod = review(podKind + `,"operation":"CREATE","namespace":"","name":"p","object":` + pod)

func TestAPanicIsOneRequests(t *testing.T) {
	w := newWebhook(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewJSONHandler(&log, nil))
	w.Policy.Rules = []*validators.Rule{ruleOf(validators.Deny,
		func(*validators.Pass, *corev1.Pod) error { panic("boom") })}
	h := w.Handler()
	for range 3 {
		rec := post(t, h, ValidatePath, createPod)
		var status metav1.Status
		if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || rec.Code != http.StatusInternalServerError ||
			!strings.Contains(status.Message, "defect of stayput") {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), `"uid":"u-1"`) ||
		!strings.Contains(log.String(), "handler_test.go") {
		t.Errorf("the log has no stack with the request's uid: %s", &log)
	}
}

func TestWhatCannotBeDecided(t *testing.T) {
	fails := func(*validators.Pass, *corev1.Pod) error { return errors.New("list claims: broken") }
	for name, tc := range map[string]struct {
		level   validators.Level
		mode    validators.Mode
		code    int
		warning string
	}{
		"deny: the failurePolicy decides": {validators.Deny, validators.ModeEnforce, 500, ""},
		"warn: allowed, and said": {validators.Warn, validators.ModeEnforce, 200,
			"of-test: could not be checked: list claims: broken"},
		"deny in mode warn": {validators.Deny, validators.ModeWarn, 200, "could not be checked"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWebhook(t)
			w.Policy.Mode, w.Policy.Rules = tc.mode, []*validators.Rule{ruleOf(tc.level, fails)}
			rec := post(t, w.Handler(), ValidatePath, createPod)
			if rec.Code != tc.code {
				t.Fatalf("%d %s, want %d", rec.Code, rec.Body, tc.code)
			}
			if tc.code == http.StatusOK {
				if got := answered(t, rec); !got.Allowed || len(got.Warnings) != 1 ||
					!strings.Contains(got.Warnings[0], tc.warning) {
					t.Errorf("%+v", got)
				}
			} else if !strings.Contains(rec.Body.String(), "undecided: of-test: list claims: broken") {
				t.Errorf("%s", rec.Body)
			}
		})
	}
}

// slow answers lookups when the context is done, and notes how long they may
// take.
type slow struct {
	cluster.Reader
	left *time.Duration
}

func (s slow) Get(ctx context.Context, _ types.NamespacedName, _ cluster.Object) error {
	if deadline, ok := ctx.Deadline(); ok {
		*s.left = time.Until(deadline)
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestAnAnswerComesBeforeTheDeadline(t *testing.T) {
	w := newWebhook(t)
	var left time.Duration
	w.Environment.Source = slow{left: &left}
	rec := post(t, w.Handler(), ValidatePath+"?timeout=1s", strings.Replace(createPod, `"namespace":""`,
		`"namespace":"prod"`, 1))
	if left <= 0 || left > 900*time.Millisecond {
		t.Errorf("lookups had %s of the second", left)
	}
	if rec.Code != http.StatusInternalServerError || !strings.Contains(rec.Body.String(), "deadline exceeded") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestOverloadAsksToTryAgain(t *testing.T) {
	w := newWebhook(t)
	w.Limits.InFlight = 1
	inside, leave := make(chan struct{}), make(chan struct{})
	w.Policy.Rules = []*validators.Rule{ruleOf(validators.Warn, func(*validators.Pass, *corev1.Pod) error {
		close(inside)
		<-leave
		return nil
	})}
	h := w.Handler()
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- post(t, h, ValidatePath, createPod) }()
	<-inside
	if rec := post(t, h, ValidatePath+"?timeout=300ms", createPod); rec.Code != http.StatusTooManyRequests ||
		rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	close(leave)
	if rec := <-done; rec.Code != http.StatusOK {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestWarningsFitTheBudget(t *testing.T) {
	w := newWebhook(t)
	w.Policy.Rules = []*validators.Rule{ruleOf(validators.Warn, func(p *validators.Pass, _ *corev1.Pod) error {
		for i := range 100 {
			p.Report(field.Invalid(field.NewPath("spec").Index(i), i, strings.Repeat("long ", 100)), "mend\nit")
		}
		return nil
	})}
	var total int
	warnings := answered(t, post(t, w.Handler(), ValidatePath, createPod)).Warnings
	for _, s := range warnings {
		n := len([]rune(s))
		if n > 250 || strings.ContainsAny(s, "\n\r\x00") {
			t.Errorf("%d runes: %q", n, s)
		}
		total += n
	}
	if total > 4096 || !strings.Contains(warnings[len(warnings)-1], "more warnings") {
		t.Errorf("%d runes in %d warnings, the last %q", total, len(warnings), warnings[len(warnings)-1])
	}
}

func TestUnknownFieldsAreLeftToNewerVersions(t *testing.T) {
	body := strings.Replace(createPod, `"metadata"`, `"newer":{"x":1},"metadata"`, 1)
	if got := answered(t, post(t, newWebhook(t).Handler(), ValidatePath, body)); !got.Allowed {
		t.Errorf("%+v", got)
	}
}
