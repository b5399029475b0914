package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"stayput.dev/cluster"
	"stayput.dev/internal/fastjson"
)

// seeds are malformed bodies to begin with: the short ones of those that
// TestEveryDefectIsAnswered sends.
func seeds() (bodies [][]byte) {
	for _, d := range slices.Concat(jsonDefects(), envelopeDefects(), objectDefects()) {
		if wire := d.wire(ValidatePath); len(wire) < 2000 {
			_, body, _ := bytes.Cut(wire, []byte("\r\n\r\n"))
			bodies = append(bodies, body)
		}
	}
	return bodies
}

// FuzzHandler sends whatever bytes to both webhooks: an answer is a verdict with
// the request's own uid, or a 4xx with a Status that says why; never a 5xx, for
// every lookup can be answered.
func FuzzHandler(f *testing.F) {
	for i, body := range seeds() {
		f.Add(i%2 == 0, body)
	}
	f.Add(false, []byte(wellFormed))
	h := newWebhook(f).Handler()
	f.Fuzz(func(t *testing.T, mutate bool, body []byte) {
		path := ValidatePath
		if mutate {
			path = MutatePath
		}
		rec := post(t, h, path, string(body))
		if rec.Code >= 400 && rec.Code < 500 {
			var status metav1.Status
			if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || int(status.Code) != rec.Code ||
				!strings.HasPrefix(status.Message, "stayput: ") {
				t.Errorf("no Status: %d %s", rec.Code, rec.Body)
			}
			return
		}
		got := answered(t, rec)
		var review uidOnly
		if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &review); err == nil && got.UID != "" &&
			string(got.UID) != review.Request.UID {
			t.Errorf("uid %q, and that of the request is %q", got.UID, review.Request.UID)
		}
		if got.UID == "" || (got.Patch == nil) != (got.PatchType == nil) || path == ValidatePath && got.Patch != nil {
			t.Errorf("an answer that the API server refuses: %s", rec.Body)
		}
		if !got.Allowed && (got.Result == nil || got.Result.Message == "") {
			t.Errorf("a denial without a reason: %s", rec.Body)
		}
	})
}

// FuzzReview compares what a review is decoded to, its objects with the envelope
// or after it, with what sigs.k8s.io/json alone decodes: both refuse the same,
// or have the same request and the same objects.
func FuzzReview(f *testing.F) {
	for _, body := range seeds() {
		f.Add(body)
	}
	files, err := filepath.Glob("../bench/payloads/*-*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no payloads")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	const objects = `"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"new"}}},` +
		`"oldObject":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"old"}}}`
	f.Add([]byte(review(podKind + `,"operation":"UPDATE",` + objects)))
	f.Add([]byte(review(`"operation":"UPDATE",` + objects + `,` + podKind))) // the kind behind what is of it
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, body []byte) {
		got, rejected := limits.decodeReview(body, func(int64) bool { return true })
		if rejected != nil && rejected.code != http.StatusBadRequest || !utf8.Valid(body) {
			return // too much, or what the reference would put other letters into
		}
		var review admissionv1.AdmissionReview
		err := unmarshalSlowly(body, &review)
		want := &request{AdmissionRequest: review.Request}
		if err == nil {
			err = want.decode(&review, fastjson.NewDocument(nil, fastjson.Budget{})) // which has decoded nothing
		}
		// Managed fields that nobody reads are not looked into.
		if err != nil && rejected == nil && (bytes.Contains(body, []byte("managedFields")) ||
			bytes.Contains(body, []byte(`\u`))) {
			return
		}
		if (err != nil) != (rejected != nil) {
			t.Fatalf("rejected: %+v, and by the reference: %v\n%s", rejected, err, body)
		}
		if err != nil {
			return
		}
		for _, obj := range []cluster.Object{got.old, got.obj, want.old, want.obj} {
			if obj != nil && !readsManagedFields(schema.GroupVersionKind(got.Kind)) {
				obj.SetManagedFields(nil)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\n%s", cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })), body)
		}
	})
}

// FuzzScan compares the scan for size, depth and uid with the standard
// library's decoder, on whatever that takes for JSON.
func FuzzScan(f *testing.F) {
	for _, body := range seeds() {
		f.Add(body)
	}
	f.Add([]byte(wellFormed))
	f.Add([]byte(`{"a":["\"{[,",{"b":{"request":{"uid":"no"}}}],"request":{"x":[],"uid":"yes"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		uid, _, _ := Limits{Values: len(body) * costlyWeight, Depth: len(body)}.scan(body) // of anything, without a panic
		depth, values, ok := countTokens(body)
		if !ok {
			return
		}
		// The limits are exactly at what the decoder found.
		if _, _, over := (Limits{Values: values * costlyWeight, Depth: depth}).scan(body); over != "" {
			t.Errorf("depth %d, %d values: %s", depth, values, over)
		}
		if _, _, over := (Limits{Values: len(body) * costlyWeight, Depth: depth - 1}).scan(body); depth > 0 && over == "" {
			t.Errorf("depth %d is not seen", depth)
		}
		if _, _, over := (Limits{Values: values - 1, Depth: depth}).scan(body); values > 0 && over == "" &&
			!bytes.Contains(body, []byte("openAPIV3Schema")) {
			t.Errorf("%d values are not seen", values)
		}
		var review uidOnly
		if kjson.UnmarshalCaseSensitivePreserveInts(body, &review) == nil && clean(uid) != "" &&
			bytes.Count(body, []byte("uid")) == 1 && uid != review.Request.UID {
			t.Errorf("uid %q, and the decoder's is %q", uid, review.Request.UID)
		}
	})
}

// uidOnly is what an answer needs of a review.
type uidOnly struct {
	Request struct {
		UID string `json:"uid"`
	} `json:"request"`
}

// countTokens counts, token by token, how deep a document is and how many values
// it has, as the scan counts them: those in a list or a map but for the first,
// and each list and map. It says whether the document is one.
func countTokens(body []byte) (depth, values int, ok bool) {
	if !json.Valid(body) {
		return 0, 0, false
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var path []int // tokens in each list and map that is open
	var maps []bool
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return depth, values, true
		}
		if err != nil {
			return 0, 0, false
		}
		shut := token == json.Delim('}') || token == json.Delim(']')
		if shut {
			path, maps = path[:len(path)-1], maps[:len(maps)-1]
			continue
		}
		if n := len(path); n > 0 {
			if begins := !maps[n-1] || path[n-1]%2 == 0; begins && path[n-1] > 0 {
				values++
			}
			path[n-1]++
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			values++
			path, maps = append(path, 0), append(maps, token == json.Delim('{'))
			depth = max(depth, len(path))
		}
	}
}
