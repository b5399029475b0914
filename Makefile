# `make help` says what there is. Nothing needs to be installed first but Go, git and make.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LOCALCLUSTER := go run ./e2e/localcluster/cmd/localcluster
TOOL := go tool -modfile=tools/go.mod
# All that is built here is built as the control plane is (buildFlags in e2e/localcluster),
# so that what both use, client-go and the like, is compiled once and not three times.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath -gcflags=all=-dwarf=false

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: control-plane ## see it work on a real API server (ten to twenty minutes the first time on two cores, then one)
	go run ./e2e/demo

.PHONY: test
test: control-plane chromium promtool ## run all tests, those on a real API server too
	STAYPUT_TESTS=all go test -timeout 60m ./...
	go test -tags slowjson ./webhook # once without the fast decoder

.PHONY: chromium
chromium: # for the test of the HTML report: a Debian package, half a minute where it is missing
	@command -v chromium >/dev/null || { echo "installing Chromium, in which the HTML report is tested ..."; apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

.PHONY: promtool
promtool: # for the unit tests of the alerts
	@command -v promtool >/dev/null || { echo "installing promtool, for the alerts' unit tests ..."; apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null; }

.PHONY: pre-commit
pre-commit: # runs the hook that the repository offers
	@command -v pre-commit >/dev/null || { echo "installing pre-commit, in which the hook is tested ..."; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pre-commit >/dev/null; }

.PHONY: proof
proof: control-plane pre-commit ## what takes hours: renewals under load, floods, faults, the search for costly bodies, fuzzers, pre-commit's build; then make proof-kind
	STAYPUT_PROOF=1 go test -timeout 2h -v -run 'Certificates|Rotated|OneCA|Faults|RandomOrders|TheWatchIsCut|AFullQueue' ./e2e
	STAYPUT_PROOF=1 go test -timeout 3h -v -run TestSoak ./e2e
	STAYPUT_PROOF=1 go test -timeout 2h -v ./e2e/hostile
	STAYPUT_PROOF=1 go test -timeout 2h -v -run 'NoBodyCostsMuch|ThreeTimes|ConditionsLeaveNothingOut' ./webhook
	STAYPUT_PROOF=1 go test -timeout 2h -v -run TestOracles ./validators
	STAYPUT_PROOF=1 GOGC=400 go test -timeout 2h -v -run TestMutatorsRandom ./mutators
	.ci/fuzz 10000000x '^Fuzz(Configuration|Handler|ReadStream|Review|Rules|Scan|Unmarshal)$$'
	STAYPUT_PROOF=1 go test -timeout 1h -v -run TestPreCommit ./cmd/stayput
	@$(MAKE) proof-kind

.PHONY: proof-kind
proof-kind: ## in kind: 20 rolling restarts under 100 000 creations, then 20 cold starts (half an hour each on two busy cores)
	go test -tags kind -count 1 -timeout 3h -v -run 'TestACluster/(upgraded|rolling)' ./e2e/kind -restarts 20 -creates 100000
	go test -tags kind -count 1 -timeout 3h -v -run TestAColdStart ./e2e/kind -colds 20

.PHONY: bench
bench: ## what an answer costs, beside the bare minimum and controller-runtime's; writes docs/measurements.md (two minutes)
	go run ./bench --docs docs/measurements.md

COMMIT ?= HEAD

.PHONY: bench-scale
bench-scale: control-plane ## start, memory, answers and audit beside 10 000 StatefulSets with 100 000 Pods, on paper and in a real API server; writes docs/measurements.md (fifteen minutes, 16 GiB)
	go run ./bench --scale --real --statefulsets 10000 --replicas 10 --namespaces 1000 --docs docs/measurements.md

.PHONY: bench-latency
bench-latency: control-plane ## what is added to requests through a real API server, beside controller-runtime and policies; writes docs/measurements.md (three minutes)
	go run ./bench --latency --during 800ms --docs docs/measurements.md

.PHONY: bench-claims
bench-claims: ## what the deletion of a claim costs beside 10 000 CronJobs and as many Jobs, and beside an earlier build; writes docs/measurements.md (half a minute)
	go run ./bench --claims --docs docs/measurements.md

.PHONY: bench-memory
bench-memory: ## memory beside 10 000 and 100 000 Pods, claims and volumes, quiet and busy, beside an earlier build; writes docs/measurements.md (five minutes)
	go run ./bench --memory --docs docs/measurements.md

.PHONY: bench-lint
bench-lint: ## what one run of lint costs, and stayput --version, beside kube-score and an earlier build; writes docs/measurements.md (four minutes)
	go run ./bench --lint --docs docs/measurements.md

.PHONY: bench-compare
bench-compare: ## the Go benchmarks of the request path against COMMIT (HEAD: what is not committed), by benchstat (four minutes)
	@was=$$(mktemp -d) && trap 'git worktree remove --force $$was/tree; rm -rf $$was' EXIT && git worktree add -q --detach $$was/tree $(COMMIT) && \
	echo "measuring $(COMMIT), then this tree, in three turns ..." && for turn in 1 2 3; do \
		(cd $$was/tree && go test ./webhook -run '^$$' -bench . -benchtime 200ms -count 2) >> $$was/old.txt && \
		go test ./webhook -run '^$$' -bench . -benchtime 200ms -count 2 >> $$was/new.txt || exit 1; done; \
	$(TOOL) benchstat $(COMMIT)=$$was/old.txt tree=$$was/new.txt

.PHONY: control-plane
control-plane: ## build etcd, Kubernetes, kwok and CoreDNS from Go modules, once
	$(LOCALCLUSTER) --build-only

MINORS ?=

.PHONY: pin
pin: ## pin the newest patch of each of MINORS of Kubernetes ("1.34 1.33"; "1.34.4" is that patch), for control planes of that minor
	go run ./e2e/localcluster/cmd/pin $(MINORS)

.PHONY: cluster
cluster: control-plane ## run a throw-away control plane until Ctrl-C
	$(LOCALCLUSTER)

BIN ?= bin/stayput
CLUSTER_BIN ?= $(dir $(BIN))stayput-cluster
WEBHOOK_BIN ?= bin/stayput-webhook
STATIC := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X stayput.dev/internal/cli.version=$(VERSION)'

.PHONY: build
build: build-cluster ## build bin/stayput and bin/stayput-cluster, which it starts for what needs a cluster or kustomize: static, stripped, reproducible
	$(STATIC) -tags light -o $(BIN) ./cmd/stayput

.PHONY: build-cluster
build-cluster: ## build bin/stayput-cluster, which has all commands, in the same way
	$(STATIC) -o $(CLUSTER_BIN) ./cmd/stayput

.PHONY: build-webhook
build-webhook: ## build bin/stayput-webhook, the server alone, in the same way
	$(STATIC) -o $(WEBHOOK_BIN) ./cmd/stayput-webhook

IMAGE ?= stayput:$(VERSION)
BASE ?= gcr.io/distroless/static-debian13:nonroot
ARCH ?= $(shell go env GOARCH)

.PHONY: image
image: ## build the container image $(IMAGE), on $(BASE), for $(ARCH)
	GOARCH=$(ARCH) $(MAKE) build-webhook WEBHOOK_BIN=bin/$(ARCH)/stayput-webhook
	docker build --build-arg BASE=$(BASE) --build-arg TARGETARCH=$(ARCH) --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) -t $(IMAGE) .

DIST ?= dist
PLATFORMS ?= linux/amd64 linux/arm64 darwin/arm64 windows/amd64

.PHONY: krew
krew: ## write the archives of the kubectl plugin, and its krew manifest for $(VERSION), into $(DIST)
	@mkdir -p $(DIST) && sed 's/VERSION/$(VERSION)/' deploy/krew/stayput.yaml > $(DIST)/krew.yaml
	@for platform in $(PLATFORMS); do \
		os=$${platform%/*} arch=$${platform#*/} files=$$(mktemp -d) && trap "rm -rf $$files" EXIT && \
		name=$${os}_$$arch binary=kubectl-stayput$$(test $$os != windows || echo .exe) && \
		GOOS=$$os GOARCH=$$arch $(MAKE) --no-print-directory build-cluster CLUSTER_BIN=$$files/$$binary VERSION=$(VERSION) && cp LICENSE $$files && \
		tar --mtime=@0 --owner=0 --group=0 --numeric-owner -czf $(DIST)/kubectl-stayput_$$name.tar.gz -C $$files LICENSE $$binary && \
		sum=$$(sha256sum < $(DIST)/kubectl-stayput_$$name.tar.gz | cut -d' ' -f1) && \
		sed -i "s/SHA256_$$(echo $$name | tr a-z A-Z)/$$sum/" $(DIST)/krew.yaml && rm -rf $$files || exit 1; \
	done

.PHONY: e2e
e2e: ## try the chart in a kind cluster (docker; KIND_NODE_IMAGE chooses the node's image; SHORT=1 repeats less of make test)
	go test -tags kind -count 1 -timeout 60m -v ./e2e/kind $(if $(SHORT),-short)

.PHONY: e2e-operators
e2e-operators: control-plane ## try real operators, built from Go modules (Linux; ten minutes the first time, then two); docs/operators.md says what they did
	go test -tags operators -count 1 -timeout 60m -v -run '^(TestCloudNativePG|TestGatekeeper|TestLeaderWorkerSet|TestOpenKruise|TestPrometheusOperator|TestOperators)$$' ./e2e

RUN ?= .

.PHONY: e2e-versions
e2e-versions: ## run the end-to-end suite on each of MINORS of Kubernetes (all that are pinned; hours), or tests that match RUN; goes on where it was stopped, and writes docs/versions.md
	go run ./e2e/versions/run -run '$(RUN)' $(MINORS)
	go run ./docs/generate
	go run ./deploy/generate

.PHONY: generate
generate: ## write what is generated: docs/rules.md, man pages, completion, the schema of JSON reports, what the chart has from the rules
	go run ./docs/generate
	go test ./cmd/stayput -run TestGeneratedIsCurrent -update
	go test ./report -run TestSchemaIsCurrent -update
	go run ./deploy/generate

INPUTS ?= ../shared/field/inputs

.PHONY: noise
noise: ## print what lint finds in well-made and other inputs, by rule, and in those of INPUTS, a directory; says which of them is missing
	@go run ./docs/generate noise $(INPUTS)
	@go run ./docs/generate

FUZZTIME ?= 10s

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (10s; or 1000000x executions), and say how many executions that were
	.ci/fuzz $(FUZZTIME)

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities in what the binary calls; says so where the database cannot be reached
	.ci/vulncheck

.PHONY: reproducible
reproducible: ## build HEAD twice, elsewhere and from nothing, and compare
	.ci/reproducible

.PHONY: sbom
sbom: build-cluster ## write $(BIN).cdx.json: what bin/stayput-cluster is made of, and so bin/stayput (CycloneDX)
	go run -C tools/sbom . $(abspath $(CLUSTER_BIN)) > $(BIN).cdx.json

.PHONY: cover
cover: ## that every statement of the rules that look nothing up is tested
	@profile=$$(mktemp) && trap "rm -f $$profile" EXIT && go test -coverprofile=$$profile ./validators && go run ./validators/internal/covered $$profile

.PHONY: check
check: ## formatting, vet, linters, and that generated files are current
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	go vet ./... && go vet -tags kind ./e2e/kind && go vet -tags operators ./e2e
	go tool -modfile=tools/golangci/go.mod golangci-lint run
	go tool -modfile=tools/actionlint/go.mod actionlint -shellcheck= -pyflakes=
	go mod tidy -diff
	@$(MAKE) cover
	@$(MAKE) generate && git diff --exit-code -- docs deploy || { echo "generated files are not current: make generate"; exit 1; }
