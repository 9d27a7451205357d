# The commands a newcomer needs. Everything is installed into .venv; nothing else on the machine is touched.
#   make demo    sets everything up, then runs the whole system on this machine
#   make test    sets everything up, then lint, types, import contracts and every test
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?=
FUZZ ?=
TESTS ?= tests
# Test files at a time, each with a Kafka of its own: tests wait more than they compute.
AT_ONCE ?= 2

.PHONY: help prerequisites setup demo test lint format unit chaos explore fuzz bench lock clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "make setup | lint | format | unit | chaos | explore | fuzz | bench | lock | clean"

# Named before anything is downloaded.
prerequisites:
	@missing=0; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { missing=1; \
	  echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv  (or PYTHON=/path/to/python3.11 make …)" >&2; }; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { missing=1; \
	  echo "Python's venv module is needed: apt-get install python3-venv" >&2; }; \
	version=$$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'); \
	[ "$${version:-0}" -ge 17 ] || { missing=1; echo "A JDK 17 or newer is needed (Kafka, registry): apt-get install openjdk-17-jdk-headless" >&2; }; \
	command -v mvn >/dev/null || { missing=1; echo "Maven is needed (it brings Kafka): apt-get install maven" >&2; }; \
	exit $$missing

setup: $(READY)

$(READY): requirements-dev.txt pyproject.toml | prerequisites
	@echo "installing into $(VENV) (once; about 1 GB)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

# DEMO takes options: make demo DEMO="--meters 1000 --for 5m"
demo: setup
	@$(BIN)/hes demo $(DEMO)

test: lint
	@$(BIN)/pytest -n $(AT_ONCE) --dist loadfile $(TESTS)

lint: setup
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

unit: setup
	@$(BIN)/pytest tests/unit

chaos: setup
	@$(BIN)/pytest -m "chaos or long" tests/chaos tests/integration

# Examples that nobody has tried yet, of every property; what fails is kept in .hypothesis and tried first the next time.
explore: setup
	@$(BIN)/pytest --hypothesis-profile=default tests/unit tests/fuzz

# Longer than the short run that is part of the tests; FUZZ takes options, such as --help.
fuzz: setup
	@$(BIN)/python -m tests.fuzz.drive $(FUZZ)

bench: setup
	@$(BIN)/hes bench decode && $(BIN)/hes bench split && $(BIN)/hes bench sink

# Exact pins with hashes, for services and for everything.
lock: setup
	@$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --no-header --universal --python-version 3.11 \
	  --extra dev pyproject.toml -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --universal --python-version 3.11 \
	  --extra clickhouse --extra tracing pyproject.toml -c requirements-dev.txt -o requirements.txt

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
