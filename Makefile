# `make demo` and `make test` need nothing but Python >= 3.11 and make: they build .venv first.
PYTHON ?= python3
BIN = .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

PEERS = .venv/peers
BENCHMARKS = overhead plans dense checkpoints peers sparse stacked many_players screening

.PHONY: demo test coverage test-all check bench $(BENCHMARKS:%=bench-%) docs clean

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

# As many processes as cores, and no more than memory has room for.
PARALLEL = --numprocesses=logical --maxprocesses=8 --dist=worksteal

test: .venv/developer
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(COVERAGE)

# The same tests with the bound on coverage, which takes them half as long again.
coverage: COVERAGE = --cov=harsanyi.interactions --cov-report=term --cov-fail-under=95
coverage: test

test-all: .venv/developer
	$(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=long

check: .venv/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# All tables of benchmarks/README.md, or one: make bench-plans. With -k those go on that others would stop.
bench: $(BENCHMARKS:%=bench-%)

bench-plans bench-dense bench-checkpoints: ROUNDS = --rounds 3
bench-stacked: ROUNDS = --rounds 5
bench-peers bench-many_players: $(PEERS)/installed

$(BENCHMARKS:%=bench-%): bench-%: .venv/developer
	PYTHONPATH=$(PEERS) $(BIN)/python -m benchmarks.$* $(ROUNDS)

# Beside the environment, so that nothing there depends on them.
$(PEERS)/installed: .venv/developer benchmarks/peers/peers.txt
	rm -rf $(PEERS)
	$(BIN)/python -m pip install --quiet --no-deps --target $(PEERS) --requirement benchmarks/peers/peers.txt
	touch $@

docs: .venv/developer
	$(BIN)/pdoc --output-directory site harsanyi

clean:
	rm -rf .venv site
