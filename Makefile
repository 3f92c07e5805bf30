# Two commands set everything up on a machine with Python 3.10+ and make: `make demo` and `make test`.
# Each target installs what it needs into .venv, with uv when it is there, else with venv and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
SOURCES := src tests integration_tests examples benchmarks

ifeq ($(UV),)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
else
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
endif

.DEFAULT_GOAL := help
.PHONY: help demo test lint types format integration_tests bench clean

help: ## Show this list
	@grep -E '^[a-z_]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-18s %s\n", $$1, $$2}'

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "wandb-inference needs Python 3.10 or newer; name one with make PYTHON=/path/to/python3 …" >&2; exit 1; }
ifeq ($(UV),)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade 'pip>=25.1' # the first that knows dependency groups
else
	$(UV) venv --quiet --python $(PYTHON) $(VENV)
endif
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	$(INSTALL) --editable '.[langchain,emulator,cli]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) --editable '.[all]' --group dev
	@touch $@

$(VENV)/.integration: $(VENV)/.dev
	$(INSTALL) --group integration
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(INSTALL) --group bench
	@touch $@

demo: $(VENV)/.demo ## Show the main job: live with WANDB_API_KEY, on the embedded emulator without
	@$(BIN)/wandb-inference demo

test: $(VENV)/.dev ## Run the tests; they talk to 127.0.0.1 only
	$(BIN)/pytest

lint: $(VENV)/.dev ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## Check types
	$(BIN)/mypy

format: $(VENV)/.dev ## Put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

integration_tests: $(VENV)/.integration ## Run the same cases on the emulator, on WANDB_INFERENCE_BASE_URL, and live
	$(BIN)/pytest integration_tests

bench: $(VENV)/.bench ## Measure against the peers, in one run
	$(BIN)/python -m benchmarks --goals --repeat 3 --json benchmarks/results.json --chart benchmarks/chart.svg
	$(BIN)/python -m benchmarks.swarm

clean: ## Remove what was made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist
