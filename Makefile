# `make demo` and `make test` need nothing but Python >= 3.11 and make: they build .venv first.
PYTHON ?= python3
BIN = .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-all check bench docs clean

# torch goes first, alone: nothing that follows may pull in another build of it.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/developer: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/harsanyi demo

test: .venv/developer
	$(BIN)/python -m pytest -m "not slow" --cov=interactions --cov-report=term --cov-fail-under=95

test-all: .venv/developer
	$(BIN)/python -m pytest

check: .venv/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/developer
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.sparse
	$(BIN)/python -m benchmarks.stacked

docs: .venv/developer
	$(BIN)/pdoc --output-directory site interactions models data analyses \
	    analyses.knowledge analyses.figures analyses.image_drawings analyses.sentence_drawings analyses.report analyses.study analyses.run analyses.comparison

clean:
	rm -rf .venv site
