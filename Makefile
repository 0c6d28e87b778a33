# `make help` lists the targets. Settings are environment variables; doc/settings.md lists them.

VENV ?= .venv
PYTHON ?= python3
# The arguments of pytest, such as ARGS="tests/unit -k docs".
ARGS ?= tests
BIN = $(VENV)/bin
# The suites that also run on a Cluster.
ON_CLUSTER = $(addprefix tests/,services races api security worker dialects mails ledger) \
	$(addprefix tests/faults/test_,away_nodes.py copies_of_nodes.py)
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Bytecode spares every later start the compilation of all modules.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run unit test cover check format lock bench bench-peers chaos cluster-test models hostile docs up clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(BIN)/discount ## start the service, and a Redis unless REDIS_URL is set, or a Cluster with CLUSTER=1; PORT, HOST and DATA can be set, too
	@exec $(BIN)/discount run $(if $(CLUSTER),--cluster)

unit: $(VENV)/.tests ## run the unit tests: seconds, no server
	$(BIN)/python -m pytest tests/unit -n 4

test: $(VENV)/.tests ## run all tests, or those in ARGS
	@$(BIN)/python tests/support/programs.py
	$(BIN)/python -m pytest $(ARGS) -n 4 --dist worksteal

cover: $(VENV)/.tests ## run the tests like `make test`, and print the branch coverage
	@$(BIN)/python tests/support/programs.py
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS) -n 4 --dist worksteal
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: $(VENV)/.tests ## check lint rules, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.tests ## format the code, and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.tests ## update the locks from .ci/requirements*.in; UPGRADE=1 takes newer packages of packages, too
	@for lock in requirements.txt requirements-dev.txt .ci/requirements-build.txt; do \
		list=.ci/$$(basename $$lock .txt).in; \
		$(BIN)/uv pip compile --quiet $(if $(UPGRADE),--upgrade) $$list --output-file $$lock || exit; done

bench: $(VENV)/.tests ## run the benchmarks
	$(BIN)/python bench/run.py

bench-peers: $(VENV)/.peers ## compare with Go, ASGI, nginx, Node and Bun, as far as installed; about five minutes
	$(BIN)/python bench/peers/run.py --build $(VENV)/peers

docs: $(BIN)/discount ## update the pages that are made from the code
	$(BIN)/python -m doc.generate

chaos: $(VENV)/.tests ## grant codes while workers, receivers, nodes of Redis and cables fail; half an hour
	$(BIN)/python bench/chaos.py
	$(BIN)/python bench/failovers.py
	$(BIN)/python bench/ledger_chaos.py --away 15
	$(BIN)/python bench/ledger_chaos.py --grants 6000 --kills 2 --away 150
	CUTS=20 $(BIN)/python -m pytest tests/ledger/test_starts.py -k power_cut

cluster-test: $(VENV)/.tests ## run the suites that need Redis on a Cluster of three
	STORE=cluster $(BIN)/python -m pytest $(ON_CLUSTER) -n 4 --dist worksteal

models: $(VENV)/.tests ## compare random calls with plain models, ten times as many as in `make test`; about ten minutes
	MODEL_TIMES=10 $(BIN)/python -m pytest tests/services/test_any_*.py -n 4 --dist worksteal

hostile: $(VENV)/.tests ## measure how each attack of one tenant affects another; about five minutes
	$(BIN)/python bench/hostile.py

up: ## build and start the service with Docker: nginx, three replicas, Redis
	docker compose up --build -d --scale app=3

clean: ## remove what make has installed and cached, but no data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON")'
	@$(PYTHON) tests/support/programs.py venv
	@$(PYTHON) -m venv $(VENV)

# Each package is installed only if its hash is in the lock.
$(VENV)/.runs: requirements.txt .ci/requirements-build.txt | $(BIN)/pip
	@$(PIP) --require-hashes -r requirements.txt -r .ci/requirements-build.txt
	@touch $@

# Editable, so that a change of the code applies at the next start.
$(BIN)/discount: pyproject.toml $(VENV)/.runs
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.tests: requirements-dev.txt $(BIN)/discount
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.peers: bench/peers/requirements.txt $(VENV)/.tests
	@$(PIP) -r bench/peers/requirements.txt
	@touch $@
