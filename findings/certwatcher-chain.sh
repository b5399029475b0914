#!/usr/bin/env bash
# A certificate file whose intermediate certificate is replaced, while the leaf and the key stay: a cross-signed or
# renewed intermediate.
#
# One would think: the watcher serves what stands in the file.
# Seen: controller-runtime's certwatcher compares the leaf and the key alone, and keeps serving the old chain until the
# leaf is renewed or the process restarted; ReadCertificate answers without an error.
# With sigs.k8s.io/controller-runtime 0.25.2.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program sigs.k8s.io/controller-runtime@v0.25.2 k8s.io/client-go@v0.37.1 <<'GO' | as_seen '<nil>
<nil>
intermediate replaced: false
after a restart: true'
package main

import (
	"fmt"
	"os"

	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

func main() {
	leaf, key, _ := cert.GenerateSelfSignedCertKey("leaf", nil, nil)
	older, _, _ := cert.GenerateSelfSignedCertKey("older", nil, nil)
	newer, _, _ := cert.GenerateSelfSignedCertKey("newer", nil, nil)
	leaf = append(leaf[:0:0], first(leaf)...)

	os.WriteFile("key.pem", key, 0o600)
	os.WriteFile("cert.pem", append(append([]byte{}, leaf...), first(older)...), 0o600)
	w, err := certwatcher.New("cert.pem", "key.pem")
	fmt.Println(err)
	before, _ := w.GetCertificate(nil)

	os.WriteFile("cert.pem", append(append([]byte{}, leaf...), first(newer)...), 0o600)
	fmt.Println(w.ReadCertificate())
	after, _ := w.GetCertificate(nil)
	fmt.Println("intermediate replaced:", string(before.Certificate[1]) != string(after.Certificate[1]))

	again, _ := certwatcher.New("cert.pem", "key.pem")
	fresh, _ := again.GetCertificate(nil)
	fmt.Println("after a restart:", string(before.Certificate[1]) != string(fresh.Certificate[1]))
}

// first is the first certificate of a bundle.
func first(bundle []byte) []byte {
	certs, _ := cert.ParseCertsPEM(bundle)
	out, _ := cert.EncodeCertificates(certs[0])
	return out
}
GO
