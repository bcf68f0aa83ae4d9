# What a person types. `make` alone lists it.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

TIDEWHEEL := cargo run --quiet --release --locked --bin tidewheel --

# What reads the code without building it. Clippy and the documentation share what they need of the crates below; a build makes
# its own.
CLIPPY := cargo clippy --release --locked --all-targets -- --deny warnings
DOC    := RUSTDOCFLAGS="--deny warnings" cargo doc --release --locked --no-deps --document-private-items
DENY   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidewheel/tools/bin/cargo-deny --locked check --deny warnings bans licenses sources

# A Python that has TensorFlow, to measure against; the default is made on first use.
TENSORFLOW_PYTHON ?= .runtime/tensorflow/bin/python

# Pythons that have LightGBM, XGBoost, CatBoost and scikit-learn, and PyTorch and Keras, which are large, to compare with;
# the defaults are made on first use.
MODELS_PYTHON   ?= .runtime/models/bin/python
NETWORKS_PYTHON ?= .runtime/networks/bin/python

# A Python and a folder of Node modules that have the libraries which send events; made on first use.
PAYLOADS_PYTHON ?= .runtime/payloads/bin/python
PAYLOADS_NODE   ?= .runtime/payloads-node

# $(call phase,NAME,COMMAND): says what runs, and how long it took.
phase = @echo "== $(1)"; SECONDS=0; $(2); echo "== $(1): $$SECONDS s"

.DEFAULT_GOAL := help
.PHONY: help demo test faults faults-around faults-learning fuzz models payloads runtime build quick bench bench-features bench-views bench-parts bench-recovery bench-training bench-peers fmt lint deny clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: runtime ## Fetch, build, and run a synthetic shop for a minute
	@echo "Building tidewheel. The first build takes ten minutes or more; later ones take seconds."
	@scripts/build.py
	@$(TIDEWHEEL) demo --seconds 60

test: ## Everything that CI runs: format, licences, lints, links, tests, the shipped pipelines, a short demo
	$(call phase,format,cargo fmt --check)
	$(call phase,runtime,scripts/fetch-runtime.sh)
	$(call phase,tools,scripts/fetch-tools.sh)
	$(call phase,licences and duplicates,$(DENY))
	$(call phase,clippy,$(CLIPPY))
	$(call phase,documentation,$(DOC))
	$(call phase,build and test,INSTA_UPDATE=no cargo test --release --locked --lib --test it)
	$(call phase,build the program,cargo build --release --locked --bin tidewheel)
	$(call phase,pipeline tests,$(TIDEWHEEL) test pipelines/)
	$(call phase,check intent,$(TIDEWHEEL) check pipelines/intent)
	$(call phase,check recommend,$(TIDEWHEEL) check pipelines/recommend)
	$(call phase,check trends,$(TIDEWHEEL) check pipelines/trends)
	$(call phase,demo,$(TIDEWHEEL) demo --seconds 5 --format json | python3 -m json.tool)

KILLS ?= 50
SEED  ?= 1

BROKER_KILLS ?= 5

faults: runtime ## Kill the worker KILLS times (50) and the broker BROKER_KILLS times (5) at instants of SEED (1), and compare all that came out
	@report=$$(mktemp); \
	KILLS=$(KILLS) BROKER_KILLS=$(BROKER_KILLS) SEED=$(SEED) REPORT=$$report \
		cargo test --release --locked --test it faults::kills -- --nocapture; \
	status=$$?; cat $$report; rm $$report; exit $$status

faults-around: runtime ## Network, cluster, disk, overload and a broker that is away, in their long forms: NETWORK_FAULTS (64), LEADER_KILLS (20), OVERLOAD_SECONDS (60), AWAY_SECONDS (620)
	AWAY_SECONDS=$(or $(AWAY_SECONDS),620) NETWORK_FAULTS=$(or $(NETWORK_FAULTS),64) LEADER_KILLS=$(or $(LEADER_KILLS),20) \
	OVERLOAD_SECONDS=$(or $(OVERLOAD_SECONDS),60) OVERLOAD_RATE=1000000 SEED=$(SEED) cargo test --release --locked --test it -- --nocapture \
		faults::proxy faults::cluster faults::disk faults::overload faults::broker

faults-learning: runtime ## Kill the program KILLS times (50) at instants of SEED (1) while it serves and learns
	KILLS=$(KILLS) SEED=$(SEED) cargo test --release --locked --test it kills::after_every_kill -- --nocapture

SECONDS ?= 60
TARGET  ?=

fuzz: runtime ## Feed broken input to every reader for SECONDS (60) each from SEED (1), or to one: TARGET=events
	FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) cargo test --release --locked --test it \
		fuzz::$(TARGET) -- --nocapture --test-threads 1 $(if $(TARGET),--exact)

runtime: ## Fetch nats-server and ONNX Runtime into .runtime/, unless they are there
	@scripts/fetch-runtime.sh

LIBRARIES ?= LightGBM XGBoost CatBoost scikit-learn PyTorch Keras
PROGRAM   ?= $(or $(CARGO_TARGET_DIR),target)/release/tidewheel
IMPORTED   = $(filter LightGBM XGBoost CatBoost,$(LIBRARIES))
TABULAR    = $(filter LightGBM XGBoost CatBoost scikit-learn,$(LIBRARIES))
NETWORKS   = $(filter PyTorch Keras,$(LIBRARIES))
UNKNOWN    = $(filter-out $(TABULAR) $(NETWORKS),$(LIBRARIES))

# Every part is run, and each that fails is told of at the end.
models: runtime build $(if $(TABULAR),$(MODELS_PYTHON)) $(if $(NETWORKS),$(NETWORKS_PYTHON)) ## Train models of other libraries, import and export them, and compare predictions (LIBRARIES="XGBoost PyTorch")
	$(if $(UNKNOWN),$(error LIBRARIES has $(UNKNOWN); known are LightGBM XGBoost CatBoost scikit-learn PyTorch Keras))
	@failed=; \
	$(if $(IMPORTED),$(MODELS_PYTHON) -B -W ignore scripts/models/compare.py $(PROGRAM) $(IMPORTED) || failed="$$failed import";) \
	$(if $(TABULAR),$(MODELS_PYTHON) -B -W ignore scripts/models/try_exports.py $(PROGRAM) $(TABULAR) || failed="$$failed exports";) \
	$(if $(NETWORKS),$(NETWORKS_PYTHON) -B -W ignore scripts/models/try_exports.py $(PROGRAM) $(NETWORKS) || failed="$$failed networks";) \
	test -z "$$failed" || { echo "not as expected:$$failed"; exit 1; }

payloads: runtime build $(PAYLOADS_PYTHON) $(PAYLOADS_NODE)/node_modules ## Have the libraries of Segment, PostHog, Snowplow and others send events, and take them by the ready contracts (needs Node)
	@failed=; \
	PAYLOADS_NODE=$(PAYLOADS_NODE) $(PAYLOADS_PYTHON) -B scripts/payloads/try_payloads.py $(PROGRAM) || failed="$$failed contracts"; \
	$(PAYLOADS_PYTHON) -B scripts/payloads/thousand.py $(PROGRAM) || failed="$$failed thousand"; \
	test -z "$$failed" || { echo "not as expected:$$failed"; exit 1; }

build: ## Build the program: target/release/tidewheel
	cargo build --release --locked --bin tidewheel

quick: ## Build the program without optimisation, to try a change: the same file
	cargo build --release --locked --bin tidewheel --config .cargo/quick.toml

bench: runtime ## Measure the whole job beside a bare pull of the same stream
	cargo bench --locked --bench end_to_end

bench-features: ## Measure one table of 20 features over 5 horizons: events, reads, memory (ROWS=, USERS=, RATE=, LIMIT= in MB)
	cargo bench --locked --bench features

bench-views: ## Measure what scans and saves take of the thread of events (USERS=, RATE=, SECONDS=, SCAN=, SAVE=, ROUNDS=)
	cargo bench --locked --bench views

bench-parts: runtime ## Measure the JSON decoder, the reader and the publishers beside those of arrow-json and the client library
	cargo bench --locked --bench parts

bench-recovery: runtime ## Measure how long a killed worker takes to go on, and what snapshots and commits cost
	cargo bench --locked --bench recovery

bench-training: runtime $(TENSORFLOW_PYTHON) ## Measure training and scoring beside TensorFlow, which is fetched first
	TENSORFLOW_PYTHON=$(abspath $(TENSORFLOW_PYTHON)) cargo bench --locked --bench training

ROWS  ?= 2000000
PEERS ?= datafusion flink bytewax pathway

bench-peers: ## Measure windows beside the engines PEERS on ROWS events; they are fetched first (Flink needs Java 17)
	ROWS="$(ROWS)" PEERS="$(PEERS)" python3 -B bench/peers/run.py

# Made aside and moved, so that an interrupted download leaves nothing that looks finished.
.runtime/tensorflow/bin/python:
	rm -rf .runtime/tensorflow .runtime/tensorflow.part
	python3 -m venv .runtime/tensorflow.part
	.runtime/tensorflow.part/bin/python -m pip install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0
	mv .runtime/tensorflow.part .runtime/tensorflow

.runtime/models/bin/python: scripts/models/requirements.txt
	rm -rf .runtime/models .runtime/models.part
	python3 -m venv .runtime/models.part
	.runtime/models.part/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	mv .runtime/models.part .runtime/models

.runtime/networks/bin/python: scripts/models/requirements-networks.txt
	rm -rf .runtime/networks .runtime/networks.part
	python3 -m venv .runtime/networks.part
	.runtime/networks.part/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	mv .runtime/networks.part .runtime/networks

.runtime/payloads/bin/python: scripts/payloads/requirements.txt
	rm -rf .runtime/payloads .runtime/payloads.part
	python3 -m venv .runtime/payloads.part
	.runtime/payloads.part/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	mv .runtime/payloads.part .runtime/payloads

.runtime/payloads-node/node_modules: scripts/payloads/node/package.json
	rm -rf .runtime/payloads-node .runtime/payloads-node.part
	mkdir -p .runtime/payloads-node.part
	cp $< .runtime/payloads-node.part/
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .runtime/payloads-node.part
	mv .runtime/payloads-node.part .runtime/payloads-node

fmt: ## Format the code
	cargo fmt

lint: ## What `make test` asks before it builds: clippy and the links of the documentation
	$(CLIPPY)
	$(DOC)

deny: ## What `make test` asks of the crates in Cargo.lock: their licences, and that none is there twice without a reason
	@scripts/fetch-tools.sh
	$(DENY)

clean: ## Remove what was built and what pipelines kept in .state/; .runtime/ stays
	cargo clean
	rm -rf .state
