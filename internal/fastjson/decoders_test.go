//go:build unix

package fastjson_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/internal/fastjson"
	"stayput.dev/internal/quantity"
)

// A decodeFunc decodes an AdmissionReview and the objects in it, as strictly as the
// API server. An object that is missing in the review is nil.
type decodeFunc func(body []byte) (review *admissionv1.AdmissionReview, obj, old any, err error)

// decoders are the decoders that the benchmark compares, by name. With
// GOEXPERIMENT=jsonv2 encoding/json/v2 is one of them.
var decoders = map[string]decodeFunc{
	"fastjson":         fast,
	"sigs.k8s.io-json": slowly(reference),
	"encoding-json":    slowly(json.Unmarshal), // not strict
}

// newFor returns a zero object of the kind of a request.
func newFor(req *admissionv1.AdmissionRequest) any {
	obj, err := cluster.Scheme().New(schema.GroupVersionKind(req.Kind))
	if err != nil {
		panic(err) // of a payload
	}
	return obj
}

// fast decodes the objects with the review.
func fast(body []byte) (*admissionv1.AdmissionReview, any, any, error) {
	review := new(admissionv1.AdmissionReview)
	doc := fastjson.NewDocument(body, wide)
	choose := func(field *runtime.RawExtension) (any, bool) {
		if field == &review.Request.Options {
			return nil, false
		}
		return newFor(review.Request), true
	}
	if !doc.Unmarshal(review, choose) {
		return nil, nil, nil, errors.New("left to others")
	}
	var objects [2]any
	for i, raw := range [][]byte{review.Request.Object.Raw, review.Request.OldObject.Raw} {
		if len(raw) > 0 {
			objects[i] = doc.Decoded(raw)
		}
	}
	return review, objects[0], objects[1], nil
}

// slowly decodes the review first, and then the objects, which are raw in it.
func slowly(unmarshal func(data []byte, into any) error) decodeFunc {
	return func(body []byte) (*admissionv1.AdmissionReview, any, any, error) {
		review := new(admissionv1.AdmissionReview)
		if err := unmarshal(body, review); err != nil {
			return nil, nil, nil, err
		}
		var objects [2]any
		for i, raw := range [][]byte{review.Request.Object.Raw, review.Request.OldObject.Raw} {
			if len(raw) == 0 {
				continue
			}
			objects[i] = newFor(review.Request)
			if err := quantity.Check(raw, objects[i]); err != nil {
				return nil, nil, nil, err
			}
			if err := unmarshal(raw, objects[i]); err != nil {
				return nil, nil, nil, err
			}
		}
		return review, objects[0], objects[1], nil
	}
}

// payloads returns the reviews of bench/payloads, by name.
func payloads(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob("../../bench/payloads/*-*.json")
	if err != nil || len(files) == 0 {
		tb.Fatal("no payloads", err)
	}
	bodies := map[string][]byte{}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		bodies[strings.TrimSuffix(filepath.Base(file), ".json")] = body
	}
	return bodies
}

// TestDecoders checks that all decoders return the same result.
func TestDecoders(t *testing.T) {
	for payload, body := range payloads(t) {
		_, obj, old, err := slowly(reference)(body)
		if err != nil {
			t.Fatal(err)
		}
		for name, decode := range decoders {
			_, gotObj, gotOld, err := decode(body)
			if err != nil {
				t.Errorf("%s by %s: %v", payload, name, err)
				continue
			}
			if !reflect.DeepEqual(gotObj, obj) || !reflect.DeepEqual(gotOld, old) {
				t.Errorf("%s by %s:\n%s%s", payload, name, gocmp.Diff(obj, gotObj), gocmp.Diff(old, gotOld))
			}
		}
	}
}

// BenchmarkDecoders decodes real reviews by each decoder:
//
//	GOEXPERIMENT=jsonv2 go test ./internal/fastjson -run - -bench Decoders
//
// It also reports the CPU of the process, which other work on the machine does not
// change much.
func BenchmarkDecoders(b *testing.B) {
	for _, payload := range slices.Sorted(maps.Keys(payloads(b))) {
		body := payloads(b)[payload]
		for _, name := range slices.Sorted(maps.Keys(decoders)) {
			b.Run(payload+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				before := cpu()
				for b.Loop() {
					if _, _, _, err := decoders[name](body); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// cpu returns the CPU time that the process has used, in nanoseconds.
func cpu() int64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // which cannot fail for oneself
	return usage.Utime.Nano() + usage.Stime.Nano()
}
