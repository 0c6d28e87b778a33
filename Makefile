# `make help` lists what there is. Settings are environment variables; README.md has the table.

VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos hostile docs up clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runs ## start the service with a Redis of its own; PORT, HOST, DATA and REDIS_URL can be set
	@exec $(BIN)/python -m discount run

test: $(VENV)/.tests ## run the whole suite
	$(BIN)/python -m pytest tests -n 4 --dist worksteal

check: $(VENV)/.tests ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.tests ## measure, side by side in one run
	$(BIN)/python bench/run.py

docs: $(VENV)/.runs ## renew the pages that are made from the code
	$(BIN)/python -m discount.event_page doc/events.md
	$(BIN)/python -m discount.limits_page doc/limits.md

chaos: $(VENV)/.tests ## hand out 10,000 codes while workers, Redis and receivers fail; five minutes at most
	$(BIN)/python bench/chaos.py

hostile: $(VENV)/.tests ## what a neighbour notices of each attack of one tenant; some five minutes
	$(BIN)/python bench/hostile.py

up: ## build and start with Docker: nginx, three replicas, Redis
	docker compose up --build -d --scale app=3

clean: ## remove what make made, but no data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.runs: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.tests: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.runs
