# The one entry to everything: `make help` lists it. Needs make, git and python3-venv, nothing else by hand.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests run in this many processes; they share one RabbitMQ and one PostgreSQL.
JOBS ?= auto
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The environment holds absolute paths: a tree that was moved gets a new one.
ifneq ($(wildcard $(VENV)/.made-in),)
ifneq ($(file <$(VENV)/.made-in),$(CURDIR))
$(shell rm -rf $(VENV))
endif
endif

.PHONY: help setup demo dev servers test check format bench schemas lock image-check changelog clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.setup ## create .venv from hash-locked requirements and install sheyin into it

demo: setup ## run the reference month with nothing but Python; ARGS="--payments 20000 --json out.json"
	@$(BIN)/sheyin demo $(ARGS)

dev: $(VENV)/.dev ## setup, plus the tools of the tests and the checks

servers: ## install RabbitMQ, PostgreSQL and the outside verifiers by apt, when missing
	@tests/install-servers.sh

test: dev servers ## run the whole test-suite on private servers; ARGS="tests/core -k name"
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope $(ARGS)

check: dev ## format, lint, types, tidiness, generated files up to date
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:xdist tests/test_tidy.py
	@$(BIN)/sheyin schemas --check

format: dev ## format the code and mend what the linter can mend
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

bench: dev servers ## the reference month through real RabbitMQ and PostgreSQL; ARGS="--json b.json"
	@$(BIN)/python -m bench $(ARGS)

schemas: dev ## write the generated files under schemas/ anew
	@$(BIN)/sheyin schemas

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock"
lock: dev ## resolve pyproject.toml into the two lock files; ARGS="--upgrade" for newer versions
	@$(LOCK) $(ARGS) pyproject.toml --group build --output-file requirements.lock
	@$(LOCK) $(ARGS) pyproject.toml --extra pkcs11 --group dev --constraints requirements.lock --output-file requirements-dev.lock

image-check: setup ## build and start the image without a Docker engine (root, Debian)
	@docker/image-check.sh

changelog: dev ## gather docs/changes into CHANGELOG.md; ARGS="--version 0.2.0"
	@$(BIN)/towncrier build $(ARGS)

clean: ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build *.egg-info image
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made-in:
	@python=$$(for p in $${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do \
	    "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; \
	done || true); \
	if [ -z "$$python" ]; then \
	    if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "This Python cannot make virtual environments: install python3-venv (apt-get install python3-venv)."; \
	    else \
	        echo "Sheyin needs Python 3.11 or later; found: $$(python3 --version 2>/dev/null || echo none)."; \
	    fi >&2; exit 1; \
	fi; \
	echo "Creating $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV); \
	printf "%s\n" "$(CURDIR)" > $@

$(VENV)/.setup: requirements.lock pyproject.toml | $(VENV)/.made-in
	@echo "Installing the locked requirements"
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.setup
	@echo "Installing the locked requirements of the tests and checks"
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@
