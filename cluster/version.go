package cluster

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	apiversion "k8s.io/apimachinery/pkg/version"

	"stayput.dev/internal/pattern"
)

// NewestMinor is the newest minor of Kubernetes that is known here, the last one
// of docs/versions.md. It is taken where nothing says which one is meant.
const NewestMinor = 37

// A Version is a release of Kubernetes, 1.Minor.Patch.
type Version struct{ Minor, Patch int }

// anyPatch is the last patch of a minor, whichever that may be.
const anyPatch = math.MaxInt32

// Compare is negative if v is older than o, and positive if it is newer.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Minor, o.Minor), cmp.Compare(v.Patch, o.Patch))
}

// String returns 1.34.4, or 1.34 for the last patch.
func (v Version) String() string {
	if v.Patch == anyPatch {
		return fmt.Sprintf("1.%d", v.Minor)
	}
	return fmt.Sprintf("1.%d.%d", v.Minor, v.Patch)
}

// Versions are the releases that the API servers of a cluster may be of, from
// the oldest to the newest, which are different while a cluster is upgraded.
// The zero value means that they are unknown.
type Versions struct{ Oldest, Newest Version }

// Servers tells the releases of a cluster's API servers.
type Servers interface{ Versions() Versions }

// Versions implements [Servers].
func (v Versions) Versions() Versions { return v }

// Known says whether anything is known of the releases.
func (v Versions) Known() bool { return v != Versions{} }

// String returns 1.34.4, 1.34 for any patch of it, 1.34.4 to 1.35.1, or unknown.
func (v Versions) String() string {
	switch {
	case !v.Known():
		return "unknown"
	case v.Oldest == v.Newest || v == AnyPatch(v.Oldest.Minor):
		return v.Newest.String()
	}
	return v.Oldest.String() + " to " + v.Newest.String()
}

// With returns the smallest range that has both, of which either may be unknown.
func (v Versions) With(o Versions) Versions {
	if !v.Known() || !o.Known() {
		return cmp.Or(v, o)
	}
	if o.Oldest.Compare(v.Oldest) < 0 {
		v.Oldest = o.Oldest
	}
	if o.Newest.Compare(v.Newest) > 0 {
		v.Newest = o.Newest
	}
	return v
}

// AnyPatch returns all patches of a minor.
func AnyPatch(minor int) Versions { return Versions{Version{minor, 0}, Version{minor, anyPatch}} }

var release = pattern.Lazy(`^v?1\.([0-9]{1,4})(?:\.([0-9]{1,6}))?(?:[-+](.*))?$`)

// preRelease matches what follows the number of a release that is not out yet.
// Providers write their own builds with a hyphen, too: v1.34.4-gke.100.
var preRelease = pattern.Lazy(`^(alpha|beta|rc)\.`)

// ParseVersions reads a release as 1.34.4, or any patch of a minor as 1.34; a
// leading v and what a provider appends may be there. A pre-release is between
// the minor before and its own: it may have the defaults of either.
func ParseVersions(text string) (Versions, error) {
	m := release().FindStringSubmatch(text)
	if m == nil {
		return Versions{}, fmt.Errorf("%q: must be a version of Kubernetes, as 1.34 or 1.34.4", text)
	}
	minor, _ := strconv.Atoi(m[1]) // short digits always fit
	if m[2] == "" {
		return AnyPatch(minor), nil
	}
	patch, _ := strconv.Atoi(m[2])
	v := Version{minor, patch}
	if patch == 0 && minor > 0 && preRelease().MatchString(m[3]) {
		return Versions{Version{minor - 1, anyPatch}, v}, nil
	}
	return Versions{v, v}, nil
}

// VersionsOf reads the answer of an API server to /version. One that emulates an
// older minor has the defaults of that one and code of its own.
func VersionsOf(info *apiversion.Info) (Versions, error) {
	v, err := ParseVersions(info.GitVersion)
	if err != nil || info.EmulationMinor == "" {
		return v, err
	}
	emulated, err := ParseVersions(info.EmulationMajor + "." + info.EmulationMinor)
	if err != nil {
		return Versions{}, fmt.Errorf("emulated version: %w", err)
	}
	if emulated.Oldest.Minor < v.Oldest.Minor {
		v.Oldest = emulated.Oldest
	}
	return v, nil
}
