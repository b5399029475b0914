package validators

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// The limits of messages. Sources: webhook/answer.go, for what is sent, and
// k8s.io/apiserver@v0.37.1 pkg/endpoints/filters/warning.go, for why.
const (
	denialRunes  = 500
	warningRunes = 250
)

// TestMessages holds every message of the testdata to the form that users and
// the API server can bear.
func TestMessages(t *testing.T) {
	all, long := 0, 0
	for _, r := range All {
		longest := 0
		for _, s := range steps(t, r) {
			for _, f := range findings(t, r, s) {
				all++
				checkMessage(t, f)
				if n := utf8.RuneCountInString(f.String()); f.Level != Deny && n > warningRunes {
					long++
					longest = max(longest, n)
					t.Logf("%s:%d: %d runes, so the warning ends in the command that prints it: %s", s.File, s.Line(f.Field), n, f)
				}
			}
		}
	}
	if all < 200 {
		t.Errorf("only %d messages", all)
	}
	t.Logf("%d messages, of which %d warnings are cut", all, long)
}

// findings are those of a rule about a situation, though the rule be off.
func findings(t *testing.T, r *Rule, s situation) []Finding {
	t.Helper()
	raised := *r
	if r.Level == Off {
		raised.Level = Warn
	}
	found, undecided := s.review(&raised, s.snapshot, nil)
	if len(undecided) > 0 {
		t.Fatal(undecided[0])
	}
	return found
}

var (
	form = regexp.MustCompile(`^[a-z]+(-[a-z]+)*: [a-zA-Z]+(\.[a-zA-Z]+|\[[^\]]+\])*: (Invalid value|Required ` +
		`value|Duplicate value|Not found|Forbidden|Too long).*; fix: .+`)
	badFormat = regexp.MustCompile(`%!|%[a-z]\b|<nil>|0x[0-9a-f]{6,}|\{\{|map\[`)
	longList  = regexp.MustCompile(`(?:[a-z0-9.-]+, ){5}[a-z0-9.-]+`)
)

// faults says what is wrong with a message.
func faults(f Finding) (all []string) {
	fault := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	s := f.String()
	before, _, _ := strings.Cut(s, "; fix: ")
	runes, room := utf8.RuneCountInString(s), warningRunes-len("; fix: stayput rules "+f.Rule.Name)
	fault(!form.MatchString(s), "not of the form <rule>: <path>: <what>; fix: <remedy>")
	fault(runes > denialRunes, "%d runes, more than the %d of a denial", runes, denialRunes)
	fault(utf8.RuneCountInString(before) > room, "%d runes before the remedy: cut in a warning",
		utf8.RuneCountInString(before))
	fault(strings.Contains(strings.ToLower(s), "immutable"), "says immutable, upon which kubectl apply --force deletes")
	fault(f.Remedy.String() == "", "no remedy")
	fault(f.Recreates != strings.Contains(f.Remedy.String(), applyAgain),
		"the remedy makes it anew, and is not marked so, or the other way about")
	in := f.InPlace()
	fault(in.Remedy.String() == "" || in.Recreates || strings.Contains(in.Remedy.String(), applyAgain),
		"the remedy that leaves it alone is %q", in.Remedy)
	fault(badFormat.MatchString(s), "a formatting mistake, %q", badFormat.FindString(s))
	fault(strings.Contains(s, "  "), "two spaces")
	fault(longList.MatchString(s), "a list of more than five, %q", longList.FindString(s))
	for _, part := range []string{f.Detail, f.Remedy.String()} {
		fault(strings.HasSuffix(part, ".") && !strings.HasSuffix(part, "..."), "ends in a full stop: %s", part)
		fault(part != strings.TrimSpace(part), "space around %q", part)
	}
	fault(f.Detail != "" && strings.ToLower(f.Detail[:1]) != f.Detail[:1], "begins with a capital: %s", f.Detail)
	return all
}

func checkMessage(t *testing.T, f Finding) {
	t.Helper()
	for _, fault := range faults(f) {
		t.Errorf("%s\n\tin %s", fault, f)
	}
}

// TestFaults proves that what TestMessages looks for would be found.
func TestFaults(t *testing.T) {
	good := func() Finding {
		return Finding{Rule: statefulsetParallel, Remedy: Remedy{"leave it out"}, Error: required("must be set")}
	}
	if got := faults(good()); len(got) > 0 {
		t.Fatalf("a good message: %q", got)
	}
	for name, tt := range map[string]struct{ detail, remedy, want string }{
		"a full stop":           {"must be set.", "x", "full stop"},
		"two spaces":            {"must  be set", "x", "two spaces"},
		"a wrong verb":          {fmt.Sprintf("must be %%!s(int=%d)", 3), "x", "formatting mistake"},
		"the word":              {"is immutable", "x", "immutable"},
		"no remedy":             {"must be set", "", "no remedy"},
		"six names":             {"must not lose a-0, a-1, a-2, a-3, a-4, a-5", "x", "more than five"},
		"a capital":             {"Must be set", "x", "capital"},
		"too long for a denial": {"must be set", strings.Repeat("x", denialRunes), "of a denial"},
		"cut in a warning":      {"must be " + strings.Repeat("x", 180), "x", "cut in a warning"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			f.Error, f.Remedy = required(tt.detail), Remedy{tt.remedy}
			if got := strings.Join(faults(f), "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestFewStopsAtFive is the one place where lists of names are made.
func TestFewStopsAtFive(t *testing.T) {
	names := strings.Fields("a-0 a-1 a-2 a-3 a-4 a-5 a-6")
	for n, want := range map[int]string{1: "a-0", 5: "a-0, a-1, a-2, a-3, a-4", 6: "a-0, a-1, a-2, a-3, a-4 and 1 more",
		7: "a-0, a-1, a-2, a-3, a-4 and 2 more"} {
		if got := cluster.Few(names[:n]); got != want {
			t.Errorf("%d names: got %q, want %q", n, got, want)
		}
	}
}

func required(detail string) *field.Error {
	return field.Required(field.NewPath("spec", "podManagementPolicy"), detail)
}
