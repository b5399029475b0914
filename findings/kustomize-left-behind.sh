#!/usr/bin/env bash
# namePrefix and namespace over objects that name each other.
#
# One would think: kustomize renames the references it has in its table to what it renames; it knows StorageClasses,
# Services, claims and volumes, so it knows the fields of these kinds that name them.
# Seen: it renames storageClassName, serviceName, volumeName and claimName, but neither the class in a generic
# ephemeral volume, nor volumeAttributesClassName, dataSource, a Pod's subdomain, nor a volume's claimRef. And it writes
# a namespace into the VolumeAttributesClass, which has none. With sigs.k8s.io/kustomize/api 0.21.2.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program sigs.k8s.io/kustomize/api@v0.21.2 sigs.k8s.io/kustomize/kyaml@v0.21.2 <<'GO' | as_seen 'StorageClass
VolumeAttributesClass
  namespace: prod
Service
  namespace: prod
PersistentVolume
  name: data
  namespace: default
  storageClassName: prod-fast
PersistentVolumeClaim
  name: prod-data
  namespace: prod
  storageClassName: prod-fast
  volumeAttributesClassName: gold
  volumeName: prod-vol
PersistentVolumeClaim
  namespace: prod
  name: data
  storageClassName: prod-fast
Pod
  namespace: prod
  subdomain: db
  claimName: prod-data
  storageClassName: fast
StatefulSet
  namespace: prod
  serviceName: prod-db
  name: data
  storageClassName: prod-fast'
package main

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const objects = `
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}, provisioner: p}
---
{apiVersion: storage.k8s.io/v1, kind: VolumeAttributesClass, metadata: {name: gold}, driverName: p}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: vol}, spec: {claimRef: {namespace: default, name: data}, storageClassName: fast}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {storageClassName: fast, volumeAttributesClassName: gold, volumeName: vol}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: copy}, spec: {storageClassName: fast, dataSource: {kind: PersistentVolumeClaim, name: data}}}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  subdomain: db
  containers: [{name: c, image: i}]
  volumes:
  - {name: a, persistentVolumeClaim: {claimName: data}}
  - {name: b, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: fast}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {serviceName: db, volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: fast}}]}
`

func main() {
	fs := filesys.MakeFsInMemory()
	fs.WriteFile("kustomization.yaml", []byte("namePrefix: prod-\nnamespace: prod\nresources: [all.yaml]\n"))
	fs.WriteFile("all.yaml", []byte(objects))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, ".")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, object := range built.Resources() {
		text, _ := object.AsYAML()
		fmt.Println(object.GetKind())
		for _, line := range strings.Split(string(text), "\n") {
			for _, word := range []string{"storageClassName", "volumeAttributesClassName", "claimName", "volumeName", "subdomain", "serviceName", " name: data", " name: prod-data", "namespace"} {
				if strings.Contains(line, word) {
					fmt.Println(" ", strings.TrimSpace(line))
				}
			}
		}
	}
}
GO
