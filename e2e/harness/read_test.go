package harness

import (
	"strings"
	"testing"
)

// TestReadsLeftToKubectl: what is not a plain read of fields is kubectl's.
func TestReadsLeftToKubectl(t *testing.T) {
	for line, want := range map[string]bool{
		"get pvc -n shop -o jsonpath={.items}":                     true,
		"get pvc data -n shop -o jsonpath={.spec.volumeName}":      true,
		"get statefulset/db -o jsonpath={.status.readyReplicas}":   true,
		"get pod -n shop -l app=db -o jsonpath={.items[*].spec}":   true,
		"get pvc one two -o jsonpath={.items}":                     false,
		"get pvc,pv -o jsonpath={.items}":                          false,
		"get pvc/one pvc/two -o jsonpath={.items}":                 false,
		"get pvc data -l app=db -o jsonpath={.spec}":               false,
		"get pvc -A -o jsonpath={.items}":                          false,
		"get pvc data -o jsonpath=.spec.volumeName":                false,
		"get pvc data -o jsonpath={.spec":                          false,
		"get pvc data -o name":                                     false,
		"get pvc data":                                             false,
		"get pvc data -o":                                          false,
		"get -n shop -o jsonpath={.items}":                         false,
		"get pv data --ignore-not-found -o jsonpath={.spec}":       false,
		"delete pvc data -o jsonpath={.spec}":                      false,
		"--server https://127.0.0.1 get pvc -o jsonpath={.spec.a}": false,
		"": false,
	} {
		if _, ok := parseRead(strings.Fields(line)); ok != want {
			t.Errorf("%s: %t, want %t", line, ok, want)
		}
	}
}
