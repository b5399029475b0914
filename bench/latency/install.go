package latency

import (
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"stayput.dev/e2e/harness"
)

//go:embed rivals.yaml
var rivals string

// install applies Stayput's configurations as Stayput prints them, except for their
// selectors, and those of its rivals.
func (r *run) install(ctx context.Context) error {
	own, err := r.stayput.Webhooks(ctx)
	if err != nil {
		return err
	}
	if own, err = narrowed(own); err != nil {
		return fmt.Errorf("what stayput webhooks prints: %w", err)
	}
	others := os.Expand(rivals, func(name string) string {
		return map[string]string{
			"VALIDATE": r.Validate.Address, "PATCH": r.Patch.Address, "CA": base64.StdEncoding.EncodeToString(r.CA),
		}[name]
	})
	for _, manifest := range []string{own, others} {
		if out, err := r.stayput.Kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
			return fmt.Errorf("install webhooks and policies: %w\n%s", err, out)
		}
	}
	return nil
}

// narrowed returns Stayput's two configurations for objects with Stayput's label
// only, and for the mutating one also for objects with a label of its own. Both
// fail closed.
func narrowed(manifest string) (string, error) {
	var mutating admissionv1.MutatingWebhookConfiguration
	var validating admissionv1.ValidatingWebhookConfiguration
	_, rest, _ := strings.Cut(manifest, "---\n")
	first, second, _ := strings.Cut(rest, "\n---\n")
	if err := errors.Join(yaml.UnmarshalStrict([]byte(first), &mutating),
		yaml.UnmarshalStrict([]byte(second), &validating)); err != nil {
		return "", err
	}
	if len(mutating.Webhooks) == 0 || len(validating.Webhooks) == 0 {
		return "", errors.New("has no webhooks of both kinds")
	}
	ours := func(selector *metav1.LabelSelector, whose ...string) *metav1.LabelSelector {
		if selector == nil {
			selector = &metav1.LabelSelector{}
		}
		selector.MatchExpressions = append(selector.MatchExpressions,
			metav1.LabelSelectorRequirement{Key: by, Operator: metav1.LabelSelectorOpIn, Values: whose})
		return selector
	}
	for i := range mutating.Webhooks {
		w := &mutating.Webhooks[i]
		w.ObjectSelector, w.FailurePolicy = ours(w.ObjectSelector, byStayput, byMutatingAlone), new(admissionv1.Fail)
	}
	for i := range validating.Webhooks {
		w := &validating.Webhooks[i]
		w.ObjectSelector, w.FailurePolicy = ours(w.ObjectSelector, byStayput), new(admissionv1.Fail)
	}
	m, err1 := yaml.Marshal(mutating)
	v, err2 := yaml.Marshal(validating)
	return string(m) + "---\n" + string(v), errors.Join(err1, err2)
}

// awake waits until the API server calls exactly the configured webhooks for every
// case, and the expected number of times.
func (r *run) awake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last error // that says what is wrong, and not that time is up
	for {
		err := r.check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// check sends every request twice, and checks which webhooks were called.
func (r *run) check(ctx context.Context) error {
	for _, c := range r.cases {
		before, err := r.asked(ctx)
		if err != nil {
			return err
		}
		c.sent = 0
		for range 2 {
			if _, err := r.send(ctx, c); err != nil {
				return err
			}
			c.sent++
		}
		if err := r.refuses(ctx, c); err != nil {
			return err
		}
		if err := r.compare(ctx, before, c); err != nil {
			return err
		}
	}
	return nil
}

// compare checks the number of calls of each webhook since before, against the
// requests that were sent in some cases.
func (r *run) compare(ctx context.Context, before map[string]int, cases ...*testCase) error {
	asked, err := r.asked(ctx)
	if err != nil {
		return err
	}
	for name, n := range before {
		asked[name] -= n
	}
	for _, c := range cases {
		for _, name := range c.calls {
			asked[name] -= c.sent
		}
	}
	for name, n := range asked {
		if n != 0 {
			return fmt.Errorf("%s, by %s: %s was asked %+d times more than it should", cases[0].title, cases[0].by, name, n)
		}
	}
	return nil
}

// refuses proves that a policy is in effect by a request that it refuses, because a
// request that it permits shows nothing.
func (r *run) refuses(ctx context.Context, c *testCase) error {
	if c.refused == nil {
		return nil
	}
	status, _, body, err := r.do(ctx, *c.refused)
	if err == nil && (status != http.StatusUnprocessableEntity || !strings.Contains(string(body),
		"ValidatingAdmissionPolicy")) {
		err = fmt.Errorf("%s, by %s: what violates the policy is answered with %d: %s", c.title, c.by, status, body)
	}
	return err
}

var counter = regexp.MustCompile(`(?m)^apiserver_admission_webhook_request_total\{.*\bname="([^"]+)".* ([0-9.e+]+)$`)

// asked returns how often the API server has called each webhook.
func (r *run) asked(ctx context.Context) (map[string]int, error) {
	status, _, text, err := r.do(ctx, request{method: http.MethodGet, path: "/metrics"})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, text)
	}
	if err != nil {
		return nil, fmt.Errorf("the API server's metrics: %w", err)
	}
	n := map[string]int{}
	for _, m := range counter.FindAllSubmatch(text, -1) {
		value, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, err
		}
		n[string(m[1])] += int(value)
	}
	return n, nil
}

// lookups returns how often Stayput has sent the API server a request for an
// answer.
func (r *run) lookups(ctx context.Context) (float64, error) {
	text, err := r.stayput.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	n, err := harness.Metric(text, "stayput_live_lookups_total")
	if errors.Is(err, harness.ErrNoMetric) {
		return 0, nil
	}
	return n, err
}

// do sends a request as a dry run, and reads the answer.
func (r *run) do(ctx context.Context, q request) (status int, header http.Header, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, q.method, r.url+q.path+"?dryRun=All", strings.NewReader(string(q.body)))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}
