# Waitlab. `make` alone prints what there is; every target says what it does behind its ##.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SERVICE ?=
WORKERS ?=
# Knobs set for one trial lab must not leak into the tests' own labs.
CLEAN := env -u RUNTIME -u LAB_HOME

.PHONY: help lab-up lab-down demo load scale status test test-long test-containers check format dashboards catalogue bench lock clean

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Knobs are environment variables: FLASK_WORKERS=4 FLASK_THREADS=8 FASTAPI_WORKERS=2 make lab-up"
	@echo "  The command behind it all is ./lab (try: ./lab --help)."

lab-up: ## start the lab, wait until all is healthy, print the addresses
	@./lab up

lab-down: ## stop the lab and leave nothing behind
	@./lab down

demo: ## two requests at once, blocked and awaited, drawn as bars on a time axis (20 s)
	@./lab demo

load: ## a bounded load on every stack of the running lab, I/O-bound and CPU-bound, as two tables (70 s)
	@./lab load

scale: ## change worker counts live: make scale SERVICE=flask WORKERS=4
	@if [ -z "$(SERVICE)" ] || [ -z "$(WORKERS)" ]; then \
	  echo "make scale needs a service and a number: make scale SERVICE=flask WORKERS=4" >&2; exit 2; fi
	@./lab scale $(SERVICE) $(WORKERS)

status: ## every worker: requests/s, share, in flight, queue, CPU, memory
	@./lab status

test: $(READY) ## the tests: real servers, no container, no browser, no long load (8 to 12 minutes on two cores)
	@$(CLEAN) $(BIN)/python -m pytest -q -m "not long and not containers" -n 3 --dist loadfile

test-long: $(READY) ## the suites that need a whole lab under load, or minutes
	@$(CLEAN) $(BIN)/python -m pytest -q -m long

test-again: $(READY) ## the tests that failed when tests last ran, once more and one after the other
	@$(CLEAN) $(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none

test-containers: $(READY) ## the lab in containers, on the Docker engine that answers (without one: .ci/engine start)
	@$(CLEAN) $(BIN)/python -m pytest -q -m containers tests/containers

check: $(READY) ## all that CI checks: format, lint, types, import rules, configuration, then the tests
	@$(BIN)/ruff format --check --quiet . || { echo "make format mends this" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/yamllint --strict .
	@$(BIN)/shellcheck lab waitlab/runtime/compose/up.sh .ci/run .ci/engine .ci/images/postgres-entrypoint
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/hadolint --ignore DL3006 --ignore DL3008 .ci/images/*.Dockerfile  # the stand-ins: what Debian has today
	@$(BIN)/codespell
	@$(BIN)/python -m waitlab.runtime.local.prometheus check
	@$(MAKE) --no-print-directory test

format: $(READY) ## format the code, mend what the linter can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

dashboards: $(READY) ## write grafana/dashboards from what waitlab/dashboards says
	@$(BIN)/python grafana/write.py

catalogue: $(READY) ## write docs/experiments from the experiments and the newest runs in results/ (or LAB_RESULTS)
	@$(BIN)/python -m waitlab.catalogue

bench: $(READY) ## the project's own figures: start-up, memory, cost of metrics, what verdicts are worth (2.5 hours; goes on where it stopped)
	@$(BIN)/python -m benchmarks

lock: $(READY) ## resolve all dependencies anew, in one resolution, with hashes and no registry address
	@cd requirements && compile="../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command make\ lock" && \
	  $$compile --upgrade requirements.in -o requirements.lock && \
	  $$compile --upgrade installer.in -o installer.lock && \
	  for part in services lab; do $$compile -c requirements.lock $$part.in -o $$part.lock || exit 1; done

clean: ## remove everything that was installed or downloaded, and what runs left in .lab; results/ stays
	@if [ -x $(BIN)/lab ] || docker compose version >/dev/null 2>&1; then ./lab down; fi
	@rm -rf $(VENV) .lab *.egg-info

# One resolution with hashes, installed by uv (seconds), by pip where uv cannot be had (a few minutes).
$(READY): requirements/requirements.lock requirements/installer.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Waitlab needs Python 3.11 or newer as $(PYTHON). On Debian 12: apt-get install python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python has no venv module. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) (once; about 350 MB)"
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.lock; then \
	  $(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements/requirements.lock && \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  echo "uv cannot be had here; installing with pip, which takes a few minutes" >&2; \
	  $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@
