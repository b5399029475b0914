#!/usr/bin/env bash
# An expansion of a claim that has not happened yet, taken back: capacity 5Gi, request 6Gi, patched to 5Gi again.
#
# One would think: since failed expansions can be recovered from, a request may go back to what the claim has.
# Seen: exactly that value is refused, by a text that says it must not be less (it is equal); anything above it passes,
# and stays in the claim as a request for a few megabytes more. With kube-apiserver 1.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
kubectl apply -f - >&2 <<'YAML'
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: grows}, provisioner: example.com/none, allowVolumeExpansion: true}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: grows
  volumeName: vol
  resources: {requests: {storage: 5Gi}}
YAML
kubectl patch pvc data --subresource=status -p '{"status": {"phase": "Bound", "capacity": {"storage": "5Gi"}}}' >&2
for size in 6Gi 5Gi 5121Mi; do
	echo "$size: $(kubectl patch pvc data -p '{"spec": {"resources": {"requests": {"storage": "'$size'"}}}}' 2>&1 | tr '\n' ' ' | cut -c1-300)"
done
STEPS

cluster "$work/steps" -bare | as_seen '6Gi: persistentvolumeclaim/data patched 
5Gi: The PersistentVolumeClaim "data" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity 
5121Mi: persistentvolumeclaim/data patched '
