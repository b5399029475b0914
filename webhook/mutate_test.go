package webhook

import (
	"encoding/json"
	"testing"

	"gomodules.xyz/jsonpatch/v2"
)

// TestEncode holds what is written of operations to what encoding/json writes.
func TestEncode(t *testing.T) {
	for _, ops := range [][]jsonpatch.Operation{
		{},
		{jsonpatch.NewOperation("remove", `/metadata/annotations/a~1"b\é`, nil)},
		{
			jsonpatch.NewOperation("add", "/spec/hostname", json.RawMessage(`"web-0"`)),
			jsonpatch.NewOperation("replace", "/metadata/labels", json.RawMessage(`{"a":"b"}`)),
			jsonpatch.NewOperation("add", "/spec/volumes/0", json.RawMessage(`null`)),
		},
	} {
		want, err := json.Marshal(ops)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := encode(ops); err != nil || string(got) != string(want) {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
	if got, err := encode([]jsonpatch.Operation{jsonpatch.NewOperation("add", "/a", 1)}); err == nil {
		t.Errorf("%s, of a value that is no JSON", got)
	}
}
