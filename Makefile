# Lazaret. `make help` lists what can be made.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.made-from-the-lock
TIMED = scripts/timed
UV ?= uv
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# --- set up

.PHONY: setup
setup: $(STAMP) ## .venv with .venv/bin/lazaret, and the few system packages when root on Debian or Ubuntu

$(STAMP): requirements.lock pyproject.toml scripts/system-packages
	@scripts/system-packages
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Lazaret needs Python 3.11 or newer."; exit 1; }
	@echo "Installing the locked requirements (about half a minute)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src/lazaret # else each start compiles it where bytecode may not be written
	@touch $(STAMP)

.PHONY: lock
lock: ## both lists of pinned packages anew, after a change in pyproject.toml; needs uv
	@$(LOCK) --group dev pyproject.toml -o requirements.lock >/dev/null
	@$(LOCK) --constraint requirements.lock pyproject.toml -o requirements-run.lock >/dev/null

.PHONY: demo
demo: setup ## two new servers on their way to `ready`; ARGS=--once ends by itself
	@$(BIN)/lazaret demo $(ARGS)

# --- check

.PHONY: format
format: setup ## put the code into its form
	@$(BIN)/ruff format src tests
	@$(BIN)/ruff check --fix src tests

.PHONY: lint
lint: setup ## form and lint
	@$(BIN)/ruff format --check src tests
	@$(BIN)/ruff check src tests

.PHONY: imports
imports: setup ## the walls between the rooms
	@$(BIN)/lint-imports --no-cache --no-logo 2>/dev/null || $(BIN)/lint-imports

.PHONY: types
types: setup ## strict types
	@$(BIN)/mypy

.PHONY: unit
unit: setup ## unit tests: no socket, no sleep
	@$(BIN)/pytest -q -n 2 tests/unit

.PHONY: contract
contract: setup ## fakes and real parts against the same suites
	@$(BIN)/pytest -q -n 3 tests/contract

.PHONY: integration
integration: setup ## real PostgreSQL, real HTTP, simulated hosts; most of it waits, so several files run at once
	@$(BIN)/pytest -q -m alone tests/integration
	@$(BIN)/pytest -q -m "not alone and not long" -n 6 tests/integration

.PHONY: acceptance
acceptance: setup ## real hosts, where this machine can boot them
	@$(BIN)/pytest -q -m "not long" -n 3 tests/acceptance

.PHONY: test
test: setup ## every check there is
	@$(TIMED) lint imports types+unit contract integration acceptance

.PHONY: test-all
test-all: test ## every check, and the long ones
	@$(BIN)/pytest -q -m long --timeout 1800 tests

.PHONY: nightly
nightly: setup ## the properties, the safety rules' among them, over at least 5,000 made-up histories each
	@HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -q -n 2 --dist worksteal -m properties --timeout 14400 tests/unit tests/integration

# --- measure and generate

.PHONY: bench-provision
bench-provision: setup ## what provisioning costs, against a shell script on the host
	@$(BIN)/python tests/bench/provision.py

.PHONY: bench-watch
bench-watch: setup ## what watching costs per server and reading, up to 10,000 servers
	@$(BIN)/python -m tests.bench.watch

.PHONY: bench-detect
bench-detect: setup ## how soon a dead server is noticed, and whether a living one is ever called dead
	@$(BIN)/python tests/bench/detect.py

.PHONY: bench-recover
bench-recover: setup ## how long each scenario on real hosts takes until the services answer again
	@$(BIN)/python tests/bench/recover.py

.PHONY: screenshots
screenshots: setup ## every page of the dashboard in light, dark and on a phone, into docs/screenshots
	@$(BIN)/python -m tests.screenshots

.PHONY: translations
translations: setup ## bring the catalogues up to date with the texts; says what is not translated
	@$(BIN)/python scripts/translations

.PHONY: docs
docs: setup ## regenerate what is generated
	@$(BIN)/python -m lazaret.servers.states_doc > docs/states.md
	@$(BIN)/python -m lazaret.provisioning.graph_doc > docs/provisioning_graph.md
	@$(BIN)/python -m lazaret.healing.graph_doc > docs/recovery_graph.md
	@$(BIN)/python -m lazaret.agents.graph_doc > docs/orchestrator_graph.md
	@$(BIN)/python -m lazaret.agents.tools_doc > docs/agent_tools.md
	@$(BIN)/python -m lazaret.entrypoints.api.doc > docs/api.md
	@$(BIN)/python -m lazaret.entrypoints.cli.doc > docs/cli.md
	@$(BIN)/python -m lazaret.entrypoints.env_example > .env.example
	@$(BIN)/python -m lazaret.entrypoints.metrics_doc > docs/metrics.md
	@$(BIN)/python scripts/dashboards
