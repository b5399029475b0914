package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"stayput.dev/certs"
	"stayput.dev/internal/whole"
	"stayput.dev/webhook"
	"stayput.dev/webhook/repair"
)

// promtool comes with Debian's package prometheus, among others.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	whole.Only(t, "promtool, of Debian's package prometheus")
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlerts(t *testing.T) {
	promtool(t, "check", "rules", "chart/files/alerts.yaml")
	promtool(t, "test", "rules", "alerts_test.yaml")
	var rules, tests struct {
		Groups []struct {
			Rules []struct{ Alert string }
		}
		Tests []struct {
			Rules []struct {
				Alert  string `json:"alertname"`
				Expect []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	read(t, "chart/files/alerts.yaml", &rules)
	read(t, "alerts_test.yaml", &tests)
	fired := map[string]bool{}
	for _, test := range tests.Tests {
		for _, r := range test.Rules {
			fired[r.Alert] = fired[r.Alert] || len(r.Expect) > 0
		}
	}
	for _, r := range rules.Groups[0].Rules {
		if !fired[r.Alert] {
			t.Errorf("no test has %s fire", r.Alert)
		}
	}
}

// ofTheAPIServer are the metrics of the API server that are used here. e2e/kind
// sees that it exports them.
var ofTheAPIServer = []string{
	"apiserver_admission_webhook_rejection_count", "apiserver_admission_webhook_fail_open_count",
	"apiserver_admission_webhook_request_total", "apiserver_admission_webhook_admission_duration_seconds",
	"apiserver_admission_match_condition_evaluation_errors_total",
}

// TestMetricsExist looks for every metric that an alert or the dashboard
// queries among those there are.
func TestMetricsExist(t *testing.T) {
	registry := prometheus.NewRegistry()
	webhook.NewMetrics(registry)
	repair.NewMetrics(registry)
	certs.NewMetrics().Expose(registry, nil, nil, nil)
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exist := map[string]bool{}
	for _, name := range ofTheAPIServer {
		exist[name] = true
	}
	described := make(chan *prometheus.Desc)
	go func() { registry.Describe(described); close(described) }()
	for d := range described {
		exist[regexp.MustCompile(`fqName: "([^"]*)"`).FindStringSubmatch(d.String())[1]] = true
	}
	used := 0
	for _, file := range []string{"chart/files/alerts.yaml", "chart/files/dashboard.json"} {
		for _, expr := range expressions(t, file) {
			for _, name := range regexp.MustCompile(`\b(stayput|apiserver|process|go)_[a-z_]+\b`).FindAllString(expr, -1) {
				used++
				if !exist[strings.TrimSuffix(name, "_bucket")] {
					t.Errorf("%s: there is no metric %s", file, name)
				}
			}
		}
	}
	if used < 20 {
		t.Errorf("only %d uses of metrics found: are they looked for in the right place?", used)
	}
}

// expressions returns what is queried: all strings under "expr".
func expressions(t *testing.T, file string) (exprs []string) {
	var doc any
	if strings.HasSuffix(file, ".json") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	} else {
		read(t, file, &doc)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for k, e := range v {
				if s, ok := e.(string); ok && k == "expr" {
					exprs = append(exprs, s)
				}
				walk(e)
			}
		}
	}
	walk(doc)
	return exprs
}
