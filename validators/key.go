package validators

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Fingerprint identifies a finding about obj for as long as it is the same
// one, wherever its file puts it: rule, object and path, list items by name.
// What is wrong there may change, as a value does that stays too low.
func (f Finding) Fingerprint(obj client.Object) string {
	kind, _ := apiutil.GVKForObject(obj, scheme.Scheme)
	return Fingerprint(f.Rule.Name, kind.GroupKind().String(), obj.GetNamespace(), obj.GetName(),
		stablePaths(obj)(f.Field))
}

// Fingerprint hashes what identifies a finding.
func Fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
