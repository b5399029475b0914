package validators

import (
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestSimpleCommandIsTheShells compares the words of random scripts with those that
// a shell makes of them.
func TestSimpleCommandIsTheShells(t *testing.T) {
	env := []corev1.EnvVar{{Name: "X", Value: "a,b"}, {Name: "X", Value: "/x"}, {Name: "Z", Value: "a b"}}
	parts := []string{"a", "/b", " ", " ", "\t", "'", "'", `"`, `"`, `\`, "$X", "${X}", "$Y", "$Z", "\\\n", "\n", ";", "=",
		"#", "|", "$", "$("}
	random := rand.New(rand.NewPCG(1, 2))
	simple := 0
	for range 4000 {
		script := "words "
		for range random.IntN(12) {
			script += parts[random.IntN(len(parts))]
		}
		got, ok := simpleCommand(script, env)
		if !ok {
			continue
		}
		simple++
		shell := exec.Command("sh", "-c", `words() { printf '%s\0' words "$@"; }; `+script)
		shell.Env = []string{"X=/x", "Z=a b"}
		out, err := shell.Output()
		if want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: the words are %q, for a shell %q: %v", script, got, want, err)
		}
	}
	if simple < 200 {
		t.Errorf("only %d scripts were simple commands", simple)
	}
}

// TestSimpleCommandRefuses what may be more than one command, or other words.
func TestSimpleCommandRefuses(t *testing.T) {
	secret := &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{}}
	env := []corev1.EnvVar{{Name: "EMPTY"}, {Name: "OTHER", Value: "$(POD)"}, {Name: "SECRET", ValueFrom: secret}}
	for _, script := range []string{
		"", " ", "a; b", "a && b", "a | b", "a &", "a > /x", "a < /x", "(a)", "a `b`", "a $(b)", "a $((1))", "a $1", "a $@",
		"a $$", "a ${X:-y}", "a $UNKNOWN", "a $EMPTY", "a $OTHER", "a $SECRET", "a\nb", "# a", "a # b", "a 'b", `a "b`, `a \`,
		"X=1 a", "exec -a b c", "if a; then b; fi", "a\rb",
	} {
		if words, ok := simpleCommand(script, env); ok {
			t.Errorf("%q is one simple command: %q", script, words)
		}
	}
}
