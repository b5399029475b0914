package webhook

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"

	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// TestStaticGuardsAreTheGuards holds the guards that the API server reads from a
// file to those that are made through the API, but for what tells them apart.
func TestStaticGuardsAreTheGuards(t *testing.T) {
	until := time.Date(2027, 11, 29, 10, 15, 0, 0, time.FixedZone("", 3600))
	d := Deployment{Name: "guard", Namespace: "stayput", URL: "https://10.96.0.53", CABundle: []byte("ca")}
	static := d.StaticGuards(validators.All, until)
	if static.Name != "guard.static.k8s.io" {
		t.Errorf("name %q", static.Name)
	}
	_, made := d.Configurations(validators.All, mutators.All)
	var want []admissionv1.ValidatingWebhook
	for _, w := range made.Webhooks {
		deletes := false
		for _, r := range w.Rules {
			deletes = deletes || r.Operations[0] == admissionv1.Delete
		}
		if !deletes || *w.FailurePolicy != admissionv1.Fail {
			continue
		}
		w.Name = strings.TrimSuffix(w.Name, ".stayput.dev") + "-static.stayput.dev"
		w.ClientConfig.URL = new("https://10.96.0.53/validate/static/20271129T091500Z")
		want = append(want, w)
	}
	if len(want) != 2 {
		t.Fatalf("%d guards", len(want))
	}
	if diff := cmp.Diff(want, static.Webhooks); diff != "" {
		t.Errorf("guards (-made through the API +static):\n%s", diff)
	}
	rules, err := validators.Select(validators.All, map[string]validators.Level{"protected": validators.Off,
		"claim-in-use": validators.Off, "volume-in-use": validators.Off, "namespace-data": validators.Off})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range d.StaticGuards(rules, until).Webhooks {
		t.Errorf("%s is asked without a rule that guards a deletion: %v", w.Name, w.Rules)
	}
}

// TestStaticGuardsAreAnswered asks as a guard from a file does.
func TestStaticGuardsAreAnswered(t *testing.T) {
	w := newWebhook(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	h := w.Handler()
	ask := review(podKind + `,"operation":"CREATE","object":` + pod)
	for _, path := range []string{"", "soon", "20991231T000000Z", "20991230T000000Z"} {
		if got := answered(t, post(t, h, StaticPath+path, ask)); !got.Allowed {
			t.Errorf("%q: %+v", path, got)
		}
	}
	if log.Len() > 0 {
		t.Errorf("decades are short: %s", &log)
	}
	left := func() float64 {
		reg := prometheus.NewRegistry()
		reg.MustRegister(w.Metrics.static)
		families, err := reg.Gather()
		if err != nil || len(families) != 1 || len(families[0].Metric) != 1 {
			t.Fatalf("%v: not one metric: %v", err, families)
		}
		return families[0].Metric[0].GetGauge().GetValue()
	}
	if want := time.Until(time.Date(2099, 12, 30, 0, 0, 0, 0, time.UTC)).Seconds(); left() < want-60 || left() > want+60 {
		t.Errorf("the first of two ends in %f s", left())
	}
	for range 2 {
		post(t, h, StaticPath+time.Now().Add(time.Hour).UTC().Format(staticTime), ask)
	}
	if n := strings.Count(log.String(), "run stayput webhooks --static again"); n != 1 {
		t.Errorf("warned %d times:\n%s", n, &log)
	}
	if left() < 3500 || left() > 3600 {
		t.Errorf("the first of three ends in %f s", left())
	}
}

func TestStaticGuardsAreForgotten(t *testing.T) {
	s := newStaticGuards()
	var log bytes.Buffer
	now := time.Now()
	warned := func(until, at time.Time) int {
		log.Reset()
		s.asked(until, at, slog.New(slog.NewTextHandler(&log, nil)))
		return strings.Count(log.String(), "WARN")
	}
	soon := now.Add(time.Hour)
	if warned(soon, now) != 1 || warned(soon, now.Add(staticMemory-1)) != 0 || warned(soon, now.Add(staticMemory)) != 1 {
		t.Error("does not warn once a day")
	}
	later := now.Add(10 * StaticWarning)
	if warned(later, now.Add(2*staticMemory+1)) != 0 || len(s.last) != 1 || len(s.said) != 0 {
		t.Errorf("one that asks no more is remembered: %v", s.last)
	}
	now = now.Add(2 * staticMemory)
	for i := range 3 * staticMost {
		s.asked(later.Add(time.Duration(i)*time.Second), now.Add(time.Duration(i)), slog.New(slog.DiscardHandler))
	}
	if _, last := s.last[later.Add((3*staticMost-1)*time.Second)]; len(s.last) != staticMost || !last {
		t.Errorf("%d remembered, the last one: %v", len(s.last), last)
	}
	out := make(chan prometheus.Metric, 1)
	if s.collect(out, now.Add(time.Hour*100)); len(out) != 0 {
		t.Error("a metric of nobody")
	}
}
