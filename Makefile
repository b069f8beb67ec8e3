# Everything is Go: these targets only name the commands.
SHELL := /bin/bash
GO    ?= go
NAME  ?= lab
NODES ?= 3
TESTS  = $(GO) run gotest.tools/gotestsum@v1.13.0
ARCH  ?= $(shell $(GO) env GOARCH)

.DEFAULT_GOAL := help
.PHONY: help build image generate demo demo-openstack test test-unit test-lab test-openstack fuzz lint lab-up lab-down \
        openstack-up openstack-down bench-allocate bench-octavia bench-failover soak clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/fairlead (also as bin/kubectl-fairlead) and bin/lab
	$(GO) build -trimpath -o bin/fairlead ./cmd/fairlead
	ln -sf fairlead bin/kubectl-fairlead
	$(GO) build -o bin/lab ./lab/cmd/lab

image: ## Build the container image, without Docker (ARCH=amd64,arm64), with its SBOM
	$(GO) run ./deploy/image -o bin/image -arch $(ARCH)

generate: ## Write again what is generated: deepcopy, CRDs, manifests, reference pages
	$(GO) generate ./api/... ./deploy ./docs/...

demo: build image ## See the main job: a cluster, a Service, an address, a crash (KEEP=1 leaves it up)
	$(GO) run ./lab/cmd/demo $(if $(KEEP),-keep)

demo-openstack: build image ## See a Service become an OpenStack load balancer (KEEP=1 leaves all up, DIR= takes a cloud that is up)
	$(GO) run ./lab/cmd/demo -openstack -name demo-openstack $(if $(KEEP),-keep) $(if $(DIR),-dir $(DIR))

test: ## Pass all tests (needs root; builds Kubernetes the first time)
	$(GO) vet ./...
	FAIRLEAD_TEST_THOROUGH=1 $(GO) test ./...
	$(MAKE) fuzz test-lab

test-unit: ## Pass the tests that need no root, the long simulations shortened
	$(GO) vet ./...
	$(GO) test -short ./...

test-lab: build image ## Pass the tests on a real Kubernetes (needs root)
	$(GO) vet -tags lab ./...
	bin/lab build
	$(TESTS) --format testname -- -tags lab -count=1 -p 1 -parallel 2 -timeout 40m ./internal/announce ./internal/fence ./internal/liveness ./internal/relay ./internal/stray ./lab ./lab/e2e

# The lab's own tests start and kill clouds; then there is one for all the others. Its ports are the usual ones, so there
# is one a machine.
OPENSTACK_TEST_DIR = /var/lib/fairlead-openstack-test
test-openstack: ## Pass the tests on a real OpenStack (needs root; installs Debian packages the first time)
	$(GO) vet -tags openstack ./...
	$(TESTS) --format testname -- -tags openstack -count=1 -timeout 15m ./lab/openstack
	$(GO) run ./lab/cmd/openstack up -d $(OPENSTACK_TEST_DIR)
	trap '$(GO) run ./lab/cmd/openstack down -d $(OPENSTACK_TEST_DIR)' EXIT; FAIRLEAD_OPENSTACK_DIR=$(OPENSTACK_TEST_DIR) \
	$(TESTS) --format testname -- -tags openstack -count=1 -p 1 -timeout 30m ./internal/cloud/openstack/conformance ./internal/cloud/openstack/octavia ./lab/e2e

# A number of inputs and no time: Go before 1.27 now and then calls the end of the time a failure (go.dev/issue/75804).
FUZZ = 20000
fuzz: ## Give every parser FUZZ=20000 inputs that it has never seen
	@for f in $$(grep -rlE '^func Fuzz' --include=*_test.go . | sort); do \
	  for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]+)\(.*/\1/p' $$f); do \
	    echo "fuzz $$name in $$(dirname $$f)"; \
	    $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZ)x $$(dirname $$f) || exit 1; \
	  done; done

lint: ## Check the rules of .golangci.yml
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

lab-up: build ## Start a lab (NAME=lab NODES=3 LIGHT=1)
	bin/lab --name $(NAME) up --nodes $(NODES) $(if $(LIGHT),--light)

lab-down: build ## End a lab (NAME=lab)
	bin/lab --name $(NAME) down

openstack-up: ## Start a real Keystone, Neutron and Octavia (DIR=/var/lib/fairlead-openstack)
	$(GO) run ./lab/cmd/openstack up $(if $(DIR),-d $(DIR))

openstack-down: ## End it (DIR=/var/lib/fairlead-openstack)
	$(GO) run ./lab/cmd/openstack down $(if $(DIR),-d $(DIR))

bench-allocate: ## Measure allocation beside the API server's ceiling
	$(GO) run ./bench/allocate

bench-octavia: ## Measure calls and times of Octavia load balancers on real services (OCCM_BINARY= measures the peer, too)
	$(GO) run ./bench/octavia

bench-failover: build ## Measure every way a node can go, on labs of 3, 5 and 20 nodes (TRIALS=30 NODES=3,5,20; hours. METALLB_SPEAKER=, METALLB_CONTROLLER= measure the peer, too)
	$(GO) run ./bench/failover $(if $(TRIALS),-trials $(TRIALS)) $(if $(filter command line,$(origin NODES)),-nodes $(NODES))

soak: build ## Pass the long tests: saturated cores, lossy network, restarts again and again (needs root; hours)
	FAIRLEAD_TEST_SOAK=1 $(GO) test -count=1 -timeout 5h ./internal/liveness
	$(TESTS) --format testname -- -tags 'lab soak' -count=1 -p 1 -timeout 90m -run "TestMinutes|TestTen|AgainAndAgain|ComeAndGo" ./lab/e2e
	$(GO) run ./bench/failover -only soak -soak 30m

clean: ## Remove what was built here (the lab's cache is in ~/.cache/fairlead-lab)
	rm -rf bin
