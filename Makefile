# make train   sets everything up, then trains on the simulated gateware
# make test    sets everything up, then runs all tests
# make calibrate   sets everything up, then calibrates the reference board: a circuit in ngspice, over SCPI
# make bitstreams   sets everything up, then builds a bitstream of each FPGA family; fails if its timing is not met

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TYPED := equipoise.substrate equipoise.drivers equipoise.calibration equipoise.host

# Two threads of BLAS on a shared core were seen to be far slower than one.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: train test calibrate bitstreams formal gatelevel lint types clean

train: $(READY)
	$(BIN)/equipoise train --recipe digits-quick

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile

calibrate: $(READY)
	address=$$(mktemp); $(BIN)/equipoise serve-board --mismatch 0.03 --seed 1 > $$address & server=$$!; \
	trap 'kill $$server; rm $$address' EXIT; \
	until [ -s $$address ]; do kill -0 $$server || exit 1; sleep 0.2; done; \
	$(BIN)/equipoise calibrate --device "$$(cat $$address)"

bitstreams: $(READY)
	$(BIN)/equipoise build ulx3s-25f --geometry lanes=2,contexts=1
	$(BIN)/equipoise build icebreaker

# Proofs (docs/formal.md), and netlists of both FPGA families against the golden model (docs/gatelevel.md).
formal: $(READY)
	$(BIN)/pytest -m formal tests/formal

gatelevel: $(READY)
	$(BIN)/pytest -m gatelevel tests/gatelevel

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The repository's root is the package, whatever its folder is called: give it the package's name for the type checker.
types: $(READY)
	mkdir -p build/typing && ln -sfn ../.. build/typing/equipoise
	cd build/typing && MYPYPATH=. ../../$(BIN)/mypy $(TYPED:%=-p %)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Equipoise needs Python 3.11 or newer; say which with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]' --constraint requirements.lock
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
