# make demo | test | test-faults | browser | test-cuda | torch | gpu | check | docs | pictures | site | bench | bench-gpu | conformance | clean.
# PYTHON is the interpreter that .venv is made with (3.11 or newer).
PYTHON ?= python3
PYTEST_ARGS ?= -n 2
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-faults browser test-cuda torch gpu check docs pictures site bench bench-gpu conformance clean

demo: .venv/.demo
	$(BIN)/python examples/digits.py

test: .venv/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Every fault of checkpoints and tables that `make test` tries a tenth of: losses of power, damage, full disks, killed processes,
# of clusters, their workers and machines too; 10**5 operations on a table beside a dict, and 12,000 on tables in parts beside whole ones. Many minutes.
FAULT_SEED ?= $(shell date +%s)
test-faults: .venv/.dev
	@echo "FAULT_SEED=$(FAULT_SEED)"
	$(BIN)/python -m pytest $(PYTEST_ARGS) --all-faults --fault-seed=$(FAULT_SEED) tests/test_checkpoint_power.py \
	  tests/test_checkpoint_damage.py tests/test_checkpoint_failures.py tests/test_table_power.py tests/test_push_log.py \
	  tests/test_push_log_disks.py tests/test_row_file_crash.py tests/test_table_power_replaced.py tests/test_table_machine.py \
	  tests/test_serving_faults.py tests/test_sharded_table_machine.py tests/test_cluster_faults.py tests/test_cluster_kills.py \
	  tests/test_worker_kills.py tests/test_machines.py

# What the tests of the page need: a browser, and the packages that drive it. Without them `make test` skips those tests.
browser: tests/browser/node_modules/.installed
	@command -v chromium chromium-browser google-chrome >/dev/null || test -x "$$CHROMIUM" || { \
	  echo "no browser: apt install chromium, or give the path of one as CHROMIUM" >&2; exit 1; }

tests/browser/node_modules/.installed: tests/browser/package.json tests/browser/package-lock.json
	@command -v npm >/dev/null || { echo "no npm: apt install nodejs npm" >&2; exit 1; }
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# What `make test` samples, without a GPU: every kernel compiled for three architectures, every op emulated, and the golden
# suites on the emulator. Half an hour on two cores; a C++ compiler is needed.
GOLDEN := tests/test_golden.py tests/test_golden_keras.py tests/test_keras3_goldens.py tests/test_optimizer_golden.py tests/test_golden_monolith.py
test-cuda: .venv/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS) --all-kernels tests/test_cuda_text.py tests/test_emulated.py
	$(BIN)/python -m pytest $(PYTEST_ARGS) --on-emulator $(GOLDEN)

# On a machine with a GPU, with a Python that has CuPy, pytest and pytest-xdist: these two install nothing.
GPU_ARGS ?= -n 8
gpu:
	SYMOPT_GPU=1 $(PYTHON) -m pytest $(GPU_ARGS) -m gpu

bench-gpu:
	PYTHONPATH=. $(PYTHON) benchmarks/gpu.py
	PYTHONPATH=. $(PYTHON) benchmarks/gpu_tables.py

# What `make test` skips without torch.
torch: .venv/.torch
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/test_torch*.py tests/test_convert_torch.py tests/test_arrays.py tests/test_executor.py
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/test_docs.py -k torch

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

docs: .venv/.dev
	$(BIN)/python -m symopt.rules docs/ops
	$(BIN)/python docs/site/tables.py

# What the pages show; needs Graphviz.
pictures: .venv/.dev
	$(BIN)/python docs/pictures.py

# The documentation as pages, into build/site, and what must hold of them; packages are all that is fetched. The pages open
# as files; to search in them, `python3 -m http.server -d build/site`.
site: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/site/mkdocs.yml
	$(BIN)/python -m pytest -q tests/test_site.py --site build/site

# Executes graphs with MXNet, Keras and torch, in environments of their own: docs/conformance.md. They need Python 3.11.
CONFORMANCE_PYTHON ?= python3.11
conformance: .venv/.dev
	$(BIN)/python tests/conformance --python $(CONFORMANCE_PYTHON)

bench: .venv/.bench
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv .conformance build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says that its set of packages is installed as pyproject.toml has it now.
.venv/.demo: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable . scikit-learn
	@touch $@

.venv/.dev: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@touch $@

.venv/.torch: .venv/.dev
	$(INSTALL) torch==2.13.0
	@touch $@

.venv/.docs: .venv/.dev
	$(INSTALL) --editable '.[docs]'
	@touch $@

.venv/.bench: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[bench]'
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv .venv
