#!/usr/bin/env bash
# A podFailurePolicy with a condition of Pods that has no status, in a Job and in the template of a CronJob.
#
# One would think: the status is True by default, as the API reference says, wherever the policy stands.
# Seen: a Job gets it. Of a CronJob Kubernetes 1.33.13 demands it: "status: Required value". 1.34.4 takes both.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
job='
  podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}
  template: {spec: {restartPolicy: Never, containers: [{name: dump, image: dump}]}}'
answer() {
	(kubectl create --dry-run=server -o jsonpath="$1" -f - 2>&1 || true) | grep -o 'Required value\|^True' | head -1
}
status='podFailurePolicy.rules[0].onPodConditions[0].status}'
made=$(echo "apiVersion: batch/v1
kind: Job
metadata: {name: dump}
spec:$job" | answer "{.spec.$status")
planned=$(echo "apiVersion: batch/v1
kind: CronJob
metadata: {name: dump}
spec:
  schedule: 0 3 * * *
  jobTemplate:
    spec:${job//$'\n'/$'\n    '}" | answer "{.spec.jobTemplate.spec.$status")
echo "Job $made, CronJob $planned"
STEPS

for minor in 1.33 1.34; do echo "$minor $(cluster "$work/steps" -kubernetes "$minor")"; done |
	as_seen $'1.33 Job True, CronJob Required value\n1.34 Job True, CronJob True'
