package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"sigs.k8s.io/yaml"
)

// commit makes a git repository of files, by their names.
func commit(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, dir, name, text)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=a", "-c", "user.email=a@example.org",
		"commit", "-qm", "a"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	return dir
}

// TestHook runs the entry of .pre-commit-hooks.yaml as pre-commit does: in the
// repository, with the names of the files of its types behind it.
func TestHook(t *testing.T) {
	data, err := os.ReadFile("../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hooks []struct {
		ID            string   `json:"id"`
		Name          string   `json:"name"`
		Description   string   `json:"description"`
		Entry         string   `json:"entry"`
		Language      string   `json:"language"`
		TypesOr       []string `json:"types_or"`
		RequireSerial bool     `json:"require_serial"`
	}
	if err := yaml.UnmarshalStrict(data, &hooks); err != nil {
		t.Fatal(err)
	}
	if len(hooks) != 1 || hooks[0].ID != "stayput" || hooks[0].Language != "golang" || !hooks[0].RequireSerial {
		t.Fatalf("hooks: %+v", hooks)
	}
	entry := strings.Fields(hooks[0].Entry)
	if entry[0] != "stayput" {
		t.Fatalf("go install ./... makes no %s", entry[0])
	}
	dir := t.TempDir()
	denied, err := os.ReadFile("testdata/mixed/crlf.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a/ns.yaml", clean)
	write(t, dir, "b/db.yaml", string(denied))
	for files, want := range map[string]string{"a/ns.yaml": "1 object: 0 denials",
		"a/ns.yaml b/db.yaml": "b/db.yaml:12:7: deny: statefulset-grace-period"} {
		cmd := exec.CommandContext(t.Context(), program, append(entry[1:], strings.Fields(files)...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if (err != nil) != strings.Contains(want, "deny") || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q:\n%s", files, err, want, out)
		}
	}
}

// TestPreCommit has pre-commit itself build this repository and run its hook,
// which builds every command of the repository once more: make proof does it.
func TestPreCommit(t *testing.T) {
	if os.Getenv("STAYPUT_PROOF") == "" {
		t.Skip("set STAYPUT_PROOF, as make proof does, for pre-commit to build the repository")
	}
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	hook := func(dir string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "pre-commit", "try-repo", repository, "stayput", "--all-files", "--color",
			"never")
		cmd.Dir = dir
		// It has a module cache of its own otherwise, which it could not remove either.
		cmd.Env = append(os.Environ(), "PRE_COMMIT_HOME="+home, "GOMODCACHE="+strings.TrimSpace(string(modules)))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	denied, err := os.ReadFile("testdata/mixed/crlf.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What is no manifest is none of the hook's business, broken or not.
	out, err := hook(commit(t, map[string]string{"a/ns.yaml": clean, "README.md": "{{ x }}"}))
	if err != nil || !strings.Contains(out, "Passed") {
		t.Errorf("clean: %v\n%s", err, out)
	}
	out, err = hook(commit(t, map[string]string{"a/ns.yaml": clean, "b/db.yaml": string(denied)}))
	if err == nil || !strings.Contains(out, "b/db.yaml:12:7: deny: statefulset-grace-period") ||
		!strings.Contains(out, "2 objects: 1 denial") {
		t.Errorf("a denial: %v\n%s", err, out)
	}
}

// TestAction runs the script of action.yml as a runner does.
func TestAction(t *testing.T) {
	var action struct {
		Inputs  map[string]struct{ Default string }
		Outputs map[string]struct{ Value string }
		Runs    struct {
			Steps []struct {
				ID, Shell, Run, Uses string
				Env, With            map[string]string
			}
		}
	}
	data, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &action); err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir() // a runner's, of which the binary is left for the next case
	for name, tt := range map[string]struct {
		inputs map[string]string
		code   int
		stdout string
	}{
		"by default":    {stdout: "::error file=b/d b.yaml,line=12,", code: 1},
		"several paths": {inputs: map[string]string{"paths": "a a"}, stdout: "0 denials"},
		"arguments": {inputs: map[string]string{"args": "--complete --format text=all.txt"},
			stdout: "::error file=", code: 1},
		"what fails is chosen":  {inputs: map[string]string{"paths": "a", "fail-on": "warn"}, stdout: "0 denials"},
		"a path that is absent": {inputs: map[string]string{"paths": "nowhere"}, code: 2},
		"no code":               {inputs: map[string]string{"paths": "$(touch", "args": "owned)"}, code: 2},
	} {
		t.Run(name, func(t *testing.T) {
			denied, err := os.ReadFile("testdata/mixed/crlf.yaml")
			if err != nil {
				t.Fatal(err)
			}
			dir := commit(t, map[string]string{"a/ns.yaml": clean, "b/d b.yaml": string(denied)})
			for _, left := range []string{"output", "summary", "stayput.sarif", "stayput.md"} {
				_ = os.Remove(filepath.Join(temp, left))
			}
			// The expressions of the workflow language that the action has.
			values := []string{"${{ github.action_path }}", repository}
			for input, i := range action.Inputs {
				value, ok := tt.inputs[input]
				if !ok {
					value = i.Default
				}
				values = append(values, "${{ inputs."+input+" }}", value)
			}
			expand := strings.NewReplacer(values...)
			step := action.Runs.Steps[1]
			script := write(t, temp, "script.sh", expand.Replace(step.Run))
			cmd := exec.CommandContext(t.Context(), step.Shell, "--noprofile", "--norc", "-eo", "pipefail", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "RUNNER_TEMP="+temp, "GITHUB_OUTPUT="+filepath.Join(temp, "output"),
				"GITHUB_STEP_SUMMARY="+filepath.Join(temp, "summary"))
			for name, value := range step.Env {
				cmd.Env = append(cmd.Env, name+"="+expand.Replace(value))
			}
			out, err := cmd.CombinedOutput()
			if err != nil && !errors.As(err, new(*exec.ExitError)) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.stdout) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.stdout, out)
			}
			if strings.Contains(step.Run, "${{") {
				t.Error("an input is code in the script")
			}
			if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
				t.Error("an input was run")
			}
			if tt.code == 2 {
				return
			}
			output, err := os.ReadFile(filepath.Join(temp, "output"))
			if err != nil {
				t.Fatal(err)
			}
			file, found := strings.CutPrefix(strings.TrimSpace(string(output)), "sarif=")
			if _, declared := action.Outputs["sarif"]; !found || !declared {
				t.Fatalf("outputs: %q", output)
			}
			doc, err := sarif.Open(file)
			if err != nil || len(doc.Runs) != 1 || (len(doc.Runs[0].Results) > 0) != (tt.code == 1) {
				t.Errorf("%s: %v, %v", file, err, doc)
			}
			summary, err := os.ReadFile(filepath.Join(temp, "summary"))
			if err != nil || !strings.HasPrefix(string(summary), "## stayput lint") {
				t.Errorf("the summary: %v\n%s", err, summary)
			}
		})
	}
	upload, sarif := action.Runs.Steps[2], "${{ steps."+action.Runs.Steps[1].ID+".outputs.sarif }}"
	if upload.With["sarif_file"] != sarif {
		t.Errorf("uploads %q", upload.With["sarif_file"])
	}
}
