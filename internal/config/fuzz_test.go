package config

import (
	"strings"
	"testing"
)

// FuzzConfiguration reads whatever bytes as a configuration: it is taken, or
// refused in words that name the file.
func FuzzConfiguration(f *testing.F) {
	const head = "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\n"
	for _, text := range []string{
		"", head, "null", "[]", "{}", "a: &a [*a]", head + "---\n" + head, head + "mode: off\n", head + "mode: [off]\n",
		head + "rules: {claim-in-use: deny, statefulset-parallel: off}\nforbidExemptions: [claim-in-use]\n", head +
			"rules: {<<: {a: b}}\n",
		head + "exemptions: [{rule: claim-in-use, namespace: 'team-*', kind: PersistentVolumeClaim, name: '[', user: x, " +
			"reason: y}]\n",
		head + "deletions: {callers: ['system:*', '', {user: x, namespace: 'team-*', kind: Pod}, {user: [a]}]}\nretain: " +
			"all\nrepair: report\nclusterDomain: cluster.local.\n", "\xff\xfe", "\t", head + "mode: !!binary x\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f.yaml", data)
		switch {
		case err == nil && (s.Policy == nil || len(s.Policy.Rules) > 0 && s.Policy.Rules[0] == nil):
			t.Error("taken, and there is no policy")
		case err != nil && !strings.HasPrefix(err.Error(), "--config f.yaml:"):
			t.Errorf("does not name the file: %v", err)
		}
	})
}
