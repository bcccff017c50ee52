# The front door. Everything runs in .venv, which is made when missing and renewed when a pin changes.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install -c constraints.txt

.PHONY: help install tour test soak lint bench

help:
	@echo "make tour     install, run every study, write a report page"
	@echo "make test     install with dev tools, run lint, types, import contract and tests"
	@echo "make lint     lint, types and import contract only"
	@echo "make soak     runs whose workers are killed again and again, some minutes"
	@echo "make bench    run every benchmark"
	@echo "make install  only install"

install: .venv/installed

# torch comes first and by its pin, so that nothing else can bring in another build of it.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.version_info >= (3, 11) or sys.exit(f"Thalweg needs Python 3.11 or later, and $(PYTHON) is {v}; write: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) -e '.[dev]'
	@touch $@

tour: .venv/installed
	$(BIN)/thalweg tour

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyrefly check
	$(BIN)/lint-imports

# Two workers with one thread each: more threads than cores would slow both. Tests of one cluster go to one worker.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup

soak: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest soak -x -s

bench: .venv/installed-dev
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(BIN)/python "$$benchmark" || exit 1; done
