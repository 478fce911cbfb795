# The commands of this repository; `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help install build lint test test-unit demo clean-rig

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## what is missing besides Rust
	e2e/rig/install.sh

build: install ## the programs
	cargo build --workspace --bins

lint: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

# The end-to-end tests run programs with fault points in them: one build for all.
test: install lint ## everything, against real parts (KEEP=1 leaves them running)
	e2e/rig/rig up
	cargo build --bins -p operator -p sink-runtime --features sink-runtime/fault-points
	cargo test --workspace --features sink-runtime/fault-points --no-fail-fast -- --test-threads=4
	$(if $(KEEP),,e2e/rig/rig down)

test-unit: ## what needs no parts
	cargo test --workspace --lib --bins

demo: ## a shop's tables carried into Kafka, a worker killed, everything counted (KEEP=1 leaves it running)
	KEEP=$(KEEP) e2e/demo/demo.sh

clean-rig: ## ends the parts and removes their data
	e2e/rig/rig fresh
