#!/usr/bin/env bash
# A resource file of kustomize with several JSON objects, one after another, as kubectl get -o json | jq writes them.
#
# One would think: all are built, or the file is refused; kubectl apply -f takes all of them.
# Seen: only the first is built, without an error. With sigs.k8s.io/kustomize/api 0.21.2.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program sigs.k8s.io/kustomize/api@v0.21.2 sigs.k8s.io/kustomize/kyaml@v0.21.2 <<'GO' | as_seen "first
<nil>"
package main

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	fs := filesys.MakeFsInMemory()
	fs.WriteFile("kustomization.yaml", []byte("resources: [all.json]\n"))
	fs.WriteFile("all.json", []byte(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "first"}}
{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "second"}}
`))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, ".")
	for _, object := range built.Resources() {
		fmt.Println(object.GetName())
	}
	fmt.Println(err)
}
GO
