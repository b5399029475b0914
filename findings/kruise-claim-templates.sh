#!/usr/bin/env bash
# An OpenKruise StatefulSet and a CloneSet, of one Pod each, whose claim template then asks for more.
#
# One would think: the change is refused, as that of a StatefulSet of Kubernetes', or the claims follow it.
# Seen: it is accepted, the set says that it is updated and ready, and the claim goes on asking for what it was made
# with. With OpenKruise 1.8.0, its feature gates as installed.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

definitions kruise github.com/openkruise/kruise >"$work/steps"
cat >>"$work/steps" <<'STEPS'
kubectl create namespace kruise-system >&2
for kind in statefulsets daemonsets; do
	kubectl patch crd $kind.apps.kruise.io --type=merge -p '{"spec": {"conversion": {"strategy": "Webhook", "webhook": {
		"clientConfig": {"url": "https://127.0.0.1:'$port'/convert"}, "conversionReviewVersions": ["v1"]}}}}' >&2
done
webhooks '' kruise-
WEBHOOK_HOST=127.0.0.1 WEBHOOK_PORT=$port WEBHOOK_CERT_DIR=$PWD/certs POD_NAMESPACE=kruise-system kruise \
	--enable-leader-election=false --enable-pprof=false --metrics-addr=0 --health-probe-addr=0 \
	--feature-gates=KruiseDaemon=false >log 2>&1 &
trap 'kill %1' EXIT
kubectl apply -f - >&2 <<YAML
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: disk}, provisioner: kubernetes.io/host-path, allowVolumeExpansion: true}
YAML
for kind in StatefulSet CloneSet; do
	version=v1beta1
	[[ $kind == CloneSet ]] && version=v1alpha1
	name=${kind,,}
	cat >$name.yaml <<YAML
apiVersion: apps.kruise.io/$version
kind: $kind
metadata: {name: $name}
spec:
  replicas: 1
  selector: {matchLabels: {app: $name}}
  template:
    metadata: {labels: {app: $name}}
    spec: {containers: [{name: db, image: database, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
YAML
	for _ in $(seq 30); do kubectl apply -f $name.yaml >&2 && break; sleep 1; done
	for _ in $(seq 30); do kubectl wait --for=jsonpath='{.status.readyReplicas}'=1 -f $name.yaml --timeout=5s >&2 && break; done
	sed 's/storage: 1Gi/storage: 2Gi/' $name.yaml | kubectl apply -f - | sed 's/^.*\///'
	sleep 5
	kubectl get -f $name.yaml -o jsonpath='{.status.updatedReplicas} updated, {.status.readyReplicas} ready, template {.spec.volumeClaimTemplates[0].spec.resources.requests.storage}'
	kubectl get pvc -o jsonpath='{range .items[*]}, claim {.spec.resources.requests.storage}{end}'; echo
	kubectl delete -f $name.yaml >&2
	kubectl delete pvc --all >&2
done
STEPS

cluster "$work/steps" -operator kruise | as_seen 'statefulset configured
1 updated, 1 ready, template 2Gi, claim 1Gi
cloneset configured
1 updated, 1 ready, template 2Gi, claim 1Gi'
