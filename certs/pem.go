package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: c.Raw})
}

// decodeCertificates returns the certificates of a bundle, in its order: at
// least one.
func decodeCertificates(data []byte) ([]*x509.Certificate, error) {
	cs, err := certutil.ParseCertsPEM(data)
	if err != nil {
		return nil, fmt.Errorf("decode certificates: %w", err)
	}
	return cs, nil
}

// encodeKey writes a key as PKCS #8.
func encodeKey(key crypto.Signer) ([]byte, error) {
	data, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyutil.PrivateKeyBlockType, Bytes: data}), nil
}

func decodeKey(data []byte) (crypto.Signer, error) {
	key, err := keyutil.ParsePrivateKeyPEM(data)
	if err != nil {
		return nil, fmt.Errorf("decode the key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("decode the key: it cannot sign")
	}
	return signer, nil
}
