package certs

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	caLife   = 365 * 24 * time.Hour
	leafLife = 7 * 24 * time.Hour
	backdate = 5 * time.Minute // clocks differ
)

// Lifetimes say how long certificates are valid; zero means a year for the CA
// and a week for a leaf. Each is renewed at two thirds of its life.
type Lifetimes struct{ CA, Leaf time.Duration }

func (l Lifetimes) ca() time.Duration   { return cmp.Or(l.CA, caLife) }
func (l Lifetimes) leaf() time.Duration { return cmp.Or(l.Leaf, leafLife) }

// due says whether a certificate must be renewed. The clock may have jumped,
// also backwards.
func due(c *x509.Certificate, now time.Time) bool {
	issued := c.NotBefore.Add(backdate)
	return now.Before(c.NotBefore) || now.After(issued.Add(c.NotAfter.Sub(issued)*2/3))
}

// valid says whether a certificate is valid at a time.
func valid(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	return key, nil
}

// newCA makes a certificate of an authority. Another one with the same subject
// and key verifies the same leaves.
func newCA(subject pkix.Name, key crypto.Signer, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject,
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs leaves, and no other authority
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	ca, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}
	return ca, nil
}

// newLeaf makes a serving certificate, with a key of its own, for DNS names
// and addresses.
func newLeaf(names []string, ca *x509.Certificate, caKey crypto.Signer, now time.Time,
	life time.Duration) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "stayput"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	leaf, err := sign(template, ca, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the serving certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// sign returns a certificate of a public key, signed with the parent's key.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	data, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(data)
}

// isAddress says whether a name is an IP address.
func isAddress(name string) bool { return net.ParseIP(name) != nil }

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// keyID identifies the key of an authority.
func keyID(ca *x509.Certificate) string { return hex.EncodeToString(ca.SubjectKeyId) }

// certifies says whether a certificate has the public part of a key.
func certifies(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}
