package cluster

import (
	"testing"

	apiversion "k8s.io/apimachinery/pkg/version"
)

func TestParseVersions(t *testing.T) {
	for text, want := range map[string]string{
		"1.34": "1.34", "v1.34": "1.34", "1.34.4": "1.34.4", "v1.34.4-gke.100": "1.34.4",
		"v1.33.5-eks-3025e55": "1.33.5",
		"v1.34.4+rke2r1":      "1.34.4", "1.34+": "1.34",
		"v1.36.0-alpha.1+abc": "1.35 to 1.36.0", "v1.38.0-rc.0": "1.37 to 1.38.0",
		"v1.37.1-0.20261102+dirty": "1.37.1",
	} {
		got, err := ParseVersions(text)
		if err != nil || got.String() != want {
			t.Errorf("%q is %s, want %s; %v", text, got, want, err)
		}
	}
	for _, text := range []string{"", "1", "2.0", "latest", "1.x", "1.34.x", "1.34.4.5", "1.34 ", "v", "134",
		"1.99999999999999999999"} {
		if got, err := ParseVersions(text); err == nil || got.Known() {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}

// One that emulates an older minor may behave as either.
func TestVersionsOf(t *testing.T) {
	for _, tt := range []struct {
		info apiversion.Info
		want string
	}{
		{apiversion.Info{GitVersion: "v1.37.1"}, "1.37.1"},
		{apiversion.Info{GitVersion: "v1.37.1", EmulationMajor: "1", EmulationMinor: "37"}, "1.37.1"},
		{apiversion.Info{GitVersion: "v1.37.1", EmulationMajor: "1", EmulationMinor: "36"}, "1.36.0 to 1.37.1"},
		{apiversion.Info{GitVersion: "?"}, "unknown"},
		{apiversion.Info{GitVersion: "v1.37.1", EmulationMajor: "1", EmulationMinor: "?"}, "unknown"},
	} {
		if got, _ := VersionsOf(&tt.info); got.String() != tt.want {
			t.Errorf("%v is %s, want %s", tt.info, got, tt.want)
		}
	}
}

func TestVersionsWith(t *testing.T) {
	older, newer := AnyPatch(34), Versions{Version{35, 4}, Version{35, 4}}
	for _, tt := range []struct {
		a, b Versions
		want string
	}{
		{older, newer, "1.34.0 to 1.35.4"}, {newer, older, "1.34.0 to 1.35.4"}, {Versions{}, newer, "1.35.4"},
		{newer, Versions{}, "1.35.4"}, {newer, newer, "1.35.4"}, {Versions{}, Versions{}, "unknown"},
	} {
		if got := tt.a.With(tt.b); got.String() != tt.want {
			t.Errorf("%s with %s is %s, want %s", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestFeatureIn(t *testing.T) {
	plain := &Feature{On: []Span{{From: Version{34, 0}}}}
	gated := &Feature{Gate: "G", Gated: Version{24, 0}, Locked: Version{39, 0},
		On: []Span{{Version{35, 0}, Version{35, 4}}, {From: Version{37, 0}}}}
	for _, tt := range []struct {
		f        *Feature
		from, to string
		want     Presence
	}{
		{plain, "1.33", "1.33", Absent}, {plain, "1.34.0", "1.34.0", Always}, {plain, "1.33.9", "1.34.0", Unsure},
		{gated, "1.23.9", "1.23.9", Absent}, {gated, "1.24.0", "1.34.9", OffByDefault},
		{gated, "1.35.3", "1.35.3", OnByDefault},
		{gated, "1.35.4", "1.35.4", OffByDefault}, {gated, "1.35", "1.35", Unsure}, {gated, "1.36", "1.36", OffByDefault},
		{gated, "1.34.9", "1.36.0", Unsure}, // neither end has it, but one between them
		{gated, "1.23.0", "1.26.0", OffByDefault}, {gated, "1.37.0", "1.38.5", OnByDefault},
		{gated, "1.38.0", "1.39.0", OnByDefault},
		{gated, "1.39.0", "1.40.0", Always}, {gated, "1.37.0-rc.1", "1.37.0", Unsure},
	} {
		from, err := ParseVersions(tt.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := ParseVersions(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.f.In(from.With(to)); got != tt.want {
			t.Errorf("%s in %s to %s: %d, want %d", tt.f.Gate, tt.from, tt.to, got, tt.want)
		}
	}
	if got := gated.In(Versions{}); got != Unsure {
		t.Errorf("of unknown releases %d is known", got)
	}
}

func TestFeatureString(t *testing.T) {
	plain := &Feature{With: "it is refused", Without: "it is taken", On: []Span{{From: Version{34, 0}}}}
	if got, want := plain.String(), "Since Kubernetes 1.34 it is refused; before, it is taken."; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	gated := &Feature{With: "it counts", Without: "it is dropped", Gate: "Some", Gated: Version{24, 0},
		Locked: Version{39, 0}, On: []Span{{Version{35, 0}, Version{35, 4}}, {From: Version{37, 0}}}}
	want := "In 1.35.0 to 1.35.3 and since Kubernetes 1.37 it counts; elsewhere, it is dropped (gate Some: exists " +
		"since 1.24, on in 1.35.0 to 1.35.3, on since 1.37, locked since 1.39)."
	if got := gated.String(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
