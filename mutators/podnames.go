package mutators

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"stayput.dev/cluster"
)

// maxBase is the number of characters that the API server keeps of a
// generateName.
const maxBase = validation.DNS1123LabelMaxLength - suffixLength

// identityOf returns the name and the hostname for a Pod. The hostname is empty
// if none is possible. The name is empty if the API server must choose it
// because the hostname cannot be the same.
func identityOf(req cluster.Request, pod *corev1.Pod) (name, hostname string) {
	if pod.Name != "" {
		if len(validation.IsDNS1123Label(pod.Name)) > 0 {
			return "", ""
		}
		return pod.Name, pod.Name
	}
	suffix := suffixFor(req, pod)
	name = pod.GenerateName[:min(len(pod.GenerateName), maxBase)] + suffix
	if len(validation.IsDNS1123Label(name)) == 0 {
		return name, name
	}
	base := strings.TrimLeft(strings.Map(labelRune, pod.GenerateName), "-")
	return "", base[:min(len(base), maxBase)] + suffix
}

// labelRune maps any character to one that a DNS label may contain.
func labelRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		return r
	case 'A' <= r && r <= 'Z':
		return r - 'A' + 'a'
	}
	return '-'
}

// The API server's random names: no vowels, no digits that look like letters.
// Source: k8s.io/apimachinery@v0.37.1 pkg/util/rand/rand.go.
const (
	suffixLength = 5
	alphanums    = "bcdfghjklmnpqrstvwxz2456789"
)

// suffixFor returns five characters derived from the request's UID. They are as
// random as the UID, which is new for every call, so tests need no other
// source.
func suffixFor(req cluster.Request, pod *corev1.Pod) string {
	sum := sha256.Sum256([]byte(string(req.UID) + "/" + pod.Namespace + "/" + pod.GenerateName))
	n := binary.BigEndian.Uint64(sum[:])
	suffix := make([]byte, suffixLength)
	for i := range suffix {
		suffix[i] = alphanums[n%uint64(len(alphanums))]
		n /= uint64(len(alphanums))
	}
	return string(suffix)
}
