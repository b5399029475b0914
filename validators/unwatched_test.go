package validators

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// TestAdmissionDoesNotReadWhatItDoesNotWatch: a rule that looks up what only lint
// and audit know is silent at admission, without an error and without a lookup at
// the API server, whichever lookup it is and however the rule is configured; what
// it found before is said. In audit it says the rest.
func TestAdmissionDoesNotReadWhatItDoesNotWatch(t *testing.T) {
	snap := &cluster.Snapshot{Complete: true}
	if err := snap.Add(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "job"}}); err != nil {
		t.Fatal(err)
	}
	for name, look := range map[string]func(v *cluster.View) (int, error){
		"get": func(v *cluster.View) (int, error) {
			job, err := cluster.Get[batchv1.Job](v, "prod", "job")
			if job == nil {
				return 0, err
			}
			return 1, err
		},
		"list": func(v *cluster.View) (int, error) {
			jobs, err := cluster.List[batchv1.JobList](v, cluster.InNamespace("prod"))
			if jobs == nil {
				return 0, err
			}
			return len(jobs.Items), err
		},
		"find": func(v *cluster.View) (int, error) {
			jobs, err := cluster.Find(v, cluster.JobsByLabel, "prod", cluster.LabelKeys(nil)...)
			return len(jobs), err
		},
	} {
		for _, level := range []Level{Warn, Deny} {
			for _, at := range []types.UID{"", "a-request"} {
				t.Run(fmt.Sprintf("%s %s %q", name, level, at), func(t *testing.T) {
					rule := &Rule{Name: "jobs", Level: level, Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
						p.Report(field.Invalid(namePath, sts.Name, "is seen"), "none")
						found, err := look(p.Cluster)
						if err != nil {
							return fmt.Errorf("look for Jobs: %w", err)
						}
						if found > 0 {
							p.Report(field.Invalid(specPath, sts.Name, "is beside a Job"), "none")
						}
						return nil
					})}}
					live := &failing{Reader: snap}
					v := cluster.Environment{Source: snap, Finder: snap, Live: live}.View(context.Background(),
						cluster.Request{UID: at})
					verdict, err := (&Policy{Rules: []*Rule{rule}, Mode: ModeWarn}).Review(v, nil, sts(1))
					if err != nil || len(verdict.Undecided) > 0 {
						t.Fatalf("%v, undecided: %v", err, verdict.Undecided)
					}
					want := 1
					if at == "" {
						want = 2
					}
					if len(verdict.Findings) != want {
						t.Errorf("%d findings, want %d: %v", len(verdict.Findings), want, verdict.Findings)
					}
				})
			}
		}
	}
}

// TestAdmissionListsWhatIsAdopted: Pods and ReplicaSets of an old workload are looked for
// at admission, too, before its creation is denied.
func TestAdmissionListsWhatIsAdopted(t *testing.T) {
	snap := &cluster.Snapshot{Complete: true}
	v := cluster.Environment{Source: snap, Finder: snap}.View(t.Context(), cluster.Request{UID: "a-request"})
	_, pods := cluster.List[corev1.PodList](v, cluster.InNamespace("prod"))
	_, sets := cluster.List[appsv1.ReplicaSetList](v, cluster.InNamespace("prod"))
	if pods != nil || sets != nil || len(Adopted(All)) != 2 {
		t.Errorf("Pods: %v; ReplicaSets: %v; adopted are %d kinds", pods, sets, len(Adopted(All)))
	}
}
