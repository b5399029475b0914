package localcluster

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var replacement = regexp.MustCompile(`(?m)^\tk8s\.io/\S+ => k8s\.io/\S+ (v\S+)$`)

// Each minor is one release whole: what a part of it requires of another part is
// replaced by that part of the same release.
func TestEachMinorIsOneRelease(t *testing.T) {
	all, err := Minors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 || !slices.IsSortedFunc(all, func(a, b string) int { return minorNumber(a) - minorNumber(b) }) {
		t.Fatalf("minors %q: want several, oldest first", all)
	}
	for _, minor := range all {
		version, err := Version(t.Context(), minor)
		if err != nil {
			t.Fatal(err)
		}
		if minorOf(version) != minor {
			t.Errorf("minor %s is built from %s", minor, version)
		}
		dir, err := ModuleDir(t.Context(), minor)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		parts := replacement.FindAllStringSubmatch(string(data), -1)
		if len(parts) < 25 {
			t.Errorf("minor %s: %d parts are replaced, want more than 25", minor, len(parts))
		}
		for _, part := range parts {
			if part[1] != "v0"+strings.TrimPrefix(version, "v1") {
				t.Errorf("minor %s: %s is not of %s", minor, strings.TrimSpace(part[0]), version)
			}
		}
		for _, pkg := range KubernetesPackages() {
			if !strings.Contains(string(data), "\t"+pkg+"\n") {
				t.Errorf("minor %s: %s is no tool of its module", minor, pkg)
			}
		}
	}
}

// A minor's own programs come from its module, all others from where they are.
func TestProgramsOfAMinor(t *testing.T) {
	got := map[string]string{}
	for _, p := range inModule("kubernetes-1.34", programs(false)) {
		got[p.name] = p.module
	}
	for name, want := range map[string]string{
		"etcd": "kubernetes", "kwok": "kwok", "coredns": "coredns", "kube-apiserver": "kubernetes-1.34",
		"kube-controller-manager": "kubernetes-1.34", "kube-scheduler": "kubernetes-1.34", "kubectl": "kubernetes-1.34",
	} {
		if got[name] != want {
			t.Errorf("%s is built in module %q, want %q", name, got[name], want)
		}
	}
}

func TestUnknownMinor(t *testing.T) {
	for _, minor := range []string{"1.3", "34", "1.34.4"} {
		_, err := Build(t.Context(), io.Discard, minor)
		if err == nil || !strings.Contains(err.Error(), "there are 1.3") {
			t.Errorf("minor %s: got %v, want an error that names those there are", minor, err)
		}
	}
	t.Setenv(KubernetesVariable, "1.2")
	if _, err := Build(t.Context(), io.Discard, ""); err == nil {
		t.Errorf("%s names a minor that cannot be built, and is not heeded", KubernetesVariable)
	}
}
