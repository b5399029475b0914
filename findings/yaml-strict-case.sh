#!/usr/bin/env bash
# A field in the wrong case, read with sigs.k8s.io/yaml's UnmarshalStrict.
#
# One would think: strict means as strict as the API server, whose people wrote it: unknown fields are errors.
# Seen: it takes "ServiceName" for serviceName, and the object looks right in the program; the API server decodes with
# sigs.k8s.io/json, to which that field is unknown: refused under strict field validation, dropped with a warning under
# the default of everybody who is not kubectl. A test that reads manifests so passes on what the cluster does not take.
# With sigs.k8s.io/yaml 1.6.0 and sigs.k8s.io/json 0.0.0-20260909141634-11ed52e25bc5.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program sigs.k8s.io/yaml@v1.6.0 sigs.k8s.io/json@v0.0.0-20260909141634-11ed52e25bc5 <<'GO' | as_seen 'yaml, strict: {ServiceName:db}, <nil>
json, strict: {ServiceName:}, [unknown field "ServiceName"], <nil>'
package main

import (
	"fmt"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

type spec struct {
	ServiceName string `json:"serviceName"`
}

func main() {
	var a, b spec
	err := yaml.UnmarshalStrict([]byte("ServiceName: db\n"), &a)
	fmt.Printf("yaml, strict: %+v, %v\n", a, err)
	strict, err := json.UnmarshalStrict([]byte(`{"ServiceName": "db"}`), &b)
	fmt.Printf("json, strict: %+v, %v, %v\n", b, strict, err)
}
GO
