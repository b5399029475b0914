package e2e

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestUpdatesSpeakOfWhatTheyChange updates a StatefulSet whose creation got many
// warnings: without a change, and with one change at a time.
func TestUpdatesSpeakOfWhatTheyChange(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	letGo(t, database(t, ns, 3))
	person := record(t, ns, "person", "rolebinding --clusterrole=cluster-admin")
	c, err := client.New(person.config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.StatefulSet
	get := func() {
		t.Helper()
		if err := c.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "mysql"}, &set); err != nil {
			t.Fatal(err)
		}
	}
	get()
	anew := set.DeepCopy()
	anew.Name, anew.ResourceVersion, anew.UID = "another", "", ""
	if err := c.Create(t.Context(), anew, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	about := func() (rules []string) {
		denials, warnings, _ := person.said()
		for _, w := range slices.Concat(warnings, denials) {
			_, text, _ := strings.Cut(w, `"`)
			rule, _, _ := strings.Cut(text, ":")
			rules = append(rules, rule)
		}
		slices.Sort(rules)
		return rules
	}
	created := about()
	for _, rule := range []string{"statefulset-disruption-budget", "statefulset-readiness", "statefulset-spread"} {
		if !slices.Contains(created, rule) {
			t.Fatalf("the creation says nothing of %s, so this tests nothing: %q", rule, created)
		}
	}
	for range 5 {
		get()
		if err := c.Update(t.Context(), &set); err != nil {
			t.Fatal(err)
		}
	}
	if got := about(); len(got) > 0 {
		t.Errorf("updates that change nothing: %q", got)
	}
	for _, tt := range []struct {
		name string
		edit func(s *appsv1.StatefulSet)
		want []string
	}{
		{"an annotation", func(s *appsv1.StatefulSet) { s.Annotations = map[string]string{"example.com/touched": "now"} },
			nil},
		{"the image", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = "mysql:9" }, nil},
		{"more replicas", func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32(5)) }, nil},
		{"fewer replicas", func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32(2)) },
			[]string{"statefulset-scale-down"}},
		{"a label of the Pods", func(s *appsv1.StatefulSet) { s.Spec.Template.Labels["tier"] = "data" }, []string{
			"statefulset-disruption-budget", "statefulset-spread",
		}},
		{"another container", func(s *appsv1.StatefulSet) {
			agent := *s.Spec.Template.Spec.Containers[0].DeepCopy()
			agent.Name, agent.VolumeMounts = "agent", nil
			s.Spec.Template.Spec.Containers = append(s.Spec.Template.Spec.Containers, agent)
		}, []string{"statefulset-readiness"}},
	} {
		get()
		tt.edit(&set)
		if err := c.Update(t.Context(), &set, client.DryRunAll); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := about(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	get()
	set.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(0))
	if err := c.Update(t.Context(), &set, client.DryRunAll); err == nil ||
		!strings.Contains(err.Error(), "statefulset-grace-period: ") {
		t.Errorf("an update that brings in what is denied: %v", err)
	}
}
