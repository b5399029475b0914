#!/usr/bin/env bash
# A Pod with nodeName on a fake node of kwok, whose volume is a claim that does not exist.
#
# One would think: it stays Pending or ContainerCreating, as on a real node, where the kubelet waits for the claim; tests
# of storage on kwok see that.
# Seen: kwok's stages look at the Pod alone, and it is Running and ready at once. Only the scheduler looks at claims, so the
# same Pod without nodeName stays Pending: a test that pins its Pods to a node proves nothing about volumes.
# With kwok 0.8.0 and kube-scheduler 1.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
node=$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')
pod() {
	kubectl apply -f - >&2 <<YAML
{apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {$2 containers: [{name: c, image: i}],
  volumes: [{name: data, persistentVolumeClaim: {claimName: missing}}]}}
YAML
}
pod pinned "nodeName: $node,"
pod free ""
kubectl wait --for=condition=Ready pod/pinned >&2
kubectl wait --for=condition=PodScheduled=false pod/free >&2
kubectl get pod pinned free -o custom-columns=NAME:.metadata.name,PHASE:.status.phase --no-headers | tr -s ' '
STEPS

cluster "$work/steps" | as_seen 'pinned Running
free Pending'
