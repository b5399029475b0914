#!/usr/bin/env bash
# A JSON patch that replaces what is not there: {"op": "replace", "path": "/metadata/labels", ...} on an object without
# labels.
#
# One would think: it is refused, for RFC 6902 says that the target of a replace must exist; webhooks that send replace
# for add would be found out in the first test.
# Seen: version 4, which the API server applies patches and webhooks' answers with, adds a member that is missing, and
# refuses only where its parent is missing as well. Version 5 of the same module refuses both. So a patch that is tested
# with version 5 is tested more strictly than it will be applied, and one tested on a cluster may fail elsewhere.
# With gopkg.in/evanphx/json-patch.v4 4.13.0 (that of k8s.io/apiserver 0.37.1) and github.com/evanphx/json-patch/v5 5.9.11.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program gopkg.in/evanphx/json-patch.v4@v4.13.0 github.com/evanphx/json-patch/v5@v5.9.11 <<'GO' | as_seen '4: /metadata/labels: {"metadata":{"labels":"x","name":"a"}} (<nil>)
5: /metadata/labels:  (replace operation does not apply: doc is missing key: /metadata/labels: missing value)
4: /spec/hostname:  (replace operation does not apply: doc is missing path: /spec/hostname: missing value)
5: /spec/hostname:  (replace operation does not apply: doc is missing path: /spec/hostname: missing value)'
package main

import (
	"fmt"

	v5 "github.com/evanphx/json-patch/v5"
	v4 "gopkg.in/evanphx/json-patch.v4"
)

func main() {
	object := []byte(`{"metadata":{"name":"a"}}`)
	for _, path := range []string{"/metadata/labels", "/spec/hostname"} {
		patch := []byte(`[{"op":"replace","path":"` + path + `","value":"x"}]`)
		four, _ := v4.DecodePatch(patch)
		out, err := four.Apply(object)
		fmt.Printf("4: %s: %s (%v)\n", path, out, err)
		five, _ := v5.DecodePatch(patch)
		out, err = five.Apply(object)
		fmt.Printf("5: %s: %s (%v)\n", path, out, err)
	}
}
GO
