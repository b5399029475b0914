package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// gitRevision is the beginning of an --old that is a revision.
const gitRevision = "git:"

// A named is what two states of an object have in common.
type named struct {
	kind schema.GroupKind
	types.NamespacedName
}

func nameOf(obj cluster.Object) named {
	return named{obj.GetObjectKind().GroupVersionKind().GroupKind(), cluster.KeyOf(obj)}
}

// An olds is the earlier state of the manifests.
type olds struct {
	manifests []*manifest.Manifest
	byName    map[named]*manifest.Manifest
	files     map[string]bool // that exist on the other side, too
}

// read adds the manifests of one file, which is called name on the other side,
// or "" where that has none.
func (o *olds) read(file, name string, data []byte) error {
	s := manifest.ReadStream(file, data)
	if len(s.Errors) > 0 {
		return fmt.Errorf("--old: %w", s.Errors[0])
	}
	o.add(s.Manifests)
	if name != "" {
		o.files[file] = true
	}
	return nil
}

// add adds manifests.
func (o *olds) add(manifests []manifest.Manifest) {
	for i := range manifests {
		m := &manifests[i]
		o.manifests = append(o.manifests, m)
		o.byName[nameOf(m.Object)] = m
	}
}

// readOld reads the earlier state of what paths hold and kustomizations build. From
// is a directory, which is built as a kustomization if it is one, a file, - for
// standard input, or git: and a revision, which is read and built at the same paths.
func readOld(ctx context.Context, from string, paths, kustomizations []string, stdin io.Reader) (*olds, error) {
	o := &olds{byName: map[named]*manifest.Manifest{}, files: map[string]bool{}}
	if rev, git := strings.CutPrefix(from, gitRevision); git {
		for _, path := range paths {
			if err := o.readRevision(ctx, rev, path); err != nil {
				return nil, err
			}
		}
		return o, o.buildRevision(ctx, rev, kustomizations)
	}
	name := single(paths, kustomizations)
	if from == "-" {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("--old: read standard input: %w", err)
		}
		return o, o.read(standardInput, name, data)
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, fmt.Errorf("--old: %w", err)
	}
	if !info.IsDir() {
		data, err := os.ReadFile(from)
		if err != nil {
			return nil, fmt.Errorf("--old: %w", err)
		}
		return o, o.read(from, name, data)
	}
	if len(kustomizations) > 0 && linked.isKustomization(from) {
		if len(paths)+len(kustomizations) > 1 {
			return nil, fmt.Errorf("--old %s: a kustomization is the earlier state of one -k, and of nothing beside it; run "+
				"lint for each, or give git:REVISION", from)
		}
		if err := o.build(from); err != nil {
			return nil, fmt.Errorf("--old: %w", err)
		}
		return o, nil
	}
	in := &input{}
	files, err := in.walk(from)
	if err == nil && len(in.errors) > 0 {
		err = errors.New(in.errors[0].String())
	}
	if err != nil {
		return nil, fmt.Errorf("--old: %w", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--old: %w", err)
		}
		if err := o.read(file, beside(from, file, paths), data); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// single returns the path of a command that names one file or kustomization, which
// has another content on the other side, or "".
func single(paths, kustomizations []string) string {
	if len(paths) == 0 && len(kustomizations) == 1 {
		return kustomizations[0]
	}
	if len(paths) != 1 {
		return ""
	}
	if info, err := os.Stat(paths[0]); paths[0] != "-" && (err != nil || info.IsDir()) {
		return ""
	}
	return paths[0]
}

// beside returns the file in one of the directories that is where a file is in
// another directory, or "".
func beside(dir, file string, dirs []string) string {
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		return ""
	}
	for _, d := range dirs {
		if there := filepath.Join(d, rel); isFile(there) {
			return there
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readRevision reads what a path held at a revision of the repository that it
// is in.
func (o *olds) readRevision(ctx context.Context, rev, path string) error {
	dir, within := path, "."
	if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.IsDir() {
		dir, within = filepath.Dir(path), filepath.Base(path)
	}
	if _, err := git(ctx, dir, "rev-parse", "--git-dir"); err != nil {
		return fmt.Errorf("--old %s%s: %s: %w", gitRevision, rev, path, err)
	}
	tree, err := treeOf(ctx, dir, rev)
	if err != nil {
		return fmt.Errorf("--old %s%s: %s: %w", gitRevision, rev, path, err)
	}
	// "./" has git take the names as it shows them: from the directory.
	list, err := git(ctx, dir, "--literal-pathspecs", "ls-tree", "-r", "-z", tree, "--", "./"+within)
	if err != nil {
		return fmt.Errorf("--old %s%s: %w", gitRevision, rev, err)
	}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		about, name, _ := strings.Cut(entry, "\t")
		about, blob, _ := strings.Cut(about, " blob ")
		if about != "100644" && about != "100755" || within == "." && !holdsManifests(name) {
			continue
		}
		data, err := git(ctx, dir, "cat-file", "blob", blob)
		if err != nil {
			return fmt.Errorf("--old %s%s: %s: %w", gitRevision, rev, name, err)
		}
		file, there := filepath.Join(dir, name), ""
		if isFile(file) {
			there = file
		}
		if err := o.read(file, there, data); err != nil {
			return fmt.Errorf("%w, at %s", err, rev)
		}
	}
	return nil
}

// build adds what a kustomization builds, as one file.
func (o *olds) build(dir string) error {
	built, err := linked.kustomize(dir, nil)
	if err == nil && len(built.Errors) > 0 {
		err = built.Errors[0]
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	o.add(built.Manifests)
	for i := range built.Manifests {
		o.files[built.Manifests[i].File] = true
	}
	return nil
}

// buildRevision adds what kustomizations built at a revision of their repositories.
// One that was not there yet built nothing.
func (o *olds) buildRevision(ctx context.Context, rev string, kustomizations []string) error {
	fail := func(dir string, err error) error {
		return fmt.Errorf("--old %s%s: %s: %w", gitRevision, rev, dir, err)
	}
	trees := map[string]string{} // what repositories held, by their directories
	for _, dir := range kustomizations {
		top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
		if err != nil {
			return fail(dir, err)
		}
		within, err := git(ctx, dir, "rev-parse", "--show-prefix")
		if err != nil {
			return fail(dir, err)
		}
		repository := strings.TrimRight(string(top), "\r\n")
		tree := trees[repository]
		if tree == "" {
			temporary, err := os.MkdirTemp("", "stayput-old-")
			if err != nil {
				return fail(dir, err)
			}
			defer os.RemoveAll(temporary)
			tree = filepath.Join(temporary, "tree")
			if err := checkOut(ctx, repository, rev, tree); err != nil {
				return fail(dir, err)
			}
			trees[repository] = tree
		}
		was := filepath.Join(tree, strings.TrimRight(string(within), "\r\n"))
		if !linked.isKustomization(was) {
			continue
		}
		if err := o.build(was); err != nil {
			return fail(dir, errors.New(strings.ReplaceAll(err.Error(), tree+string(filepath.Separator), "")))
		}
	}
	return nil
}

// checkOut writes all files of a revision of a repository, as git writes a work
// tree, below a directory, beside which it keeps an index. It touches neither the
// repository's work tree nor its index.
func checkOut(ctx context.Context, repository, rev, dir string) error {
	tree, err := treeOf(ctx, repository, rev)
	if err != nil {
		return err
	}
	index := []string{"GIT_INDEX_FILE=" + dir + ".index"}
	if _, err := gitWith(ctx, index, repository, "read-tree", tree); err != nil {
		return err
	}
	_, err = gitWith(ctx, index, repository, "checkout-index", "--all", "--prefix="+dir+string(filepath.Separator))
	return err
}

// treeOf returns the hash of the tree of a revision of the repository of a directory.
func treeOf(ctx context.Context, dir, rev string) (string, error) {
	tree, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{tree}")
	if err != nil {
		return "", errors.New("the repository has no such revision")
	}
	return strings.TrimSpace(string(tree)), nil
}

// git runs git in a directory, and returns what it prints.
func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return gitWith(ctx, nil, dir, args...)
}

// gitWith runs git with variables of environment beside those of the process.
func gitWith(ctx context.Context, variables []string, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), variables...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n"); err != nil && first != "" {
		err = errors.New(first)
	}
	return out, err
}

// place puts all objects that name no namespace into one.
func (o *olds) place(namespace string) {
	if o == nil {
		return
	}
	clear(o.byName)
	for _, m := range o.manifests {
		m.Place(namespace)
		o.byName[nameOf(m.Object)] = m
	}
}

// before returns what an object was before, or nil. The manifest of a live
// object, which has a uid, is one that kubectl get printed.
func (o *olds) before(m *manifest.Manifest) (was *manifest.Manifest, live bool) {
	was = o.byName[nameOf(m.Object)]
	if was == nil || was.GetObjectKind().GroupVersionKind() != m.GetObjectKind().GroupVersionKind() {
		return nil, false
	}
	return was, was.GetUID() != ""
}

// removed returns the objects that are no longer there, of the files that are.
func (o *olds) removed(manifests []manifest.Manifest) (gone []*manifest.Manifest) {
	there := map[named]bool{}
	for i := range manifests {
		there[nameOf(manifests[i].Object)] = true
	}
	for _, m := range o.manifests {
		if o.files[m.File] && !there[nameOf(m.Object)] && cluster.Known(m.GetObjectKind().GroupVersionKind()) != nil {
			gone = append(gone, m)
		}
	}
	return gone
}

// inOld returns what compares subjects with an earlier state of the manifests.
func (rv *reviewer) inOld(was *olds) earlier {
	return func(ctx context.Context, environment cluster.Environment, s *subject) error {
		s.compare, s.stands = true, "so it was before"
		before, live := was.before(s.manifest)
		switch {
		case before == nil:
			return nil
		case live:
			return s.over(before.Object)
		}
		s.old = before.Object
		if admitted, _, err := rv.mutated(environment.View(ctx, cluster.Request{}), nil, s.old); err == nil {
			s.old = admitted // as it was applied
		}
		s.old = manifest.Defaulted(s.old)
		if merged, err := s.manifest.InsteadOf(before, s.old); err == nil { // or a list has an item without a name
			s.Object = merged
		}
		return nil
	}
}

// deployed returns what compares subjects with the objects of a cluster, of
// which the snapshot holds nothing else yet. What may not be listed there is
// compared with nothing: whether it is new is not known.
func deployed(ctx context.Context, snapshot *cluster.Snapshot, manifests []manifest.Manifest) (earlier, error) {
	there, unknown := map[named]cluster.Object{}, map[named]bool{}
	for i := range manifests {
		obj := manifests[i].Object
		if cluster.KnownObject(obj) == nil || obj.GetName() == "" {
			continue
		}
		live := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(cluster.Object)
		switch err := snapshot.Get(ctx, cluster.KeyOf(obj), live); {
		case err == nil:
			there[nameOf(obj)] = live
		case errors.Is(err, cluster.ErrUnknown):
			unknown[nameOf(obj)] = true
		case !apierrors.IsNotFound(err):
			return nil, err
		}
	}
	return func(_ context.Context, _ cluster.Environment, s *subject) error {
		if unknown[nameOf(s.manifest.Object)] {
			return nil
		}
		s.compare, s.stands = true, "already deployed"
		if live := there[nameOf(s.manifest.Object)]; live != nil {
			return s.over(live)
		}
		return nil
	}, nil
}

// over lays the subject's manifest over a live object.
func (s *subject) over(live cluster.Object) error {
	merged, err := s.manifest.Over(live)
	if err != nil {
		return err
	}
	s.old, s.Object = manifest.Defaulted(live), merged
	return nil
}
