#!/usr/bin/env bash
# A manifest in YAML's flow style, on one line: {apiVersion: v1, kind: ConfigMap, ...}.
#
# One would think: kubectl reads YAML, so it reads this.
# Seen: kubectl 1.30.14 takes whatever begins with a brace for JSON, and refuses the first key for want of quotes; with a line
# --- above, it reads it. kubectl 1.33.13 tries YAML when JSON fails, and reads both. (In the sources 1.32.13 is as 1.30.14.)
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
manifest='{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: b}}'
for text in "$manifest" "---
$manifest"; do
	kubectl create --dry-run=client -o name -f - <<<"$text" 2>&1 | cut -d: -f1-2 || true
done | paste -sd,
STEPS

for minor in 1.30 1.33; do echo "$minor $(cluster "$work/steps" -bare -kubernetes "$minor")"; done |
	as_seen '1.30 error: error parsing STDIN,configmap/settings
1.33 configmap/settings,configmap/settings'
