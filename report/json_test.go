package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJSONIsThatOfTheLibrary holds what is written item by item to what
// encoding/json makes of the whole, for lists of any length, and for text that
// looks like a place to write a list.
func TestJSONIsThatOfTheLibrary(t *testing.T) {
	for _, inventory := range []bool{false, true} {
		for n := range 4 {
			r := Report{Command: "audit", Foreign: []Problem{{Message: "\n  \"findings\": [\n  ]"}},
				Summary: Summary{Others: map[string]int{"findings": 1}}}
			if n > 0 {
				r.Finish()
			}
			if inventory {
				r.Inventory = &Inventory{}
			}
			for i := range n {
				f := Finding{Rule: "a", Message: "<&>\n  \"findings\": [", Object: Object{Name: fmt.Sprint(i)},
					Location: &Location{Line: i}}
				r.Add(f)
				r.Exempted = append(r.Exempted, Exempted{Finding: f, Reason: "]"})
				if inventory {
					r.Inventory.StatefulSets = append(r.Inventory.StatefulSets, StatefulSet{Name: fmt.Sprint(i)})
					r.Inventory.Claims = append(r.Inventory.Claims, Claim{Name: fmt.Sprint(i)})
					r.Inventory.Owners = append(r.Inventory.Owners, Owner{Name: fmt.Sprint(i)})
					r.Inventory.Volumes = append(r.Inventory.Volumes, Volume{Name: fmt.Sprint(i)})
				}
			}
			var want, got bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetIndent("", "  ")
			if err := enc.Encode(&r); err != nil {
				t.Fatal(err)
			}
			if err := r.JSON(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.String(), got.String()); diff != "" {
				t.Errorf("%d of each (-encoding/json +written):\n%s", n, diff)
			}
		}
	}
}
