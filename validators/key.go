package validators

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"stayput.dev/cluster"
)

// Fingerprint identifies a finding about obj by rule, object and path, with
// list items by name. It stays the same wherever the file puts them, and while
// only the reported value changes.
func (f Finding) Fingerprint(obj cluster.Object) string {
	kind, _ := cluster.GVK(obj)
	return Fingerprint(f.Rule.Name, kind.GroupKind().String(), obj.GetNamespace(), obj.GetName(),
		stablePaths(obj)(f.Field))
}

// Fingerprint hashes the parts that identify a finding.
func Fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
