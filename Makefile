# The menu. `make demo` and `make test` install what is missing by themselves.
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR

.PHONY: help demo demo-down test check kill soak bench docs dev install uninstall

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## deploy DokuWiki under load, eleven times, and count what was lost; APP=wordpress for a shop with all around it
	@compose/setup
	@compose/images/build
	@cargo build --locked --workspace --all-targets --quiet
	@$(CARGO_TARGET_DIR)/debug/stratus-demo run $(or $(APP),dokuwiki)

demo-down: ## remove every container, network, volume and folder of the demo
	@cargo build --locked --workspace --all-targets --quiet
	@$(CARGO_TARGET_DIR)/debug/stratus-demo down

test: ## everything that must be green: format, lints, all tests, docs
	@compose/setup test
	@compose/images/build
	@tests/run

check: ## the quick part: format, lints, and the tests that need no containers
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@cargo build --locked --workspace --all-targets --quiet
	@cargo nextest run --locked --workspace -E 'not binary(/^(docker|nginx|host|kill)_/)'

kill: ## kill -9 the server at every step boundary: ROUNDS rounds (10)
	@compose/setup test
	@compose/images/build
	@cargo build --locked --workspace --all-targets --quiet
	@STRATUS_KILL_ROUNDS=$(or $(ROUNDS),10) cargo nextest run --locked --workspace --no-capture -E 'binary(/^kill_/)'

soak: ## 200 switches under load, then 20 with every CPU burnt
	@compose/setup test
	@compose/images/build
	@cargo build --locked --workspace --all-targets --quiet
	@STRATUS_SOAK_SWITCHES=$(or $(SWITCHES),200) STRATUS_SOAK_BURNT=$(or $(BURNT),20) cargo nextest run --locked --workspace --no-capture -E 'binary(/^host_soak/)'

bench: ## the snapshot against rsync and cp
	@compose/setup test
	@tests/scripts/bench-snapshot

docs: ## the API's documentation
	@cargo doc --locked --workspace --no-deps

dev: ## the server on fakes
	@cargo run --locked --bin stratusd -- --demo

install: ## programs, unit, manuals, completions and an example config, below PREFIX (/usr/local)
	@packaging/install

uninstall: ## all of that away again, but for configuration and data
	@packaging/install --uninstall
