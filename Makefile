PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two OpenMP runtimes (torch's and faiss's) would spin against each other.
export OMP_WAIT_POLICY := PASSIVE
# Whole lines of what runs at once, where make can (macOS ships 3.81, which cannot).
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=line)

.PHONY: demo test test-folders test-files check nightly benchmark format clean

demo: $(STAMP)
	$(BIN)/voxaudit demo

# Two halves at once, one a core: what lies in folders of tests/, and what lies in tests/ itself.
test: $(STAMP)
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs=2 $(SYNC) --keep-going test-folders test-files

test-folders: $(STAMP)
	@$(BIN)/python -m pytest --ignore-glob='tests/test_*.py'

test-files: $(STAMP)
	@$(BIN)/python -m pytest --ignore-glob='tests/*/*'

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

nightly: $(STAMP)
	$(BIN)/python -m pytest -m "not gpu"

benchmark: $(STAMP)
	$(BIN)/python -m pytest -m benchmark tests/benchmarks

format: $(STAMP)
	$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The stamp is younger than pyproject.toml once everything is installed: a second call starts at once.
# torch and torchvision come first and alone: asked for together with the rest, pip may pick a build of one
# that the other does not load.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "voxaudit needs Python 3.11 or newer; observed $$($(PYTHON) --version). Set PYTHON=python3.11."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet --editable ".[test,check]"
	@touch $(STAMP)
