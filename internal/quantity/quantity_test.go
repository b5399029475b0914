package quantity_test

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"stayput.dev/internal/quantity"
)

// TestCheck finds what takes long to read where there is a quantity,
// and nowhere else: a commit may be called 12e45678.
func TestCheck(t *testing.T) {
	digits := strings.Repeat("1", 101)
	for text, tc := range map[string]struct {
		like  any
		field string
	}{
		`{"spec":{"overhead":{"cpu":"1e-1000"}}}`: {&corev1.Pod{},
			"spec.overhead[cpu]"},
		`{"spec":{"overhead":{"cpu":1e1000}}}`: {&corev1.Pod{},
			"spec.overhead[cpu]"},
		`{"spec":{"overhead":{"a":"1","cpu":` + digits + ` } } }`: {&corev1.Pod{},
			"spec.overhead[cpu]"},
		`{"spec":{"containers":[{},{"resources":{"limits":{"cpu":"` + digits +
			`"}}}]}}`: {&corev1.Pod{}, "spec.containers[1].resources.limits[cpu]"},
		`{"spec":{"volumes":[{"emptyDir":{"sizeLimit":"1E1234"}}]}}`: {&corev1.Pod{},
			"spec.volumes[0].emptyDir.sizeLimit"},
		`{"metadata":{"annotations":{"a":"}]\"\\"}},"sp\u0065c":{"overhead":{"cpu":"1e1234"}}}`: {&corev1.Pod{},
			"spec.overhead[cpu]"},
		" {\n\"spec\" : { \"volumeClaimTemplates\" : [ { \"spec\" : { \"resources\" : { \"requests\" : { \"storage\" : \" " +
			"1e1234\" } } } } ] } }": {
			&appsv1.StatefulSet{}, "spec.volumeClaimTemplates[0].spec.resources.requests[storage]"},
		// malformed, which is not asked here
		`{"spec":{"x":1,"overhead":{"cpu":"1e1234"`: {&corev1.Pod{}, "spec.overhead[cpu]"},

		`{"metadata":{"annotations":{"commit":"12e45678","digits":"` + digits +
			`"},"labels":{"overhead":"1e1234"}}}`: {&corev1.Pod{}, ""},
		`{"spec":{"containers":[{"env":[{"name":"REQUESTS","value":"12e45678"}],` +
			`"resources":{"limits":{"cpu":"1e123"}}}]}}`: {&corev1.Pod{}, ""},
		`{"new":{"overhead":{"cpu":"1e1234"}},` +
			`"spec":{"overhead":null,"new":[{"limits":{"cpu":"1e1234"}}]}}`: {&corev1.Pod{}, ""},
		// refused by their types
		`{"spec":{"overhead":["1e1234"],"containers":{"resources":{"limits":{"cpu":"1e1234"}}}}}`: {&corev1.Pod{}, ""},
		`{"parameters":{"capacity":"1e1234"}}`: {&storagev1.StorageClass{},
			""},
		`{"spec":{"replicas":1e1234}}`: {&autoscalingv1.Scale{},
			""},
		`{"spec":{"overhead":{"cpu"`:   {&corev1.Pod{}, ""},
		`{"spec":{"overhead":{"cpu" 1`: {&corev1.Pod{}, ""},
		`{"spec":{"overhead":{cpu`:     {&corev1.Pod{}, ""},
		`{"spec":{"overhead":{"cpu":"`: {&corev1.Pod{}, ""},
		`{"spec":{"overhead":{"`:       {&corev1.Pod{}, ""},
		`{"spec":[}`:                   {&corev1.Pod{}, ""},
		`}`:                            {&corev1.Pod{}, ""},
		``:                             {&corev1.Pod{}, ""},
	} {
		err, field := quantity.Check([]byte(text), tc.like), ""
		if heavy := (*quantity.Error)(nil); errors.As(err, &heavy) {
			field = heavy.Field
		}
		if field != tc.field {
			t.Errorf("%.120s: found %q, and should %q", text, field, tc.field)
		}
	}
}
