# `make help` lists what there is. Settings are environment variables; doc/settings.md lists them.

VENV ?= .venv
PYTHON ?= python3
# What pytest is told, such as ARGS="tests/unit -k docs".
ARGS ?= tests
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos hostile docs up clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(BIN)/discount ## start the service with a Redis of its own; PORT, HOST, DATA and REDIS_URL can be set
	@exec $(BIN)/discount run

test: $(VENV)/.tests ## run the whole suite, or what ARGS names
	@$(BIN)/python tests/support/programs.py
	$(BIN)/python -m pytest $(ARGS) -n 4 --dist worksteal

check: $(VENV)/.tests ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.tests ## measure, side by side in one run
	$(BIN)/python bench/run.py

docs: $(BIN)/discount ## renew the pages that are made from the code
	$(BIN)/python -m doc.generate

chaos: $(VENV)/.tests ## hand out 10,000 codes while workers, Redis and receivers fail; five minutes at most
	$(BIN)/python bench/chaos.py

hostile: $(VENV)/.tests ## what a neighbour notices of each attack of one tenant; some five minutes
	$(BIN)/python bench/hostile.py

up: ## build and start with Docker: nginx, three replicas, Redis
	docker compose up --build -d --scale app=3

clean: ## remove what make made, but no data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON")'
	@$(PYTHON) tests/support/programs.py venv
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runs: requirements.txt | $(BIN)/pip
	@$(PIP) -r requirements.txt
	@touch $@

# Editable: a change of the code is seen at the next start.
$(BIN)/discount: pyproject.toml $(VENV)/.runs
	@$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.tests: requirements-dev.txt $(BIN)/discount
	@$(PIP) -r requirements-dev.txt
	@touch $@
