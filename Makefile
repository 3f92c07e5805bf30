# Two commands set everything up on a machine with Python 3.11+ and make: `make demo` and `make test`.
# Each target installs what it needs, with uv when it is there, else with venv and pip. The everyday ones install what
# requirements/ says, version by version; `make lock` renews that.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
PIP := pip==26.3
LOCKED := --constraint requirements/locked.txt --build-constraint requirements/locked.txt

ifeq ($(UV),)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
else
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
endif

# The further sets: an environment of its own each, made by the uv of the development tools.
SET_VENV = $(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
SET_INSTALL = $(BIN)/uv pip install --quiet --python $(@D)/bin/python --build-constraint requirements/locked.txt
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-header
comma := ,
space := $() $()
APART := langchain otel cli emulator fast plot # the extras whose floors litellm and wandb raise where they are, too

.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest test-newest test-wheel coverage mutants fuzz lint types format integration_tests frameworks \
	bench dist lock clean

help: ## Show this list
	@grep -E '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-18s %s\n", $$1, $$2}'

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wandb-inference needs Python 3.11 or newer; name one with make PYTHON=/path/to/python3 …" >&2; exit 1; }
ifeq ($(UV),)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(PIP) # one that knows dependency groups and build constraints
else
	$(UV) venv --quiet --python $(PYTHON) $(VENV)
endif
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml requirements/locked.txt
	$(INSTALL) $(LOCKED) --editable '.[langchain,emulator,cli]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) $(LOCKED) --editable '.[all]' --group dev
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(INSTALL) $(LOCKED) --group bench
	@touch $@

$(VENV)-lowest/.made: $(VENV)/.dev requirements/lowest.txt
	$(SET_VENV)
	$(SET_INSTALL) --constraint requirements/lowest.txt --editable '.[all]' --group test
	@touch $@

$(VENV)-lowest-apart/.made: $(VENV)/.dev requirements/lowest-apart.txt
	$(SET_VENV)
	$(SET_INSTALL) --constraint requirements/lowest-apart.txt --editable '.[$(subst $(space),$(comma),$(strip $(APART)))]' --group test
	@touch $@

$(VENV)-integration/.made: $(VENV)/.dev requirements/integration.txt
	$(SET_VENV)
	$(SET_INSTALL) --constraint requirements/integration.txt --editable '.[all]' --group test --group integration --group proxy
	@touch $@

demo: $(VENV)/.demo ## Show the main job: live with WANDB_API_KEY, on the embedded emulator without
	@$(BIN)/wandb-inference demo

test: $(VENV)/.dev ## Run the tests; they talk to 127.0.0.1 only
	$(BIN)/pytest --numprocesses auto

test-lowest: $(VENV)-lowest/.made $(VENV)-lowest-apart/.made ## Run the tests on the lowest version of every direct dependency
	$(VENV)-lowest/bin/pytest --numprocesses auto
	$(VENV)-lowest-apart/bin/pytest --numprocesses auto tests/autolog/test_otel.py tests/catalog tests/cli tests/emulator \
		tests/langchain tests/wire

test-newest: $(VENV)/.dev ## Run the tests on what the package index gives today, and show them host by host
	$(BIN)/python tools/newest.py

test-wheel: dist ## Run the tests against the built wheel, from the unpacked sdist without its src
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-wheel
	$(BIN)/uv pip install --quiet --python $(VENV)-wheel/bin/python --constraint requirements/locked.txt \
		"$$(ls $(CURDIR)/dist/*.whl)[all]" --group test
	mkdir dist/sdist && tar -xzf dist/*.tar.gz -C dist/sdist --strip-components 1 && rm -r dist/sdist/src
	cd dist/sdist && $(abspath $(VENV)-wheel)/bin/pytest --numprocesses auto

coverage: $(VENV)/.dev ## Run the tests and show which branches they leave out
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses auto
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under 97

mutants: $(VENV)/.dev ## Hold the tests against changed code, a seeded sample of it
	$(BIN)/python tests/mutants.py

fuzz: $(VENV)/.dev ## Send N mutated answers through every door, over real sockets; 20,000 take minutes
	LITELLM_LOCAL_MODEL_COST_MAP=True $(BIN)/python tests/fuzz/fuzzing.py --cases $(or $(N),20000)

lint: $(VENV)/.dev ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## Check types; those of users' programs as users do
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/typed/mypy.ini

format: $(VENV)/.dev ## Put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

integration_tests: $(VENV)-integration/.made ## Run the same cases on the emulator, on llama.cpp, on WANDB_INFERENCE_BASE_URL, and live
	$(VENV)-integration/bin/pytest integration_tests

frameworks: $(VENV)/.dev ## Run the recipes of agent frameworks, each in an environment of its own
	$(BIN)/python integration_tests/frameworks/run.py

bench: $(VENV)/.bench ## Measure against the peers, in one run
	$(BIN)/python -m benchmarks --goals --repeat 3 --json benchmarks/results.json --chart benchmarks/chart.svg
	$(BIN)/python -m benchmarks.swarm

dist: $(VENV)/.dev ## Build the sdist, and the wheel from it
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null

lock: $(VENV)/.dev ## Write down what pyproject.toml resolves to today
	$(LOCK) --all-extras --group dev --group bench --output-file requirements/locked.txt
	$(LOCK) --all-extras --group test --group integration --group proxy --output-file requirements/integration.txt
	$(LOCK) --all-extras --group test --resolution lowest-direct --output-file requirements/lowest.txt
	$(LOCK) $(addprefix --extra ,$(APART)) --group test --resolution lowest-direct \
		--output-file requirements/lowest-apart.txt

clean: ## Remove what was made
	rm -rf $(VENV) $(VENV)-* .frameworks .mypy_cache .ruff_cache .pytest_cache dist
