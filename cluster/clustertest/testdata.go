// Package clustertest reads the testdata of rules and mutators: a stream of
// manifests that describes a cluster and the requests to it.
package clustertest

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/manifest"
)

// A Testdata is one file. The cluster is its objects, each in its first
// version. An object that occurs again is an update of the first. Comments
// above an object say more: "# delete" is its deletion, "# orphan" one that
// leaves the dependents, "# as USER" names the caller, "# retain POLICY" sets
// the configuration, "# manifests" means that lint reviews it, "# since 1.37" that
// an API server of an older minor refuses it, or drops what it is about, and "#
// kubernetes 1.34" that API servers have this version and no other; it may be one
// as 1.34.4, two as "1.34.4 to 1.36", or unknown.
type Testdata struct {
	File    string
	Objects []cluster.Object
	Steps   []Step

	wants map[int][]want
}

// A Step is a request for one object. Obj is nil for a deletion, Old is nil for
// a creation.
type Step struct {
	manifest.Manifest

	Old, Obj cluster.Object
	Request  cluster.Request
	Retain   cluster.Retain

	Manifests bool // see [cluster.Environment]
	Since     int  // 37 of "# since 1.37", or 0

	// Kubernetes are the versions of the API servers: those Stated by "#
	// kubernetes", or else the newest minor.
	Kubernetes cluster.Versions
	Stated     bool
}

// A want is the finding that a comment expects on its line: # want deny
// `regexp` warn `regexp`.
type want struct {
	level string
	text  *regexp.Regexp
}

var (
	wantLine = regexp.MustCompile("# want (.*)")
	wantItem = regexp.MustCompile("(hint|warn|deny) `([^`]*)`")
)

// Load reads a file. An object that the API server would refuse is an error.
func Load(file string) (*Testdata, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	docs, skipped, err := manifest.ParseManifests(file, data)
	if err != nil {
		return nil, err
	}
	if skipped > 0 {
		return nil, fmt.Errorf("%s: %d objects of unknown kinds", file, skipped)
	}
	t := &Testdata{File: file, wants: map[int][]want{}}
	last := map[string]cluster.Object{}
	for _, d := range docs {
		if len(d.Unknown) > 0 {
			return nil, fmt.Errorf("%s:%d: %w", file, d.Line(""), d.Unknown[0])
		}
		key := fmt.Sprintf("%T/%s/%s", d.Object, d.GetNamespace(), d.GetName())
		if last[key] == nil {
			t.Objects = append(t.Objects, d.Object)
		}
		s := Step{Manifest: d, Old: last[key], Obj: d.Object}
		if _, ok := d.Directive("delete"); ok {
			s.Old, s.Obj = d.Object, nil
		}
		s.Request.User.Username, _ = d.Directive("as")
		_, s.Request.Orphan = d.Directive("orphan")
		retain, _ := d.Directive("retain")
		s.Retain = cluster.Retain(retain)
		_, s.Manifests = d.Directive("manifests")
		if since, ok := d.Directive("since"); ok {
			minor, found := strings.CutPrefix(since, "1.")
			if s.Since, err = strconv.Atoi(minor); err != nil || !found {
				return nil, fmt.Errorf("%s:%d: since %s: write a minor of Kubernetes, such as 1.37", file, d.Line(""), since)
			}
		}
		var versions string
		s.Kubernetes = cluster.AnyPatch(cluster.NewestMinor)
		if versions, s.Stated = d.Directive("kubernetes"); s.Stated {
			if s.Kubernetes, err = versionsIn(versions); err != nil {
				return nil, fmt.Errorf("%s:%d: kubernetes %w", file, d.Line(""), err)
			}
		}
		t.Steps, last[key] = append(t.Steps, s), d.Object
	}
	return t, t.parseWants(string(data))
}

// versionsIn reads "1.34", "1.34.4 to 1.36" or "unknown".
func versionsIn(text string) (all cluster.Versions, err error) {
	if text == all.String() {
		return all, nil
	}
	for part := range strings.SplitSeq(text, " to ") {
		v, err := cluster.ParseVersions(part)
		if err != nil {
			return all, err
		}
		all = all.With(v)
	}
	return all, nil
}

func (t *Testdata) parseWants(data string) error {
	for i, line := range strings.Split(data, "\n") {
		m := wantLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		items := wantItem.FindAllStringSubmatch(m[1], -1)
		if len(items) == 0 {
			return fmt.Errorf("%s:%d: want what? # want deny `regexp`", t.File, i+1)
		}
		for _, item := range items {
			text, err := regexp.Compile(item[2])
			if err != nil {
				return fmt.Errorf("%s:%d: %w", t.File, i+1, err)
			}
			t.wants[i+1] = append(t.wants[i+1], want{item[1], text})
		}
	}
	return nil
}

// On takes out what an API server of a release of Kubernetes refuses or drops, and
// what is about other releases.
func (t *Testdata) On(is cluster.Version) {
	left := map[cluster.Object]bool{}
	for _, s := range t.Steps {
		if s.Since > is.Minor || s.Stated && (is.Compare(s.Kubernetes.Oldest) < 0 || is.Compare(s.Kubernetes.Newest) > 0) {
			left[s.Object] = true
		}
	}
	t.Objects = slices.DeleteFunc(t.Objects, func(obj cluster.Object) bool { return left[obj] })
	t.Steps = slices.DeleteFunc(t.Steps, func(s Step) bool { return left[s.Object] || s.Old != nil && left[s.Old] })
}

// Snapshot returns the objects as a complete cluster.
func (t *Testdata) Snapshot() (*cluster.Snapshot, error) {
	s := &cluster.Snapshot{Complete: true}
	return s, s.Add(t.Objects...)
}

// Cached returns the objects as the webhook's caches hold them. If an update of
// a workload leaves its template as it was, as a request to scale does, both
// states come from the caches, too.
func (t *Testdata) Cached() (cluster.Reader, error) {
	s := &cluster.Snapshot{Complete: true}
	for _, obj := range t.Objects {
		if !cluster.KnownObject(obj).ClaimsOnly {
			obj = Stripped(obj)
		}
		if err := s.Add(obj); err != nil {
			return nil, err
		}
	}
	for i := range t.Steps {
		if s := &t.Steps[i]; s.Old != nil && s.Obj != nil && reflect.DeepEqual(template(s.Old), template(s.Obj)) {
			s.Old, s.Obj = Stripped(s.Old), Stripped(s.Obj)
		}
	}
	return caches{s}, nil
}

// A caches is a snapshot of stripped objects. Those that admission finds by their
// claims alone are stripped where they are found so, and whole in what only lint and
// audit look up.
type caches struct{ *cluster.Snapshot }

// Find implements [cluster.Finder].
func (c caches) Find(kind schema.GroupVersionKind, index, namespace, key string) ([]cluster.Object, error) {
	found, err := c.Snapshot.Find(kind, index, namespace, key)
	keys := cluster.Keys(kind, true)[index]
	if !cluster.Known(kind).ClaimsOnly || keys == nil {
		return found, err
	}
	var held []cluster.Object
	for _, obj := range found {
		if obj = Stripped(obj); slices.Contains(keys(obj), key) {
			held = append(held, obj)
		}
	}
	return held, err
}

// template returns the Pod template of a workload that can be scaled, or the
// object itself.
func template(obj cluster.Object) any {
	switch obj := obj.(type) {
	case *appsv1.StatefulSet:
		return obj.Spec.Template
	case *appsv1.Deployment:
		return obj.Spec.Template
	}
	return obj
}

// Stripped returns a copy of an object as a cache would hold it.
func Stripped(obj cluster.Object) cluster.Object {
	stripped, err := cache.Strip(obj.DeepCopyObject())
	if err != nil {
		panic(err) // it never fails
	}
	return stripped.(cluster.Object)
}

// Take removes the want for a finding on a line, and says whether there was
// one.
func (t *Testdata) Take(line int, level, text string) bool {
	for i, w := range t.wants[line] {
		if w.level == level && w.text.MatchString(text) {
			t.wants[line] = append(t.wants[line][:i:i], t.wants[line][i+1:]...)
			return true
		}
	}
	return false
}

// Left returns the remaining wants, by line.
func (t *Testdata) Left() (left []string) {
	for line, ws := range t.wants {
		for _, w := range ws {
			left = append(left, fmt.Sprintf("%s:%d: no %s that matches %q", t.File, line, w.level, w.text))
		}
	}
	return left
}

// Wants returns the number of wants.
func (t *Testdata) Wants() (n int) {
	for _, ws := range t.wants {
		n += len(ws)
	}
	return n
}
