GOLANGCI    := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.8.0
PACKAGES    ?= ./...
FUZZTIME    ?= 10s
BENCH       ?= .
COUNT       ?= 1
VERSIONS    ?= 14 15 16 17 18
CONTAINERS  ?= ^(TestFollowAndRestore|TestServersKilled|TestDrill|TestDrillFails|TestDrillEnds)$$

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/pgbridge, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/ ./cmd/pgbridge

.PHONY: test
test: postgres ## Run all tests, with the race detector, on real Postgres servers
	go test -race -timeout 45m $(PACKAGES)

.PHONY: check
check: ## Check format, lint, import walls and known vulnerabilities
	$(GOLANGCI) run $(PACKAGES)
	@GOVULNCHECK='$(GOVULNCHECK)' .ci/vulnerabilities $(PACKAGES)

.PHONY: fmt
fmt: ## Format the code
	$(GOLANGCI) fmt

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@.ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: postgres ## Measure beside Postgres' own tools (BENCHFLAGS='-only capture-w2 -scale 0.1')
	go run ./internal/bench $(BENCHFLAGS)

.PHONY: microbench
microbench: postgres ## Run the benchmarks BENCH (all), COUNT times (1), for benchstat
	go test -run '^$$' -bench '$(BENCH)' -count $(COUNT) -benchmem -timeout 60m $(PACKAGES)

.PHONY: test-matrix
test-matrix: postgres ## Run the tests that need Postgres on VERSIONS of it (14 15 16 17 18)
	@internal/pgtest/matrix.sh $(VERSIONS)

.PHONY: test-containers
test-containers: ## Run the test kit and the tests CONTAINERS with Postgres in containers
	docker/testimage/with-docker.sh sh -c 'go test -race -count=1 ./internal/pgtest ./internal/server && \
		go test -race -count=1 -run "$(CONTAINERS)" ./integration'

.PHONY: test-regress
test-regress: ## Replay PostgreSQL's own regression tests live, and restore what they leave (Debian)
	go test -race -count=1 -timeout 40m -tags regress -run TestPostgresRegression ./integration

.PHONY: test-hostile
test-hostile: postgres ## Attack a source, followers, restores and drills as logins and owners, on VERSIONS if given
ifeq ($(origin VERSIONS),command line)
	@PACKAGES=./integration/hostile TESTFLAGS='-timeout 30m -tags hostile' internal/pgtest/matrix.sh $(VERSIONS)
else
	go test -count=1 -timeout 30m -tags hostile ./integration/hostile
endif

.PHONY: interop
interop: ## Run the official bundler clients against pgbridge's own node
	integration/interop/run.sh

.PHONY: demo
demo: build postgres ## Two databases, a workload, a disaster, a restore, and the proof
	bin/pgbridge demo

.PHONY: postgres
postgres: ## Install Postgres, if the tests would find none (Debian, Ubuntu)
	@.ci/postgres

.PHONY: postgres-versions
postgres-versions: ## Fetch Postgres 14 to 18 into a cache; print where it is
	@internal/pgtest/versions.sh $(VERSIONS)

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist
	go clean -testcache
