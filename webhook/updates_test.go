package webhook

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// deaf answers no lookup, and counts them.
type deaf struct{ asked *int }

func (d deaf) Get(context.Context, types.NamespacedName, cluster.Object) error {
	*d.asked++
	return errors.New("nobody answers")
}

func (d deaf) List(context.Context, cluster.ObjectList, cluster.Selection) error {
	*d.asked++
	return errors.New("nobody answers")
}

// bad returns a StatefulSet for whose creation much would be said, and denied.
func bad(metadata, spec string) string {
	return `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db","namespace":"prod",` + metadata + `},
		"spec":{"replicas":3,"serviceName":"db","selector":{"matchLabels":{"app":"db"}},` + spec + `
		"template":{"metadata":{"labels":{"app":"db"}},"spec":{"terminationGracePeriodSeconds":0,
			"containers":[{"name":"db","image":"db"}]}},
		"volumeClaimTemplates":[{"metadata":{"name":"data"}}]}}`
}

func updateOf(old, obj string) string {
	return review(statefulSetKind + `,"operation":"UPDATE","namespace":"prod","name":"db","oldObject":` + old +
		`,"object":` + obj)
}

// TestAnUpdateThatChangesNothing costs no lookup and draws no word, in any mode
// and at both doors, whatever would be said of the object; it is counted.
func TestAnUpdateThatChangesNothing(t *testing.T) {
	was := bad(`"labels":{"a":"b"},"resourceVersion":"1"`, "")
	for name, is := range map[string]string{
		"nothing at all": was,
		"what the API server and other controllers write": bad(
			`"labels":{"a":"b"},"resourceVersion":"2","generation":2,"finalizers":["example.com/f"],`+
				`"managedFields":[{"manager":"operator","time":"2026-01-01T00:00:00Z"}]`, ""),
		"an empty list for none": bad(`"labels":{"a":"b"},"annotations":{}`, ""),
	} {
		for _, mode := range validators.Modes() {
			t.Run(fmt.Sprintf("%s, mode %s", name, mode), func(t *testing.T) {
				w := newWebhook(t)
				asked, reg := 0, prometheus.NewRegistry()
				w.Environment.Source, w.Environment.Live, w.Environment.Finder, w.Metrics = deaf{&asked}, deaf{&asked}, nil,
					NewMetrics(reg)
				w.Policy.Mode = mode
				h := w.Handler()
				for _, door := range []string{ValidatePath, MutatePath} {
					got := answered(t, post(t, h, door, updateOf(was, is)))
					if !got.Allowed || len(got.Warnings) > 0 || got.Patch != nil || len(got.AuditAnnotations) > 0 {
						t.Errorf("%s: %+v", door, got)
					}
				}
				if asked > 0 {
					t.Errorf("%d lookups", asked)
				}
				if got := byVerdict(t, reg, "stayput_requests_total"); got["allowed"] != 2 || len(got) != 1 {
					t.Errorf("requests: %v", got)
				}
				if got := byVerdict(t, reg, "stayput_findings_total"); len(got) > 0 {
					t.Errorf("findings: %v", got)
				}
			})
		}
	}
}

// byVerdict returns what a metric counts, by verdict.
func byVerdict(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			label := ""
			for _, l := range m.Label {
				if l.GetName() == "verdict" {
					label = l.GetValue()
				}
			}
			counts[label] += m.GetCounter().GetValue()
		}
	}
	return counts
}

// TestAnUpdateSpeaksOfWhatItChanges: of the rest of the object, which would be
// denied if it were new, it says nothing.
func TestAnUpdateSpeaksOfWhatItChanges(t *testing.T) {
	h := newWebhook(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}).Handler()
	was := bad(`"labels":{"a":"b"}`, "")
	replace := func(from, to string) string {
		if !strings.Contains(was, from) {
			t.Fatalf("%s is not in it", from)
		}
		return strings.Replace(was, from, to, 1)
	}
	for name, tt := range map[string]struct {
		old, obj string
		denied   bool
		rules    string // as the audit log has them
	}{
		"a label that no rule reads":      {was, replace(`{"a":"b"}`, `{"a":"c"}`), false, ""},
		"the image":                       {was, replace(`"image":"db"`, `"image":"db:2"`), false, ""},
		"replicas, which some rules read": {was, replace(`"replicas":3`, `"replicas":5`), false, ""},
		"replicas, over one": {
			replace(`"replicas":3`, `"replicas":1`), was, false,
			"statefulset-disruption-budget=warn,statefulset-readiness=warn,statefulset-spread=warn",
		},
		"what is denied, brought in": {
			replace(`"terminationGracePeriodSeconds":0`, `"terminationGracePeriodSeconds":5`), was, true,
			"statefulset-grace-period=deny",
		},
		"what is denied, otherwise": {was, replace(`"serviceName":"db"`, `"serviceName":"gone"`), false,
			"statefulset-service-missing=warn"},
		"an exemption lifted": {
			replace(`"labels":{"a":"b"}`, `"annotations":{"exempt.stayput.dev/statefulset-grace-period":"a test"}`), was, false,
			"statefulset-grace-period=warn",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := answered(t, post(t, h, ValidatePath, updateOf(tt.old, tt.obj)))
			if got.Allowed == tt.denied || got.AuditAnnotations["mode"] != "enforce" ||
				got.AuditAnnotations["rules"] != tt.rules {
				t.Errorf("%+v", got)
			}
			if tt.rules == "" && len(got.Warnings) > 0 {
				t.Errorf("warnings: %q", got.Warnings)
			}
		})
	}
}
