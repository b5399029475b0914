package validators

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// A Caller names a user who is warned about deletions but never denied. Every
// field may hold * as a wildcard. An empty field matches everything, but User
// must not be empty. A Namespace is matched by its own name, a volume by the
// namespace of its claim.
type Caller struct {
	User      string
	Namespace string // of what is deleted
	Kind      string // of what is deleted
}

// Validate returns an error for a caller without a user, or with a malformed
// pattern.
func (c Caller) Validate() error {
	if c.User == "" {
		return errors.New(`user "": must be the name of a user, * standing for anything`)
	}
	for _, pattern := range []string{c.User, c.Namespace, c.Kind} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	return nil
}

// mayDelete says whether the configuration lets a user delete an object.
func (p *Policy) mayDelete(user string, obj cluster.Object) bool {
	return slices.ContainsFunc(p.DeletionCallers, func(c Caller) bool {
		return matches(c.User, user) && matches(c.Namespace, placeOf(obj)) && matches(c.Kind, kindName(obj))
	})
}

// placeOf returns the namespace of an object: for a Namespace its name, for a
// volume the namespace of its claim, or "".
func placeOf(obj cluster.Object) string {
	switch obj := obj.(type) {
	case *corev1.Namespace:
		return obj.Name
	case *corev1.PersistentVolume:
		if obj.Spec.ClaimRef != nil {
			return obj.Spec.ClaimRef.Namespace
		}
	}
	return obj.GetNamespace()
}

func kindName(obj cluster.Object) string {
	kind, _ := cluster.GVK(obj)
	return kind.Kind
}

// CallerFor returns the narrowest caller that lets a user delete objects of
// obj's kind in its namespace.
func CallerFor(user string, obj cluster.Object) Caller {
	return Caller{User: exactly(user), Namespace: placeOf(obj), Kind: kindName(obj)}
}

// ExemptionFor returns the narrowest exemption from one rule for a user: for
// objects of obj's kind in its namespace, or with its name if it has no
// namespace. The reason is left for a person to write.
func ExemptionFor(rule, user string, obj cluster.Object) Exemption {
	e := Exemption{Rule: rule, Kind: kindName(obj), Namespace: obj.GetNamespace(), User: exactly(user), Reason: "why"}
	if e.Namespace == "" {
		e.Name = obj.GetName()
	}
	return e
}

// YAML returns the caller as an item of deletions.callers, on one line.
func (c Caller) YAML() string {
	return item("user", c.User, "namespace", c.Namespace, "kind", c.Kind)
}

// YAML returns the exemption as an item of exemptions, on one line.
func (e Exemption) YAML() string {
	return item("rule", e.Rule, "kind", e.Kind, "namespace", e.Namespace, "name", e.Name, "user", e.User, "reason",
		e.Reason)
}

// item returns pairs of keys and values in YAML's flow style, in order, without
// the empty ones.
func item(pairs ...string) string {
	var set []string
	for i := 0; i < len(pairs); i += 2 {
		switch key, value := pairs[i], pairs[i+1]; {
		case value == "":
		case isPlain(value):
			set = append(set, key+": "+value)
		default:
			set = append(set, key+": "+strconv.Quote(value))
		}
	}
	return "{" + strings.Join(set, ", ") + "}"
}

// exactly returns the pattern that matches s and nothing else.
func exactly(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}
