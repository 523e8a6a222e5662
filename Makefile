# make app       set up what is missing, then start the dashboard and print its address
# make test      set up what is missing, then run every check and test (WORKERS=2 at a time)
# make setup     only prepare .venv (TORCH=cpu, the default, or TORCH=cuda)
# make validate  the slow science in tests/validation
# make faults    break jobs and store some sixty times, and print what held
# make test-duckdb  the tests of the store on the newest DuckDB 1.5, in .venv/duckdb-1.5

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?= $(or $(shell cat .venv/.torch 2>/dev/null),cpu)
PORT ?= 8501
WORKERS ?= 2
ifneq ($(origin HOST),command line)
HOST := 127.0.0.1
endif

PIP = .venv/bin/python -m pip --disable-pip-version-check
# Two makes in one checkout take turns; the Makefile itself is the lock.
ALONE = $(if $(shell command -v flock),flock Makefile)

.PHONY: app test test-duckdb setup validate faults lint browser clean
.DELETE_ON_ERROR:

setup: .venv/.runtime

app: .venv/.runtime
	@.venv/bin/python server.py --host $(HOST) --port $(PORT)

test: lint browser
	.venv/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile

validate: .venv/.development
	.venv/bin/python -m pytest tests/validation

faults: .venv/.development
	.venv/bin/python -m tests.faults

# Only DuckDB differs: the rest comes from .venv, behind it on the path.
test-duckdb: .venv/.development
	.venv/bin/python -m venv --clear --without-pip .venv/duckdb-1.5
	$(PIP) --python .venv/duckdb-1.5/bin/python install -q 'duckdb==1.5.*'
	.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  >"$$(.venv/duckdb-1.5/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/rest.pth"
	.venv/duckdb-1.5/bin/python -c 'import duckdb; print("DuckDB", duckdb.__version__); assert duckdb.__version__ < "1.6"'
	.venv/duckdb-1.5/bin/python -m pytest tests/store

lint: .venv/.development
	.venv/bin/ruff check .
	PYTHONPATH=. .venv/bin/lint-imports
	.venv/bin/mypy

# Browser tests want a chromium on PATH: taken as it is, installed where root and apt allow that, else done without.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && $(ALONE) sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q chromium' \
	  >/dev/null 2>&1 && command -v chromium >/dev/null; } \
	  || echo "No chromium on PATH and none could be installed: the tests in tests/browser will be skipped."

.venv/bin/python:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Regime Atlas needs Python 3.11 or newer; name one with PYTHON=/path/to/python3.11."; exit 1; }
	@$(ALONE) sh -c '[ -x .venv/bin/pip ] || $(PYTHON) -m venv .venv 2>/dev/null \
	  || { $(PYTHON) -m venv --without-pip --clear .venv && $(PYTHON) -m pip --python .venv/bin/python install -q pip; }'

# torch comes first, because the build (CPU or CUDA) is a choice that a version number does not tell. Where pip finds no
# CPU build, set PIP_EXTRA_INDEX_URL to the index of CPU wheels that PyTorch names in its installation guide.
.venv/.torch-$(TORCH): requirements.txt | .venv/bin/python
	@echo "Installing torch ($(TORCH)) into .venv."
	@$(ALONE) sh -c 'set -e; pin=$$(grep ^torch== requirements.txt); rm -f .venv/.torch*; \
	  case $(TORCH) in \
	    cpu) $(PIP) install -q "$$pin+cpu" 2>/dev/null \
	      || { echo "pip finds no CPU build of torch here; installing the usual one (see the Makefile)."; \
	           $(PIP) install -q "$$pin"; } ;; \
	    cuda) $(PIP) uninstall -q -y torch; $(PIP) install -q "$$pin" ;; \
	    *) echo "TORCH is cpu or cuda, got $(TORCH)."; exit 1 ;; \
	  esac; echo $(TORCH) >.venv/.torch; touch $@'

.venv/.runtime: requirements.txt .venv/.torch-$(TORCH)
	@echo "Installing what requirements.txt pins into .venv."
	@$(ALONE) $(PIP) install -q -r requirements.txt
	@touch $@

.venv/.development: requirements-dev.txt .venv/.runtime
	@echo "Installing what requirements-dev.txt pins into .venv."
	@$(ALONE) $(PIP) install -q -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv
