#!/usr/bin/env bash
# A LeaderWorkerSet whose claim template has labels, an annotation, an attributes class, a selector and a data source.
#
# One would think: volumeClaimTemplates, of the type that a StatefulSet has, become those of the StatefulSets it makes.
# Seen: name, access modes, class, volume mode and size do; the rest is dropped without a word, though the API server
# has stored it: the volumes are empty, and plain. With LeaderWorkerSet 0.8.0.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

leader_worker_set >"$work/steps"
cat >>"$work/steps" <<'STEPS'
kubectl get statefulset db -o jsonpath='{.spec.volumeClaimTemplates[0].metadata}{"\n"}{.spec.volumeClaimTemplates[0].spec}{"\n"}'
STEPS

cluster "$work/steps" -operator lws | as_seen '{"name":"data","namespace":"default"}
{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"storageClassName":"disk","volumeMode":"Filesystem"}'
