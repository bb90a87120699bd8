# `make demo` and `make test` need nothing but Python >= 3.11 and make: they build .venv first.
PYTHON ?= python3
BIN = .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

PEERS = .venv/peers
BENCHMARKS = overhead transforms plans choice dense checkpoints beside peers sparse stacked many_players screening

# What a machine needs for `make gpu` that has torch, torchvision and transformers 5, and reaches no registry.
GPU_PYTHON ?= 3.12
WHEELS = wheels
GPU = .venv/gpu

.PHONY: demo test fuzz coverage test-all browser check bench $(BENCHMARKS:%=bench-%) gpu wheels chaos docs clean

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

# The engine's tests, then all others.
ENGINE = tests/interactions tests/device
test: .venv/developer
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ENGINE) $(CHECKED)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ENGINE:%=--ignore=%)

# The same tests, those of the engine with the shapes and types of all arguments checked and a bound on its coverage,
# which makes them nearly twice as long.
TYPES = --jaxtyping-packages=harsanyi.interactions,beartype.beartype
coverage: CHECKED = $(TYPES) --cov=harsanyi.interactions --cov-report=term --cov-fail-under=95
coverage: test

test-all: .venv/developer
	$(BIN)/python -m pytest $(PARALLEL) $(TYPES) --hypothesis-profile=long

# Readers of files on hostile ones, by a seed: 2,000 of them are in `make test`.
INPUTS ?= 100000
SEED ?= 0
fuzz: .venv/developer
	$(BIN)/python -W ignore -m tests.fuzz --inputs $(INPUTS) --seed $(SEED)

# Chromium, for the tests of the report: the system's, Debian's, or Playwright's own. Without one they are skipped.
browser: .venv/developer
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then \
		echo "browser: that of the system"; \
	elif [ "$$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1 && \
		apt-get install -qq -y --no-install-recommends chromium >/dev/null 2>&1; then \
		echo "browser: chromium of apt-get"; \
	elif timeout 300 $(BIN)/playwright install chromium-headless-shell >/dev/null 2>&1; then \
		echo "browser: that of Playwright"; \
	else \
		echo "browser: none to be had; the tests of the report in a browser are skipped"; \
	fi

check: .venv/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# All tables of benchmarks/README.md, or one: make bench-plans. With -k those go on that others would stop.
bench: $(BENCHMARKS:%=bench-%)

bench-plans bench-dense bench-checkpoints: ROUNDS = --rounds 3
bench-stacked: ROUNDS = --rounds 5
bench-transforms: ROUNDS = --rounds 15
bench-peers bench-many_players: $(PEERS)/installed

$(BENCHMARKS:%=bench-%): bench-%: .venv/developer
	PYTHONPATH=$(PEERS) $(BIN)/python -m benchmarks.$* $(ROUNDS)

# Beside the environment, so that nothing there depends on them.
$(PEERS)/installed: .venv/developer benchmarks/peers/peers.txt
	rm -rf $(PEERS)
	$(BIN)/python -m pip install --quiet --no-deps --target $(PEERS) --requirement benchmarks/peers/peers.txt
	touch $@

# Tests, errors and speed on the accelerator of this machine, in at most eight minutes; `make gpu ARGS=--second` tries
# the same on the second device of the tests. With a folder of wheels nothing is asked of a registry.
gpu: $(GPU)/installed
	$(GPU)/bin/python -m benchmarks.accelerator $(ARGS)

$(GPU)/installed: pyproject.toml
	$(PYTHON) -m venv --system-site-packages $(GPU)
	if [ -d $(WHEELS) ]; then \
		$(GPU)/bin/python -m pip install --quiet --no-index --no-deps --find-links $(WHEELS) -r $(WHEELS)/needed.txt; \
	else \
		$(GPU)/bin/python -m pip install --quiet '.[dev]' --requirement benchmarks/peers/peers.txt; \
	fi
	touch $@

wheels: .venv/developer
	$(BIN)/python -m benchmarks.wheels $(WHEELS) $(GPU_PYTHON)

# Runs that are killed, written twice, without room, damaged: hours. What was tried stays in CHAOS, and goes on there.
CHAOS ?= runs/chaos
chaos: .venv/developer
	$(BIN)/python -m benchmarks.chaos $(CHAOS) --page docs/faults.md $(ARGS)

# The site, in site/: notebooks run, warnings are errors, links and anchors are checked, nothing comes from the network.
docs: .venv/developer
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python docs/offline.py site

clean:
	rm -rf .venv site $(WHEELS)
