package report

import (
	"fmt"
	"io"
	"iter"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

// SARIF writes the report as SARIF 2.1.0, which code scanning reads.
func (r *Report) SARIF(w io.Writer) error {
	run := sarif.NewRun()
	driver := sarif.NewToolComponent().WithName("stayput").WithVersion(r.Version).WithInformationURI("https://stayput.dev")
	run.WithTool(sarif.NewTool().WithDriver(driver))
	for _, rule := range r.Rules {
		driver.AddRule(sarifRule(rule))
	}
	run.AddInvocation(r.sarifInvocation())
	doc := sarif.NewReport()
	doc.AddRun(run)
	streams := map[any]iter.Seq[any]{&run.Results: r.sarifResults()}
	if err := writeJSON(w, doc, streams, sarif.Run{}); err != nil {
		return fmt.Errorf("write SARIF: %w", err)
	}
	return nil
}

// sarifResults returns the results, each a [*sarif.Result].
func (r *Report) sarifResults() iter.Seq[any] {
	return func(yield func(any) bool) {
		for i := range r.Findings {
			if !yield(r.sarifResult(&r.Findings[i])) {
				return
			}
		}
		for i := range r.Exempted {
			e := &r.Exempted[i]
			suppression := sarif.NewSuppression().WithKind("inSource").WithStatus("accepted").WithJustification(clean(e.By +
				": " + e.Reason))
			if e.By == "the configuration" {
				suppression.WithKind("external")
			}
			if !yield(r.sarifResult(&e.Finding).WithSuppressions([]*sarif.Suppression{suppression})) {
				return
			}
		}
	}
}

func sarifRule(rule Rule) *sarif.ReportingDescriptor {
	text := strings.TrimSpace(strings.TrimPrefix(rule.Doc, rule.Title))
	if text == "" {
		text = rule.Title
	}
	return sarif.NewRule(rule.Name).WithName(rule.Name).
		WithShortDescription(sarif.NewMultiformatMessageString().WithText(sarifText(rule.Title))).
		WithFullDescription(sarif.NewMultiformatMessageString().WithText(sarifText(text))).
		WithHelp(sarif.NewMultiformatMessageString().WithText(sarifText(text + "\n\nstayput rules " + rule.Name +
			" says this in a terminal.")).
			WithMarkdown(braces.Replace(escapeMarkdown(text) + "\n\n`stayput rules " + rule.Name +
				"` says this in a terminal."))).
		WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(sarifLevel(rule.Level)))
}

// Braces make a placeholder in a message (SARIF 2.1.0, 3.11.5), whether or not
// there are arguments.
var braces = strings.NewReplacer("{", "{{", "}", "}}")

// sarifText escapes what is syntax in a plain text message: braces, and brackets
// before a parenthesis, which make a link (3.11.6).
func sarifText(s string) string {
	return strings.ReplaceAll(braces.Replace(s), "](", `\](`)
}

func sarifLevel(level string) string {
	switch level {
	case "deny", "hint":
		return "error"
	case "off":
		return "none"
	}
	return "warning"
}

func (r *Report) sarifResult(f *Finding) *sarif.Result {
	message := clean(f.Object.String() + ": " + f.Message)
	if f.Remedy != "" {
		message += "; fix: " + clean(f.Remedy)
	}
	result := sarif.NewRuleResult(f.Rule).WithLevel(sarifLevel(f.Level)).
		WithMessage(sarif.NewTextMessage(sarifText(message))).
		WithPartialFingerprints(map[string]string{"stayput/v1": f.Fingerprint})
	if i := slices.IndexFunc(r.Rules, func(rule Rule) bool { return rule.Name == f.Rule }); i >= 0 {
		result.WithRuleIndex(i)
	}
	location := sarif.NewLocation()
	name := strings.Trim(f.Object.Namespace+"/"+f.Object.Name, "/")
	location.AddLogicalLocation(sarif.NewLogicalLocation().WithKind("resource").WithName(clean(f.Object.Name)).
		WithFullyQualifiedName(clean(f.Object.Kind + "/" + name)))
	if l := f.Location; l != nil {
		physical := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation(uri(l.File)))
		if !l.Rendered && l.Line > 0 {
			physical.WithRegion(sarif.NewRegion().WithStartLine(l.Line).
				WithStartColumn(l.Column).WithEndLine(l.Line).WithEndColumn(l.EndColumn))
		}
		location.WithPhysicalLocation(physical)
	}
	if l := f.Location; l != nil && l.Template != "" {
		from := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation(uri(l.Template)))
		result.AddRelatedLocation(sarif.NewLocation().WithPhysicalLocation(from).
			WithMessage(sarif.NewTextMessage("the file that Helm or kustomize made it from")))
	}
	if f.Fix != nil && f.Fix.Unwritten == "" {
		result.AddFixe(sarifFix(f))
	}
	return result.WithLocations([]*sarif.Location{location})
}

// sarifFix returns the fix of a finding in SARIF's form.
func sarifFix(f *Finding) *sarif.Fix {
	fix := sarif.NewFix().WithDescription(sarif.NewTextMessage(sarifText(clean(f.Remedy))))
	for _, c := range f.Fix.Changes {
		region := sarif.NewRegion().WithStartLine(c.Line).WithStartColumn(c.Column).
			WithEndLine(c.EndLine).WithEndColumn(c.EndColumn)
		fix.AddArtifactChange(sarif.NewArtifactChange().WithArtifactLocation(sarif.NewSimpleArtifactLocation(uri(c.File))).
			AddReplacement(sarif.NewReplacement().WithDeletedRegion(region).
				WithInsertedContent(sarif.NewArtifactContent().WithText(c.Text))))
	}
	return fix
}

// sarifInvocation says whether the whole input was reviewed, and lists what was not.
func (r *Report) sarifInvocation() *sarif.Invocation {
	inv := sarif.NewInvocation().WithExecutionSuccessful(len(r.Errors) == 0)
	for _, p := range r.Errors {
		n := sarif.NewNotification().WithLevel("error").WithMessage(sarif.NewTextMessage(sarifText(clean(p.Message))))
		if p.File != "" {
			physical := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation(uri(p.File)))
			if p.Line > 0 {
				physical.WithRegion(sarif.NewRegion().WithStartLine(p.Line))
			}
			n.AddLocation(sarif.NewLocation().WithPhysicalLocation(physical))
		}
		inv.AddToolExecutionNotification(n)
	}
	for _, s := range r.Skipped {
		text := fmt.Sprintf("skipped: %s for %s: %s", s.Rule, count(s.Objects, "object"), clean(s.Reason))
		inv.AddToolExecutionNotification(sarif.NewNotification().WithLevel("note").
			WithMessage(sarif.NewTextMessage(sarifText(text))))
	}
	note := func(text string) {
		inv.AddToolExecutionNotification(sarif.NewNotification().WithLevel("note").
			WithMessage(sarif.NewTextMessage(sarifText(text))))
	}
	for kind, n := range r.others() {
		note("not reviewed: " + count(n, "object") + " of kind " + clean(kind))
	}
	if r.Kubernetes != "" {
		note("reviewed for Kubernetes " + r.Kubernetes)
	}
	return inv
}

// uri returns a file name as a relative URI reference: a first segment with a
// colon would be a scheme, were it not escaped.
func uri(file string) string {
	u := url.URL{Path: path.Clean(filepath.ToSlash(file))}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
	}
	return u.String()
}
