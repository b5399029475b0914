package certs

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// Files returns a Source that serves a certificate and its key from PEM files
// and reads them again when they change.
func Files(certFile, keyFile string) (Source, error) {
	w, err := certwatcher.New(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("serve the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	return w, nil
}
