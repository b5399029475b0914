package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"stayput.dev/validators"
)

// TestEntriesAreReadAsTheyArePrinted takes what is printed as the way through
// into a configuration, and the form that callers had before beside it.
func TestEntriesAreReadAsTheyArePrinted(t *testing.T) {
	callers := []validators.Caller{
		{User: "system:serviceaccount:redpanda:redpanda-operator", Namespace: "shop", Kind: "PersistentVolumeClaim"},
		{User: `odd "user" \* with: all, {sorts}`, Namespace: "null"},
		{User: "no"},
	}
	exemptions := []validators.Exemption{
		{Rule: "statefulset-parallel", Kind: "StatefulSet", Namespace: "0x1", User: "system:serviceaccount:a:b",
			Reason: "it must"},
		{Rule: "volume-reclaim", Kind: "PersistentVolume", Name: "pv-1", User: "#", Reason: "yes: why"},
	}
	text := "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\ndeletions:\n  callers:\n  - " +
		"\"system:serviceaccount:backup:*\"\n"
	for _, c := range callers {
		text += "  - " + c.YAML() + "\n"
	}
	text += "exemptions:\n"
	for _, e := range exemptions {
		text += "- " + e.YAML() + "\n"
	}
	s, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := append([]validators.Caller{{User: "system:serviceaccount:backup:*"}}, callers...)
	if diff := cmp.Diff(want, s.Policy.DeletionCallers); diff != "" {
		t.Errorf("callers (-printed +read):\n%s", diff)
	}
	if diff := cmp.Diff(exemptions, s.Policy.Exemptions); diff != "" {
		t.Errorf("exemptions (-printed +read):\n%s", diff)
	}
}
