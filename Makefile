# make run   install into .venv and start the service with an embedded PostgreSQL and a demo organization
# make test  install and run the whole test suite
# make help  list all targets
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?= .chargeback
UV := $(shell command -v uv 2>/dev/null)

# Container images often set this variable. Without bytecode, each command compiles 2,000 modules
# again, which takes five seconds.
unexport PYTHONDONTWRITEBYTECODE

# Prefer uv to pip: it installs in seconds instead of half a minute.
ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help run test mlflow mlflow-versions import-large published hardening pages check audit faults sbom deploy bundle vendor lint types schema lock clean docs reference bench bench-cold

help: ## list all targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/.runtime ## install, start PostgreSQL, load the demo organization, serve
	@exec $(BIN)/chargeback serve --demo --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

test: $(VENV)/.dev ## install and run the whole suite
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

deploy: $(VENV)/.deploy ## test the image, chart, Compose file, systemd units and bundle (minutes; see docs/install)
	$(BIN)/python -m pytest -m deploy tests/deploy

.PHONY: test-long
test-long: $(VENV)/.dev ## run the long forms of the property tests and the crash test (hours)
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/report/test_invariants.py tests/months/test_corrections.py tests/imports/test_any_reports.py
	CRASH_ROUNDS=100 $(BIN)/python -m pytest -s tests/process/test_crashes.py

mlflow: $(VENV)/.dev ## test imports from real MLflow servers (installs MLflow into .venvs, 0.9 GB)
	$(BIN)/python -m pytest -m mlflow tests/sources

mlflow-versions: $(VENV)/.dev ## test imports from older MLflow versions, too (0.8 GB each)
	$(BIN)/python -m pytest -m long tests/sources

import-large: $(VENV)/.dev ## import a year of reports of 1,000 workspaces and compare them
	$(BIN)/python -m pytest -m long tests/imports

check: lint types audit test mlflow ## run what CI runs: ruff, mypy --strict, pip-audit and all tests

published: ## run graphql-core's execution tests on our executor and on Strawberry's (a minute)
	@test -x .venvs/published/bin/python || $(PYTHON) -m venv .venvs/published
	@.venvs/published/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.lock
	@.venvs/published/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/published.lock
	@rm -rf .venvs/published/tests && mkdir -p .venvs/published/tests
	@.venvs/published/bin/python tools/published_tests.py $(CURDIR)/.venvs/published/bin/python $(CURDIR)/.venvs/published/tests

.PHONY: focus
FOCUS_PYTHON ?= $(shell for each in python3.12 python3.13 python3.14; do $$each --version >/dev/null 2>&1 && echo $$each && break; done)
focus: $(VENV)/.dev ## check the FOCUS files with the official validator (Python 3.12 or newer; 618 MB into .venvs)
	@test -n "$(FOCUS_PYTHON)" || { echo "The FOCUS validator needs Python 3.12 or newer: make focus FOCUS_PYTHON=…"; exit 1; }
	@test -x .venvs/focus/bin/focus-validator || { $(FOCUS_PYTHON) -m venv .venvs/focus && .venvs/focus/bin/python -m pip install --quiet --disable-pip-version-check focus-validator==2.2.1 'pyarrow<22' focus-data-toolkit==0.14.1; }
	@$(BIN)/python tools/focus.py .venvs/focus/bin .venvs/focus/files

hardening: $(VENV)/.dev ## run the long forms of the tests that attack a running service (15 minutes)
	$(BIN)/python -m pytest -m long tests/hardening

pages: $(VENV)/.dev ## run every command of the documentation as printed (minutes)
	$(BIN)/python -m pytest -m pages tests/documents

.PHONY: coverage
coverage: $(VENV)/.dev ## run the tests and list the lines that none reaches; TESTS=tests/web for a part
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(TESTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered

lint: $(VENV)/.dev ## run ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## run mypy --strict
	$(BIN)/mypy

audit: $(VENV)/.dev ## audit the locked packages for known vulnerabilities; does nothing offline
	@$(BIN)/python tools/audit.py

sbom: $(VENV)/.dev ## write the software bill of materials to dist/chargeback.cdx.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/python tools/sbom.py > dist/chargeback.cdx.json

bundle: $(VENV)/.runtime ## build an archive in dist/ that installs offline
	@$(BIN)/python tools/bundle.py $(BUNDLE)

faults: $(VENV)/.dev ## run the fault tests in 20 rounds (half an hour; `make test` does one)
	$(BIN)/python -m pytest tests/process/test_faults.py --rounds 20

docs: $(VENV)/.docs ## build the documentation site in dist/site and check its links
	$(BIN)/mkdocs build --quiet --strict

.PHONY: screenshots
screenshots: $(VENV)/.dev ## renew the screenshots of the documentation with the browser tests
	$(BIN)/python -m pytest tests/browser/test_graphiql.py tests/browser/test_statements.py tests/browser/test_licences_and_close.py
	cp $(addprefix artifacts/,signin.png graphiql.png completion.png month.png statement.png licences.png close.png) docs/images

reference: $(VENV)/.runtime ## generate docs/reference from the code
	$(BIN)/python tools/reference.py

bench: $(VENV)/.dev ## compare the product with its alternatives; BENCH=--quick for the short form
	$(BIN)/python -m bench $(BENCH)

bench-cold: $(VENV)/.dev ## measure the first report after a start, for the largest supported organization
	$(BIN)/python -m bench.cold

vendor: $(VENV)/.runtime ## download the third-party files of the pages and GraphiQL again (needs npm)
	$(BIN)/python tools/vendor.py

schema: $(VENV)/.dev ## write the GraphQL schema to schema/schema.graphql
	$(BIN)/python -m schema > schema/schema.graphql.new && mv schema/schema.graphql.new schema/schema.graphql

lock: ## update the lock files (needs uv)
	$(UV) pip compile $(LOCK) --extra build --extra mysql --extra s3 --extra traces pyproject.toml -o requirements/runtime.lock
	$(UV) pip compile $(LOCK) --extra build --extra dev -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock
	$(UV) pip compile $(LOCK) --extra deploy -c requirements/dev.lock pyproject.toml -o requirements/deploy.lock
	$(UV) pip compile $(LOCK) requirements/mlflow.in -o requirements/mlflow.lock
	$(UV) pip compile $(LOCK) requirements/mlflow-3.1.in -o requirements/mlflow-3.1.lock
	$(UV) pip compile $(LOCK) requirements/mlflow-2.22.in -o requirements/mlflow-2.22.lock
	$(UV) pip compile $(LOCK) -c requirements/runtime.lock requirements/published.in -o requirements/published.lock
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

clean: ## remove the environment and the caches but keep the data folder
	rm -rf $(VENV) .venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis artifacts

$(VENV)/bin/python:
	@echo "Creating $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Choose another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing the service …"
	@$(INSTALL) --require-hashes -r requirements/runtime.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.runtime
	@echo "Installing the development tools …"
	@$(INSTALL) --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.deploy: requirements/deploy.lock $(VENV)/.dev
	@echo "Installing the tools for the deployment tests …"
	@$(INSTALL) --require-hashes -r requirements/deploy.lock
	@touch $@

$(VENV)/.docs: requirements/docs.lock $(VENV)/.runtime
	@echo "Installing the documentation tools …"
	@$(INSTALL) --require-hashes -r requirements/docs.lock
	@touch $@
