#!/usr/bin/env bash
# A LeaderWorkerSet whose claim template has labels, an annotation, an attributes class, a selector and a data source.
#
# One would think: volumeClaimTemplates, of the type that a StatefulSet has, become those of the StatefulSets it makes.
# Seen: name, access modes, class, volume mode and size do; the rest is dropped without a word, though the API server
# has stored it: the volumes are empty, and plain. With LeaderWorkerSet 0.8.0.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

definitions lws sigs.k8s.io/lws >"$work/steps"
cat >>"$work/steps" <<'STEPS'
cat >config.yaml <<YAML
apiVersion: config.lws.x-k8s.io/v1alpha1
kind: Configuration
webhook: {host: 127.0.0.1, port: $port, certDir: $PWD}
leaderElection: {leaderElect: false}
internalCertManagement: {enable: false}
YAML
lws --config=config.yaml --metrics-bind-address=0 --health-probe-bind-address=0 >log 2>&1 &
trap 'kill %1' EXIT
webhooks "$(base64 -w0 tls.crt)"
cat >set.yaml <<'YAML'
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: db}
spec:
  replicas: 1
  leaderWorkerTemplate:
    size: 1
    workerTemplate: {spec: {containers: [{name: db, image: database, volumeMounts: [{name: data, mountPath: /data}]}]}}
    volumeClaimTemplates:
    - metadata: {name: data, labels: {tier: gold}, annotations: {team: a}}
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: disk
        volumeAttributesClassName: gold
        selector: {matchLabels: {disk: ssd}}
        dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: seed}
        resources: {requests: {storage: 1Gi}}
YAML
for _ in $(seq 30); do kubectl apply -f set.yaml >&2 && break; sleep 1; done
kubectl wait --for=create statefulset/db --timeout=60s >&2
kubectl get statefulset db -o jsonpath='{.spec.volumeClaimTemplates[0].metadata}{"\n"}{.spec.volumeClaimTemplates[0].spec}{"\n"}'
STEPS

cluster "$work/steps" -operator lws | as_seen '{"name":"data","namespace":"default"}
{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"storageClassName":"disk","volumeMode":"Filesystem"}'
