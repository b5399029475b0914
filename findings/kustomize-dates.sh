#!/usr/bin/env bash
# A date without quotes in a ConfigMap or an annotation.
#
# One would think: sigs.k8s.io/yaml reads it as a string, kubectl applies it as it stands, and so does kustomize build,
# which is made by the same people and passes values through.
# Seen: under data kustomize takes it for a point in time, and midnight is added: what reads the ConfigMap gets another
# text. Under annotations of the same object it stays a string. With sigs.k8s.io/yaml 1.6.0 and sigs.k8s.io/kustomize/api 0.21.2.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program sigs.k8s.io/yaml@v1.6.0 sigs.k8s.io/kustomize/api@v0.21.2 sigs.k8s.io/kustomize/kyaml@v0.21.2 <<'GO' | as_seen '{"apiVersion":"v1","data":{"day":"2026-01-02"},"kind":"ConfigMap","metadata":{"annotations":{"example.com/day":"2026-01-02"},"name":"release"}}
apiVersion: v1
data:
  day: "2026-01-02T00:00:00Z"
kind: ConfigMap
metadata:
  annotations:
    example.com/day: "2026-01-02"
  name: release'
package main

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const object = `apiVersion: v1
kind: ConfigMap
metadata: {name: release, annotations: {example.com/day: 2026-01-02}}
data: {day: 2026-01-02}
`

func main() {
	json, _ := yaml.YAMLToJSON([]byte(object))
	fmt.Printf("%s\n", json)
	fs := filesys.MakeFsInMemory()
	fs.WriteFile("kustomization.yaml", []byte("resources: [map.yaml]\n"))
	fs.WriteFile("map.yaml", []byte(object))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, ".")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := built.AsYaml()
	fmt.Printf("%s", text)
}
GO
