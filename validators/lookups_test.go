package validators

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
)

// TestFailingLookups lets each lookup of each rule fail, over each step of its
// testdata: the rule is then undecided, never answered. It makes a difference
// whether a lookup failed or the source does not know the kind.
func TestFailingLookups(t *testing.T) {
	for _, r := range All {
		t.Run(r.Name, func(t *testing.T) {
			failed := 0
			for _, s := range steps(t, r) {
				failed += failEachLookup(t, r, s)
			}
			if kinds := len(r.Reads) + len(r.adopts()); (failed > 0) != (kinds > 0) {
				t.Errorf("%d lookups failed, and the rule reads %d kinds", failed, kinds)
			}
		})
	}
}

// A situation is a step of a rule's testdata, in its cluster.
type situation struct {
	clustertest.Step
	snapshot *cluster.Snapshot
}

func steps(t *testing.T, r *Rule) (all []situation) {
	t.Helper()
	data, err := clustertest.Load(filepath.Join("testdata", r.Name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := data.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range data.Steps {
		all = append(all, situation{s, snap})
	}
	return all
}

// review reviews a situation through the given readers.
func (s situation) review(r *Rule, source, live cluster.Reader) ([]Finding, []*Undecided) {
	world := cluster.Environment{Source: source, Live: live, Retain: s.Retain, Manifests: s.Manifests,
		Kubernetes: s.Kubernetes}
	return Review(world.View(context.Background(), s.Request), []*Rule{r}, s.Old, s.Obj)
}

// lookups returns how many lookups the checks make, without those of what lives
// on of a workload that would be denied.
func (s situation) lookups(r *Rule) int {
	counting := &failing{Reader: s.snapshot}
	if s.Old != nil {
		return math.MaxInt // nothing is created
	}
	bare := *r
	bare.Level, bare.Refusal = Warn, nil
	s.review(&bare, counting, nil)
	return counting.lookups
}

var errAway = errors.New("the API server is away")

// presumes are the rules that find something where a kind is not known: no
// manifests bring Nodes, so there are taken to be several.
var presumes = map[string]bool{volumeHostPath.Name: true, workloadHostPath.Name: true}

// presumesInManifests are the rules that find something in manifests although
// these do not bring a kind: claims are made later, volumes by a provisioner, and
// ReplicaSets by Deployments.
var presumesInManifests = map[string]bool{workloadNodeName.Name: true, claimReclaim.Name: true,
	statefulsetScaleUp.Name: true, serviceSelectsStrangers.Name: true,
	statefulsetPeerNames.Name: true, claimUnbindable.Name: true, podAdopted.Name: true}

// decides are the rules that need not look up another kind where it could not
// change their answer: a budget that allows an eviction by what is known allows
// it beside more Pods, too.
var decides = map[string]bool{statefulsetDisruptionBudget.Name: true}

// failEachLookup returns how many lookups it has let fail.
func failEachLookup(t *testing.T, r *Rule, s situation) (failed int) {
	t.Helper()
	counting := &failing{Reader: s.snapshot}
	want, undecided := s.review(r, counting, nil)
	if len(undecided) > 0 {
		t.Fatalf("%s:%d: undecided with every lookup answered: %v", s.File, s.Line(""), undecided[0])
	}
	checks := s.lookups(r)
	for at := 1; at <= counting.lookups; at++ {
		what := fmt.Sprintf("%s:%d: lookup %d of %d", s.File, s.Line(""), at, counting.lookups)

		found, undecided := s.review(r, &failing{Reader: s.snapshot, at: at, with: errAway}, nil)
		checkUndecided(t, what+" fails", r, undecided, errAway)
		if len(found) > 0 {
			t.Errorf("%s fails, and yet: %s: %v", what, found[0].Level, found[0])
		}

		found, undecided = s.review(r, &failing{Reader: s.snapshot, at: at, with: cluster.ErrUnknown}, nil)
		if presumes[r.Name] {
			if len(undecided) > 0 || len(found) == 0 {
				t.Errorf("%s is of an unknown kind, and nothing is presumed: %v, %v", what, found, undecided)
			}
			continue
		}
		if presumesInManifests[r.Name] && s.Manifests && len(undecided) == 0 {
			if slices.ContainsFunc(found, denies) {
				t.Errorf("%s is of an unknown kind, and what is presumed denies: %v", what, found)
			}
			continue
		}
		if decides[r.Name] && len(undecided) == 0 && len(found) == len(want) {
			continue
		}
		if at > checks {
			if len(undecided) > 0 || !slices.ContainsFunc(found, denies) {
				t.Errorf("%s is of what may live on, of an unknown kind: undecided %v, found %v", what, undecided, found)
			}
			continue // what is denied stands
		}
		checkUndecided(t, what+" is of an unknown kind", r, undecided, cluster.ErrUnknown)
		for _, f := range found { // of the same field; the message may name fewer objects
			if !slices.ContainsFunc(want, func(w Finding) bool {
				return w.Level == f.Level && w.Field == f.Field &&
					w.Type == f.Type
			}) {
				t.Errorf("%s is of an unknown kind, and it is found what else is not: %s: %s", what, f.Level, f)
			}
		}
	}
	if !slices.ContainsFunc(want, denies) {
		return counting.lookups
	}
	// The cache answers, and the API server, asked again, does not.
	again := &failing{Reader: s.snapshot}
	s.review(r, s.snapshot, again)
	if counting.lookups > 0 && again.lookups == 0 {
		t.Errorf("%s:%d: denied without asking again", s.File, s.Line(""))
	}
	for at := 1; at <= again.lookups; at++ {
		what := fmt.Sprintf("%s:%d: lookup %d of %d at the API server fails", s.File, s.Line(""), at, again.lookups)
		found, undecided := s.review(r, s.snapshot, &failing{Reader: s.snapshot, at: at, with: errAway})
		checkUndecided(t, what, r, undecided, errAway)
		if len(found) > 0 {
			t.Errorf("%s, and yet: %s: %v", what, found[0].Level, found[0])
		}
	}
	return counting.lookups
}

// TestFindingsBeforeUnknown proves that lint keeps what a rule saw before it
// met a kind that the manifests do not hold, as a warning if the old object had
// it, too, and that nothing else keeps what a rule saw before a lookup failed.
func TestFindingsBeforeUnknown(t *testing.T) {
	rule := &Rule{Name: "pod-tidy", Level: Deny, Checks: []Check{On(func(p *Pass, pod *corev1.Pod) error {
		p.Report(field.Required(field.NewPath("spec", "hostname"), "must be set"), "set it")
		_, err := cluster.Get[corev1.Service](p.Cluster, pod.Namespace, "db")
		return err
	})}}
	labelled := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}}}
	pod, kept := &corev1.Pod{}, []string{"deny pod-tidy: spec.hostname: Required value: must be set; fix: set it"}
	tests := map[string]struct {
		old    *corev1.Pod
		source cluster.Reader
		want   []string
	}{
		"a kind that is unknown to lint": {source: &cluster.Snapshot{}, want: kept},
		"a lookup that fails":            {source: &failing{at: 1, with: errAway}, want: []string{}},
		"an update of what had it already": {old: labelled, source: &cluster.Snapshot{},
			want: []string{"warn pod-tidy: spec.hostname: Required value: must be set; fix: set it"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var old cluster.Object
			if tt.old != nil {
				old = tt.old
			}
			view := cluster.Environment{Source: tt.source}.View(context.Background(), cluster.Request{})
			found, undecided := Review(view, []*Rule{rule}, old, pod)
			if diff := cmp.Diff(tt.want, texts(found)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(undecided) != 1 {
				t.Errorf("undecided: %v", undecided)
			}
		})
	}
}

// TestFindingsBesideUnknown has manifests without a Deployment or StorageClass:
// what two StatefulSets do to each other is found all the same, and what a
// later claim template says.
func TestFindingsBesideUnknown(t *testing.T) {
	sts := func(name string) *appsv1.StatefulSet {
		labels := map[string]string{"app": "db"}
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}}
		s.Spec.Replicas = new(int32(3))
		s.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		s.Spec.Template.Labels = labels
		byHand, pinned := corev1.PersistentVolumeClaim{}, corev1.PersistentVolumeClaim{}
		byHand.Spec.Selector, byHand.Spec.StorageClassName = &metav1.LabelSelector{}, new("disk")
		pinned.Spec.VolumeName = "pv-1"
		s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{byHand, pinned}
		return s
	}
	known := &cluster.Snapshot{}
	known.Know(appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	if err := known.Add(sts("one"), sts("two")); err != nil {
		t.Fatal(err)
	}
	view := cluster.Environment{Source: known}.View(context.Background(), cluster.Request{})
	for rule, field := range map[*Rule]string{
		ruleNamed(t, "workload-selector-overlap"): "spec.selector",
		ruleNamed(t, "claim-template-pinned"):     "spec.volumeClaimTemplates[1].spec.volumeName",
	} {
		found, undecided := Review(view, []*Rule{rule}, nil, sts("one"))
		if len(found) != 1 || found[0].Field != field || len(undecided) != 1 {
			t.Errorf("%s: found %v, undecided %v, want %s", rule.Name, texts(found), undecided, field)
		}
	}
}

func ruleNamed(t *testing.T, name string) *Rule {
	t.Helper()
	i := slices.IndexFunc(All, func(r *Rule) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("no rule %s", name)
	}
	return All[i]
}

func checkUndecided(t *testing.T, what string, r *Rule, undecided []*Undecided, want error) {
	t.Helper()
	if len(undecided) != 1 || undecided[0].Rule != r || !errors.Is(undecided[0], want) {
		t.Errorf("%s: undecided is %v, want %v", what, undecided, want)
	}
}

func texts(found []Finding) []string {
	all := []string{}
	for _, f := range found {
		all = append(all, f.Level.String()+" "+f.String())
	}
	return all
}

// failing lets one lookup fail, counting from 1; 0 lets none, and -1 all.
// Lookups may run together.
type failing struct {
	cluster.Reader
	at   int
	with error

	mu      sync.Mutex
	lookups int
}

func (f *failing) fails() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lookups++; f.lookups == f.at || f.at < 0 {
		return fmt.Errorf("lookup %d: %w", f.lookups, f.with)
	}
	return nil
}

func (f *failing) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Reader.Get(ctx, key, obj)
}

func (f *failing) List(ctx context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Reader.List(ctx, list, selected)
}
