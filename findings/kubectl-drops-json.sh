#!/usr/bin/env bash
# A file in YAML whose second document is JSON, with a third after it.
#
# One would think: all three are read, for JSON is YAML, and documents after the second are read in files of JSON.
# Seen: the decoder of kubectl takes the first text for YAML, the second for JSON, and drops what follows in that
# document, without an error: kubectl apply ends with code 0, and the third object was never sent.
# With k8s.io/apimachinery 0.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program k8s.io/apimachinery@v0.37.1 <<'GO' | as_seen "yaml then json: a b
json alone: b c"
package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	for _, c := range [][2]string{
		{"yaml then json", "name: a\n---\n{\"name\": \"b\"}\n{\"name\": \"c\"}\n"},
		{"json alone", "{\"name\": \"b\"}\n{\"name\": \"c\"}\n"},
	} {
		fmt.Print(c[0], ":")
		for d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(c[1]), 4096); ; {
			var doc struct{ Name string }
			if err := d.Decode(&doc); err != nil {
				break
			}
			fmt.Print(" ", doc.Name)
		}
		fmt.Println()
	}
}
GO
