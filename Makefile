# `make help` says what there is. Nothing needs to be installed first but Go, git and make.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LOCALCLUSTER := go run ./e2e/localcluster/cmd/localcluster
TOOL := go tool -modfile=tools/go.mod

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: control-plane ## see it work on a real API server (about ten minutes the first time, then one)
	go run ./e2e/demo

.PHONY: test
test: control-plane chromium ## run all tests, those on a real API server too
	go test -timeout 40m ./...

.PHONY: chromium
chromium: # for the test of the HTML report: a Debian package, half a minute where it is missing
	@command -v chromium >/dev/null || { echo "installing Chromium, in which the HTML report is tested ..."; apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

.PHONY: proof
proof: control-plane ## what takes longer: 1 000 renewals of certificates under load, 100 first starts
	STAYPUT_PROOF=1 go test -timeout 2h -v -run 'Certificates|Rotated|OneCA' ./e2e

.PHONY: control-plane
control-plane: ## build etcd, Kubernetes, kwok and CoreDNS from Go modules, once
	$(LOCALCLUSTER) --build-only

.PHONY: cluster
cluster: control-plane ## run a throw-away control plane until Ctrl-C
	$(LOCALCLUSTER)

.PHONY: build
build: ## build bin/stayput: static, stripped, reproducible
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o bin/stayput ./cmd/stayput

.PHONY: generate
generate: ## write what is generated: docs/rules.md, man pages, completion, the schema of JSON reports
	go run ./docs/generate
	go run ./cmd/stayput generate docs
	go test ./report -run TestSchemaIsCurrent -update

.PHONY: cover
cover: ## that every statement of the rules that look nothing up is tested
	@profile=$$(mktemp) && trap "rm -f $$profile" EXIT && go test -coverprofile=$$profile ./validators && go run ./validators/internal/covered $$profile

.PHONY: check
check: ## formatting, vet, staticcheck, and that generated files are current
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	go mod tidy -diff
	@$(MAKE) cover
	@$(MAKE) generate && git diff --exit-code -- docs || { echo "generated files are not current: make generate"; exit 1; }
