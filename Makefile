# Everything a fresh machine needs: `make demo` and `make test`. Nothing is installed outside .venv but the
# system packages that scripts/system-packages names (and only as root).
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The demo keeps its own home, so that it neither sees nor changes yours.
DEMO := demo
DEMO_CR := CR_HOME=$(CURDIR)/$(DEMO)/home $(CURDIR)/$(BIN)/cr

.PHONY: help setup setup-test demo test test-fast lint format bench serve docs clean

help:
	@echo "make demo       set up, then initialise and benchmark demo-object-detection on every runtime"
	@echo "make serve      the same results and all components on a local portal (after make demo)"
	@echo "make test       set up and run every test"
	@echo "make test-fast  only the fast tests"
	@echo "make lint       ruff, mypy --strict and cr lint"
	@echo "make bench      measure the project itself against named peers"
	@echo "make docs       generate docs/reference from the schemas"

setup: $(VENV)/.setup
setup-test: $(VENV)/.setup-test

$(VENV)/.setup: pyproject.toml scripts/setup
	@scripts/setup $(VENV)
	@touch $@

$(VENV)/.setup-test: $(VENV)/.setup
	@scripts/setup $(VENV) test lint bench
	@touch $@

demo: setup
	@scripts/demo $(CURDIR)/$(BIN) $(DEMO)

serve: setup
	@$(DEMO_CR) portal start

test: setup-test
	@scripts/system-packages
	@scripts/test $(BIN)

test-fast: setup-test
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"

lint: setup-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/cr lint .

format: setup-test
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup-test
	@scripts/bench $(BIN)

docs: setup
	@$(BIN)/python scripts/generate-reference

clean:
	rm -rf $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
