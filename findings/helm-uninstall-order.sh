#!/usr/bin/env bash
# The order in which helm uninstall deletes what a chart made, where it has custom resources.
#
# One would think: the reverse of installation, so that custom resources go before what they need: the operator that
# finalizes them, their definition, their Namespace.
# Seen: kinds that Helm does not know go last in uninstall as in install: after the Deployment of the operator, after
# CustomResourceDefinitions, after Namespaces. Their finalizers then find nobody at home. Claims go in the middle.
# ValidatingAdmissionPolicies count as unknown too: they outlive the webhooks beside them.
# With helm.sh/helm/v4 4.3.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program helm.sh/helm/v4@v4.3.1 <<'GO' | as_seen 'ValidatingWebhookConfiguration
Deployment
CustomResourceDefinition
PersistentVolumeClaim
StorageClass
Namespace
Database
ValidatingAdmissionPolicy
<nil>'
package main

import (
	"fmt"

	"helm.sh/helm/v4/pkg/release/v1/util"
)

func main() {
	files := map[string]string{}
	for _, kind := range []string{"Namespace", "CustomResourceDefinition", "Deployment", "PersistentVolumeClaim", "Database",
		"ValidatingAdmissionPolicy", "ValidatingWebhookConfiguration", "StorageClass"} {
		files[kind+".yaml"] = "apiVersion: v1\nkind: " + kind + "\nmetadata: {name: a}\n"
	}
	_, sorted, err := util.SortManifests(files, nil, util.UninstallOrder)
	for _, m := range sorted {
		fmt.Println(m.Head.Kind)
	}
	fmt.Println(err)
}
GO
