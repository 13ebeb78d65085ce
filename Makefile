.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-heavy test-access test-browser test-long bench bench-peers lint types contracts check-migrations check format migrations messages openapi pictures query-counts lock image clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The packages that maim is compared with are no part of it.
PEERS := .venv-peers
MANAGE := $(BIN)/python manage.py

# MySQL and MariaDB need a C library to compile against; the embedded default needs nothing but Python.
DATABASE := $(or $(DATABASE_URL),$(if $(DATABASE_URL_FILE),$(shell cat '$(DATABASE_URL_FILE)')))
REQUIREMENTS := $(if $(filter mysql%,$(DATABASE)),requirements.txt,requirements-embedded.txt)

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 18

run: $(VENV)/installed-$(REQUIREMENTS) ## Run both surfaces (SQLite under var/, or DATABASE_URL), until Ctrl-C
	@echo "Migrating the database: $(or $(firstword $(subst :, ,$(DATABASE))),sqlite)"
	@$(MANAGE) migrate --verbosity 0
	@exec $(MANAGE) serve

test: $(VENV)/installed-requirements-dev.txt ## Run each test once, on SQLite or on MariaDB with Redis
	@$(BIN)/python -m tests.run $(ARGS)

test-heavy: $(VENV)/installed-requirements-dev.txt ## Run the tests of faults, load, many pages and many processes
	@$(BIN)/python -m tests.run --heavy

bench: $(VENV)/installed-requirements-dev.txt ## Measure speed and memory against bare Django (see bench/README.md)
	@$(BIN)/python -m bench $(ARGS)

bench-peers: $(VENV)/installed-requirements-dev.txt $(PEERS)/installed ## Compare maim with other ways to verify API keys (see docs/benchmarks.md)
	@$(BIN)/python -m bench.peers $(ARGS)

test-browser: $(VENV)/installed-requirements-dev.txt ## Run the tests in a browser (needs Chromium); pictures are in var/browser
	@$(BIN)/python -m pytest -q -o "python_files=tests/browser/*.py" tests/browser $(ARGS)

test-long: $(VENV)/installed-requirements-dev.txt ## Run the long tests: thousands of changes, dozens of faults (20 minutes)
	@EXAMPLES_TIMES=20 $(BIN)/python -m tests.run -s tests/long/guarantee.py tests/long/faults.py tests/long/feed.py \
	  tests/long/moving.py tests/long/interrupted.py tests/long/documents.py tests/long/failover.py \
	  tests/long/audit.py tests/long/bridge.py tests/long/overload.py tests/long/console.py agents/tests/test_config_round_trip.py agents/tests/test_config_versions.py \
	  agents/tests/test_config_import.py agents/tests/test_effective.py agents/tests/test_tenant_defaults.py \
	  agents/tests/test_transfer_files.py agent_config/tests/test_trust.py \
	  agent_config/tests/test_layers.py agent_config/tests/test_schema_validation.py tests/test_fastpath_fuzz.py tests/test_large_lists.py $(ARGS)

test-access: $(VENV)/installed-requirements-dev.txt ## Remove each access check in turn, and see a test fail (half an hour)
	@$(BIN)/python -m pytest -q -s -o "python_files=*.py" tests/long/access_checks.py $(ARGS)

check: lint types contracts check-migrations ## Everything that needs no server: lint, types, contracts, migrations

lint: $(VENV)/installed-requirements-dev.txt ## Check format and style
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .

types: $(VENV)/installed-requirements-dev.txt ## Check types, strictly
	@$(BIN)/mypy .

contracts: $(VENV)/installed-requirements-dev.txt ## Check that imports point down only
	@$(BIN)/lint-imports

check-migrations: $(VENV)/installed-requirements-dev.txt ## Check that migrations match the models
	@$(MANAGE) makemigrations --check --dry-run

format: $(VENV)/installed-requirements-dev.txt ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

migrations: $(VENV)/installed-requirements-dev.txt ## Write migrations for changed models
	@$(MANAGE) makemigrations

messages: $(VENV)/installed-requirements-dev.txt ## Collect and compile translations (needs gettext)
	@$(MANAGE) makemessages --locale zh_Hans --no-location --no-wrap --ignore '.venv*/*' --ignore 'var/*'
	@$(MANAGE) compilemessages --ignore '.venv*/*' --verbosity 0

openapi: $(VENV)/installed-requirements-dev.txt ## Rewrite the committed OpenAPI documents and docs/config-fields.md
	@$(BIN)/python -m pytest tests/test_openapi.py agents/tests/test_field_table.py --write-snapshots

pictures: $(VENV)/installed-requirements-dev.txt ## Rewrite docs/pictures (needs Chromium)
	@$(BIN)/python -m pytest -q -o "python_files=tests/browser/*.py" tests/browser/admin_work.py -k en-US-desktop --write-pictures

query-counts: $(VENV)/installed-requirements-dev.txt ## Rewrite the committed query counts
	@$(BIN)/python -m pytest tests/test_query_counts.py --write-snapshots

lock: ## Pin the dependencies of pyproject.toml, with hashes (needs uv)
	@for target in "requirements-embedded.txt" "requirements.txt --extra mysql" \
	    "requirements-dev.txt --group dev --constraint requirements.txt"; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" pyproject.toml -o $$target || exit 1; done
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --constraint requirements.txt --constraint requirements-dev.txt \
	  bench/peers/requirements.in -o bench/peers/requirements.txt

image: ## Build the container image
	@docker build --tag maim .

clean: ## Remove the virtual environments and caches; var/ with its data stays
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "maim needs Python 3.11, 3.12 or 3.13; try: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(PEERS)/installed: bench/peers/requirements.txt
	@echo "Installing the peers into $(PEERS)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# A stamp for each set of requirements: a second run installs nothing.
$(VENV)/installed-requirements-dev.txt: $(VENV)/installed-requirements-embedded.txt

$(VENV)/installed-%: % | $(BIN)/python
	@echo "Installing $* into $(VENV), which takes a minute or two this once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $*
	@touch $@
