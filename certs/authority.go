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
	certutil "k8s.io/client-go/util/cert"
)

// What stands where in the Secret. The first two are where any tool would look
// for a key and its certificate.
const (
	keyField     = corev1.TLSPrivateKeyKey        // the key that signs
	certField    = corev1.TLSCertKey              // its newest certificate
	bundleField  = corev1.ServiceAccountRootCAKey // ca.crt: all that is trusted, newest first
	nextField    = "next.key"                     // while the key is being changed: trusted, not yet signing
	retireMark   = "stayput.dev/retire"           // keys that were replaced, and until when they are trusted
	unusableMark = "unusable."                    // what was found instead is kept under its name with this before it
)

var errEmpty = errors.New("it is empty")

// An authority is what the Secret holds.
type authority struct {
	key     crypto.Signer
	next    crypto.Signer        // nil but while the key is being changed
	trusted []*x509.Certificate  // newest first
	retired map[string]time.Time // by keyID: trusted until then, and never again
}

// subject names the authority of one Service: another team's has another name.
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

// certify adds a certificate for one of the authority's keys, and forgets
// those that have expired. Only here: replicas whose clocks disagree would
// otherwise never come to an end.
func (a *authority) certify(key crypto.Signer, name pkix.Name, now time.Time, life time.Duration) error {
	ca, err := newCA(name, key, now, life)
	if err != nil {
		return err
	}
	a.trusted = slices.DeleteFunc(a.trusted, func(c *x509.Certificate) bool { return now.After(c.NotAfter) })
	a.trusted = slices.Insert(a.trusted, 0, ca)
	return nil
}

// certificate returns the certificate of a key that is valid for longest, or
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

// trust has a certificate trusted that the Secret has lost sight of, unless its
// key was retired.
func (a *authority) trust(c *x509.Certificate, until time.Time) bool {
	if _, gone := a.retired[keyID(c)]; gone || slices.ContainsFunc(a.trusted, c.Equal) {
		return false
	}
	a.trusted = append(a.trusted, c)
	a.retired[keyID(c)] = until
	return true
}

// retire forgets the keys whose time is over, and reports whether there were
// any. That they are retired is remembered for as long as a certificate of
// theirs could live.
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

// bundle is the PEM of all that is trusted.
func (a *authority) bundle() ([]byte, error) {
	data, err := certutil.EncodeCertificates(a.trusted...)
	if err != nil {
		return nil, fmt.Errorf("encode the CA: %w", err)
	}
	return data, nil
}

// decode reads a Secret, and says what is wrong with it: all of it is what
// Stayput wrote, or none of it is used.
func decode(secret *corev1.Secret, name pkix.Name) (*authority, error) {
	data := secret.Data
	if len(data[keyField])+len(data[certField])+len(data[bundleField]) == 0 {
		return nil, errEmpty
	}
	a := &authority{retired: map[string]time.Time{}}
	var err error
	if a.key, err = parseKey(data[keyField]); err != nil {
		return nil, fmt.Errorf("%s: %w", keyField, err)
	}
	if len(data[nextField]) > 0 {
		if a.next, err = parseKey(data[nextField]); err != nil {
			return nil, fmt.Errorf("%s: %w", nextField, err)
		}
	}
	certs, err := parseCertificates(data[certField])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certField, err)
	}
	if cert := certs[0]; cert.Subject.String() != name.String() {
		return nil, fmt.Errorf("%s: it belongs to %q, not to %q", certField, cert.Subject, name)
	}
	if a.trusted, err = parseCertificates(data[bundleField]); err != nil {
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
	var err error
	if fields[certField], err = certutil.EncodeCertificates(cert); err != nil {
		return fmt.Errorf("encode the CA: %w", err)
	}
	if fields[bundleField], err = a.bundle(); err != nil {
		return err
	}
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
