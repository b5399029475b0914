//go:build unix && !slowjson

package webhook

import "testing"

// allocations is how many a request of each payload may make, from its body to
// its answer, with a twentieth of room. They do not depend on the machine, and
// grow where somebody copies on the way of every request; who has a reason to
// raises a number here.
var allocations = map[string]float64{
	"claim-create":              72,
	"claim-delete":              71,
	"claim-delete-denied":       141,
	"pod-create":                139,
	"pod-create-mutate":         160,
	"statefulset-create":        198,
	"statefulset-create-mutate": 130,
	"statefulset-denied":        392,
	"statefulset-update":        239,
	"statefulset-warned":        362,
	"volume-create":             100,
	"volume-create-mutate":      99,
}

func TestAllocations(t *testing.T) {
	h := shop(t).Handler()
	for _, name := range payloadNames(t) {
		c := newSender(t, h, name)
		got := testing.AllocsPerRun(200, func() { c.do(t) })
		most, ok := allocations[name]
		if !ok || got > most {
			t.Errorf("%s: %.0f allocations, and should be at most %.0f", name, got, most)
		}
		if got < 0.8*most {
			t.Errorf("%s: %.0f allocations: lower the %.0f that it is held to", name, got, most)
		}
	}
}
