# One short command per job; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Touched when the environment is complete, so that a broken install is made again.
READY := $(VENV)/.set-up
HANDWRITTEN := tinker_hl tinker_local scripts benchmarks examples

.PHONY: help demo test setup check cli-reference reference generate generate-check spec-diff format official probe bench compatibility checklist promises clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## Do everything: install, start a local service, watch a model learn pig latin
	$(BIN)/tinker-hl demo

test: setup official ## Run every test, the official SDK's included, and print the coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	@echo "coverage: $$($(BIN)/coverage report --format=total)%"

setup: $(READY) ## Make the virtual environment from the constraints file

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[torch,local,dev]"
	touch $(READY)

check: setup generate-check ## Lint, type-check, and hold the layers and the spec to their rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(HANDWRITTEN)
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/lint_spec.py
	$(BIN)/python scripts/cli_reference.py --check
	$(BIN)/python scripts/api_reference.py --check
	$(BIN)/python scripts/names_reference.py --check
	$(BIN)/python scripts/compatibility.py --check --faults

cli-reference: setup ## Write docs/cli.md from the commands themselves
	$(BIN)/python scripts/cli_reference.py

reference: setup ## Write docs/api.md from the spec and docs/reference.md from the code
	$(BIN)/python scripts/api_reference.py
	$(BIN)/python scripts/names_reference.py

generate: setup ## Make generated/ from openapi.yaml and proto/
	$(BIN)/python scripts/generate.py

generate-check: setup ## Fail if generated/ is not what the spec makes
	$(BIN)/python scripts/generate.py --check

spec-diff: setup ## Tell what changed in the spec since the last release or version, as changelog lines
	$(BIN)/python scripts/spec_diff.py

format: setup ## Format the handwritten code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

official: setup ## Install the official SDKs, each in an environment of its own
	$(BIN)/python scripts/official_venv.py newest 0.18.1 0.7.0

probe: setup official ## Call every method of the official SDK, and write docs/server-compatibility.md
	$(BIN)/python scripts/compat_probe.py local

bench: setup official ## Measure side by side, and write docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

compatibility: setup official ## Compare with the official SDKs by reflection, and write docs/compatibility.md
	$(BIN)/python scripts/compatibility.py

checklist: setup official ## Run every test, and write docs/checklist.md: each feature with the tests that prove it
	$(BIN)/python -m pytest --junitxml=build/tests.xml
	$(BIN)/python scripts/checklist.py build/tests.xml

promises: setup official ## Run every test and benchmark behind a promise, and write docs/promises.md
	$(BIN)/python scripts/promises.py --measure

clean: ## Remove the environments and everything that was built
	rm -rf $(VENV) .venvs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
