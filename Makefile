# The commands of this repository; `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help install build lint test test-unit test-kubernetes test-long demo demo-kubernetes bench bench-operator fire manifests clean-rig

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## what is missing besides Rust
	e2e/rig/install.sh

build: install ## the programs
	cargo build --workspace --bins

lint: install ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo clippy --workspace --test kubernetes --test long --all-features -- -D warnings

# One build for all: the end-to-end tests run the programs of the workspace's own build, which has the fault points.
fault_points := --features sink-runtime/fault-points
test: export AFTERBAY_E2E_BIN := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug
test: ## everything, against real parts and in a real cluster (KEEP=1 leaves them running)
	e2e/rig/install.sh kubernetes
	e2e/rig/kubernetes/build.sh begin
	$(MAKE) lint
	cargo build --workspace --all-targets $(fault_points)
# Not beside the tests: some of them tell what is slow from what is stuck.
	e2e/rig/kubernetes/build.sh
	@failed=0; set -x; \
	{ e2e/rig/rig up && cargo test --workspace $(fault_points) --no-fail-fast -- --test-threads=4; } || failed=$$?; \
	e2e/versions.sh --workspace $(fault_points) || failed=$$?; \
	$(if $(KEEP),,e2e/rig/rig down || failed=$$?;) \
	{ e2e/rig/kubernetes/rig fresh && e2e/rig/kubernetes/rig test --test-threads=4; } || failed=$$?; \
	$(if $(KEEP),,e2e/rig/kubernetes/rig fresh || failed=$$?;) exit $$failed

test-unit: ## what needs no parts
	cargo test --workspace --lib --bins
	cargo test -p afterbay-crds -p afterbay-formats -p operator --test '*'

test-kubernetes: ## what runs in a cluster; it stays up (FILTER=image: the tests with that in their names)
	e2e/rig/install.sh kubernetes
	e2e/rig/kubernetes/rig test $(FILTER)

test-long: ## what takes too long for make test: long outages, a node's reboot, a campaign of faults in the cluster, 200 Sinks, 300 rounds of fire
	e2e/rig/install.sh kubernetes
	@failed=0; set -x; \
	{ e2e/rig/kubernetes/rig fresh && e2e/rig/kubernetes/rig test-long $(FILTER); } || failed=$$?; \
	$(if $(KEEP),,e2e/rig/kubernetes/rig fresh || failed=$$?;) \
	KEEP=$(KEEP) e2e/fire.sh $(or $(ROUNDS),300) || failed=$$?; exit $$failed

demo: ## a shop's tables carried into Kafka, a worker killed, everything counted (KEEP=1 leaves it running)
	KEEP=$(KEEP) e2e/demo/demo.sh

demo-kubernetes: ## the same in a real cluster: helm install, kubectl apply, the worker's pod deleted by force
	KEEP=$(KEEP) e2e/demo/kubernetes.sh

bench: ## speed, memory and latency of the release build, into docs/benchmarks.md (PEERS=1: Debezium's too; ROWS=100000: a short run)
	ROWS=$(ROWS) UPDATES=$(UPDATES) PEERS=$(PEERS) KEEP=$(KEEP) e2e/bench/bench.sh

bench-operator: ## what 500 Sinks cost the operator, on a real API server, into docs/benchmarks.md
	e2e/bench-operator/bench.sh

fire: install ## everything around a worker goes wrong, ROUNDS=300 times, into docs/reliability.md
	KEEP=$(KEEP) e2e/fire.sh $(ROUNDS)

manifests: build ## what is made of other files: the chart's definitions, the plain manifests, Argo CD's settings
	deploy/generate.sh

clean-rig: ## ends the parts and the cluster, and removes their data
	e2e/rig/rig fresh
	e2e/rig/kubernetes/rig fresh
