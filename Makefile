# What people call. `make test` is the whole truth: every gate and every test, with a table of what ran at its end.

STRATA_CACHE ?= $(HOME)/.cache/strata
CARGO_TARGET_DIR ?= $(STRATA_CACHE)/target
export STRATA_CACHE CARGO_TARGET_DIR

.DEFAULT_GOAL := help
.PHONY: help deps build fmt lint test demo demo-down bench sim planted siege siege-kubernetes fuzz coverage

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "  make %-16s %s\n", $$1, $$2 }'

deps: ## Get missing system packages (by apt, as root); say what could not be had
	@e2e/suite --deps

build: ## Compile everything into the shared target directory
	cargo build --locked --workspace

fmt: ## Format Rust and Go
	cargo fmt --all
	git ls-files -z '*.go' | xargs -0 --no-run-if-empty gofmt -w

lint: ## The gates that run no program of ours: format, shell, licences, tidy, clippy, the simulation without RocksDB and S3
	@e2e/suite fmt shell licences tidy clippy slim

test: ## Every gate and every test; about 75 minutes with nothing cached, two cores
	@e2e/suite

sim: ## Seeds of the simulation: `make sim SEEDS=1000`, from `SEED_BASE=…` on; `SEED=…` tells one, `SCHEDULE=FILE` plays a kept one, `OPERATORS=1` has operators in all
	@e2e/suite --deps
	cargo build --locked --workspace --bins
	@exec "$(CARGO_TARGET_DIR)/debug/strata-sim" $(if $(SCHEDULE),replay "$(SCHEDULE)",$(if $(SEED),tell --seed "$(SEED)" $(if $(OPERATORS),--operators),run $(if $(OPERATORS),--operators) --seeds $(or $(SEEDS),100) $(if $(SEED_BASE),--seed-base "$(SEED_BASE)")))

planted: ## Break rules of the nodes on purpose, one by one: each must be found within 1,000 seeds
	@e2e/suite --deps
	cargo build --locked --workspace --features strata-e2e/planted --bin strata-sim
	@exec "$(CARGO_TARGET_DIR)/debug/strata-sim" planted $(PLANTED)

siege: ## Real processes under all faults: `make siege MINUTES=30`, `SEED=…` for the same schedule again
	@e2e/suite --deps
	cargo build --locked --workspace --bins
	@ulimit -n "$$(ulimit -Hn)"; exec "$(CARGO_TARGET_DIR)/debug/strata-siege" --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED)) $(SIEGE)

siege-kubernetes: ## A cluster on a real Kubernetes under all faults: `make siege-kubernetes MINUTES=20`, `SEED=…` for the same schedule again
	@e2e/suite --deps
	cargo build --locked --workspace --bins
	@ulimit -n "$$(ulimit -Hn)"; exec "$(CARGO_TARGET_DIR)/debug/strata-siege" --kubernetes --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED)) $(SIEGE)

coverage: ## The share of lines that seeds of the simulation alone come to: `make coverage SEEDS=1000`
	@e2e/suite --deps
	@e2e/coverage $(or $(SEEDS),1000)

fuzz: ## libFuzzer over every decoder in turn, or over one: `make fuzz TARGET=records SECONDS=600`
	@e2e/suite --deps
	@e2e/fuzz/run $(or $(SECONDS),60) $(TARGET)

demo: ## A cluster on a real Kubernetes on this machine, that outlives everything but its bucket
	@e2e/suite --deps
	cargo build --locked --workspace --bins
	@ulimit -n "$$(ulimit -Hn)"; exec "$(CARGO_TARGET_DIR)/debug/strata-demo"

demo-down: ## End what `make demo` left running, and leave nothing of it
	e2e/lab/lab down demo
	rm -rf "$(STRATA_CACHE)/demo"

bench: ## Ratios to etcd and redis-server, in turn on one disk; `BENCH="--help"` lists rows and settings
	@e2e/suite --deps
	e2e/lab/lab build kube
	cargo build --locked --workspace --bins
	@ulimit -n "$$(ulimit -Hn)"; exec "$(CARGO_TARGET_DIR)/debug/strata-bench" --etcd "$$(e2e/lab/lab bin)/etcd" $(BENCH)
