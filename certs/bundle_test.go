package certs

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestOverlap(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	ca := func(life time.Duration) []byte {
		a, err := newAuthority(subject("ns", "svc"), now.Add(-2*time.Hour), life+2*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return a.bundle()
	}
	old, ended, present, short := ca(time.Hour), ca(-time.Minute), ca(48*time.Hour), ca(24*time.Hour)
	for name, tc := range map[string]struct {
		current, earlier, want []byte
		until, kept            time.Duration
	}{
		"the first":             {present, nil, present, 48 * time.Hour, 0},
		"the same":              {present, present, present, 48 * time.Hour, 0},
		"one after another":     {present, old, join(present, old), 48 * time.Hour, time.Hour},
		"again":                 {present, join(present, old), join(present, old), 48 * time.Hour, time.Hour},
		"one that has ended":    {present, join(old, ended), join(present, old), 48 * time.Hour, time.Hour},
		"two at once":           {join(short, present, ended), nil, join(short, present), 48 * time.Hour, 0},
		"back to a shorter one": {short, join(present, old), join(short, present, old), 24 * time.Hour, 48 * time.Hour},
	} {
		bundle, until, kept, err := Overlap(tc.current, tc.earlier, now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(bundle, tc.want) {
			t.Errorf("%s: the bundle is\n%s\nwant\n%s", name, bundle, tc.want)
		}
		if !until.Equal(now.Add(tc.until)) || kept.IsZero() != (tc.kept == 0) || tc.kept != 0 &&
			!kept.Equal(now.Add(tc.kept)) {
			t.Errorf("%s: until %s, kept until %s", name, until, kept)
		}
	}
	for name, tc := range map[string]struct {
		current, earlier []byte
		ofEarlier        bool
	}{
		"no PEM":                {[]byte("x"), nil, false},
		"nothing":               {nil, present, false},
		"only one that ended":   {ended, present, false},
		"an earlier one broken": {present, []byte("x"), true},
	} {
		if _, _, _, err := Overlap(tc.current, tc.earlier, now); err == nil || errors.Is(err, ErrEarlier) != tc.ofEarlier {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func join(bundles ...[]byte) []byte { return bytes.Join(bundles, nil) }
