#!/usr/bin/env bash
# A claim of 1Gi, ReadWriteOnce; volumes of 1Gi that can also be read by many, and one of 10Gi that is ReadWriteOnce
# alone.
#
# One would think: the smallest volume that fits is bound, as Kubernetes' documentation of binding suggests.
# Seen: volumes are tried by access modes first, those with the fewest modes before all others: the claim gets the 10Gi.
# With kube-controller-manager 1.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
for volume in "exact 1Gi ReadWriteOnce,ReadOnlyMany" "large 10Gi ReadWriteOnce"; do
	read -r name size modes <<<"$volume"
	kubectl apply -f - >&2 <<YAML
{apiVersion: v1, kind: PersistentVolume, metadata: {name: $name}, spec: {storageClassName: manual, capacity: {storage: $size},
  accessModes: [$modes], hostPath: {path: /nowhere/$name}}}
YAML
	kubectl wait --for=jsonpath='{.status.phase}'=Available "pv/$name" >&2
done
kubectl apply -f - >&2 <<'YAML'
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {storageClassName: manual, accessModes: [ReadWriteOnce],
  resources: {requests: {storage: 1Gi}}}}
YAML
kubectl wait --for=jsonpath='{.status.phase}'=Bound pvc/data >&2
kubectl get pvc data -o jsonpath='{.spec.volumeName}{"\n"}'
STEPS

cluster "$work/steps" | as_seen "large"
