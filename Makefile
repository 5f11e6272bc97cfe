# `make run` and `make test` are all the set-up there is: they need Python 3.11+, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
PYTEST_ARGS ?=
SERVE_ARGS ?=
PIP := $(BIN)/python -m pip install --quiet --quiet --no-compile --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test lint types imports node-tools deploy-tools unit docs chaos bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "llm-mux needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: pyproject.toml | $(BIN)/python
	@$(PIP) --editable . && touch $@

$(VENV)/.test-ready: pyproject.toml | $(BIN)/python
	@$(PIP) --editable '.[dev]' && touch $@ $(VENV)/.run-ready

run: $(VENV)/.run-ready ## install, write a first configuration, serve with the demo provider
	@$(BIN)/llm-mux --init
	@exec $(BIN)/llm-mux serve --demo $(SERVE_ARGS)

test: lint types imports node-tools deploy-tools unit ## everything that has to pass

lint: $(VENV)/.test-ready ## ruff: rules and formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(VENV)/.test-ready ## mypy --strict
	@$(BIN)/mypy --strict llm_mux

imports: $(VENV)/.test-ready ## the layers, held by import-linter
	@$(BIN)/lint-imports --no-cache

node-tools: ## the JavaScript clients and coding tools that the tests drive
	@scripts/node-tools

deploy-tools: ## Helm, OpenBao and moto's AWS, which the tests of deployments ask
	@PYTHON=$(PYTHON) scripts/deploy-tools

unit: $(VENV)/.test-ready ## pytest alone: make unit PYTEST_ARGS="tests/wire -x"
	@$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

docs: $(VENV)/.test-ready ## write the generated pages again
	@$(BIN)/python -m llm_mux.config example > config.example.yaml
	@$(BIN)/python -m llm_mux.config markdown > docs/configuration.md
	@$(BIN)/python -m scripts.translation_table > docs/translation.md
	@$(BIN)/python -m llm_mux.providers > docs/providers.md
	@$(BIN)/python -m scripts.standins_table > docs/standins.md
	@$(BIN)/python -m scripts.management_page > docs/management.md
	@$(BIN)/python -m scripts.pages
	@$(BIN)/python -m scripts.dashboard_tools

chaos: $(VENV)/.test-ready ## two hundred clients against accounts in bad moods, for minutes
	@LLM_MUX_CHAOS_SECONDS=$${LLM_MUX_CHAOS_SECONDS:-180} $(BIN)/python -m pytest -s tests/chaos

bench: $(VENV)/.test-ready ## the figures of the README
	@$(BIN)/python benchmarks/run

clean: ## remove what the targets above made
	@rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache
