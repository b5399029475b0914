#!/usr/bin/env bash
# A LeaderWorkerSet whose claim template asks for more, and which is then scaled from one group to three.
#
# One would think: the size cannot change, and is refused; or it is passed over, and the set goes on being scaled.
# Seen: the size is accepted, the API server refuses the StatefulSet that comes of it, and with it all that is asked of
# the set from then on: it is not scaled, nor does its status say why. With the size as it was, it scales.
# With LeaderWorkerSet 0.8.0 and kube-apiserver 1.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

leader_worker_set >"$work/steps"
cat >>"$work/steps" <<'STEPS'
size() {
	kubectl patch leaderworkerset db --type=json -p '[{"op": "replace",
		"path": "/spec/leaderWorkerTemplate/volumeClaimTemplates/0/spec/resources/requests/storage", "value": "'$1'"}]' >&2
}
replicas() { kubectl get statefulset db -o jsonpath="$1: {.spec.replicas} of $(kubectl get leaderworkerset db -o jsonpath='{.spec.replicas}')"; echo; }
size 2Gi
kubectl patch leaderworkerset db --type=merge -p '{"spec": {"replicas": 3}}' >&2
sleep 8
replicas larger
grep -c 'volumeClaimTemplates.*immutable\|updates to statefulset spec' log | sed 's/^0$/no refusal/; s/^[0-9]*$/refused/'
kubectl get leaderworkerset db -o jsonpath='{.status.conditions[*].message}'; echo
size 1Gi
for _ in $(seq 60); do
	[[ $(kubectl get statefulset db -o jsonpath='{.spec.replicas}') == 3 ]] && break
	sleep 1
done
replicas 'as before'
STEPS

cluster "$work/steps" -operator lws | as_seen 'larger: 1 of 3
refused
Replicas are progressing
as before: 3 of 3'
