#!/usr/bin/env bash
# A bare Pod db-01 that a StatefulSet db of two replicas selects.
#
# One would think: it is none of db's Pods, or it is adopted, and then all releases do the same with it.
# Seen: its number is read as 1, so it is adopted in place of db-1. The controller writes it under its right name, db-1, which
# no object has. An API server 1.34.4 says that there is none, and so it stays: db-01 runs for ever, db-1 is never made, and
# events say `pods "db-1" not found`. 1.33.13 answers the same request with a conflict of uids; the controller tries again, finds the
# name that it has set itself in order, records that db-1 was updated, and then deletes db-01, for it is of no revision.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
kubectl create -f - >&2 <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: db-01, labels: {app: db}}
spec: {containers: [{name: db, image: db}]}
YAML
kubectl wait --for=condition=Ready pod/db-01 --timeout=60s >&2
uid=$(kubectl get pod db-01 -o jsonpath='{.metadata.uid}')
# Under a name that no Pod has.
renamed=$(kubectl get pod db-01 -o json | sed 's/"name": "db-01"/"name": "db-1"/')
answer=$(kubectl replace --raw /api/v1/namespaces/default/pods/db-1 -f - 2>&1 <<<"$renamed") || true
code=$(sed -n 's/^Error from server (\([A-Za-z]*\)).*/\1/p' <<<"$answer")
kubectl create -f - >&2 <<'YAML'
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db}]}
YAML
kubectl wait --for=create pod/db-0 --timeout=60s >&2
sleep 15
pods=$(kubectl get pod -o jsonpath='{.items[*].metadata.name}')
[[ $pods != *db-01* || $(kubectl get pod db-01 -o jsonpath='{.metadata.uid}') == "$uid" ]]
echo "$code: $pods"
STEPS

for minor in 1.33 1.34; do echo "$minor $(cluster "$work/steps" -kubernetes "$minor")"; done |
	as_seen $'1.33 Conflict: db-0 db-1\n1.34 NotFound: db-0 db-01'
