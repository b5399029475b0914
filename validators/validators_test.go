package validators

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

var (
	wantLine = regexp.MustCompile("# want (.*)")
	wantItem = regexp.MustCompile("(hint|warn|deny) `([^`]*)`")
)

// A want is one finding that a comment in the testdata asks for.
type want struct {
	level Level
	text  *regexp.Regexp
}

// TestRules replays testdata/<rule>.yaml through each rule and compares what it
// finds with the "# want" comments, line by line.
func TestRules(t *testing.T) {
	for _, r := range All {
		t.Run(r.Name, func(t *testing.T) { replay(t, r) })
	}
}

func replay(t *testing.T, r *Rule) {
	file := filepath.Join("testdata", r.Name+".yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.Level == Off {
		raised := *r // as whoever wants the rule must configure it
		raised.Level = Warn
		r = &raised
	}
	wants := parseWants(t, file, string(data))
	docs, skipped, err := cluster.ParseManifests(file, data)
	if err != nil {
		t.Fatal(err)
	}
	if skipped > 0 {
		t.Errorf("%s: %d objects of unknown kinds", file, skipped)
	}
	snap := &cluster.Snapshot{Complete: true}
	seen := map[string]client.Object{}
	for _, d := range docs {
		for _, e := range d.Unknown {
			t.Errorf("%s:%d: %v", file, d.Line(""), e)
		}
		if k := keyOf(d); seen[k] == nil {
			seen[k] = d.Object
			if err := snap.Add(d.Object); err != nil {
				t.Fatal(err)
			}
		}
	}
	spy := &spy{Reader: snap, reads: map[string]bool{}}
	last := map[string]client.Object{}
	for _, d := range docs {
		before := d.DeepCopyObject()
		old, obj := last[keyOf(d)], d.Object
		if _, del := d.Directive("delete"); del {
			old, obj = d.Object, nil
		}
		last[keyOf(d)] = d.Object
		var req cluster.Request
		req.User.Username, _ = d.Directive("as")
		_, req.Orphan = d.Directive("orphan")
		retain, _ := d.Directive("retain")
		view := cluster.World{Source: spy, Retain: cluster.Retain(retain)}.View(context.Background(), req)
		findings, undecided := Review(view, []*Rule{r}, old, obj)
		for _, u := range undecided {
			t.Errorf("%s:%d: undecided: %v", file, d.Line(""), u)
		}
		for _, f := range findings {
			line := d.Line(f.Field)
			if !take(wants, line, f) {
				t.Errorf("%s:%d: unexpected: %s: %v", file, line, f.Level, f)
			}
			checkMessage(t, f)
		}
		if diff := cmp.Diff(before, runtime.Object(d.Object)); diff != "" {
			t.Errorf("%s:%d: the rule edited what it looked at:\n%s", file, d.Line(""), diff)
		}
	}
	for line, ws := range wants {
		for _, w := range ws {
			t.Errorf("%s:%d: no finding of level %s matches %q", file, line, w.level, w.text)
		}
	}
	declared := map[string]bool{}
	for _, o := range r.Reads {
		declared[fmt.Sprintf("%T", o)] = true
	}
	if diff := cmp.Diff(declared, spy.reads); diff != "" {
		t.Errorf("Reads (-declared +read):\n%s", diff)
	}
}

func keyOf(d cluster.Manifest) string {
	return fmt.Sprintf("%T/%s/%s", d.Object, d.GetNamespace(), d.GetName())
}

func parseWants(t *testing.T, file, data string) map[int][]want {
	wants := map[int][]want{}
	for i, line := range strings.Split(data, "\n") {
		m := wantLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		items := wantItem.FindAllStringSubmatch(m[1], -1)
		if len(items) == 0 {
			t.Errorf("%s:%d: want what? # want deny `regexp`", file, i+1)
		}
		for _, item := range items {
			var w want
			if err := w.level.UnmarshalText([]byte(item[1])); err != nil {
				t.Fatal(err)
			}
			w.text = regexp.MustCompile(item[2])
			wants[i+1] = append(wants[i+1], w)
		}
	}
	if len(wants) == 0 {
		t.Errorf("%s: no # want: the rule never fires", file)
	}
	return wants
}

func take(wants map[int][]want, line int, f Finding) bool {
	for i, w := range wants[line] {
		if w.level == f.Level && w.text.MatchString(f.String()) {
			wants[line] = slices.Delete(wants[line], i, i+1)
			return true
		}
	}
	return false
}

// checkMessage holds a message to what design and API server allow.
func checkMessage(t *testing.T, f Finding) {
	t.Helper()
	s := f.String()
	if n := utf8.RuneCountInString(s); n > 500 {
		t.Errorf("%d runes, more than the 500 of a denial: %s", n, s)
	}
	if n := utf8.RuneCountInString(f.Rule.Name + ": " + f.Error.Error()); n > 250-len("; fix: stayput rules "+f.Rule.Name) {
		t.Errorf("%d runes before the remedy: cut in a warning: %s", n, s)
	}
	if strings.Contains(strings.ToLower(s), "immutable") {
		t.Errorf("says immutable, upon which kubectl apply --force deletes: %s", s)
	}
	if f.Remedy == "" {
		t.Errorf("no remedy: %s", s)
	}
	for _, part := range []string{f.Detail, f.Remedy} {
		if strings.HasSuffix(part, ".") {
			t.Errorf("ends in a full stop: %s", part)
		}
	}
}

// spy records the kinds that a rule looks up.
type spy struct {
	client.Reader
	reads map[string]bool
}

func (s *spy) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	s.reads[fmt.Sprintf("%T", obj)] = true
	return s.Reader.Get(ctx, key, obj, opts...)
}

func (s *spy) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	s.reads[strings.TrimSuffix(fmt.Sprintf("%T", list), "List")] = true
	return s.Reader.List(ctx, list, opts...)
}

// TestAllIsComplete parses the package: every rule is listed, in order, in a
// file of its name, with testdata of its name.
func TestAllIsComplete(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]string{} // rule by file
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if id, ok := lit.Type.(*ast.Ident); !ok || id.Name != "Rule" {
				return true
			}
			for _, elt := range lit.Elts {
				kv := elt.(*ast.KeyValueExpr)
				if kv.Key.(*ast.Ident).Name == "Name" {
					declared[file] = strings.Trim(kv.Value.(*ast.BasicLit).Value, `"`)
				}
			}
			return true
		})
	}
	var names []string
	for _, r := range All {
		names = append(names, r.Name)
		if file := strings.ReplaceAll(r.Name, "-", "_") + ".go"; declared[file] != r.Name {
			t.Errorf("rule %s is not in %s", r.Name, file)
		}
		checkDoc(t, r)
	}
	if !slices.IsSorted(names) {
		t.Errorf("All is not sorted: %q", names)
	}
	for _, name := range slices.Sorted(maps.Values(declared)) {
		if !slices.Contains(names, name) {
			t.Errorf("rule %s is not in All", name)
		}
	}
	testdata, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range testdata {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); !slices.Contains(names, name) {
			t.Errorf("%s is the testdata of no rule", file)
		}
	}
}

func checkDoc(t *testing.T, r *Rule) {
	title, rest, _ := strings.Cut(r.Doc, "\n\n")
	if title == "" || strings.HasSuffix(title, ".") || strings.Contains(title, "\n") || rest == "" {
		t.Errorf("%s: Doc needs a title of one line without a full stop, an empty line, and the reasons", r.Name)
	}
	if r.Level == Off && len(r.Checks) == 0 {
		t.Errorf("%s: no checks", r.Name)
	}
}
