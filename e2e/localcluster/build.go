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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Binaries maps the name of each program ("etcd", "kube-apiserver") to its path.
type Binaries map[string]string

// program is one main package of a nested module.
type program struct {
	name   string
	module string // directory under modules/
	pkg    string // in that module
}

// built returns the file name that go gives the program: the last element of its
// package's path that is not a version.
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

// kubernetesPrograms is the path before the names of Kubernetes' programs.
const kubernetesPrograms = "k8s.io/kubernetes/cmd/"

// The programs of a bare cluster, and those that a complete cluster has besides.
// Kubernetes' own programs have no module yet: see [inModule].
func programs(bare bool) []program {
	all := []program{
		{"etcd", newestModule, "go.etcd.io/etcd/server/v3"},
		{"kube-apiserver", newestModule, kubernetesPrograms + "kube-apiserver"},
		{"kubectl", newestModule, kubernetesPrograms + "kubectl"},
	}
	if bare {
		return all
	}
	return append(all,
		program{"kube-controller-manager", newestModule, kubernetesPrograms + "kube-controller-manager"},
		program{"kube-scheduler", newestModule, kubernetesPrograms + "kube-scheduler"},
		program{"kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"},
		program{"coredns", "coredns", "."},
	)
}

// inModule returns the programs with Kubernetes' own taken from a module.
func inModule(module string, ps []program) []program {
	for i, p := range ps {
		if strings.HasPrefix(p.pkg, kubernetesPrograms) {
			ps[i].module = module
		}
	}
	return ps
}

// KubernetesPackages are Kubernetes' programs that a cluster runs.
func KubernetesPackages() (pkgs []string) {
	for _, p := range programs(false) {
		if strings.HasPrefix(p.pkg, kubernetesPrograms) {
			pkgs = append(pkgs, p.pkg)
		}
	}
	slices.Sort(pkgs)
	return pkgs
}

// Build builds every program that a cluster of a minor of Kubernetes needs ("1.34";
// for "" see [Options]), unless the cache has it from the same sources, and returns
// their paths. It writes its progress to log.
//
// The cache is $STAYPUT_CACHE or stayput in the user's cache directory, and may
// be deleted at any time. Programs in $KUBEBUILDER_ASSETS are taken from there.
func Build(ctx context.Context, log io.Writer, minor string) (Binaries, error) {
	return buildMinor(ctx, log, minor, programs(false))
}

// buildMinor is build with Kubernetes' own programs of a minor version.
func buildMinor(ctx context.Context, log io.Writer, minor string, want []program) (Binaries, error) {
	if minor == "" {
		minor = os.Getenv(KubernetesVariable)
	}
	if minor != "" {
		modules, err := modulesDir(ctx)
		if err != nil {
			return nil, err
		}
		module, err := builtModule(modules, minor)
		if err != nil {
			return nil, err
		}
		want = inModule(module, want)
	}
	return build(ctx, log, want)
}

// BuildCertManager builds cert-manager, as Build builds the control plane, and
// returns its path.
func BuildCertManager(ctx context.Context, log io.Writer) (string, error) {
	return buildOne(ctx, log, program{"certmanager", "certmanager", "."})
}

// An Operator is a program of another project that runs in a cluster under its own
// account. Its module contains its CustomResourceDefinitions and manifests.
type Operator struct {
	Module string // its import path
	Nested string // directory under modules/
	pkg    string // in Module, after its path
}

// Operators that the end-to-end tests run.
var (
	CloudNativePG      = Operator{"github.com/cloudnative-pg/cloudnative-pg", "cloudnativepg", "/cmd/manager"}
	Gatekeeper         = Operator{"github.com/open-policy-agent/gatekeeper/v3", "gatekeeper", ""}
	LeaderWorkerSet    = Operator{"sigs.k8s.io/lws", "lws", "/cmd"}
	OpenKruise         = Operator{"github.com/openkruise/kruise", "kruise", ""}
	PrometheusOperator = Operator{"github.com/prometheus-operator/prometheus-operator", "prometheusoperator",
		"/cmd/operator"}
)

// Build builds the operator, as [Build] builds the control plane, and returns its
// path.
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
	modules   string // directory of the nested modules
	cache     string
	log       io.Writer

	cpu time.Duration // that builds have taken

	mu         sync.Mutex
	goVersions map[string]string // of the toolchain, by module
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
	return &builder{goCommand: goCommand, modules: filepath.Join(dir, "modules"), cache: cache, log: log,
		goVersions: map[string]string{}}, nil
}

// goVersion returns the version of the toolchain that builds a module. A module may
// require a newer one than ours.
func (b *builder) goVersion(ctx context.Context, module string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if version, known := b.goVersions[module]; known {
		return version, nil
	}
	cmd := exec.CommandContext(ctx, b.goCommand, "env", "GOVERSION")
	cmd.Dir, cmd.Env = filepath.Join(b.modules, module), BuildEnv()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build the control plane: ask go for its version: %w", err)
	}
	b.goVersions[module] = strings.TrimSpace(string(out))
	return b.goVersions[module], nil
}

// compile builds programs of one module into dir under their names. It runs one go
// build for all of them, which compiles shared packages once and uses all
// processors.
func (b *builder) compile(ctx context.Context, module string, ps []program, dir string) error {
	flags, err := b.buildFlags(module)
	if err != nil {
		return err
	}
	processors := runtime.GOMAXPROCS(0)
	args := append([]string{"build", "-p=" + strconv.Itoa(processors)}, flags...)
	args = append(args, "-o", dir+string(filepath.Separator))
	for _, p := range ps {
		args = append(args, p.pkg)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, b.goCommand, args...)
	cmd.Dir = filepath.Join(b.modules, module)
	cmd.Env = append(BuildEnv(), "GOTMPDIR="+dir, // is removed even when go is killed
		"GOGC=400", // a fifth less CPU, for compilers that live for seconds
		// There are as many compilers as processors. One that uses them all takes a sixth
		// more CPU, and no less time where there are two.
		"GOMAXPROCS="+strconv.Itoa(max(1, processors/4)))
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = ownGroup()
	//         SIGINT lets go remove its temporary files; the process group contains
	// its compilers.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	err = b.run(cmd)
	if cmd.ProcessState != nil { // with the compilers that go has waited for
		b.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if ctx.Err() != nil {
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

// run runs go from a thread that exists as long as the go process.
func (b *builder) run(cmd *exec.Cmd) error {
	s := newSpawner()
	defer s.stop()
	if err := s.start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
