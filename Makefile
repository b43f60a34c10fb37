# The only door: every target sets up what it needs by itself, in .venv and .venvs/.
# Needs Python >= 3.11 with venv, and make. Say `make PYTHON=python3.12 test` to choose an interpreter.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done || true)
ifeq ($(strip $(PYTHON)),)
PYTHON := python3
endif

BIN := .venv/bin
ENSURE := $(PYTHON) -B scripts/venv.py
PYTEST := $(BIN)/python -m pytest
# One worker per core, two at least: much of a test's time is spent waiting for loopback.
PARALLEL ?= -n auto --maxprocesses=4
# Extra arguments: make test ARGS='-k replay'
ARGS ?=

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  %-18s %s\n' "$$name" "$$text"; done

.PHONY: env env-dev env-hf env-hf-old env-minters env-ci-files env-registries env-clients env-schemathesis env-bench env-docs env-dist env-pages env-tutorial
env:
	@$(ENSURE) .venv requirements/demo.txt --editable
env-dev:
	@$(ENSURE) .venv requirements/demo.txt requirements/dev.txt --editable
env-hf:
	@$(ENSURE) .venvs/hf-2.4.0 requirements/hf-2.4.0.txt
env-schemathesis:
	@$(ENSURE) .venvs/schemathesis requirements/schemathesis.txt
env-hf-old:
	@$(ENSURE) .venvs/hf-1.19.0 requirements/hf-1.19.0.txt
# GitHub's own toolkit is a package for node, whose own is newer than Debian's and made below.
ACTIONS_CORE := .venvs/actions-core/node_modules
env-minters: $(ACTIONS_CORE)
	@$(ENSURE) .venvs/minters requirements/minters.txt
$(ACTIONS_CORE): tests/journeys/actions_core/package-lock.json requirements/node.txt
	@$(ENSURE) .venvs/node requirements/node.txt
	@echo "installing $<"; mkdir -p $(@D); cp $< tests/journeys/actions_core/package.json $(@D)
	@PATH="$(CURDIR)/.venvs/node/bin:$$PATH" npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@
# Package registries and the tools that publish to them; their node is newer than Debian's.
NODE := $(CURDIR)/.venvs/node/bin
NPM_TOOLS := .venvs/npm-tools/node_modules
env-registries: $(NPM_TOOLS)
	@$(ENSURE) .venvs/pypiserver requirements/pypiserver.txt
	@$(ENSURE) .venvs/pypi-tools requirements/pypi-tools.txt --editable
$(NPM_TOOLS): tests/journeys/npm_tools/package-lock.json requirements/node.txt
	@$(ENSURE) .venvs/node requirements/node.txt
	@echo "installing $<"; mkdir -p $(@D); cp $< tests/journeys/npm_tools/package.json $(@D)
	@PATH="$(NODE):$$PATH" npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@
# Generic OAuth clients that get a token without knowing us.
OPENID_CLIENT := .venvs/openid-client/node_modules
env-clients: $(OPENID_CLIENT)
	@$(ENSURE) .venvs/clients requirements/clients.txt
$(OPENID_CLIENT): tests/journeys/openid_client/package-lock.json requirements/node.txt
	@$(ENSURE) .venvs/node requirements/node.txt
	@echo "installing $<"; mkdir -p $(@D); cp $< tests/journeys/openid_client/package.json $(@D)
	@PATH="$(NODE):$$PATH" npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@
env-dist:
	@$(ENSURE) .venvs/dist requirements/dist.txt
	@$(ENSURE) .venvs/smoke requirements/demo.txt
# The provider that people sign in with in the pages' journey.
IDENTITY_PROVIDER := .venvs/identity-provider/node_modules
env-pages: $(IDENTITY_PROVIDER)
$(IDENTITY_PROVIDER): tests/journeys/identity_provider/package-lock.json requirements/node.txt
	@$(ENSURE) .venvs/node requirements/node.txt
	@echo "installing $<"; mkdir -p $(@D); cp $< tests/journeys/identity_provider/package.json $(@D)
	@PATH="$(NODE):$$PATH" npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@
env-ci-files:
	@$(ENSURE) .venvs/ci-files requirements/ci-files.txt
# What pip finds for the tutorial, which installs from nothing and without a network.
WHEELS := .venvs/wheels
env-tutorial: env-dev $(WHEELS)/stamp
$(WHEELS)/stamp: requirements/demo.txt requirements/hf-2.4.0.txt | env-dev
	@echo "fetching what the tutorial installs"; rm -rf $(WHEELS); mkdir -p $(WHEELS)
	@for lock in $^; do $(BIN)/python -m pip download -qq --disable-pip-version-check --no-deps --require-hashes \
		--only-binary :all: --dest $(WHEELS) --requirement $$lock || exit 1; done
	@touch $@
env-docs:
	@$(ENSURE) .venvs/docs requirements/docs.txt
# The peers of the benchmarks. Without npm one of them is left out, and the output says so.
NODE_PEER := .venvs/oidc-provider/node_modules
env-bench: $(if $(shell command -v npm),$(NODE_PEER))
	@$(ENSURE) .venvs/bench bench/requirements.txt
$(NODE_PEER): bench/peers/oidc_provider/package-lock.json
	@echo "installing $<"; mkdir -p $(@D); cp $< bench/peers/oidc_provider/package.json $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: demo
demo: env env-hf ## one CI job publishes a model and a dataset without a stored secret; then six refusals
	@$(BIN)/keyless demo --hf .venvs/hf-2.4.0/bin/hf $(ARGS)

# Left out of `make quick`: what starts processes, or changes a whole service a hundred times.
SLOW := cli client/test_diagnosis.py client/test_fork.py demo journeys server/cli server/doors/test_token.py \
	test_import_cost.py test_package.py testing

.PHONY: quick
quick: env-dev ## lint and the tests that start no process (< 30 s)
	@$(BIN)/ruff check --quiet .
	@$(PYTEST) $(PARALLEL) -q --durations=3 -m 'not journey and not fault and not slow and not hypothesis' \
		$(addprefix --ignore=tests/,$(SLOW)) $(ARGS)

.PHONY: test
test: check ## everything that gates: lint, types, layers, all tests, the wheel (< 10 min)
	@$(PYTEST) $(PARALLEL) $(ARGS)

.PHONY: check
check: env-dev env-ci-files ## lint, formatting, types, import layers; the workflow and the action
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	.venvs/ci-files/bin/check-jsonschema --builtin-schema vendor.github-actions action.yml
	.venvs/ci-files/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venvs/ci-files/bin/zizmor --offline --pedantic --quiet action.yml .github/workflows
	.venvs/ci-files/bin/shellcheck ci/*.sh .ci/run

.PHONY: fmt
fmt: env-dev ## format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: journeys
journeys: env-dev env-hf env-hf-old env-minters env-ci-files env-registries env-clients env-schemathesis env-pages env-tutorial env-docs ## whole CI jobs with real, unmodified clients
	@$(PYTEST) $(PARALLEL) -o timeout=180 -m 'journey and not newest' $(ARGS)

.PHONY: docs
docs: env-dev env-docs ## the documentation as a site, in build/site; fails on a dead link or a page that is not up to date
	@$(BIN)/python -m scripts.docs --check
	@rm -rf build/site
	@.venvs/docs/bin/sphinx-build -E -W --keep-going -q -j auto -b html -d build/site-cache docs build/site
	@$(BIN)/python -m scripts.docs.links build/site
	@echo "the site is in build/site/index.html"

.PHONY: screenshots
screenshots: env-dev env-pages ## pictures of every web page, light and dark, phone and wide, in build/screenshots
	@KEYLESS_TEST_SCREENSHOTS=build/screenshots $(PYTEST) -o timeout=180 -m journey -k everybody tests/journeys/test_pages.py \
		tests/journeys/test_pages_sign_in.py $(ARGS)

.PHONY: recording
recording: env-dev env-hf ## record the terminal that the README shows: docs/pictures/terminal.svg
	@$(BIN)/python -m scripts.recording .venvs/hf-2.4.0/bin/hf

.PHONY: journeys-newest
journeys-newest: env-dev ## the same with the newest huggingface_hub there is (never gates)
	@$(PYTHON) -m venv .venvs/hf-newest
	@.venvs/hf-newest/bin/python -m pip install --quiet --upgrade huggingface_hub
	@KEYLESS_TEST_HF=.venvs/hf-newest/bin/hf $(PYTEST) -o timeout=180 -m journey $(ARGS)

.PHONY: faults
faults: env-dev ## kills, traces, outages and cut networks around one service and three replicas (needs root)
	@$(PYTEST) -m fault
	@$(BIN)/python -m tests.faults.replicas $(ARGS)

.PHONY: guards
guards: env-dev ## take each check out of a copy of the source: the test that proves it must fail (minutes)
	@$(BIN)/python -m tests.guards $(ARGS)

.PHONY: fuzz
fuzz: env-dev ## 100,000 bodies at the token door; then the property tests with very many examples
	@$(BIN)/python -m tests.fuzz
	@HYPOTHESIS_PROFILE=fuzz $(PYTEST) $(PARALLEL) -m 'hypothesis and not journey' -o timeout=0 $(ARGS)

.PHONY: api-fuzz
api-fuzz: env-dev env-schemathesis ## at least 5,000 requests made from the API's document: no 5xx, no surprise
	@KEYLESS_API_FUZZ_CASES=5000 $(PYTEST) -s -o timeout=1500 -m journey tests/journeys/test_api_fuzz.py $(ARGS)

.PHONY: bench
bench: env-dev env-hf env-bench ## figures, as ratios measured side by side in one run; never a test
	@for program in bench/*.py; do echo "== $$program"; $(BIN)/python $$program $(ARGS) || exit 1; done

.PHONY: soak
soak: env-dev ## half the service's capacity for ten minutes; memory and descriptors must stay
	@$(BIN)/python bench/overload.py --soak 600 $(ARGS)

.PHONY: coverage
coverage: env-dev ## the tests once more, with the lines and branches they miss
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

.PHONY: dist
dist: env-dist ## the sdist and the wheel in dist/: built twice to the same bytes, checked where nothing else is
	@.venvs/dist/bin/python scripts/dist.py dist $(ARGS)
	@.venvs/dist/bin/twine --no-color check --strict dist/*
	@.venvs/dist/bin/python scripts/smoke.py dist .venvs/smoke

.PHONY: promises
promises: env-dev ## write down what versions promise, in tests/promises.json; stops when something is gone
	@$(BIN)/python -m scripts.promises $(ARGS)

.PHONY: lock
lock: env-dev ## write requirements/*.txt anew; ARGS=--upgrade takes newer releases
	@$(BIN)/python scripts/lock.py $(ARGS)

.PHONY: clean
clean: ## remove everything that make made
	rm -rf .venv .venv.lock .venvs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* htmlcov \
		.import_linter_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
