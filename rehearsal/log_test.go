package rehearsal

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/internal/whole"
	"stayput.dev/validators"
)

var reviewedKinds = []schema.GroupVersionKind{cluster.KindOf[*appsv1.StatefulSet](),
	cluster.KindOf[*corev1.PersistentVolumeClaim]()}

// zipped compresses a text.
func zipped(t testing.TB, text string) string {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// listOf returns an EventList, whose items have no kind as the API's Go types write
// them.
func listOf(t testing.TB, kindLast bool, lines ...string) string {
	t.Helper()
	var items []any
	for _, line := range lines {
		var item map[string]any
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatal(err)
		}
		delete(item, "apiVersion")
		delete(item, "kind")
		items = append(items, item)
	}
	text, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	if kindLast {
		return `{"apiVersion":"audit.k8s.io/v1","items":` + string(text) + `,"kind":"EventList","metadata":{}}`
	}
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":` + string(text) + "}\n"
}

// TestLogs reads the same requests from logs of every form, whole or in parts.
func TestLogs(t *testing.T) {
	var lines []string
	var want []string
	for i := range 6 {
		name := fmt.Sprint("db-", i)
		lines = append(lines, line(i, gitops, "create", "statefulsets", name, "Request", set(name, 30), ""))
		want = append(want, name)
	}
	all := strings.Join(lines, "")
	indented := func(text string) string {
		var buf bytes.Buffer
		if err := json.Indent(&buf, []byte(text), "", "  "); err != nil {
			t.Fatal(err)
		}
		return buf.String()
	}
	inYAML := func(text string) string {
		doc, err := yaml.JSONToYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(doc)
	}
	for form, files := range map[string][]string{
		"lines":                      {all},
		"lines, compressed":          {zipped(t, all)},
		"lines, compressed in parts": {zipped(t, lines[0]+lines[1]) + zipped(t, strings.Join(lines[2:], ""))},
		"lines, the last cut off":    {all + lines[0][:100]},
		"compressed, cut off":        {zipped(t, all), zipped(t, all)[:20]},
		"without an end of line":     {strings.TrimSuffix(all, "\n")},
		"out of order":               {lines[1] + lines[0] + lines[2] + lines[5] + lines[4] + lines[3]},
		"rotated, in any order": {strings.Join(lines[4:], ""), zipped(t, lines[2]+lines[3]),
			zipped(t, lines[0]+lines[1])},
		"of two API servers":         {lines[0] + lines[3] + lines[4], lines[1] + lines[2] + lines[5]},
		"a list":                     {listOf(t, false, lines...)},
		"a list, its kind last":      {listOf(t, true, lines...)},
		"a list over many lines":     {indented(listOf(t, false, lines...))},
		"a list, compressed":         {zipped(t, listOf(t, true, lines...))},
		"a list, and lines behind":   {listOf(t, false, lines[:3]...) + strings.Join(lines[3:], "")},
		"a list in YAML":             {inYAML(listOf(t, false, lines...))},
		"a list in YAML, compressed": {zipped(t, "# exported\n---\n"+inYAML(listOf(t, false, lines...)))},
		"events in YAML": {inYAML(lines[0]) + "---\n" + inYAML(lines[1]),
			inYAML(listOf(t, false, lines[2:]...))},
		"nothing in one of the files": {"", all, "\n\n", "{}"[:1]},
		"a list that is cut off": {strings.Join(lines[:5], "") + listOf(t, false, lines[5],
			lines[0])[:len(listOf(t, false, lines[5]))]},
		"a mark of the order of bytes":  {"\ufeff" + all},
		"spaces before the first event": {"\n \n" + all},
	} {
		t.Run(form, func(t *testing.T) {
			log := NewLog(reviewedKinds)
			defer log.Close()
			for i, text := range files {
				if err := log.Add(written(t, fmt.Sprint(i), text)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // as it is walked through
				var got []string
				if err := log.Each(func(e *Event) error { got = append(got, e.ObjectRef.Name); return nil }); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

// TestBrokenLogs are errors that name the line.
func TestBrokenLogs(t *testing.T) {
	good := line(1, gitops, "create", "statefulsets", "db", "Request", set("db", 30), "")
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":      {good + "{\n" + good, "audit:2: no event"},
		"another kind": {`{"apiVersion":"v1","kind":"Pod"}` + "\n", "audit:1: no event"},
		"another version": {good + strings.Replace(good, "audit.k8s.io/v1", "audit.k8s.io/v1beta1", 1),
			`audit:2: no event of audit.k8s.io/v1: apiVersion and kind are "audit.k8s.io/v1beta1" and "Event"`},
		"a list of something else": {`{"kind":"PodList","apiVersion":"v1","items":[]}`, "audit:1: no event"},
		"items that are no list":   {`{"kind":"EventList","items":{}}`, "items: is no list"},
		"an item of another kind": {`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"kind":"Pod",` +
			`"apiVersion":"v1"}]}`, `"v1" and "Pod"`},
		"a number":                  {good + "7\n", "audit:2: no event of audit.k8s.io/v1: is no object"},
		"neither JSON nor YAML":     {"\t%", "neither JSON nor YAML"},
		"a line of a log of others": {"I1128 10:00:00 main.go:1] started\n", "no event"},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, "audit", test.text)
			log := NewLog(reviewedKinds)
			defer log.Close()
			err := log.Add(file)
			if err == nil {
				err = log.Each(func(*Event) error { return nil })
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if err := NewLog(nil).Add(t.TempDir()); err == nil || !strings.Contains(err.Error(), "must be a file") {
		t.Errorf("a directory: %v", err)
	}
}

// TestALogThatGrows is written to between its two readings: only what was there
// at first counts.
func TestALogThatGrows(t *testing.T) {
	name := written(t, "audit.log", line(1, gitops, "create", "statefulsets", "db", "Request", set("db", 30), ""))
	log := NewLog(reviewedKinds)
	defer log.Close()
	if err := log.Add(name); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(line(2, gitops, "create", "statefulsets", "later", "Request", set("later", 30), ""))
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name, name+"-rotated"); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := log.Each(func(*Event) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("%d events, %v", n, err)
	}
}

// TestALongLogTakesNoMemory replays a log of 20 MB, as lines and as a list: objects
// that are made and deleted again leave nothing behind.
func TestALongLogTakesNoMemory(t *testing.T) {
	whole.NotShort(t, "writes logs of forty megabytes")
	const events, limit = 4_000, 6 << 20
	fill := strings.Repeat("x", 10_000)
	for _, list := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "audit.log.gz")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		separator := "\n"
		if list {
			separator = ","
			fmt.Fprint(w, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[`)
		}
		for i := range events {
			object := fmt.Sprint("db-", i/2)
			text := line(i%60, gitops, "create", "statefulsets", object, "RequestResponse", "",
				strings.Replace(set(object, 0), `"metadata":{`, `"metadata":{"annotations":{"fill":"`+fill+`"},`, 1))
			if i%2 == 1 {
				text = line(i%60, gitops, "delete", "statefulsets", object, "Metadata", "", "")
			}
			text = strings.Replace(text, "2026-11-28T10:00:", fmt.Sprintf("2026-11-28T%02d:%02d:", i/3600, i/60%60), 1)
			if i == events-1 && list {
				separator = "]}"
			}
			fmt.Fprint(w, strings.TrimSpace(text), separator)
		}
		if w.Close() != nil || f.Close() != nil {
			t.Fatal("cannot write the log")
		}
		log := NewLog(reviewedKinds)
		if err := log.Add(name); err != nil {
			t.Fatal(err)
		}
		present := &cluster.Snapshot{Complete: true}
		r := New(validators.Policy{Rules: slices.DeleteFunc(slices.Clone(validators.All),
			func(r *validators.Rule) bool { return r.Name != "statefulset-grace-period" })},
			nil, cluster.Environment{Source: present, Finder: present})
		most, n, before := uint64(0), 0, heap()
		if err := log.Each(func(*Event) error {
			if n++; n%500 == 0 {
				most = max(most, heap())
			}
			return nil
		}); err != nil || n != events {
			t.Fatalf("%d events, %v", n, err)
		}
		if err := r.Replay(t.Context(), present, log); err != nil {
			t.Fatal(err)
		}
		most = max(most, heap())
		if len(r.Denied) != 1 || r.Denied[0].Times != events/2 {
			t.Errorf("denied: %+v", r.Denied)
		}
		if most > before+limit {
			t.Errorf("list %t: %d MB in use while %d events of 10 KB are read", list, (most-before)>>20, events)
		}
		runtime.KeepAlive(r)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}

// heap returns how many bytes are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestReplayOfScales scales by the subresource, and by a patch of it, in a cluster
// that has the workload still.
func TestReplayOfScales(t *testing.T) {
	scaled := func(n int, verb, level, sent, got string) string {
		return strings.Replace(line(n, operator, verb, "statefulsets", "db", level, sent, got), `"objectRef":{`,
			`"objectRef":{"subresource":"scale",`, 1)
	}
	scale := func(replicas int) string {
		return fmt.Sprintf(`{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"namespace":"shop","name":"db"},`+
			`"spec":{"replicas":%d}}`, replicas)
	}
	// Two replicas of one claim that only one Pod may mount.
	shared := strings.NewReplacer(`"containers"`,
		`"volumes":[{"name":"f","persistentVolumeClaim":{"claimName":"one"}}],"containers"`).Replace(set("db", 30))
	one := `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"namespace":"shop","name":"one"},` +
		`"spec":{"accessModes":["ReadWriteOncePod"],"resources":{"requests":{"storage":"1Gi"}}}}`
	r := rehearse(t, validators.Policy{}, &cluster.Snapshot{Complete: true},
		line(1, gitops, "create", "persistentvolumeclaims", "one", "Request", one, ""),
		line(2, gitops, "create", "statefulsets", "db", "Request", shared, ""),
		scaled(3, "update", "Request", scale(3), ""),
		scaled(4, "update", "Request", scale(1), ""),
		scaled(5, "patch", "RequestResponse", `{"spec":{"replicas":2}}`, scale(2)),
		scaled(6, "patch", "Request", `{"spec":{"replicas":1}}`, ""),
	)
	want := []string{
		operator + " statefulset-shared-claim patch scale of StatefulSet 1 [db]",
		operator + " statefulset-shared-claim update scale of StatefulSet 1 [db]",
	}
	if diff := cmp.Diff(want, denied(r)); diff != "" {
		t.Errorf("denied, -want +got:\n%s", diff)
	}
	if len(r.Left) != 1 || !strings.Contains(r.Left[0].Why, "RequestResponse records it") {
		t.Errorf("left: %+v", r.Left)
	}
}

// TestReplayOfACollection deletes all claims of a namespace at once, which the log
// lists or does not.
func TestReplayOfACollection(t *testing.T) {
	list := func(names ...string) string {
		var items []string
		for _, name := range names { // as the API server writes it, without their kind
			items = append(items, strings.Replace(claim(name), `"apiVersion":"v1","kind":"PersistentVolumeClaim",`, "", 1))
		}
		return `{"kind":"PersistentVolumeClaimList","apiVersion":"v1","items":[` + strings.Join(items, ",") + `]}`
	}
	const all = "RequestResponse"
	before := []string{
		line(1, binder, "create", "persistentvolumes", "pv-data-db-0", all, "", volume("data-db-0", "Delete")),
		line(2, gitops, "create", "statefulsets", "db", all, "", set("db", 30)),
	}
	r := rehearse(t, validators.Policy{}, &cluster.Snapshot{Complete: true}, append(before,
		line(3, operator, "deletecollection", "persistentvolumeclaims", "", all, "", list("data-db-0", "other")),
		line(4, operator, "deletecollection", "persistentvolumeclaims", "", "Metadata", "", ""))...)
	if diff := cmp.Diff([]string{operator + " claim-in-use delete PersistentVolumeClaim 1 [data-db-0]"},
		denied(r)); diff != "" {
		t.Errorf("denied, -want +got:\n%s", diff)
	}
	if len(r.Left) != 1 || r.Left[0].Verb != "deletecollection" {
		t.Errorf("left: %+v", r.Left)
	}
}

// TestLongRequests come in the order in which they were received, as far as that
// can be told.
func TestLongRequests(t *testing.T) {
	at := func(d time.Duration, name string) string {
		return strings.Replace(line(0, gitops, "create", "statefulsets", name, "Request", set(name, 30), ""),
			"2026-11-28T10:00:00Z",
			time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC).Add(d).Format(time.RFC3339Nano), 1)
	}
	log := NewLog(reviewedKinds)
	defer log.Close()
	text := at(30*time.Second, "b") + at(40*time.Second, "c") + at(time.Second, "a") + at(5*time.Minute, "e") +
		at(4*time.Minute+30*time.Second, "d")
	if err := log.Add(written(t, "audit", text)); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := log.Each(func(e *Event) error { got.WriteString(e.ObjectRef.Name); return nil }); err != nil ||
		got.String() != "abcde" {
		t.Errorf("%s, %v", got.String(), err)
	}
}
