package localcluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Binaries says where each program is, by its name ("etcd", "kube-apiserver").
type Binaries map[string]string

// program is one main package of a nested module.
type program struct {
	name   string
	module string // directory under modules/
	pkg    string // in that module
}

// built is what go names the program: after the last element of its package's
// path that is no version.
func (p program) built() string {
	if p.pkg == "." {
		return p.module
	}
	name := path.Base(p.pkg)
	if majorVersion.MatchString(name) {
		name = path.Base(path.Dir(p.pkg))
	}
	return name
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// The control plane of a bare cluster, and what a whole one has beside it.
func programs(bare bool) []program {
	all := []program{
		{"etcd", "kubernetes", "go.etcd.io/etcd/server/v3"},
		{"kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{"kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"},
	}
	if bare {
		return all
	}
	return append(all,
		program{"kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"},
		program{"kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"},
		program{"kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"},
		program{"coredns", "coredns", "."},
	)
}

// Build makes every program that a cluster needs, unless the cache has it from
// the same sources, and says where they are. What it is busy with goes to log.
//
// The cache is $STAYPUT_CACHE or stayput in the user's cache directory, and may
// be deleted at any time. Programs in $KUBEBUILDER_ASSETS are taken from there.
func Build(ctx context.Context, log io.Writer) (Binaries, error) {
	return build(ctx, log, programs(false))
}

// BuildCertManager makes cert-manager, as Build makes the control plane, and
// says where it is.
func BuildCertManager(ctx context.Context, log io.Writer) (string, error) {
	return buildOne(ctx, log, program{"certmanager", "certmanager", "."})
}

// An Operator is a foreign program that works in a cluster, under an account of
// its own. What it defines, and its manifests, are in its module.
type Operator struct {
	Module string // its import path
	Nested string // directory under modules/
	pkg    string // in Module, after its path
}

// Operators that the end-to-end tests run.
var (
	CloudNativePG      = Operator{"github.com/cloudnative-pg/cloudnative-pg", "cloudnativepg", "/cmd/manager"}
	LeaderWorkerSet    = Operator{"sigs.k8s.io/lws", "lws", "/cmd"}
	OpenKruise         = Operator{"github.com/openkruise/kruise", "kruise", ""}
	PrometheusOperator = Operator{"github.com/prometheus-operator/prometheus-operator", "prometheusoperator",
		"/cmd/operator"}
)

// Build makes the operator, as [Build] makes the control plane, and says where
// it is.
func (o Operator) Build(ctx context.Context, log io.Writer) (string, error) {
	return buildOne(ctx, log, program{o.Nested, o.Nested, o.Module + o.pkg})
}

func buildOne(ctx context.Context, log io.Writer, p program) (string, error) {
	bin, err := build(ctx, log, []program{p})
	return bin[p.name], err
}

func build(ctx context.Context, log io.Writer, want []program) (Binaries, error) {
	bin := Binaries{}
	want = slices.DeleteFunc(want, func(p program) bool {
		file := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), p.name)
		if os.Getenv("KUBEBUILDER_ASSETS") == "" || !isExecutable(file) {
			return false
		}
		bin[p.name] = file
		return true
	})
	if len(want) == 0 {
		return bin, nil
	}
	b, err := newBuilder(ctx, log)
	if err != nil {
		return nil, err
	}
	if err := b.ensure(ctx, want, bin); err != nil {
		return nil, err
	}
	return bin, nil
}

// builder builds programs of the nested modules into a cache.
type builder struct {
	goCommand string
	goVersion string
	modules   string // directory of the nested modules
	cache     string
	log       io.Writer
}

func newBuilder(ctx context.Context, log io.Writer) (*builder, error) {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("build the control plane: the go command is needed: %w", err)
	}
	dir, err := sourceDir(ctx, goCommand)
	if err != nil {
		return nil, fmt.Errorf("build the control plane: %w", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, fmt.Errorf("build the control plane: %w", err)
	}
	b := &builder{goCommand: goCommand, modules: filepath.Join(dir, "modules"), cache: cache, log: log}
	cmd := exec.CommandContext(ctx, goCommand, "env", "GOVERSION")
	cmd.Dir, cmd.Env = b.modules, buildEnv()
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("build the control plane: ask go for its version: %w", err)
	}
	b.goVersion = strings.TrimSpace(string(out))
	return b, nil
}

// compile builds the programs, all of one module, into dir under their names.
// One go build for all of them: it compiles shared packages once and uses all
// processors.
func (b *builder) compile(ctx context.Context, module string, ps []program, dir string) error {
	args := append([]string{"build"}, buildFlags()...)
	args = append(args, "-o", dir+string(filepath.Separator))
	for _, p := range ps {
		args = append(args, p.pkg)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, b.goCommand, args...)
	cmd.Dir = filepath.Join(b.modules, module)
	cmd.Env = append(buildEnv(), "GOTMPDIR="+dir) // is removed even when go is killed
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = ownGroup()
	// SIGINT lets go remove its temporary files; the group has the compilers.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	if err := b.run(cmd); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", cmd.Dir, err, lastLines(output.Bytes(), 20))
	}
	for _, p := range ps {
		if err := os.Rename(filepath.Join(dir, p.built()), filepath.Join(dir, p.name)); err != nil {
			return err
		}
	}
	return nil
}

// run runs go on a thread that lives as long as go does.
func (b *builder) run(cmd *exec.Cmd) error {
	s := newSpawner()
	defer s.stop()
	if err := s.start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
