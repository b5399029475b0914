package validators

import (
	"fmt"
	"math"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The controllers cannot be imported here. What follows is derived anew from
// their source, in integers and without the helper that they and the rules both
// use, so that a mistake in either shows.

// disruptionController says whether the disruption controller allows an
// eviction while all of so many Pods of one controller are healthy. Source:
// k8s.io/kubernetes@v1.37.1 pkg/controller/disruption/disruption.go:
// getExpectedPodCount, lines 822-852, for what is desired (a percentage of
// either field is one of the controllers' scale, rounded up; an int of
// minAvailable is taken as it is, and what is expected then is the Pods there
// are), and updatePdbStatus, lines 1005-1008, for what is allowed.
func disruptionController(minAvailable, maxUnavailable *share, pods int) bool {
	expected, desired := 0, 0
	switch {
	case maxUnavailable != nil:
		expected = pods
		if desired = expected - maxUnavailable.of(expected, roundUp); desired < 0 {
			desired = 0
		}
	case minAvailable != nil:
		expected = pods
		desired = minAvailable.of(expected, roundUp)
	}
	allowed := pods - desired // currentHealthy: all are
	return expected > 0 && allowed > 0
}

// statefulSetController returns how many Pods of a StatefulSet may be down in an
// update. Source: k8s.io/kubernetes@v1.37.1
// pkg/controller/statefulset/stateful_set_utils.go, getStatefulSetMaxUnavailable,
// lines 700-711, called in stateful_set_control.go, line 834, with
// spec.replicas.
func statefulSetController(maxUnavailable share, replicas int) int {
	if n := maxUnavailable.of(replicas, roundDown); n >= 1 {
		return n
	}
	return 1
}

// A share is a number or a percentage.
type share struct {
	n       int
	percent bool
}

const (
	roundDown = 0
	roundUp   = 99
)

func (s share) of(total, round int) int {
	if !s.percent {
		return s.n
	}
	return (s.n*total + round) / 100
}

func (s share) value() *intstr.IntOrString {
	v := intstr.FromInt32(int32(s.n))
	if s.percent {
		v = intstr.FromString(fmt.Sprintf("%d%%", s.n))
	}
	return &v
}

// shares are all percentages, and the numbers up to more than there are Pods.
func shares() (all []share) {
	for n := range 101 {
		all = append(all, share{n, true})
	}
	for n := range 23 {
		all = append(all, share{n, false})
	}
	return append(all, share{math.MaxInt32, false})
}

func TestRoundingOfBudgets(t *testing.T) {
	compared, allowed := 0, 0
	for pods := range 21 {
		for _, s := range shares() {
			for field, spec := range map[string]policyv1.PodDisruptionBudgetSpec{
				"minAvailable":   {MinAvailable: s.value()},
				"maxUnavailable": {MaxUnavailable: s.value()},
			} {
				want := disruptionController(&s, nil, pods)
				if field == "maxUnavailable" {
					want = disruptionController(nil, &s, pods)
				}
				if got := disruptionsAllowed(spec, pods); got != want {
					t.Errorf("%d Pods, %s %s: got %t, want %t", pods, field, s.value(), got, want)
				}
				if compared++; want {
					allowed++
				}
			}
		}
		if disruptionsAllowed(policyv1.PodDisruptionBudgetSpec{}, pods) || disruptionController(nil, nil, pods) {
			t.Errorf("%d Pods, neither field: an eviction is allowed", pods)
		}
	}
	if allowed == 0 || allowed == compared {
		t.Errorf("%d of %d budgets allow an eviction: nothing is compared", allowed, compared)
	}
}

func TestRoundingOfMaxUnavailable(t *testing.T) {
	for replicas := range 21 {
		for _, s := range shares() {
			got, ok := maxUnavailable(*s.value(), replicas)
			if want := statefulSetController(s, replicas); got != want || !ok {
				t.Errorf("%d replicas, maxUnavailable %s: got %d, %t; want %d", replicas, s.value(), got, ok, want)
			}
		}
	}
}

// TestRoundingOfSurge holds one replica of a Deployment to its controller:
// k8s.io/kubernetes@v1.37.1 pkg/controller/deployment/util/deployment_util.go,
// ResolveFenceposts: surge is rounded up, so that any percentage over 0 surges.
func TestRoundingOfSurge(t *testing.T) {
	for _, s := range shares() {
		if got, want := surges(surge(s.value())), s.of(1, roundUp) > 0; got != want {
			t.Errorf("maxSurge %s: got %t, want %t", s.value(), got, want)
		}
	}
}

func surge(most *intstr.IntOrString) appsv1.DeploymentStrategy {
	return appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: most}}
}
