package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	invopop "github.com/invopop/jsonschema"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the schema of the JSON report anew")

const schemaFile = "../docs/report.schema.json"

// TestSchemaIsCurrent holds the schema in docs to the Go types, comments
// included.
func TestSchemaIsCurrent(t *testing.T) {
	reflector := &invopop.Reflector{AllowAdditionalProperties: true}
	if err := reflector.AddGoComments("stayput.dev/report", "./"); err != nil {
		t.Fatal(err)
	}
	schema := reflector.Reflect(&Report{})
	schema.ID = "https://stayput.dev/schemas/report.v1.json"
	schema.Title = "The report of stayput lint and stayput audit, --format json"
	got, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.MkdirAll(filepath.Dir(schemaFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not current; make generate (-file +types):\n%s", schemaFile, diff)
	}
}

// TestJSONMatchesItsSchema validates what the program prints, its golden
// output, and that the schema can refuse.
func TestJSONMatchesItsSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("../cmd/stayput/testdata/golden/lint.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data []byte
		ok   bool
	}{
		"the golden output":   {data, true},
		"a level of no kind":  {bytes.Replace(data, []byte(`"level": "deny"`), []byte(`"level": "fatal"`), 1), false},
		"another version":     {bytes.Replace(data, []byte(APIVersion), []byte("report.stayput.dev/v2"), 1), false},
		"a field of no kind":  {bytes.Replace(data, []byte(`"command"`), []byte(`"comand"`), 1), false},
		"a line that is text": {bytes.Replace(data, []byte(`"line": 12`), []byte(`"line": "12"`), 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(tt.data))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); (err == nil) != tt.ok {
				t.Errorf("valid: %v, want %v: %v", err == nil, tt.ok, err)
			}
		})
	}
}

// TestSARIFMatchesItsSchema validates the golden output against the schema of
// SARIF 2.1.0, which the library carries.
func TestSARIFMatchesItsSchema(t *testing.T) {
	data, err := os.ReadFile("../cmd/stayput/testdata/golden/lint.sarif")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := sarif.FromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(); err != nil {
		t.Error(err)
	}
	run := doc.Runs[0]
	seen := map[string]bool{}
	for _, res := range run.Results {
		rule := run.Tool.Driver.Rules[res.RuleIndex]
		if *rule.ID != *res.RuleID || rule.Help.Text == nil || rule.ShortDescription.Text == nil {
			t.Errorf("rule %d is %s, and not %s, or has no help", res.RuleIndex, *rule.ID, *res.RuleID)
		}
		print := res.PartialFingerprints["stayput/v1"]
		if print == "" || seen[print] {
			t.Errorf("fingerprint %q of %s: is missing, or another's", print, *res.RuleID)
		}
		seen[print] = true
	}
	doc.Runs[0].Results[0].WithLevel("fatal")
	if err := doc.Validate(); err == nil {
		t.Error("the schema takes any level")
	}
}

// TestSARIFMessagesAreNoTemplates has text that would be a placeholder or a
// link.
func TestSARIFMessagesAreNoTemplates(t *testing.T) {
	r := Report{
		Findings: []Finding{{Rule: "a", Message: "{0} [here](1) spec.containers[0]", Remedy: "selector: {app: db}"}},
		Errors:   []Problem{{Message: "{{ .Values.x }}"}},
	}
	var text bytes.Buffer
	if err := r.SARIF(&text); err != nil {
		t.Fatal(err)
	}
	doc, err := sarif.FromBytes(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *doc.Runs[0].Results[0].Message.Text,
		`: {{0}} [here\](1) spec.containers[0]; fix: selector: {{app: db}}`; !strings.HasSuffix(got, want) {
		t.Errorf("%q does not end in %q", got, want)
	}
	if got, want := *doc.Runs[0].Invocations[0].ToolExecutionNotifications[0].Message.Text,
		"{{{{ .Values.x }}}}"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
