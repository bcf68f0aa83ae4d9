# What a person types. `make` alone lists it.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

TIDEWHEEL := cargo run --quiet --release --bin tidewheel --

# $(call phase,NAME,COMMAND): says what runs, and how long it took.
phase = @echo "== $(1)"; SECONDS=0; $(2); echo "== $(1): $$SECONDS s"

.DEFAULT_GOAL := help
.PHONY: help demo test runtime build bench fmt lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: runtime ## Fetch, build, and run a synthetic shop for a minute
	@echo "Building tidewheel. The first build takes ten minutes or more; later ones take seconds."
	@cargo build --release --bin tidewheel
	@$(TIDEWHEEL) demo --seconds 60

test: ## Everything that CI runs: format, tests, the shipped pipelines, a short demo
	$(call phase,runtime,scripts/fetch-runtime.sh)
	$(call phase,format,cargo fmt --check)
	$(call phase,build and test,INSTA_UPDATE=no cargo test --release --lib --test it)
	$(call phase,build the program,cargo build --release --bin tidewheel)
	$(call phase,pipeline tests,$(TIDEWHEEL) test pipelines/)
	$(call phase,check intent,$(TIDEWHEEL) check pipelines/intent)
	$(call phase,check recommend,$(TIDEWHEEL) check pipelines/recommend)
	$(call phase,demo,$(TIDEWHEEL) demo --seconds 5 --format json | python3 -m json.tool)

runtime: ## Fetch nats-server and ONNX Runtime into .runtime/, unless they are there
	@scripts/fetch-runtime.sh

build: ## Build the program: target/release/tidewheel
	cargo build --release --bin tidewheel

bench: runtime ## Measure the whole job beside a bare pull of the same stream
	cargo bench --bench end_to_end

fmt: ## Format the code
	cargo fmt

lint: ## Run clippy; the first time it takes as long as a build
	cargo clippy --release --all-targets -- --deny warnings

clean: ## Remove what was built and what pipelines kept in .state/; .runtime/ stays
	cargo clean
	rm -rf .state
