package validators

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpanLess(t *testing.T) {
	tests := map[string]struct {
		s, t span
		want []span
	}{
		"the same":             {span{0, 3}, span{0, 3}, nil},
		"fewer":                {span{0, 3}, span{0, 1}, []span{{1, 2}}},
		"more":                 {span{0, 3}, span{0, 9}, nil},
		"none left":            {span{2, 3}, span{0, 0}, []span{{2, 3}}},
		"none left, but later": {span{0, 3}, span{1, 0}, []span{{0, 3}}},
		"none before":          {span{0, 0}, span{0, 3}, nil},
		"moved up":             {span{0, 3}, span{2, 3}, []span{{0, 2}}},
		"moved down":           {span{2, 3}, span{0, 3}, []span{{3, 2}}},
		"moved away":           {span{0, 3}, span{7, 3}, []span{{0, 3}}},
		"shrunk to the middle": {span{0, 5}, span{2, 1}, []span{{0, 2}, {3, 2}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.s.less(tt.t), cmp.AllowUnexported(span{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSpanPods(t *testing.T) {
	for want, s := range map[string]span{
		"db-7":          {7, 1},
		"db-7 and db-8": {7, 2},
		"db-7 to db-9":  {7, 3},
	} {
		if got := s.pods("db"); got != want {
			t.Errorf("%v: got %q, want %q", s, got, want)
		}
	}
}
