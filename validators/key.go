package validators

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Fingerprint identifies a finding about obj by rule, object and path, with
// list items by name. It stays the same wherever the file puts them, and while
// only the reported value changes.
func (f Finding) Fingerprint(obj client.Object) string {
	kind, _ := apiutil.GVKForObject(obj, scheme.Scheme)
	return Fingerprint(f.Rule.Name, kind.GroupKind().String(), obj.GetNamespace(), obj.GetName(),
		stablePaths(obj)(f.Field))
}

// Fingerprint hashes the parts that identify a finding.
func Fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
