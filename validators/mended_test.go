package validators_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/validators"
)

// prose are the ways of remedies that are for a reader who thinks, and why no
// machine can do them. The list is to become shorter: a way that can be written as
// fields or as a command must be.
var prose = []struct {
	rule, text string // a rule, and a regular expression for the whole way
	why        string
}{
	{
		"claim-attributes-class",
		`make the claim anew with another .*|create a VolumeAttributesClass of that driver, and name it`,
		"which attributes are wanted its author knows",
	},
	{"pod-adopted", `select by a label that these Pods do not have`, "what the workload is called its author knows"},
	{"claim-data-source", `create PersistentVolumeClaim \S+ first`, "what is to be copied its author knows"},
	{
		"claim-class",
		`make the claim anew with another .*`,
		"the claim is yet to be created, and its class its author's choice",
	},
	{"claim-in-use", `.*a platform engineer must add deletions: .*`, "configuration: TestNarrowest of policy reads it"},
	{"claim-in-use", `.*(?:RedisCluster|Cluster) .*`, "only the owner can, whose kind is not known"},
	{"claim-in-use",
		`if the data may be wanted again, .*|(?:first kubectl patch pv .*, then )?scaling down removes \S+ first`,
		"nothing needs to be mended: it says what is lost, or comes first"},
	{"claim-in-use", `first kubectl get pv .* > volumes.yaml`, "nothing needs to be mended: it says what is lost"},
	{"namespace-data", `first kubectl get pv .* > volumes.yaml`, "nothing needs to be mended: it says what is lost"},
	{"claim-in-use", `stop them first: scale down what controls them`, "what controls Pods may be anything"},
	{"claim-oversized-volume", `make a volume of .*, choose one with volumeName`, "where a volume is to lie is not known"},
	{"claim-template-binding", `a class with volumeBindingMode: .*`, "the class is its author's choice"},
	{"claim-template-class", `mark a class as the default`, "which is for the cluster's administrator to say"},
	{"claim-template-duplicate", `remove one of the two templates|rename it and .*`,
		"which of the two is meant is not known"},
	{"claim-template-pinned", `remove it, and reserve a volume for each claim: .*`, "which volumes is not known"},
	{"claim-template-shadows-volume", `to use it, copy the data first .*`, "where it was to be mounted is not known"},
	{"claim-unbindable", `create a PersistentVolume that fits|make the claim anew with another class .*`,
		"where a volume is to lie is not known, and the class is its author's choice"},
	{"claim-volume", `a larger volume|choose .*|create the PersistentVolume|make another claim .*|.*another volumeName`,
		"the volume is its author's choice"},
	{"deployment-hostname", `.*<headless Service>.*`, "there is no such Service yet"},
	{"deployment-shared-claim", `copy the data first .*, then a StatefulSet with volumeClaimTemplates`,
		"another kind of workload is a design of its own"},
	{"field-fixed", `anything above .*|copy the data to .*|create StorageClass gone .*|.*<name>.*|.* once the claim is ` +
		`bound|write the templates in the order they had`, "takes a person's time or choice"},
	{"finalizer-removed", `leave it: it goes with the last Pod|first kubectl get pv .* > volumes.yaml`,
		"nothing needs to be mended: it says what is lost"},
	{"fixed-labels", `a (?:name|value) without the version(?:, then .*)?`, "names are their author's choice"},
	{"fixed-labels", `keep it the same in every release`, "nothing is to be done now"},
	{"volume-reclaim", `.* > volumes.yaml, then stayput recover .*`, "it is made anew when its claim has gone"},
	{"pod-adopted", `give the Pod labels that do not match .*`, "the selector requires no label"},
	{"pod-hostname-conflict", `make the Pod again with a hostname of its own`,
		"its own hostname is taken, or it has no name yet"},
	{"pod-identity-skipped", `set hostname and subdomain in the manifest on the node|use shorter names|give the Pod a ` +
		`name without dots|.*<name>.*`, "names are their author's choice"},
	{"pod-subdomain", `.*<label>.*|the subdomain of a headless Service of its own|.*<name>.*`,
		"the Pod has no label to select it by, or the Service is not known"},
	{"protected", `.*a platform engineer must add deletions: .*`, "configuration: TestNarrowest of policy reads it"},
	{"service-governing", `create Service \S+ again, headless|let it go last, .*`,
		"the deletion is warned of when it happens"},
	{"service-governing", `give the templates one label .*|make each anew .*`,
		"no one selector is right for several sets without a label in common"},
	{"statefulset-delete", `apply it again to use them|to free it, find out first .*`,
		"nothing needs to be mended; what is freed is looked at first"},
	{"statefulset-scale-down", `scale up again to use them|to free it, find out first .*`,
		"nothing needs to be mended; what is freed is looked at first"},
	{"statefulset-on-delete", `kubectl delete pod \S+ -n \S+, then the next`, "Pod by Pod, as each becomes ready"},
	{"statefulset-spread", `.* in that term`, "the path of a term is too long for a warning, which has its key"},
	{"statefulset-readiness", `.*<succeeds once the member serves>.*`, "what answers is not known"},
	{"statefulset-scale-up", `to start empty: another name .*|nothing`, "whether old data is wanted its author knows"},
	{"stayput-annotation", `mend those named first|.*<.*>.*|.* in a (?:PersistentVolumeClaim|Pod|Namespace)`,
		"a reason, or in which object, its author knows"},
	{"volume-host-path", `.*<node>.*`, "which node has the directory is not known"},
	{"storageclass-in-use", `make a class of that name again, .*`, "the deletion is warned of when it happens"},
	{"volume-same-disk", `use one of both alone|say accessModes: \[ReadWriteMany\] in both .*|mount volume \S+ in both ` +
		`places`, "which volume is to stay, and what the storage can do, its author knows"},
	{"volume-stale-claim", `remove (uid and resourceVersion from claimRef|it, and uid from the volume's claimRef)`,
		"it is left out before the file is applied"},
	{"volume-in-use", `leave it to its claim, .*`, "nothing needs to be done"},
	{"workload-data-path", `.*<(?:claim|volume)>.*`, "there is no such claim yet, or which is meant is not known"},
	{"statefulset-peer-names", `\S+-\d+\.\S+|leave out .*`, "the text around the name is the program's"},
	{"service-selects-strangers", `give the Pods of .* other labels than .*`, "names are their author's choice"},
	{"workload-placement", `a class with volumeBindingMode: .*`, "the class is its author's choice"},
	{"workload-placement", `leave \S+ out of that term`, "the path of a term is too long for a warning"},
	{"workload-env-order", `write the value itself|.*<value>.*`, "the value is its author's"},
	{"workload-fqdn-length", `names \d+ characters shorter in all`, "names are their author's choice"},
	{"workload-host-path", `.*<claim>.*`, "there is no such claim yet"},
}

// TestRemediesMend does every remedy, in each of its ways, to the cluster in which
// it was found, and reviews again: the finding is gone, and no other has come. What
// no machine can do stands in a list, with the reason.
func TestRemediesMend(t *testing.T) {
	c := &mendings{prose: map[int]int{}, sequels: map[int]bool{}, moved: map[string]bool{},
		fixed: map[string]int{}}
	t.Run("testdata", c.ofTestdata)
	t.Run("field", c.ofField)
	t.Run("examples", c.ofExamples)
	t.Logf("%d ways were gone; fixes: %v", c.done, c.fixed)
	for i, p := range prose {
		if c.prose[i] == 0 {
			t.Errorf("no remedy of %s says %q any more", p.rule, p.text)
		}
		t.Logf("%4d of %s are prose: %s", c.prose[i], p.rule, p.why)
	}
	for i, s := range sequels {
		if !c.sequels[i] {
			t.Errorf("nothing is found after a remedy of %s that %q would allow", s.of, s.next)
		}
	}
	for _, rule := range []string{"statefulset-no-storage", "statefulset-shared-claim", "workload-host-path"} {
		if !c.moved[rule] {
			t.Errorf("no remedy of %s is seen to lead to another volume", rule)
		}
	}
	if c.done < 500 {
		t.Errorf("only %d ways were gone", c.done)
	}
}

// ofTestdata does the remedies of each rule's own testdata.
func (c *mendings) ofTestdata(t *testing.T) {
	for _, data := range allTestdata(t) {
		rule := strings.TrimSuffix(filepath.Base(data.File), ".yaml")
		for _, manifests := range []bool{false, true} {
			type setting struct {
				cluster.Retain
				cluster.Versions
			}
			before := map[setting]map[string]validators.Finding{}
			for _, s := range data.Steps {
				if manifests && (s.Old != nil || s.Obj == nil) {
					continue // which lint never sees
				}
				c.Environment = cluster.Environment{Retain: s.Retain, Manifests: manifests, Kubernetes: s.Kubernetes}
				at := setting{s.Retain, s.Kubernetes}
				if before[at] == nil {
					before[at] = c.standing(t, newScene(data.Objects, nil, data.Objects[0], s.Request))
				}
				fresh := func() *scene { return newScene(data.Objects, s.Old, s.Obj, s.Request) }
				c.try(t, fmt.Sprintf("%s:%d", data.File, s.Line("")), rule, before[at], fresh)
			}
		}
	}
}

// ofField does the remedies of what was reported in public.
func (c *mendings) ofField(t *testing.T) {
	all, err := clustertest.LoadFields("testdata/field")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		c.Environment = cluster.Environment{Manifests: f.Linted()}
		before := c.standing(t, newScene(f.Objects, nil, f.Steps[0].Object, cluster.Request{}))
		for _, s := range f.Steps {
			c.try(t, f.File, "", before, func() *scene { return newScene(f.Objects, s.Old, s.Obj, s.Request) })
		}
	}
}

// ofExamples does the remedies of the broken examples.
func (c *mendings) ofExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	load := func(file string) (all []cluster.Object) {
		for _, m := range parsed(t, file) {
			all = append(all, m.Object)
		}
		return all
	}
	storage := load("../examples/broken/storage.yaml")
	for _, file := range files {
		objects := load(file)
		if filepath.Base(file) != "storage.yaml" {
			objects = append(objects, storage...)
		}
		c.Environment = cluster.Environment{Manifests: true}
		before := c.standing(t, newScene(objects, nil, objects[0], cluster.Request{}))
		for _, o := range objects {
			c.try(t, file, "", before, func() *scene { return newScene(objects, nil, o, cluster.Request{}) })
		}
	}
}

// sequels are what is found when a remedy has been done, and why that is as it
// should be.
var sequels = []struct {
	of, says string // what was found: a rule, and a regular expression for the message
	next     string // what is found then: one for the rule and the message
	why      string
}{
	{"claim-in-use", "must stay|is used by|is mounted by|is controlled by",
		"claim-in-use: .*(cannot be undone|is used by|is mounted by|is needed|must stay: it holds the data of Pod|" +
			"is controlled by)",
		"a claim is let go step by step: who mounts it, then whose it was"},
	{"finalizer-removed", "its disk is destroyed", "finalizer-removed: .*fix: leave it",
		"the disk stays, and the claim still goes under its Pods"},
	{"", "", "field-fixed: ", "the manifest is right, and the API server refuses the change: the hint has the recipe"},
	{"", "", "claim-template-class: .* without a default class",
		"the cluster has no default class, and which is meant its author knows"},
	{"", "", "statefulset-peer-names: .* under its serviceName", "the Service that names the Pods is another, and lists " +
		"of peers have the old names"},
	{"claim-template-class", "must exist|must be set", "claim-template-(expandable|reclaim|binding): ",
		"no class that there is has all that is wanted"},
	{"field-fixed", "", "", "what is made anew is reviewed as new, and is what its author wrote"},
	{"pod-identity-skipped", "must be set beside a hostname", "pod-subdomain: ", "the Service comes later"},
	{"pod-adopted", "which adopted it", "pod-adopted: .*which adopted it", "the Pod is gone, and nobody makes it again"},
	{"statefulset-on-delete", "", "statefulset-(readiness|min-ready-seconds): ",
		"a rolling update waits for what these ask for"},
	{"statefulset-recreate", "", "statefulset-min-ready-seconds: ", "a rolling update waits for what this asks for"},
	{"statefulset-retention", "it would destroy the data", "statefulset-retention: .*claims are deleted",
		"the volumes are safe, and the claims go"},
	{"statefulset-retention", "claims are deleted", "statefulset-retention: .*scaled away under Delete",
		"the policy keeps what is in range alone, and so it is said"},
	{"statefulset-scale-down", "which it adopts", "statefulset-(disruption-budget|readiness|spread|min-ready-seconds): ",
		"several replicas are asked for more than one"},
	{"statefulset-scale-down", "WILL BE DELETED", "statefulset-scale-down: .*cannot free storage",
		"what is kept takes room"},
	{"claim-template-pinned", "cannot be honoured", "claim-unbindable: ",
		"the volumes are made by hand, next"},
	{"statefulset-service-headless", "", "statefulset-service-shared: ",
		"while all named one Service it was taken to be meant"},
	{"claim-unbindable", "must (fit|have) a volume", "claim-reclaim: |claim-template-(expandable|reclaim|binding): ",
		"no class that there is has all that is wanted"},
	{"claim-unbindable", "cannot be honoured", "claim-unbindable: ", "the volumes are made by hand, next"},
	{"claim-class", "must name a class", "claim-reclaim: ", "no class that there is retains its volumes"},
}

func (c *mendings) sequel(f, next validators.Finding) bool {
	for i, s := range sequels {
		if (s.of == "" || s.of == f.Rule.Name) && regexp.MustCompile(s.says).MatchString(f.Error.Error()) &&
			regexp.MustCompile(s.next).MatchString(next.String()) {
			c.sequels[i] = true
			return true
		}
	}
	return false
}

type mendings struct {
	cluster.Environment
	done    int             // ways
	prose   map[int]int     // how many ways are, by the index of what says so
	sequels map[int]bool    // what was met
	fixed   map[string]int  // by rule, how many fixes were compared with the text
	moved   map[string]bool // rules of whose remedies one led a mount to another volume
}

// findings reviews one thing with all rules, those that are off raised.
func (c *mendings) findings(t *testing.T, s *scene, old, obj cluster.Object, req cluster.Request) []validators.Finding {
	t.Helper()
	w := c.Environment
	w.Source, w.Finder = nil, nil
	snap := s.snapshot(t)
	w.Source, w.Finder = snap, snap
	verdict, err := (&validators.Policy{Rules: raised()}).Review(w.View(context.Background(), req), old, obj)
	if err != nil {
		t.Fatal(err)
	}
	if len(verdict.Undecided) > 0 {
		t.Fatal(verdict.Undecided[0])
	}
	return verdict.Findings
}

func raised() (rules []*validators.Rule) {
	for _, r := range validators.All {
		raised := *r
		raised.Level = max(r.Level, validators.Hint)
		rules = append(rules, &raised)
	}
	return rules
}

func (s *scene) snapshot(t *testing.T) *cluster.Snapshot {
	t.Helper()
	if s.made == nil {
		s.made = &cluster.Snapshot{Complete: true}
		for _, k := range slices.Sorted(maps.Keys(s.objects)) {
			if err := s.made.Add(s.objects[k]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s.made
}

// standing returns what is found of all that is there, by rule, object and path.
func (c *mendings) standing(t *testing.T, s *scene) map[string]validators.Finding {
	t.Helper()
	all := map[string]validators.Finding{}
	for k, o := range s.objects {
		if was, ok := s.renamed[k]; ok {
			k = was
		}
		path := validators.StablePaths(o)
		for _, f := range c.findings(t, s, nil, o, cluster.Request{}) {
			all[f.Rule.Name+" of "+k+" at "+path(f.Field)] = f
		}
	}
	return all
}

// try does the remedies of one rule of one step.
func (c *mendings) try(t *testing.T, where, rule string, before map[string]validators.Finding, fresh func() *scene) {
	t.Helper()
	s := fresh()
	all := c.findings(t, s, s.old, s.obj, s.request)
	told := map[string]bool{}
	path := validators.StablePaths(s.subject())
	for _, f := range all {
		told[f.Rule.Name+path(f.Field)] = true
	}
	for _, f := range all {
		if rule != "" && f.Rule.Name != rule {
			continue
		}
		was := path(f.Field)
		if _, fix, _ := strings.Cut(f.Short(250), "; fix: "); copies.MatchString(f.Remedy.String()) &&
			ofVolumes.MatchString(fix) && !copies.MatchString(fix) {
			t.Errorf("%s: what a warning has room for copies nothing: %q", where, fix)
		}
		ways := mend(fresh, f)
		c.sameAsFix(t, where, f, fresh(), ways[0])
		for _, m := range ways {
			switch {
			case errors.Is(m.err, errProse):
				i := slices.IndexFunc(prose, func(p struct{ rule, text, why string }) bool {
					return p.rule == f.Rule.Name && regexp.MustCompile("^(?:"+p.text+")$").MatchString(m.text)
				})
				if i < 0 {
					t.Errorf("%s: is in no list of prose: %q\n\tin %s", where, m.text, f)
				}
				c.prose[i]++
				if ofVolumes.MatchString(m.text) && !copies.MatchString(m.text) {
					t.Errorf("%s: leads to another volume, and copies nothing: %q\n\tin %s", where, m.text, f)
				}
				continue
			case m.err != nil:
				t.Errorf("%s: cannot be done: %v\n\tin %s", where, m.err, f)
				continue
			}
			c.done++
			// A volume used as what it is not was never in any Pod: nothing can be copied.
			if path := leftBehind(fresh().subject(), m.scene.subject()); path != "" &&
				f.Rule.Name != "claim-template-volume-mode" {
				c.moved[f.Rule.Name] = true
				if !copies.MatchString(m.text) {
					t.Errorf("%s: another volume is at %s, and nothing is copied: %q\n\tin %s", where, path, m.text, f)
				}
			}
			after := m.scene
			if after.obj != nil {
				after.objects[keyOf(after.obj)] = after.obj
			}
			now := c.findings(t, after, after.old, after.obj, after.request)
			path := validators.StablePaths(after.subject())
			for _, n := range now {
				switch {
				case c.sequel(f, n):
				case n.Rule.Name == f.Rule.Name && path(n.Field) == was:
					t.Errorf("%s: is not mended by %q:\n\t%s\n\t%s", where, m.text, f, n)
				case !told[n.Rule.Name+path(n.Field)] && before[n.Rule.Name+" of "+after.key()+" at "+path(n.Field)].Rule == nil:
					t.Errorf("%s: is found when %q has been done:\n\t%s\n\t%s", where, m.text, f, n)
				}
			}
			mine := after.key()
			for k, n := range c.standing(t, after) {
				if before[k].Rule == nil && !strings.Contains(k, " of "+mine+" at ") && !c.sequel(f, n) {
					t.Errorf("%s: is found when %q has been done:\n\t%s\n\t%s: %s", where, m.text, f, k, n)
				}
			}
		}
	}
}

// sameAsFix holds the fix of a finding to the text of its remedy, which has to
// begin with that of the fix: doing what the text says comes to the same as
// setting the fix's fields and adding its object.
func (c *mendings) sameAsFix(t *testing.T, where string, f validators.Finding, s *scene, way mending) {
	t.Helper()
	if f.Fix == nil || !c.Manifests {
		return
	}
	if !strings.HasPrefix(f.Remedy.String(), f.Fix.Text()) {
		t.Errorf("%s: the remedy does not begin with the fix, %s\n\tin %s", where, f.Fix.Text(), f)
	}
	without, err := s.fix(f.Fix)
	if err != nil {
		t.Errorf("%s: the fix cannot be done: %v\n\tin %s", where, err, f)
	}
	if way.err != nil || without {
		return // prose, which says more than the fix
	}
	c.fixed[f.Rule.Name]++
	for _, k := range slices.Sorted(maps.Keys(way.scene.objects)) {
		if diff := cmp.Diff(way.scene.objects[k], s.objects[k]); diff != "" {
			t.Errorf("%s: %s: %q is not the fix (-text +data):\n%s\tin %s", where, k, way.text, diff, f)
		}
	}
	if diff := cmp.Diff(way.scene.subject(), s.subject()); diff != "" || len(s.objects) != len(way.scene.objects) {
		t.Errorf("%s: %q is not the fix (-text +data):\n%s\tin %s", where, way.text, diff, f)
	}
}

// key is the subject's, as it was called before.
func (s *scene) key() string {
	k := keyOf(s.subject())
	if was, ok := s.renamed[k]; ok {
		return was
	}
	return k
}
