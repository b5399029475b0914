package validators

import (
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestDisruptionsAllowed(t *testing.T) {
	number := func(n int32) *intstr.IntOrString { v := intstr.FromInt32(n); return &v }
	percent := func(s string) *intstr.IntOrString { v := intstr.FromString(s); return &v }
	tests := map[string]struct {
		min, max *intstr.IntOrString
		pods     int
		want     bool
	}{
		"one may go":                     {max: number(1), pods: 2, want: true},
		"more may go than there are":     {max: number(5), pods: 2, want: true},
		"none may go":                    {max: number(0), pods: 3},
		"no percentage may go":           {max: percent("0%"), pods: 3},
		"1% of three is one, rounded up": {max: percent("1%"), pods: 3, want: true},
		"one must stay":                  {min: number(1), pods: 2, want: true},
		"all must stay":                  {min: number(3), pods: 3},
		"more must stay than there are":  {min: number(4), pods: 3},
		"none must stay":                 {min: number(0), pods: 3, want: true},
		"all of them, in percent":        {min: percent("100%"), pods: 1000},
		"67% of three is three":          {min: percent("67%"), pods: 3},
		"66% of three is two":            {min: percent("66%"), pods: 3, want: true},
		"51% of two is two":              {min: percent("51%"), pods: 2},
		"50% of two is one":              {min: percent("50%"), pods: 2, want: true},
		"neither":                        {pods: 3},
		"nonsense is refused elsewhere":  {min: percent("most"), pods: 3, want: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := policyv1.PodDisruptionBudgetSpec{MinAvailable: tt.min, MaxUnavailable: tt.max}
			if got := disruptionsAllowed(spec, tt.pods); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
