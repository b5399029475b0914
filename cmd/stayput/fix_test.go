package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stayput.dev/cluster"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/whole"
	"stayput.dev/manifest"
	"stayput.dev/report"
	"stayput.dev/validators"
)

// filesOf returns the files below a directory.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFixProperties fixes every broken example, and what was reported in public,
// once as it is and once as what is new: what is fixed is not found again, nothing
// else is, no object, value or comment is gone, the diff says the same, and there is
// nothing left to fix.
func TestFixProperties(t *testing.T) {
	broken, err := filepath.Glob("../../examples/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	field, err := filepath.Glob("../../validators/testdata/field/[0-9]*.yaml")
	if err != nil || len(broken) < 50 || len(field) < 40 {
		t.Fatal(len(broken), len(field), err)
	}
	nothing := t.TempDir()
	fixed := map[string]int{}
	for _, file := range append(broken, field...) {
		beside := filepath.Join(filepath.Dir(file), "storage.yaml")
		if filepath.Base(filepath.Dir(file)) == "field" {
			beside = filepath.Join(filepath.Dir(file), "_class.yaml")
		}
		for _, more := range [][]string{{"--complete"}, {"--complete", "--old", nothing}} {
			dir := t.TempDir()
			for _, f := range slices.Compact([]string{file, beside}) {
				data, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				write(t, dir, filepath.Base(f), string(data))
			}
			t.Run(fmt.Sprint(filepath.Base(file), more[1:]), func(t *testing.T) {
				for rule, n := range fixTree(t, dir, more) {
					fixed[rule] += n
				}
			})
		}
	}
	t.Logf("%d rules: %v", len(fixed), fixed)
	if len(fixed) < 18 {
		t.Errorf("only %d rules have a fix that is written", len(fixed))
	}
}

// TestFixTestdata fixes what the testdata of the rules has: all objects of a file at once, in their first state and in
// each later one, as what is there, as what is new and as a change of what was before.
func TestFixTestdata(t *testing.T) {
	files, err := filepath.Glob("../../validators/testdata/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatal(len(files), err)
	}
	nothing := t.TempDir()
	fixed := map[string]int{}
	for i, file := range files {
		if i%8 > 0 && !whole.Wanted() {
			continue // some minutes for all of them
		}
		rule := strings.TrimSuffix(filepath.Base(file), ".yaml")
		config := write(t, t.TempDir(), "config.yaml", "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\n")
		if slices.ContainsFunc(validators.All, func(r *validators.Rule) bool {
			return r.Name == rule && r.Level == validators.Off
		}) {
			config = write(t, filepath.Dir(config), "config.yaml", read(t, config)+"rules: {"+rule+": warn}\n")
		}
		states, versions := statesOf(t, file)
		for i, text := range states {
			was := nothing
			if i > 0 {
				was = t.TempDir()
				write(t, was, "a.yaml", states[i-1])
			}
			for j, version := range slices.Concat(versions, versions[:1]) {
				args := []string{"--complete", "--config", config, "--kubernetes-version", version}
				if j == len(versions) {
					args = append(args, "--old", was)
				}
				dir := t.TempDir()
				write(t, dir, "a.yaml", text)
				t.Run(fmt.Sprint(rule, i, j), func(t *testing.T) {
					for rule, n := range fixTree(t, dir, args) {
						fixed[rule] += n
					}
				})
			}
		}
	}
	t.Logf("%d rules: %v", len(fixed), fixed)
	if len(fixed) < 25 && whole.Wanted() {
		t.Errorf("only %d rules have a fix that is written", len(fixed))
	}
}

// statesOf returns the objects of a file of testdata in each of their states, the first ones together, then the
// second ones, and one or two versions of Kubernetes that it speaks of.
func statesOf(t *testing.T, file string) (states, versions []string) {
	t.Helper()
	docs := strings.Split(strings.TrimSuffix(read(t, file), "\n"), "\n---\n")
	of := map[named][]int{} // the documents of each object
	names := make([]named, len(docs))
	versions = []string{cluster.AnyPatch(cluster.NewestMinor).String()}
	last := 0
	for i, doc := range docs {
		s := manifest.ReadStream(file, []byte(doc))
		if len(s.Manifests) != 1 || len(s.Errors) > 0 {
			t.Fatalf("%s: document %d has %d objects, %v", file, i, len(s.Manifests), s.Errors)
		}
		m := s.Manifests[0]
		names[i] = nameOf(m.Object)
		if _, gone := m.Directive("delete"); !gone || of[names[i]] == nil { // what is deleted is there before it
			of[names[i]] = append(of[names[i]], i)
		}
		last = max(last, len(of[names[i]]))
		version, _ := m.Directive("kubernetes")
		if _, err := cluster.ParseVersions(version); err == nil {
			versions = append(versions[:1], version)
		}
	}
	for n := range last {
		var state []string
		for i, doc := range docs {
			if all := of[names[i]]; all[min(n, len(all)-1)] == i {
				state = append(state, doc)
			}
		}
		states = append(states, strings.Join(state, "\n---\n")+"\n")
	}
	return states, versions
}

// fixTree fixes a directory, and returns how many findings of each rule are gone.
func fixTree(t *testing.T, dir string, more []string) map[string]int {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "report.json")
	lint := func(args ...string) (out string, r report.Report) {
		t.Helper()
		var stdout, stderr bytes.Buffer // in this process: there are hundreds
		err := run(t.Context(), slices.Concat([]string{"lint", dir, "--format", "json=" + saved}, more, args),
			strings.NewReader(""), &stdout, &stderr)
		if err != nil && !errors.Is(err, cli.ErrFindings) {
			return "", r // it cannot be read
		}
		if err := json.Unmarshal([]byte(read(t, saved)), &r); err != nil {
			t.Fatalf("lint %v: %v: %s", args, err, stderr.String())
		}
		return stdout.String(), r
	}
	before := filesOf(t, dir)
	diff, was := lint("--fix", "--diff")
	if is := filesOf(t, dir); !reflect.DeepEqual(is, before) {
		t.Fatalf("--diff writes: %v", is)
	}
	_, is := lint("--fix")
	after := filesOf(t, dir)
	if is.Summary.Fixed == 0 {
		if !reflect.DeepEqual(after, before) {
			t.Error("nothing is fixed, and something is written")
		}
		return nil
	}
	patched := t.TempDir()
	for name, text := range before {
		write(t, patched, name, text)
	}
	apply := exec.CommandContext(t.Context(), "git", "apply", fmt.Sprintf("-p%d", 1+strings.Count(dir, "/")), "-")
	apply.Dir, apply.Stdin = patched, strings.NewReader(diff)
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("git apply: %v: %s%s", err, out, diff)
	}
	if !reflect.DeepEqual(filesOf(t, patched), after) {
		t.Errorf("the diff is not what is written:\n%s", diff)
	}
	_, again := lint("--fix")
	if !reflect.DeepEqual(filesOf(t, dir), after) {
		t.Error("a second run writes again")
	}
	gone, left, known := map[string]int{}, map[string]bool{}, map[string]bool{}
	touched := map[string]map[int]bool{} // the lines that fixes change, by file
	var may []string                     // what was to be removed: at the field of its finding, or beside it
	for _, f := range again.Findings {
		left[f.Fingerprint] = true
	}
	n := 0
	var with []report.Finding // that are gone without a fix of their own
	for _, f := range was.Findings {
		known[f.Fingerprint] = true
		switch {
		case left[f.Fingerprint]:
		case f.Fix == nil || f.Fix.Unwritten != "":
			with = append(with, f)
		default:
			gone[f.Rule]++
			n++
			for _, c := range f.Fix.Changes {
				if touched[c.File] == nil {
					touched[c.File] = map[int]bool{}
				}
				for line := c.Line; line <= c.EndLine; line++ {
					touched[c.File][line] = true
				}
			}
			switch first, _, _ := strings.Cut(f.Remedy, " "); first {
			case "remove", "move", "rename":
				may = append(may, f.Field)
				if f.Rule == "volume-stale-claim" {
					may = append(may, "spec.claimRef.resourceVersion")
				}
			}
		}
	}
	for _, f := range with {
		if gone[mendedBeside[f.Rule]] == 0 {
			t.Errorf("gone, and it has no fix: %s: %s", f.Rule, f.Message)
		}
	}
	for _, f := range again.Findings {
		if !known[f.Fingerprint] {
			t.Errorf("is found after the fix: %s: %s", f.Rule, f.Message)
		}
	}
	if is.Summary.Fixed != n {
		t.Errorf("%d are said to be fixed, and %d are", is.Summary.Fixed, n)
	}
	for name, text := range before {
		kept(t, name, text, after[name], may)
		rest := after[name]
		for i, line := range slices.Collect(strings.Lines(text)) {
			found := true
			if !touched[dir+name][i+1] {
				_, rest, found = strings.Cut(rest, line)
			}
			if !found {
				t.Errorf("%s:%d: no fix is at this line, and it is not in the fixed file: %q", name, i+1, line)
				break
			}
		}
	}
	return gone
}

// mendedBeside has the rule whose fix mends the findings of another, too: a volume that is free again is what a claim
// waits for, a Service is one for all who name it, and members that find each other before they are ready may start
// together.
var mendedBeside = map[string]string{"claim-volume": "volume-stale-claim",
	"pod-subdomain":        "statefulset-service-missing",
	"statefulset-parallel": "statefulset-service-not-ready-addresses"}

// kept says what of a file is gone, but for the paths of fields that may be.
func kept(t *testing.T, name, before, after string, may []string) {
	t.Helper()
	comments := func(text string) (all []string) {
		for line := range strings.Lines(text) {
			if _, comment, ok := strings.Cut(line, "#"); ok {
				all = append(all, comment)
			}
		}
		return all
	}
	was, is := comments(before), comments(after)
	slices.Sort(was) // some move with their keys
	slices.Sort(is)
	if !slices.Equal(was, is) {
		t.Errorf("%s: comments were\n%q\nand are\n%q", name, was, is)
	}
	old, now := manifest.ReadStream(name, []byte(before)).Manifests, manifest.ReadStream(name, []byte(after)).Manifests
	for i := range old {
		for i < len(now) && nameOf(old[i].Object) != nameOf(now[i].Object) {
			now = slices.Delete(now, i, i+1) // one that was added between
		}
		if i >= len(now) {
			t.Errorf("%s: %s is gone", name, old[i].GetName())
			return
		}
		a, b := decoded(t, &old[i]), decoded(t, &now[i])
		for _, path := range may {
			deleteAt(a, cluster.SplitPath(path))
			deleteAt(b, cluster.SplitPath(path))
		}
		if path := lost(a, b, ""); path != "" {
			t.Errorf("%s: %s: %s is gone", name, old[i].GetName(), path)
		}
	}
}

func decoded(t *testing.T, m *manifest.Manifest) (value any) {
	t.Helper()
	data, err := m.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// deleteAt takes a key out of a value that JSON decoded, if it is there.
func deleteAt(value any, path []string) {
	switch value := value.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(value, path[0])
			return
		}
		deleteAt(value[path[0]], path[1:])
	case []any:
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(value) && len(path) > 1 {
			deleteAt(value[i], path[1:])
		}
	}
}

// lost returns a path that one value has, and the other has not.
func lost(was, is any, path string) string {
	switch was := was.(type) {
	case map[string]any:
		now, _ := is.(map[string]any)
		for k, v := range was {
			if now[k] == nil && v != nil {
				return path + "." + k
			}
			if at := lost(v, now[k], path+"."+k); at != "" {
				return at
			}
		}
	case []any:
		now, _ := is.([]any)
		if len(now) < len(was) {
			return path
		}
		for i, v := range was {
			if at := lost(v, now[i], fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
	}
	return ""
}

const hasty = `apiVersion: apps/v1
kind: Deployment
metadata: {name: hasty, namespace: shop} # in a hurry
spec:
  selector: {matchLabels: {app: hasty}}
  template:
    metadata: {labels: {app: hasty}}
    spec:
      terminationGracePeriodSeconds: 0 # seconds
      containers: [{name: a, image: b, volumeMounts: [{name: data, mountPath: /d}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`

var mended = strings.Replace(hasty, "Seconds: 0", "Seconds: 30", 1)

// TestFixWrites has what becomes of files of every kind.
func TestFixWrites(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		said       string
	}{
		"plain":      {hasty, mended, "1 fixed"},
		"of Windows": {strings.ReplaceAll(hasty, "\n", "\r\n"), strings.ReplaceAll(mended, "\n", "\r\n"), "1 fixed"},
		"marked":     {"\ufeff" + hasty, "\ufeff" + mended, "1 fixed"},
		"of Helm":    {"---\n# Source: a/templates/b.yaml\n" + hasty, "", "not written: Helm made it"},
		"of kustomize": {strings.Replace(hasty, "shop}", "shop, annotations: {config.kubernetes.io/origin: 'path: a'}}", 1),
			"", "not written: kustomize built it"},
		"a template": {hasty + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: '{{ b }}'}\n", "",
			"not written: it has the marks of a template"},
		"encrypted": {hasty + "sops: {mac: a}\n", "", "not written: it is encrypted"},
		"an anchor": {strings.Replace(hasty, "    spec:\n", "    spec: &spec\n", 1), "", "not written: an anchor or alias"},
		"broken":    {hasty + "---\na: b: c\n", "", "error: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, dir, "real/a.yaml", c.text)
			if err := os.Chmod(file, 0o640); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(dir, "a.yaml")
			if err := os.Symlink("real/a.yaml", link); err != nil {
				t.Fatal(err)
			}
			r := stayput(t, "", "lint", link, "--fix")
			if c.want == "" {
				c.want = c.text
			}
			if got := read(t, file); got != c.want {
				t.Errorf("the file is\n%s", got)
			}
			if !strings.Contains(r.stdout, c.said) {
				t.Errorf("%q is not said:\n%s%s", c.said, r.stdout, r.stderr)
			}
			info, err := os.Lstat(link)
			if err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("the link is %v, %v", info, err)
			}
			if info, err := os.Stat(link); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("the mode is %v, %v", info, err)
			}
			if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
				t.Errorf("files are left: %v, %v", entries, err)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestFixTogether has one unreadable file leave all unwritten, standard input shown,
// and a wrong use of flags refused.
func TestFixTogether(t *testing.T) {
	dir := t.TempDir()
	good := write(t, dir, "a.yaml", hasty)
	write(t, dir, "b.yaml", "a: b: c\nspec: {}\n")
	if r := stayput(t, "", "lint", dir, "--fix"); r.code != 2 || read(t, good) != hasty {
		t.Errorf("exit code %d, the other file is %q", r.code, read(t, good))
	}
	r := stayput(t, hasty, "lint", "-", "--fix", "--diff")
	if !strings.Contains(r.stdout, "not written: standard input") ||
		!strings.Contains(r.stdout, "#   +      terminationGracePeriodSeconds: 30 # seconds\n") {
		t.Errorf("of standard input: %s%s", r.stdout, r.stderr)
	}
	if r := stayput(t, "", "lint", good, "--diff"); r.code != 2 || !strings.Contains(r.stderr, "--diff: needs --fix") {
		t.Errorf("--diff alone: %d, %s", r.code, r.stderr)
	}
	if r := stayput(t, "", "lint", good, "--fix", "--diff", "--fail-on", "warn"); r.code != 1 || read(t, good) != hasty {
		t.Errorf("a diff: exit code %d", r.code)
	}
	if r := stayput(t, "", "lint", good, "--fix", "--fail-on", "warn"); r.code != 0 || read(t, good) != mended {
		t.Errorf("what is fixed counts: exit code %d, %s", r.code, r.stdout)
	}
}

// TestFixChanged has a file that somebody else writes meanwhile stay as it is, with
// all others.
func TestFixChanged(t *testing.T) {
	dir := t.TempDir()
	a, b := write(t, dir, "a.yaml", "a"), write(t, dir, "b.yaml", "theirs")
	err := writeFiles([]edited{{a, []byte("a"), []byte("A")}, {b, []byte("b"), []byte("B")}})
	if err == nil || !strings.Contains(err.Error(), "has changed since it was read; nothing is written") {
		t.Errorf("error %v", err)
	}
	if !reflect.DeepEqual(filesOf(t, dir), map[string]string{"/a.yaml": "a", "/b.yaml": "theirs"}) {
		t.Errorf("files are %v", filesOf(t, dir))
	}
}

// TestFixKustomization writes to the file that an object's origin names, if its
// field has one author, and else nowhere.
func TestFixKustomization(t *testing.T) {
	const kustomization = "namePrefix: big-\nresources: [base.yaml]\n"
	patched := strings.Replace(hasty, "      terminationGracePeriodSeconds: 0 # seconds\n", "", 1)
	const patch = "patches:\n- target: {kind: Deployment}\n  patch: |\n    - op: add\n      path: /spec/template/spec/" +
		"terminationGracePeriodSeconds\n      value: 0\n"
	for name, c := range map[string]struct{ kustomization, base, want string }{
		"of one file": {kustomization, hasty, mended},
		"by a patch":  {kustomization + patch, patched, patched},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "kustomization.yaml", c.kustomization)
			base := write(t, dir, "base.yaml", c.base)
			r := stayput(t, "", "lint", "-k", dir, "--fix")
			if got := read(t, base); got != c.want {
				t.Errorf("the file is\n%s%s%s", got, r.stdout, r.stderr)
			}
			if c.want == c.base && !strings.Contains(r.stdout, "not written: kustomize") {
				t.Errorf("said: %s", r.stdout)
			}
			if got := read(t, filepath.Join(dir, "kustomization.yaml")); got != c.kustomization {
				t.Errorf("the kustomization is %s", got)
			}
		})
	}
}

// grown is a StatefulSet without the Service that it names and without a budget, and with an exemption that does
// nothing where it stands.
const grown = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db} # ours
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata:
      labels: {app: db}
      annotations:
        exempt.stayput.dev/statefulset-readiness: 'by the operator' # why
        example.com/other: x
    spec:
      containers: [{name: a, image: b, ports: [{containerPort: 5432}]}]
`

// TestFixKustomizationAdds adds objects to the file from which kustomize built their workload, in its author's words:
// what is built then has what was missing. It moves a key there, too.
func TestFixKustomizationAdds(t *testing.T) {
	const around = "namePrefix: big-\nnameSuffix: -eu\nnamespace: shop\n" +
		"labels:\n- {pairs: {env: prod}, includeSelectors: true}\n"
	const patch = "patches:\n- {path: patch.yaml}\n"
	for name, c := range map[string]struct {
		kustomization, patch string
		file                 string // of the StatefulSet
		text                 string
		unwritten            string // what is said of what is left, or ""
	}{
		"around it": {kustomization: around},
		"as it is":  {kustomization: "namespace: shop\n"},
		"patched elsewhere": {kustomization: around + patch,
			patch: "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {minReadySeconds: 10}\n"},
		"patched labels": {kustomization: patch, patch: "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\n" +
			"spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}}}\n",
			unwritten: errBuilt.Error()},
		"JSON": {kustomization: around, file: "base.json", unwritten: "it is JSON, which has one object",
			text: `{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {"replicas": 3, ` +
				`"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": {"metadata": {"labels": ` +
				`{"app": "db"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.file, c.text = cmp.Or(c.file, "base.yaml"), cmp.Or(c.text, grown)
			top := "resources: [base/" + c.file + "]\n" + c.kustomization
			write(t, dir, "kustomization.yaml", top)
			if c.patch != "" {
				write(t, dir, "patch.yaml", c.patch)
			}
			base := write(t, dir, "base/"+c.file, c.text)
			r := stayput(t, "", "lint", "-k", dir, "--complete", "--fix")
			got := read(t, base)
			if read(t, filepath.Join(dir, "kustomization.yaml")) != top {
				t.Error("the kustomization is written")
			}
			again := stayput(t, "", "lint", "-k", dir, "--complete", "--fix")
			if read(t, base) != got {
				t.Errorf("a second run writes again: %s", read(t, base))
			}
			missing := []string{"statefulset-service-missing", "statefulset-disruption-budget"}
			if c.unwritten != "" {
				if !strings.Contains(r.stdout, "not written: "+c.unwritten) || strings.Contains(got, "kind: Service") {
					t.Errorf("not said, or written: %s\n%s", r.stdout, got)
				}
				return
			}
			for _, rule := range append(missing, "stayput-annotation") {
				if strings.Contains(again.stdout, rule) {
					t.Errorf("%s is found again: %s\n%s", rule, again.stdout, got)
				}
			}
			moved := strings.NewReplacer("        exempt.stayput.dev/statefulset-readiness: 'by the operator' # why\n",
				"        # why\n", "metadata: {name: db} # ours", "metadata: {name: db, annotations: "+
					"{exempt.stayput.dev/statefulset-readiness: 'by the operator'}} # ours").Replace(c.text)
			if !strings.HasPrefix(got, moved) || strings.Contains(got, "prod") {
				t.Errorf("the StatefulSet is now\n%s", got)
			}
			for _, added := range []string{"---\napiVersion: v1\nkind: Service\nmetadata:\n  name: db\nspec:\n" +
				"  clusterIP: None\n  selector:\n    app: db\n", "---\napiVersion: policy/v1\nkind: " +
				"PodDisruptionBudget\nmetadata:\n  name: db\nspec:\n  maxUnavailable: 1\n  selector:\n    matchLabels:\n" +
				"      app: db\n"} {
				if strings.Count(got, added) != 1 {
					t.Errorf("%q is not added:\n%s", added, got)
				}
			}
		})
	}
}

// TestFixMoves moves Stayput's keys to where they have an effect, with their quotes and comments; those that change
// Pods by name into new objects alone; no key that would have data destroyed, or that lets such a request through.
func TestFixMoves(t *testing.T) {
	const text = `apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
  # protect what is below
  annotations:
    stayput.dev/protect: 'true' # ask first
spec:
  stayput.dev/subdomain: db # not a field
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata:
      annotations:
        exempt.stayput.dev/statefulset-readiness: "slow, and \"fine\"" # since March
        exempt.stayput.dev/statefulset-retention: none of it is needed
      labels:
        app: db
    spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept, labels: {stayput.dev/reclaim-policy: Retain}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: gone, labels: {stayput.dev/reclaim-policy: Delete}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: odd, annotations: {staypt.dev/reclaim-policy: Retain, stayput.dev/reclaim-policy: Delete}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`
	moved := strings.NewReplacer(
		"  name: db\n  # protect what is below\n  annotations:\n    stayput.dev/protect: 'true' # ask first\n",
		"  name: db\n  annotations:\n"+
			"    exempt.stayput.dev/statefulset-readiness: \"slow, and \\\"fine\\\"\" # since March\n"+
			"  labels:\n    stayput.dev/protect: 'true' # ask first\n  # protect what is below\n",
		"        exempt.stayput.dev/statefulset-readiness: \"slow, and \\\"fine\\\"\" # since March\n", "",
		"{name: kept, labels: {stayput.dev/reclaim-policy: Retain}}",
		"{name: kept, annotations: {stayput.dev/reclaim-policy: Retain}}").Replace(text)
	anew := strings.NewReplacer("  stayput.dev/subdomain: db # not a field\n", "",
		"        app: db\n", "        app: db\n        stayput.dev/subdomain: db # not a field\n").Replace(moved)
	nothing := t.TempDir()
	for name, c := range map[string]struct {
		more []string
		want string
	}{
		"there": {nil, moved},
		"new":   {[]string{"--old", nothing}, anew},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, t.TempDir(), "a.yaml", text)
			r := stayput(t, "", append([]string{"lint", file, "--fix"}, c.more...)...)
			if got := read(t, file); got != c.want {
				t.Errorf("the file is\n%s\n%s", got, r.stdout+r.stderr)
			}
		})
	}
}

// TestFixNew gives only new objects what others cannot get.
func TestFixNew(t *testing.T) {
	const sets = "../../examples/broken/statefulset-service-name.yaml"
	text := read(t, sets)
	for name, c := range map[string]struct {
		old  string // what is there
		want string
	}{
		"not known": {"", "not written: only a new object"},
		"new":       {clean, "1 fixed"},
		"there":     {text, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, dir, "a.yaml", text)
			args := []string{"lint", file, "--complete", "--fix"}
			if c.old != "" {
				args = append(args, "--old", write(t, t.TempDir(), "a.yaml", c.old))
			}
			r := stayput(t, "", args...)
			if !strings.Contains(r.stdout, c.want) {
				t.Errorf("%q is not said:\n%s%s", c.want, r.stdout, r.stderr)
			}
			if written := read(t, file) != text; written != (name == "new") {
				t.Errorf("written: %v\n%s", written, r.stdout)
			}
		})
	}
}

// TestFixOneServiceForTwo adds a Service once that two StatefulSets lack.
func TestFixOneServiceForTwo(t *testing.T) {
	set := func(name string) string {
		return strings.NewReplacer("serviceName: "+name, "serviceName: both", "{app: "+name+"}",
			"{app: both, set: "+name+"}").Replace(setOf(name, "8Gi"))
	}
	dir := t.TempDir()
	file := write(t, dir, "a.yaml", set("a")+"---\n"+set("b"))
	r := stayput(t, "", "lint", file, "--complete", "--fix")
	if n := bytes.Count([]byte(read(t, file)), []byte("kind: Service\n")); n != 1 {
		t.Errorf("%d Services:\n%s%s", n, read(t, file), r.stdout)
	}
}
