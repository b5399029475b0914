package validators

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestMaxUnavailable(t *testing.T) {
	tests := map[string]struct {
		value    intstr.IntOrString
		replicas int
		want     int
		ok       bool
	}{
		"a number":               {intstr.FromInt32(2), 3, 2, true},
		"more than there are":    {intstr.FromInt32(9), 3, 9, true},
		"rounded down":           {intstr.FromString("99%"), 3, 2, true},
		"rounded down to 1":      {intstr.FromString("10%"), 3, 1, true},
		"all":                    {intstr.FromString("100%"), 3, 3, true},
		"neither number nor %":   {intstr.FromString("most"), 3, 1, false},
		"many replicas, no wrap": {intstr.FromString("100%"), 1<<31 - 1, 1<<31 - 1, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := maxUnavailable(tt.value, tt.replicas); got != tt.want || ok != tt.ok {
				t.Errorf("got %d, %t; want %d, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}
