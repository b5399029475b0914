# shellcheck shell=bash
# What the scripts beside it share. Each ends well if its finding is as it was.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# program MODULE@VERSION...: runs the Go program on standard input with these modules, in a folder of its own.
program() {
	local dir=$work/program module
	mkdir "$dir"
	cat >"$dir/main.go"
	printf 'module finding\n\ngo 1.26.0\n\n' >"$dir/go.mod"
	for module; do
		printf 'require %s %s\n' "${module%@*}" "${module#*@}" >>"$dir/go.mod"
	done
	(cd "$dir" && GOWORK=off GOFLAGS=-mod=mod go run . 2>"$work/errors") || {
		cat "$work/errors" >&2
		return 1
	}
	rm -rf "$dir"
}

# cluster SCRIPT [FLAG...]: runs a script on a real control plane, with kubectl in PATH. Versions are those of
# e2e/localcluster/modules; the first time it takes minutes to build.
cluster() {
	local script=$1
	shift
	(cd "$here/.." && go run ./e2e/localcluster/cmd/localcluster "$@" -- bash -euo pipefail "$script" 2>"$work/errors") || {
		cat "$work/errors" >&2
		return 1
	}
}

# definitions NAME MODULE: prints, for the beginning of a script for `cluster -operator NAME`, what makes what an operator
# defines and, with a certificate in $PWD, its webhooks: at 127.0.0.1:$port.
definitions() {
	local module
	module=$(cd "$here/../e2e/localcluster/modules/$1" && GOWORK=off go list -m -f '{{.Dir}}' "$2")
	cat <<-STEPS
		cd "$work"
		port=$((20000 + RANDOM % 10000))
		openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -days 2 \\
			-keyout tls.key -out tls.crt 2>/dev/null
		kubectl create -f "$module/config/crd/bases" >&2
		for _ in \$(seq 30); do kubectl wait --for=condition=Established -f "$module/config/crd/bases" >&2 && break; sleep 1; done
		webhooks() { # with the bundle of authorities, and a prefix of the names of configurations
			awk -v at="https://127.0.0.1:\$port" -v ca="\$1" -v prefix="\${2-}" '/^  name: (mutating|validating)-webhook-configuration\$/ { print "  name: " prefix \$2; next }
				/^ +service:\$/ { next } /^ +(name: webhook-service|namespace: system)\$/ { next }
				/^ +path: / { print "    url: " at \$2; if (ca != "") print "    caBundle: " ca; next } { print }' \\
				"$module/config/webhook/manifests.yaml" | kubectl create -f - >&2
		}
	STEPS
}

# leader_worker_set: prints, for the beginning of a script for `cluster -operator lws`, what runs LeaderWorkerSet and makes a
# set db of one Pod, whose claim template has all that one can have, and waits for its StatefulSet.
leader_worker_set() {
	definitions lws sigs.k8s.io/lws
	cat <<-'STEPS'
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
	STEPS
}

# as_seen TEXT: compares standard input with what was seen.
as_seen() {
	diff -u --label seen <(printf '%s\n' "$1") --label now - && echo "as it was"
}
