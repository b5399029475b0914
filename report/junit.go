package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// JUnit writes the report as JUnit XML. It has a suite for each file or namespace,
// which contains a test for each finding, and a test that passes for each object
// without a finding.
func (r *Report) JUnit(w io.Writer) error {
	all := suites{Testsuites: junit.Testsuites{Name: "stayput " + r.Command}}
	index := map[string]int{}
	add := func(name string, test func() junit.Testcase) {
		i, ok := index[name]
		if !ok {
			i = len(all.Suites)
			index[name] = i
			all.Suites = append(all.Suites, suite{Testsuite: junit.Testsuite{ID: i, Name: clean(name), Time: "0"}})
		}
		all.Suites[i].add(test)
	}
	found := map[Reviewed]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		found[reviewedOf(f)] = true
		add(suiteOf(reviewedOf(f)), func() junit.Testcase { return r.junitTest(f) })
	}
	if r.Reviewed != nil {
		for o := range r.Reviewed {
			if !found[o] {
				add(suiteOf(o), func() junit.Testcase {
					return junit.Testcase{Classname: clean(suiteOf(o)), Name: clean(o.Object.String())}
				})
			}
		}
	}
	for _, s := range r.Skipped {
		add("rules skipped", func() junit.Testcase {
			reason := clean(fmt.Sprintf("for %s: %s", count(s.Objects, "object"), s.Reason))
			return junit.Testcase{Classname: "rules skipped", Name: s.Rule, Skipped: &junit.Result{Message: reason}}
		})
	}
	for kind, n := range r.others() {
		add("not reviewed", func() junit.Testcase {
			reason := clean(count(n, "object") + " of a kind that no rule is about")
			return junit.Testcase{Classname: "not reviewed", Name: clean(kind), Skipped: &junit.Result{Message: reason}}
		})
	}
	for _, p := range r.Errors {
		add("input", func() junit.Testcase {
			return junit.Testcase{Classname: "input", Name: clean(p.String()), Error: &junit.Result{Message: clean(p.Message),
				Type: "unreadable"}}
		})
	}
	if r.Kubernetes != "" && len(all.Suites) > 0 {
		all.Suites[0].AddProperty("kubernetes", r.Kubernetes)
	}
	return all.write(w)
}

// suites are junit.Testsuites that make each test when it is written, because
// there is one for each object.
type suites struct {
	junit.Testsuites
	Suites []suite `xml:"testsuite"` // instead of those in Testsuites
}

type suite struct {
	junit.Testsuite
	Tests tests `xml:"testcase"` // instead of those in Testsuite
}

// add adds a test, and counts it.
func (s *suite) add(test func() junit.Testcase) {
	s.AddTestcase(test())
	s.Testsuite.Testcases = nil
	s.Tests = append(s.Tests, test)
}

type tests []func() junit.Testcase

// MarshalXML implements [xml.Marshaler].
func (t tests) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	for _, test := range t {
		if err := e.EncodeElement(test(), start); err != nil {
			return err
		}
	}
	return nil
}

func (s *suites) write(w io.Writer) error {
	for i := range s.Suites {
		s.AddSuite(s.Suites[i].Testsuite) // counts it
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "\t")
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// reviewedOf returns the object that a finding is about.
func reviewedOf(f *Finding) Reviewed {
	o := Reviewed{Object: f.Object}
	if f.Location != nil {
		o.File = f.Location.File
	}
	return o
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

func (r *Report) junitTest(f *Finding) junit.Testcase {
	test := junit.Testcase{Classname: clean(suiteOf(reviewedOf(f))), Name: clean(f.Rule + ": " + f.Object.String())}
	if f.Field != "" {
		test.Name += clean(" " + f.Field)
	}
	var text strings.Builder
	if f.Location != nil {
		fmt.Fprintln(&text, f.Location.columnText())
		if from := f.Location.Template; from != "" {
			fmt.Fprintf(&text, "from: %s\n", clean(from))
		}
	}
	fmt.Fprintf(&text, "%s: %s: %s\n", f.Level, f.Rule, clean(f.Message))
	if f.Remedy != "" {
		fmt.Fprintf(&text, "fix: %s\n", clean(f.Remedy))
	}
	if r.fails(*f) {
		test.Failure = &junit.Result{Message: clean(f.Message), Type: f.Level, Data: text.String()}
	} else {
		test.SystemOut = &junit.Output{Data: text.String()}
	}
	return test
}
