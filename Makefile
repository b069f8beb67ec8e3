# Everything is Go: these targets only name the commands.
SHELL := /bin/bash
GO    ?= go
NAME  ?= lab
NODES ?= 3
TESTS  = $(GO) run gotest.tools/gotestsum@v1.13.0
ARCH  ?= $(shell $(GO) env GOARCH)

.DEFAULT_GOAL := help
.PHONY: help build image generate demo test test-unit test-lab fuzz lint lab-up lab-down bench-allocate clean

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

test: ## Pass all tests (needs root; builds Kubernetes the first time)
	$(GO) vet ./...
	$(GO) test ./...
	$(MAKE) fuzz test-lab

test-unit: ## Pass the tests that need no root, the long simulations shortened
	$(GO) vet ./...
	$(GO) test -short ./...

test-lab: build image ## Pass the tests on a real Kubernetes (needs root)
	$(GO) vet -tags lab ./...
	bin/lab build
	$(TESTS) --format testname -- -tags lab -count=1 -p 1 -parallel 3 -timeout 40m ./internal/announce ./internal/relay ./lab ./lab/e2e

fuzz: ## Fuzz every parser for a short while (FUZZTIME=10s)
	@for f in $$(grep -rlE '^func Fuzz' --include=*_test.go . | sort); do \
	  for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]+)\(.*/\1/p' $$f); do \
	    echo "fuzz $$name in $$(dirname $$f)"; \
	    $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(or $(FUZZTIME),5s) $$(dirname $$f) || exit 1; \
	  done; done

lint: ## Check the rules of .golangci.yml
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

lab-up: build ## Start a lab (NAME=lab NODES=3 LIGHT=1)
	bin/lab --name $(NAME) up --nodes $(NODES) $(if $(LIGHT),--light)

lab-down: build ## End a lab (NAME=lab)
	bin/lab --name $(NAME) down

bench-allocate: ## Measure allocation beside the API server's ceiling
	$(GO) run ./bench/allocate

clean: ## Remove what was built here (the lab's cache is in ~/.cache/fairlead-lab)
	rm -rf bin
