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

# as_seen TEXT: compares standard input with what was seen.
as_seen() {
	diff -u --label seen <(printf '%s\n' "$1") --label now - && echo "as it was"
}
