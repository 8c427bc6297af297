# One short command per job; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# A venv is set up once per change of these files.
SETUP := $(VENV)/.set-up

.PHONY: help demo test setup check generate generate-check spec-diff lint format types interop bench promises clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## Set everything up, start a local service, and watch a model learn pig latin
	$(BIN)/tinker-hl demo

test: setup ## Run every test and print the coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --format=total | sed 's/^/coverage: /; s/$$/%/'

setup: $(SETUP) ## Make the virtual environment, reproducibly

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt --upgrade pip
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[torch,local,dev]"
	touch $(SETUP)
