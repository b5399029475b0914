package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfiguration reads whatever bytes as a configuration: it is taken, or
// refused in words that name the file.
func FuzzConfiguration(f *testing.F) {
	const head = "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\n"
	for _, text := range []string{
		"", head, "null", "[]", "{}", "a: &a [*a]", head + "---\n" + head, head + "mode: off\n", head + "mode: [off]\n",
		head + "rules: {claim-in-use: deny, statefulset-parallel: off}\nforbidExemptions: [claim-in-use]\n", head + "rules: {<<: {a: b}}\n",
		head + "exemptions: [{rule: claim-in-use, namespace: 'team-*', kind: PersistentVolumeClaim, name: '[', user: x, reason: y}]\n",
		head + "deletions: {callers: ['system:*', '']}\nretain: all\nrepair: report\nclusterDomain: cluster.local.\n", "\xff\xfe", "\t", head + "mode: !!binary x\n",
	} {
		f.Add([]byte(text))
	}
	dir, err := os.MkdirTemp("", "stayput-fuzz-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "config.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := loadSettings(file)
		switch {
		case err == nil && (s.policy == nil || len(s.policy.Rules) > 0 && s.policy.Rules[0] == nil):
			t.Error("taken, and there is no policy")
		case err != nil && !strings.HasPrefix(err.Error(), "--config "+file+":"):
			t.Errorf("does not name the file: %v", err)
		}
	})
}
