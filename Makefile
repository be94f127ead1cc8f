# make run   installs into .venv, starts the service with its own PostgreSQL and a demo organization
# make test  installs and passes the whole suite
# make help  the rest
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?= .chargeback
UV := $(shell command -v uv 2>/dev/null)

# uv is used when it is there (seconds instead of half a minute); pip does the same without it.
ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help run test mlflow mlflow-versions import-large published hardening pages check audit faults sbom deploy bundle vendor lint types schema lock clean docs reference bench bench-cold

help: ## what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.runtime ## install, start PostgreSQL, load the demo organization, serve
	@exec $(BIN)/chargeback serve --demo --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

test: $(VENV)/.dev ## install and run the whole suite
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

deploy: $(VENV)/.deploy ## check what deploys it: image, chart, compose, units, bundle (minutes; see docs/install)
	$(BIN)/python -m pytest -m deploy tests/deploy

.PHONY: test-long
test-long: $(VENV)/.dev ## the property tests and the crash test in their long form: some hours
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/report/test_invariants.py tests/months/test_corrections.py tests/imports/test_any_reports.py
	CRASH_ROUNDS=100 $(BIN)/python -m pytest -s tests/process/test_crashes.py

mlflow: $(VENV)/.dev ## read real MLflow servers (installs MLflow into .venvs, 0.9 GB)
	$(BIN)/python -m pytest -m mlflow tests/sources

mlflow-versions: $(VENV)/.dev ## the same with older MLflows (0.8 GB each)
	$(BIN)/python -m pytest -m long tests/sources

import-large: $(VENV)/.dev ## a year of reports of 1,000 workspaces, imported and read back
	$(BIN)/python -m pytest -m long tests/imports

check: lint types audit test mlflow ## what CI runs: ruff, mypy --strict, known vulnerabilities, the tests

published: ## graphql-core's published execution tests on our executor and on Strawberry's (a minute)
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

hardening: $(VENV)/.dev ## the long forms of the attacks on a running service (15 minutes)
	$(BIN)/python -m pytest -m long tests/hardening

pages: $(VENV)/.dev ## run every block of commands of the documents, as printed (minutes)
	$(BIN)/python -m pytest -m pages tests/documents

.PHONY: coverage
coverage: $(VENV)/.dev ## run the suite and report which lines no test reaches; TESTS=tests/web for a part
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(TESTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered

lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

audit: $(VENV)/.dev ## look for known vulnerabilities in the locked packages (pip-audit); skipped where no database is reached
	@$(BIN)/python tools/audit.py

sbom: $(VENV)/.dev ## write what the service is made of to dist/chargeback.cdx.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/python tools/sbom.py > dist/chargeback.cdx.json

bundle: $(VENV)/.runtime ## one archive that installs without internet, into dist/
	@$(BIN)/python tools/bundle.py $(BUNDLE)

faults: $(VENV)/.dev ## the tests of accidents, 20 rounds of each (half an hour; `make test` does one)
	$(BIN)/python -m pytest tests/process/test_faults.py --rounds 20

docs: $(VENV)/.docs ## the documents as a site, into dist/site; links are checked
	$(BIN)/mkdocs build --quiet --strict

.PHONY: screenshots
screenshots: $(VENV)/.dev ## take the documents' pictures anew, by the browser tests
	$(BIN)/python -m pytest tests/browser/test_graphiql.py tests/browser/test_statements.py tests/browser/test_licences_and_close.py
	cp $(addprefix artifacts/,signin.png graphiql.png completion.png month.png statement.png licences.png close.png) docs/images

reference: $(VENV)/.runtime ## generate docs/reference from the code
	$(BIN)/python tools/reference.py

bench: $(VENV)/.dev ## the product beside its alternatives; BENCH=--quick for the short form
	$(BIN)/python -m bench $(BENCH)

bench-cold: $(VENV)/.dev ## the first report of the largest supported organization, just started
	$(BIN)/python -m bench.cold

vendor: $(VENV)/.runtime ## fetch the third-party files of the pages and GraphiQL anew (needs npm)
	$(BIN)/python tools/vendor.py

schema: $(VENV)/.dev ## write the public contract to schema/schema.graphql
	$(BIN)/python -m schema > schema/schema.graphql.new && mv schema/schema.graphql.new schema/schema.graphql

lock: ## resolve the dependencies anew (needs uv)
	$(UV) pip compile $(LOCK) --extra build --extra mysql --extra s3 --extra traces pyproject.toml -o requirements/runtime.lock
	$(UV) pip compile $(LOCK) --extra build --extra dev -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock
	$(UV) pip compile $(LOCK) --extra deploy -c requirements/dev.lock pyproject.toml -o requirements/deploy.lock
	$(UV) pip compile $(LOCK) requirements/mlflow.in -o requirements/mlflow.lock
	$(UV) pip compile $(LOCK) requirements/mlflow-3.1.in -o requirements/mlflow-3.1.lock
	$(UV) pip compile $(LOCK) requirements/mlflow-2.22.in -o requirements/mlflow-2.22.lock
	$(UV) pip compile $(LOCK) -c requirements/runtime.lock requirements/published.in -o requirements/published.lock
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

clean: ## remove the environment and the caches, not the data folder
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
	@echo "Installing what checks deployments …"
	@$(INSTALL) --require-hashes -r requirements/deploy.lock
	@touch $@

$(VENV)/.docs: requirements/docs.lock $(VENV)/.runtime
	@echo "Installing what builds the documents …"
	@$(INSTALL) --require-hashes -r requirements/docs.lock
	@touch $@
