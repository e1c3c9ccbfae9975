# Every target does its own set-up. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup setup-cluster demo cluster selftest run test test-slow lint bench clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready ## virtual environment in .venv, pinned packages, OS packages (as root by apt-get)

$(VENV)/.ready: pyproject.toml constraints.txt setup.sh
	@bash setup.sh $(PYTHON) $(VENV)
	@touch $@

setup-cluster: $(VENV)/.cluster

$(VENV)/.cluster: $(VENV)/.ready
	@bash setup.sh $(PYTHON) $(VENV) cluster
	@touch $@

demo: setup ## the main job: СМЭВ 3 from end to end, 200+ messages with faults; ONCE=1 exits when reconciled
	@$(BIN)/omsbus demo $(if $(ONCE),--once)

cluster: setup-cluster ## the same job on many processes: RabbitMQ, workers, schedulers, web; ONCE=1 exits when reconciled
	@$(BIN)/omsbus cluster $(if $(ONCE),--once)

selftest: setup-cluster ## random faults under load on this machine, then the account; SECONDS=60 SEED=1
	@$(BIN)/omsbus selftest --chaos --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

run: setup ## the bus in one process (http://127.0.0.1:8080/healthz)
	@$(BIN)/omsbus run

test: setup-cluster ## lint and the fast tests (under 6 minutes on 2 cores)
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest -m "not slow" -q -n 3 --dist loadfile

test-slow: setup-cluster ## the slow tests: kill -9 at every step, ten minutes of chaos, long fuzzing, the whole demo
	@$(BIN)/pytest -m slow -q -n 2 --dist loadfile

lint: setup ## ruff, mypy, import-linter, omsbus check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy core connectors routes simulators console benchmarks
	@$(BIN)/lint-imports
	@$(BIN)/omsbus check

bench: setup-cluster ## measured figures, each a ratio in one run
	@$(BIN)/omsbus bench all

clean: ## forget the environment and the demo's data
	rm -rf $(VENV) var build *.egg-info
