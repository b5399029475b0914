package validators_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/validators"
)

// A deletion is a command in a remedy that deletes objects.
type deletion struct {
	kind, namespace string
	names           []string
	orphan          bool
}

var (
	command = regexp.MustCompile(`kubectl delete ([^&;,|]*)`)
	quoted  = regexp.MustCompile(`'[^']*'`)
	inWords = regexp.MustCompile(`(?i)\b(delete|remove|wipe)s? ((the|its|their|these|those|all|old) ` +
		`)?(claims?|volumes?|disks?|data)\b`)
	kinds = map[string]string{
		"pvc": "pvc", "persistentvolumeclaim": "pvc", "persistentvolumeclaims": "pvc", "pv": "pv", "persistentvolume": "pv",
		"sts": "sts", "statefulset": "sts", "statefulsets": "sts", "ns": "ns", "namespace": "ns",
		"service": "remade", "svc": "remade", "storageclass": "remade", "sc": "remade", "pod": "pod", "pods": "pod",
		"pdb": "pdb", "deploy": "deploy",
	}
)

// deletions returns the commands that delete in a remedy.
func deletions(remedy string) (all []deletion, err error) {
	for _, m := range command.FindAllStringSubmatch(quoted.ReplaceAllString(remedy, "quoted"), -1) {
		d, words := deletion{}, strings.Fields(m[1])
		for i := 0; i < len(words); i++ {
			kind, name, slashed := strings.Cut(words[i], "/")
			switch {
			case words[i] == "-n" && i+1 < len(words):
				i++
				d.namespace = words[i]
			case words[i] == "-l" && i+1 < len(words):
				i++
			case words[i] == "--cascade=foreground": // as by default, and waited for
			case words[i] == "--cascade=orphan":
				d.orphan = true
			case slashed && kinds[kind] != "" && (d.kind == "" || d.kind == kinds[kind]):
				d.kind, d.names = kinds[kind], append(d.names, name)
			case d.kind == "":
				if d.kind = kinds[words[i]]; d.kind == "" {
					return nil, fmt.Errorf("deletes a %q, of which this test knows nothing", words[i])
				}
			case regexp.MustCompile(`^[a-z0-9$*{][a-z0-9.*{}$-]*$`).MatchString(words[i]):
				d.names = append(d.names, words[i])
				if i+1 < len(words) && words[i+1] == "with" { // words of the sentence
					i = len(words)
				}
			default:
				return nil, fmt.Errorf("deletes %q, which this test cannot read", m[0])
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// destructive says what is wrong with a remedy by which data may be lost. It
// asks the objects that the rule has seen, and nothing of the rules' own code.
func destructive(seen []cluster.Object, manifests bool, remedy string) (faults []string) {
	if manifests && strings.Contains(remedy, "kubectl") {
		faults = append(faults, "a manifest is mended by its author, not by kubectl")
	}
	if m := inWords.FindString(remedy); m != "" {
		faults = append(faults, "says in words: "+m)
	}
	all, err := deletions(remedy)
	if err != nil {
		faults = append(faults, err.Error())
	}
	for _, d := range all {
		switch d.kind {
		case "pv", "ns":
			faults = append(faults, "deletes a "+d.kind)
		case "sts":
			if !d.orphan {
				faults = append(faults, "deletes a StatefulSet with its Pods")
			}
		case "remade", "deploy":
			if d.kind == "deploy" && d.orphan {
				continue
			}
			if !strings.Contains(remedy, "in between") {
				faults = append(faults, "does not say what the deletion interrupts")
			}
		case "pvc":
			if len(d.names) == 0 {
				faults = append(faults, "deletes claims that it does not name")
			}
			for _, name := range d.names {
				if why := mayHoldData(seen, d.namespace, name); why != "" {
					faults = append(faults, fmt.Sprintf("deletes claim %s, which %s", name, why))
				}
			}
		}
	}
	return faults
}

var proposed = regexp.MustCompile(`\bserviceName: ([a-z0-9-]+)( \(headless, selects these Pods\))?`)

var applied = regexp.MustCompile(`apply (\{apiVersion: v1, kind: Service, .*\}\})$`)

// misnamed says what is wrong with the governing Service that a remedy proposes for
// a StatefulSet: one that is there must be headless and select its Pods, a new one
// must have a name of its own, and lead to the Pods of all that wait for that name. Of
// a manifest that would stay as it is, nothing is said.
func misnamed(seen []cluster.Object, obj cluster.Object, remedy string) (faults []string) {
	sts, ok := obj.(*appsv1.StatefulSet)
	if !ok {
		return nil
	}
	for _, m := range proposed.FindAllStringSubmatch(remedy, -1) {
		name, there := m[1], m[2] != ""
		i := slices.IndexFunc(seen, func(o cluster.Object) bool {
			_, ok := o.(*corev1.Service)
			return ok && o.GetNamespace() == sts.Namespace && o.GetName() == name
		})
		switch {
		case i < 0 && there:
			faults = append(faults, "there is no Service "+name)
		case i < 0:
		case !there:
			faults = append(faults, "there is a Service "+name+" already")
		default:
			svc, fits := seen[i].(*corev1.Service), true
			for k, v := range svc.Spec.Selector {
				has, ok := sts.Spec.Template.Labels[k]
				fits = fits && ok && has == v
			}
			if svc.Spec.ClusterIP != "None" || svc.Spec.Type == "ExternalName" || len(svc.Spec.Selector) == 0 || !fits {
				faults = append(faults, "Service "+name+" gives the Pods no names")
			}
		}
	}
	if m := applied.FindStringSubmatch(remedy); m != nil {
		var svc corev1.Service
		if err := yaml.Unmarshal([]byte(m[1]), &svc); err != nil {
			return append(faults, err.Error())
		}
		for _, o := range seen {
			other, ok := o.(*appsv1.StatefulSet)
			if !ok || other.Namespace != sts.Namespace || other.Name == sts.Name || other.Spec.ServiceName != svc.Name ||
				other.DeletionTimestamp != nil {
				continue
			}
			for k, v := range svc.Spec.Selector {
				if has, ok := other.Spec.Template.Labels[k]; !ok || has != v {
					faults = append(faults, "StatefulSet "+other.Name+" waits for a Service "+svc.Name+" that leads to its own Pods")
					break
				}
			}
		}
	}
	return faults
}

// mayHoldData says why a claim may hold data, or be meant to, or "".
func mayHoldData(seen []cluster.Object, namespace, name string) string {
	i := slices.IndexFunc(seen, func(o cluster.Object) bool {
		c, ok := o.(pvc)
		return ok && c.Namespace == namespace && c.Name == name
	})
	if i < 0 {
		return "nobody has seen"
	}
	switch c := seen[i].(pvc); {
	case c.Status.Phase != corev1.ClaimPending:
		return fmt.Sprintf("is %q, not Pending", c.Status.Phase)
	case slices.ContainsFunc(seen, func(o cluster.Object) bool {
		v, ok := o.(pv)
		return ok && v.Name == c.Spec.VolumeName &&
			(v.Spec.ClaimRef == nil || v.Spec.ClaimRef.Namespace == namespace && v.Spec.ClaimRef.Name == name)
	}):
		return "names a volume"
	case c.Spec.DataSource != nil || c.Spec.DataSourceRef != nil:
		return "is filled from something else"
	}
	for _, o := range seen {
		switch o := o.(type) {
		case *corev1.PersistentVolume:
			if ref := o.Spec.ClaimRef; ref != nil && ref.Namespace == namespace && ref.Name == name {
				return "volume " + o.Name + " is reserved for"
			}
		case *corev1.Pod:
			for _, v := range o.Spec.Volumes {
				if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == name && o.Namespace == namespace &&
					o.DeletionTimestamp == nil && o.Status.Phase != corev1.PodSucceeded && o.Status.Phase != corev1.PodFailed {
					return "Pod " + o.Name + " mounts"
				}
			}
		}
	}
	return ""
}

// TestDestructive proves that what the tests below look for would be found.
func TestDestructive(t *testing.T) {
	claim := func(phase corev1.PersistentVolumeClaimPhase, edit func(pvc)) pvc {
		c := &corev1.PersistentVolumeClaim{}
		c.Namespace, c.Name, c.Status.Phase = "a", "data-db-0", phase
		if edit != nil {
			edit(c)
		}
		return c
	}
	pod, pv, free := &corev1.Pod{}, &corev1.PersistentVolume{}, &corev1.PersistentVolume{}
	free.Name = "free"
	pod.Namespace, pod.Name = "a", "db-0"
	pod.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"},
	}}}
	pv.Name, pv.Spec.ClaimRef = "disk", &corev1.ObjectReference{Namespace: "a", Name: "data-db-0"}
	const remove = "kubectl delete pvc data-db-0 -n a"
	pending := claim(corev1.ClaimPending, nil)
	for name, tt := range map[string]struct {
		seen      []cluster.Object
		manifests bool
		remedy    string
		want      string
	}{
		"Pending": {seen: []cluster.Object{pending}, remedy: remove + " && kubectl apply -f <file> with another"},
		"unseen":  {remedy: remove, want: "nobody has seen"},
		"of another namespace": {seen: []cluster.Object{pending}, remedy: "kubectl delete pvc data-db-0 -n b",
			want: "nobody has seen"},
		"Bound": {seen: []cluster.Object{claim(corev1.ClaimBound, nil)}, remedy: remove, want: "not Pending"},
		"with the StatefulSet": {seen: []cluster.Object{claim(corev1.ClaimBound, nil)},
			remedy: "kubectl delete sts/db pvc/data-db-0 -n a", want: "cannot read"},
		"the second of two": {seen: []cluster.Object{pending}, remedy: "kubectl delete pvc data-db-0 data-db-1 -n a",
			want: "data-db-1, which nobody has seen"},
		"for a volume": {seen: []cluster.Object{free, claim(corev1.ClaimPending, func(c pvc) { c.Spec.VolumeName = "free" })},
			remedy: remove, want: "names a volume"},
		"for none": {seen: []cluster.Object{free, claim(corev1.ClaimPending, func(c pvc) { c.Spec.VolumeName = "no" })},
			remedy: remove},
		"from a snapshot": {seen: []cluster.Object{claim(corev1.ClaimPending, func(c pvc) {
			c.Spec.DataSourceRef = &corev1.TypedObjectReference{Kind: "VolumeSnapshot"}
		})}, remedy: remove, want: "filled"},
		"mounted":         {seen: []cluster.Object{pending, pod}, remedy: remove, want: "mounts"},
		"reserved":        {seen: []cluster.Object{pending, pv}, remedy: remove, want: "reserved"},
		"by label":        {remedy: "kubectl delete pvc -l app=db -n a", want: "does not name"},
		"a StatefulSet":   {remedy: "kubectl delete statefulset db -n a", want: "with its Pods"},
		"a Deployment":    {remedy: "kubectl delete deploy web -n a && kubectl apply -f <file>", want: "interrupts"},
		"around its own":  {remedy: "kubectl delete deploy web -n a --cascade=orphan && kubectl apply -f <file>"},
		"around its Pods": {remedy: "kubectl delete sts db -n a --cascade=orphan && kubectl apply -f <file>"},
		"a volume":        {remedy: "kubectl delete pv disk", want: "deletes a pv"},
		"a Service":       {remedy: "kubectl delete service db -n a && kubectl apply -f <file>", want: "interrupts"},
		"a Service, as it is said": {remedy: "kubectl delete service db -n a && kubectl apply -f <file>; in between its " +
			"name is gone"},
		"in words":              {remedy: "delete the claims first", want: "in words"},
		"kubectl in a manifest": {manifests: true, remedy: "kubectl patch service db", want: "author"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(destructive(tt.seen, tt.manifests, tt.remedy), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRemediesOfTestdata holds every remedy of the testdata of every rule, of all
// rules, to that: as admission and audit say it, and as lint does.
func TestRemediesOfTestdata(t *testing.T) {
	remedies := 0
	for _, data := range allTestdata(t) {
		snap := snapshotOf(t, data)
		for _, s := range data.Steps {
			world := cluster.Environment{Source: snap, Finder: snap, Retain: s.Retain, Kubernetes: s.Kubernetes}
			for _, world.Manifests = range []bool{false, true} {
				if world.Manifests && (s.Old != nil || s.Obj == nil) {
					continue // which lint never sees
				}
				view := world.View(context.Background(), s.Request)
				for _, f := range found(t, view, s.Old, s.Obj) {
					remedies++
					faults := append(destructive(data.Objects, world.Manifests, f.Remedy.String()),
						misnamed(data.Objects, s.Obj, f.Remedy.String())...)
					for _, fault := range faults {
						t.Errorf("%s:%d: %s\n\tin %s", data.File, s.Line(f.Field), fault, f)
					}
				}
			}
		}
	}
	t.Logf("%d remedies", remedies)
}

// found is what all rules find, those that are off raised.
func found(t *testing.T, view *cluster.View, old, obj cluster.Object) []validators.Finding {
	t.Helper()
	var rules []*validators.Rule
	for _, r := range validators.All {
		raised := *r
		raised.Level = max(r.Level, validators.Hint)
		rules = append(rules, &raised)
	}
	all, undecided := validators.Review(view, rules, old, obj)
	if len(undecided) > 0 {
		t.Fatal(undecided[0])
	}
	return all
}

// TestRemediesOfField does so for what was reported in public.
func TestRemediesOfField(t *testing.T) {
	all, err := clustertest.LoadFields("testdata/field")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		snap, err := f.Snapshot(true)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range f.Steps {
			view := cluster.Environment{Source: snap, Finder: snap, Manifests: f.Linted()}.View(context.Background(), s.Request)
			for _, finding := range found(t, view, s.Old, s.Obj) {
				for _, fault := range destructive(f.Objects, f.Linted() && s.Old == nil, finding.Remedy.String()) {
					t.Errorf("%s: %s\n\tin %s", f.File, fault, finding)
				}
			}
		}
	}
}
