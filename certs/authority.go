package certs

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The keys of the Secret. The first two are the usual ones for a private key
// and its certificate.
const (
	keyField     = corev1.TLSPrivateKeyKey        // the key that signs
	certField    = corev1.TLSCertKey              // its newest certificate
	bundleField  = corev1.ServiceAccountRootCAKey // ca.crt: all that is trusted, newest first
	nextField    = "next.key"                     // during a change of key: trusted, not yet signing
	retireMark   = "stayput.dev/retire"           // keys that were replaced, and until when they stay trusted
	unusableMark = "unusable."                    // prefix under which unusable contents are kept
)

var errEmpty = errors.New("it is empty")

// An authority is the content of the Secret.
type authority struct {
	key     crypto.Signer
	next    crypto.Signer        // nil except during a change of key
	trusted []*x509.Certificate  // newest first
	retired map[string]time.Time // by keyID: trusted until then, and never again
}

// subject returns the subject of a Service's authority. It differs from those
// of other teams.
func subject(namespace, service string) pkix.Name {
	return pkix.Name{Organization: []string{namespace}, OrganizationalUnit: []string{service}, CommonName: "stayput-ca"}
}

func newAuthority(name pkix.Name, now time.Time, life time.Duration) (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, retired: map[string]time.Time{}}
	return a, a.certify(key, name, now, life)
}

// certify adds a certificate for one of the authority's keys, and removes those
// that have expired. They are removed nowhere else, because replicas with
// different clocks would otherwise undo each other's changes for ever.
func (a *authority) certify(key crypto.Signer, name pkix.Name, now time.Time, life time.Duration) error {
	ca, err := newCA(name, key, now, life)
	if err != nil {
		return err
	}
	a.trusted = slices.DeleteFunc(a.trusted, func(c *x509.Certificate) bool { return now.After(c.NotAfter) })
	a.trusted = slices.Insert(a.trusted, 0, ca)
	return nil
}

// certificate returns the certificate of a key that stays valid longest, or
// nil.
func (a *authority) certificate(key crypto.Signer, now time.Time) *x509.Certificate {
	var best *x509.Certificate
	for _, c := range a.trusted {
		if certifies(c, key) && valid(c, now) && (best == nil || c.NotAfter.After(best.NotAfter)) {
			best = c
		}
	}
	return best
}

// trust adds a trusted certificate that was lost from the Secret, unless its
// key was retired.
func (a *authority) trust(c *x509.Certificate, until time.Time) bool {
	if _, gone := a.retired[keyID(c)]; gone || slices.ContainsFunc(a.trusted, c.Equal) {
		return false
	}
	a.trusted = append(a.trusted, c)
	a.retired[keyID(c)] = until
	return true
}

// retire removes the keys whose time is over, and reports whether there were
// any. They are remembered as retired for as long as one of their certificates
// could be valid.
func (a *authority) retire(now time.Time, life time.Duration) bool {
	before := len(a.trusted)
	a.trusted = slices.DeleteFunc(a.trusted, func(c *x509.Certificate) bool {
		until, ok := a.retired[keyID(c)]
		return ok && now.After(until) && !certifies(c, a.key)
	})
	forgotten := len(a.retired)
	maps.DeleteFunc(a.retired, func(_ string, until time.Time) bool { return now.After(until.Add(life)) })
	return len(a.trusted) != before || len(a.retired) != forgotten
}

// bundle returns all trusted certificates, in PEM.
func (a *authority) bundle() (out []byte) {
	for _, c := range a.trusted {
		out = append(out, encodeCertificate(c)...)
	}
	return out
}

// decode reads a Secret, and returns an error if any part of it was not written
// by Stayput: then none of it is used.
func decode(secret *corev1.Secret, name pkix.Name) (*authority, error) {
	data := secret.Data
	if len(data[keyField])+len(data[certField])+len(data[bundleField]) == 0 {
		return nil, errEmpty
	}
	a := &authority{retired: map[string]time.Time{}}
	var err error
	if a.key, err = decodeKey(data[keyField]); err != nil {
		return nil, fmt.Errorf("%s: %w", keyField, err)
	}
	if len(data[nextField]) > 0 {
		if a.next, err = decodeKey(data[nextField]); err != nil {
			return nil, fmt.Errorf("%s: %w", nextField, err)
		}
	}
	cs, err := decodeCertificates(data[certField])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certField, err)
	}
	if cs[0].Subject.String() != name.String() {
		return nil, fmt.Errorf("%s: it belongs to %q, not to %q", certField, cs[0].Subject, name)
	}
	if a.trusted, err = decodeCertificates(data[bundleField]); err != nil {
		return nil, fmt.Errorf("%s: %w", bundleField, err)
	}
	for _, c := range a.trusted {
		if c.Subject.String() != name.String() || !c.IsCA {
			return nil, fmt.Errorf("%s: holds the certificate of %q, not only those of %q", bundleField, c.Subject, name)
		}
	}
	for field, key := range map[string]crypto.Signer{keyField: a.key, nextField: a.next} {
		if key != nil && !slices.ContainsFunc(a.trusted, func(c *x509.Certificate) bool { return certifies(c, key) }) {
			return nil, fmt.Errorf("%s: %s has no certificate for it", field, bundleField)
		}
	}
	for entry := range strings.FieldsSeq(secret.Annotations[retireMark]) {
		id, text, _ := strings.Cut(entry, "=")
		until, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %q: must be a key, = and a time", retireMark, entry)
		}
		a.retired[id] = until
	}
	return a, nil
}

// encode writes the authority into a Secret.
func (a *authority) encode(secret *corev1.Secret, now time.Time) error {
	fields := map[string][]byte{keyField: nil, nextField: nil}
	for field, key := range map[string]crypto.Signer{keyField: a.key, nextField: a.next} {
		if key == nil {
			continue
		}
		data, err := encodeKey(key)
		if err != nil {
			return fmt.Errorf("encode the key of the CA: %w", err)
		}
		fields[field] = data
	}
	cert := a.certificate(a.key, now)
	if cert == nil {
		return errors.New("encode the CA: its key has no valid certificate")
	}
	fields[certField], fields[bundleField] = encodeCertificate(cert), a.bundle()
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for field, data := range fields {
		if data == nil {
			delete(secret.Data, field)
			continue
		}
		secret.Data[field] = data
	}
	var marks []string
	for _, id := range slices.Sorted(maps.Keys(a.retired)) {
		marks = append(marks, id+"="+a.retired[id].UTC().Format(time.RFC3339))
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	delete(secret.Annotations, retireMark)
	if len(marks) > 0 {
		secret.Annotations[retireMark] = strings.Join(marks, " ")
	}
	return nil
}
