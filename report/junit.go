package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// JUnit writes the report as JUnit XML: a suite for each file or namespace, in
// it a test for each finding, and one that passes for each object without any.
func (r *Report) JUnit(w io.Writer) error {
	j := &junitWriter{r: r, index: map[string]int{}}
	found := map[Reviewed]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		at := Reviewed{Object: f.Object}
		if f.Location != nil {
			at.File = f.Location.File
		}
		found[at] = true
		j.finding(at, f)
	}
	for _, o := range r.Reviewed {
		if o.Line = 0; !found[o] {
			j.add(suiteOf(o), junit.Testcase{Classname: clean(suiteOf(o)), Name: clean(o.Object.String())})
		}
	}
	for _, s := range r.Skipped {
		j.add("rules skipped", junit.Testcase{Classname: "rules skipped", Name: s.Rule, Skipped: &junit.Result{
			Message: clean(fmt.Sprintf("for %s: %s", count(s.Objects, "object"), s.Reason)),
		}})
	}
	for _, p := range r.Errors {
		j.add("input", junit.Testcase{Classname: "input", Name: clean(p.String()), Error: &junit.Result{Message: clean(p.Message), Type: "unreadable"}})
	}
	all := junit.Testsuites{Name: "stayput " + r.Command}
	for i, s := range j.suites {
		s.ID = i
		all.AddSuite(s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	return all.WriteXML(w)
}

type junitWriter struct {
	r      *Report
	suites []junit.Testsuite
	index  map[string]int
}

func suiteOf(o Reviewed) string {
	switch {
	case o.File != "":
		return o.File
	case o.Object.Namespace != "":
		return "namespace " + o.Object.Namespace
	}
	return "cluster"
}

func (j *junitWriter) add(suite string, test junit.Testcase) {
	i, ok := j.index[suite]
	if !ok {
		i = len(j.suites)
		j.index[suite] = i
		j.suites = append(j.suites, junit.Testsuite{Name: clean(suite), Time: "0"})
	}
	j.suites[i].AddTestcase(test)
}

func (j *junitWriter) finding(at Reviewed, f *Finding) {
	test := junit.Testcase{Classname: clean(suiteOf(at)), Name: clean(f.Rule + ": " + f.Object.String())}
	if f.Field != "" {
		test.Name += clean(" " + f.Field)
	}
	var text strings.Builder
	if f.Location != nil {
		fmt.Fprintf(&text, "%s:%d:%d\n", f.Location.File, f.Location.Line, f.Location.Column)
	}
	fmt.Fprintf(&text, "%s: %s: %s\n", f.Level, f.Rule, clean(f.Message))
	if f.Remedy != "" {
		fmt.Fprintf(&text, "fix: %s\n", clean(f.Remedy))
	}
	if j.r.fails(*f) {
		test.Failure = &junit.Result{Message: clean(f.Message), Type: f.Level, Data: text.String()}
	} else {
		test.SystemOut = &junit.Output{Data: text.String()}
	}
	j.add(suiteOf(at), test)
}
