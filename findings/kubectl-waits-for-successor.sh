#!/usr/bin/env bash
# kubectl delete of a Pod that its StatefulSet makes anew at once under the same name.
#
# One would think: it ends when that Pod, which has a uid, is gone; kubectl compares uids for that.
# Seen: with kubectl 1.35.4 it says that the Pod is deleted, and waits for ever: what it watches begins with a list that the
# new Pod is in already, and there it compares names. A script that deletes a Pod to restart it stands still, and so does
# whatever follows it after `&&`. kubectl 1.36.3 ends.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
kubectl create -f - >&2 <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db}]}
YAML
kubectl wait --for=create pod/db-0 --timeout=60s >&2
uid() { kubectl get pod db-0 -o jsonpath='{.metadata.uid}'; }
for _ in 1 2 3 4 5; do
	kubectl wait --for=condition=Ready pod/db-0 --timeout=60s >&2
	before=$(uid)
	code=0
	timeout 20 kubectl delete pod db-0 >&2 || code=$?
	kubectl wait --for=create pod/db-0 --timeout=60s >&2
	[[ $(uid) != "$before" ]] || echo "not made anew"
	((code == 124)) && break
done
if ((code == 124)); then echo waits; else echo "ends with $code"; fi
STEPS

seen=$(for minor in 1.35 1.36; do echo "$minor $(cluster "$work/steps" -kubernetes "$minor")"; done)
echo "$seen"
[[ $seen == $'1.35 waits\n1.36 ends with 0' ]]
