package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"stayput.dev/e2e/harness"
)

const (
	kubeScore = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
	// before is the earlier commit with which lint is compared.
	before    = "305da6a82fc0b491dca59a132cdb1bbeb055d1ff"
	manifests = 10_000 // of the generated tree
)

// A lintCase is an input that several programs review. Each run is a process of its
// own.
type lintCase struct {
	title, input string
	turns        int
	runs         []*lintRun
}

// A lintRun is a program with its arguments, and the measurements of its runs.
type lintRun struct {
	program string
	args    []string
	cpu     []time.Duration
	kib     []int
}

func (r *lintRun) medianCPU() time.Duration { return middle(r.cpu) }
func (r *lintRun) medianKiB() int           { return middle(r.kib) }

// runLint measures time and memory of lint, beside kube-score and an earlier build
// of Stayput.
func (b *bench) runLint(ctx context.Context) error {
	fmt.Println("Building stayput, stayput before and kube-score ...")
	programs, err := b.lintPrograms(ctx)
	if err != nil {
		return err
	}
	cases, err := b.lintCases(programs)
	if err != nil {
		return err
	}
	once := filepath.Join(b.dir, "once")
	if err := finish(exec.CommandContext(ctx, "go", "build", "-o", once, "stayput.dev/bench/once")); err != nil {
		return err
	}
	for _, c := range cases {
		fmt.Printf("%s, %d turns\n", c.title, c.turns)
		for turn := range c.turns {
			for i := range c.runs { // nobody always comes after the same
				r := c.runs[(i+turn)%len(c.runs)]
				if err := r.measure(ctx, once); err != nil {
					return fmt.Errorf("%s: %s: %w", c.title, r.program, err)
				}
			}
		}
	}
	return b.publish("make bench-lint", lintTable(cases))
}

// measure runs the program once.
func (r *lintRun) measure(ctx context.Context, once string) error {
	cmd := exec.CommandContext(ctx, once, r.args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	var cpu time.Duration
	var kib int
	if _, err := fmt.Sscan(string(out), (*int64)(&cpu), &kib); err != nil {
		return fmt.Errorf("once printed %q: %w", out, err)
	}
	r.cpu, r.kib = append(r.cpu, cpu), append(r.kib, kib)
	return nil
}

// lintPrograms builds the programs, stripped as they are released, and returns
// their files: stayput, before, kube-score.
func (b *bench) lintPrograms(ctx context.Context) (programs [3]string, err error) {
	released := []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w"}
	for i, name := range []string{"stayput", "before", "kube-score"} {
		programs[i] = filepath.Join(b.dir, name, strings.Replace(name, "before", "stayput", 1))
	}
	if err := harness.BuildProgram(ctx, "stayput", programs[0], append(released, "-tags=light")...); err != nil {
		return programs, err
	}
	if err := b.buildAt(ctx, before, programs[1], released...); err != nil {
		return programs, err
	}
	// It is built outside of this module, whose go.mod must not get the
	// requirements of kube-score.
	install := exec.CommandContext(ctx, "go", append(append([]string{"install"}, released...), kubeScore)...)
	install.Dir = b.dir
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+filepath.Dir(programs[2]))
	return programs, finish(install)
}

// buildAt builds stayput as it was at a commit, with flags of go build.
func (b *bench) buildAt(ctx context.Context, commit, binary string, flags ...string) (err error) {
	tree := filepath.Join(b.dir, "tree")
	if err := finish(exec.CommandContext(ctx, "git", "worktree", "add", "--detach", tree, commit)); err != nil {
		return err
	}
	defer func() {
		remove := exec.CommandContext(context.WithoutCancel(ctx), "git", "worktree", "remove", "--force", tree)
		err = errors.Join(err, remove.Run())
	}()
	build := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", binary}, flags...), "./cmd/stayput")...)
	build.Dir, build.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	return finish(build)
}

// finish runs a command to its end; the error has what it printed.
func finish(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// lintCases writes the inputs and returns the cases.
func (b *bench) lintCases(programs [3]string) ([]*lintCase, error) {
	apps, err := filepath.Glob("examples/apps/*.yaml")
	if err != nil || len(apps) == 0 {
		return nil, fmt.Errorf("no examples/apps: run it in the root of the repository (%w)", err)
	}
	texts := make([]string, len(apps))
	for i, app := range apps {
		data, err := os.ReadFile(app)
		if err != nil {
			return nil, err
		}
		texts[i] = strings.TrimSuffix(strings.TrimPrefix(string(data), "---\n"), "\n") + "\n"
	}
	var chart []string // the rendering of a large chart
	for i, app := range apps {
		if slices.Contains([]string{"clickhouse.yaml", "opensearch.yaml", "redis-sentinel.yaml"}, filepath.Base(app)) {
			chart = append(chart, texts[i])
		}
	}
	rendered := strings.Join(chart, "---\n")
	file := filepath.Join(b.dir, "chart.yaml")
	if err := os.WriteFile(file, []byte(rendered), 0o600); err != nil {
		return nil, err
	}
	tree := filepath.Join(b.dir, "manifests")
	files, size, err := writeTree(tree, texts)
	if err != nil {
		return nil, err
	}
	three := func(stayput, score []string) []*lintRun {
		return []*lintRun{
			{program: "**stayput**", args: append([]string{programs[0]}, stayput...)},
			{program: "stayput, " + before[:7], args: append([]string{programs[1]}, stayput...)},
			{program: "kube-score", args: append([]string{programs[2]}, score...)},
		}
	}
	return []*lintCase{
		{"the version alone", "", 10 * b.rounds, three([]string{"--version"}, []string{"version"})},
		{"one chart", fmt.Sprintf("%d KB", len(rendered)/1000), 10 * b.rounds,
			three([]string{"lint", file}, []string{"score", file})},
		{"examples/apps", fmt.Sprintf("%d KB in %d files", len(strings.Join(texts, ""))/1000, len(apps)), 5 * b.rounds,
			three(append([]string{"lint"}, apps...), append([]string{"score"}, apps...))},
		{"a generated tree", fmt.Sprintf("%d manifests, %.1f MB in %d files", manifests, float64(size)/1e6, len(files)),
			b.rounds, three([]string{"lint", tree}, append([]string{"score"}, files...))},
	}, nil
}

// writeTree writes the applications repeatedly, each time into another namespace,
// until there are enough manifests. A file holds one application.
func writeTree(dir string, apps []string) (files []string, size int, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, 0, err
	}
	for copied, n := 0, 0; n < manifests; copied++ {
		for i, app := range apps {
			docs := strings.Split(app, "\n---\n")
			docs = docs[:min(len(docs), manifests-n)]
			if n += len(docs); len(docs) == 0 {
				break
			}
			text := strings.Join(docs, "\n---\n")
			for _, old := range []string{"namespace: ", "kind: Namespace\nmetadata:\n  name: "} {
				text = strings.ReplaceAll(text, old, fmt.Sprintf("%sc%d-", old, copied))
			}
			file := filepath.Join(dir, fmt.Sprintf("%d-%d.yaml", copied, i))
			if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
				return nil, 0, err
			}
			files, size = append(files, file), size+len(text)+1
		}
	}
	return files, size, nil
}

// lintTable returns the tables.
func lintTable(cases []*lintCase) string {
	var out strings.Builder
	revision, _ := exec.Command("git", "describe", "--always", "--dirty").Output()
	fmt.Fprintf(&out, "\n%s, %d processors, %s, %s, revision %s, beside\n%s. Medians of processes run in turns; MiB "+
		"is the\nmost that was resident.\n", processor(), runtime.NumCPU(), runtime.Version(),
		time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(string(revision)), kubeScore)
	out.WriteString("\n| one process reads | turns | program | CPU ms | ×kube-score | MiB | ×kube-score " +
		"|\n|---|---|---|---|---|---|---|\n")
	ratios := map[string][2]float64{}
	for _, c := range cases {
		score := c.runs[len(c.runs)-1]
		for i, r := range c.runs {
			cpu := float64(r.medianCPU()) / float64(score.medianCPU())
			kib := float64(r.medianKiB()) / float64(score.medianKiB())
			if i == 0 {
				ratios[c.title] = [2]float64{cpu, kib}
			}
			title := c.title
			if c.input != "" {
				title += ", " + c.input
			}
			fmt.Fprintf(&out, "| %s | %d | %s | %.1f | %.2f | %.0f | %.2f |\n", title, c.turns, r.program,
				float64(r.medianCPU())/float64(time.Millisecond), cpu, float64(r.medianKiB())/1024, kib)
		}
	}
	out.WriteString("\n| target | is | must be |\n|---|---|---|\n")
	version := cases[0].runs
	for _, t := range []struct {
		title  string
		is, at float64
	}{
		{"CPU of one chart, of kube-score's", ratios["one chart"][0], 1},
		{"CPU of `--version`, of " + before[:7] + "'s",
			float64(version[0].medianCPU()) / float64(version[1].medianCPU()), 0.35},
		{"CPU of a generated tree, of kube-score's", ratios["a generated tree"][0], 0.25},
		{"MiB of a generated tree, of kube-score's", ratios["a generated tree"][1], 1},
	} {
		missed := ""
		if t.is > t.at {
			missed = " **missed**"
		}
		fmt.Fprintf(&out, "| %s | %.2f%s | at most %.2f |\n", t.title, t.is, missed, t.at)
	}
	return out.String()
}
