# `make demo` and `make test` need Python >= 3.11 with pip, and nothing else: they build .venv themselves.
# Another interpreter: make test PYTHON=/path/to/python

PYTHON ?=
# 3.11 comes first because constraints.txt is resolved and tested with it.
CANDIDATES := $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python)
AXE_VERSION := 4.14.1
BIN := .venv/bin
# One process a core, each with one thread: more would only wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# An environment whose interpreter has gone (an upgrade, a copied folder) is built anew.
$(shell .venv/bin/python -c '' 2>/dev/null || rm -f .venv/bin/python .venv/.installed .venv/.installed-dev)

.DEFAULT_GOAL := help
.PHONY: help demo test slow check flower fix bench engines examples docs axe clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: .venv/.installed  ## federated learning on two real data sets; writes runs/demo/report.html
	$(BIN)/unpooled demo --out runs/demo

test: .venv/.installed-dev  ## all tests but the slow ones, under 10 minutes on two cores
	$(PYTEST)

slow: .venv/.installed-dev  ## the tests that take longer
	$(BIN)/python -m pytest -m slow --timeout 1800

check: .venv/.installed-dev  ## formatting, lint, types, import contracts, then test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

# Flower's needs clash with constraints.txt, so unpooled is installed into the rival's environment too.
flower: benchmarks/.venv-flower/.installed  ## the tests of federations over Flower, real processes included
	OMP_NUM_THREADS=1 benchmarks/.venv-flower/bin/python -m pytest -m '' --timeout 900 tests/flower src/unpooled/sites/transports/flower

fix: .venv/.installed-dev  ## format the code and apply lint's safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

RIVALS := pfl fedlab flower xges ges
BENCHES := rounds protocols memory combine federation federation_training sealed robustness streams radon causal orion barrier peri
BENCH :=

# Each script leaves its table in runs/bench/ and continues from there; all over again: make bench BENCH=--fresh
bench: .venv/.installed-dev $(patsubst %,benchmarks/.venv-%/.installed,$(RIVALS) engines)  ## the scripts in benchmarks/, against rivals
	@status=0; for name in $(BENCHES); do \
	  echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py $(BENCH) || status=1; \
	done; \
	echo "The tables are in runs/bench/; $(BIN)/python benchmarks/readme_tables.py writes them into benchmarks/README.md"; \
	exit $$status

# The rivals' needs clash with ours and with each other's; where one cannot be installed, the scripts say so and go on.
benchmarks/.venv-%/.installed: benchmarks/requirements-%.txt $(wildcard benchmarks/constraints-%.txt) | .venv/.installed
	@echo "Installing $* into benchmarks/.venv-$*"
	@$(BIN)/python -m venv --clear --without-pip benchmarks/.venv-$* && \
	$(BIN)/python -m pip --disable-pip-version-check --python benchmarks/.venv-$*/bin/python install --quiet -r $< && \
	touch $@ || echo "$* could not be installed: it is not measured."

# Dask, Ray and Spark are heavy and bring pins of their own, so they are not in .venv; Spark needs Java.
engines: benchmarks/.venv-engines/.installed  ## unpooled.parallel on local clusters of Dask, Ray and Spark
	PYTHONPATH=src OMP_NUM_THREADS=1 benchmarks/.venv-engines/bin/python -m pytest tests/engines

# The image files may lie anywhere below DATA; examples/small_images/README.md says where to get them.
examples: .venv/.installed  ## four image comparisons: make examples DATA=FOLDER; then docs/small_images.md is written anew
	@test -n "$(DATA)" || { echo "Which folder holds the image files? make examples DATA=FOLDER" >&2; exit 1; }
	@for config in examples/small_images/*.toml; do \
	  file=$$(sed -n 's/^source = "\(.*\)"/\1/p' "$$config"); \
	  path=$$(find "$(DATA)" -name "$$file" | head -n 1); \
	  if [ -z "$$path" ]; then echo "$$config: there is no $$file in $(DATA)." >&2; exit 1; fi; \
	  $(BIN)/unpooled compare "$$config" --source "$$path" --out "runs/small_images/$$(basename "$$config" .toml)" || exit; \
	done
	$(BIN)/python docs/small_images.py runs/small_images

docs: .venv/.installed-dev  ## the documentation as a site that needs no network: .site/index.html
	$(BIN)/mkdocs build --strict

axe:  ## fetch axe-core with npm, for the accessibility test of the report
	npm install --no-save --no-audit --no-fund --ignore-scripts --prefix .axe axe-core@$(AXE_VERSION)

clean:  ## remove .venv, caches and built files; runs/ stays
	rm -rf .venv .axe .site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A version manager may offer a python3.12 that only prints an error, so each candidate is run, not looked up.
# Where Python comes without ensurepip (Debian), the interpreter's own pip fills the environment instead.
.venv/bin/python:
	@new='import sys; sys.exit(sys.version_info < (3, 11))'; \
	for candidate in $(CANDIDATES); do \
	  if $$candidate -c "$$new" >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "unpooled needs Python >= 3.11. Tried: $(CANDIDATES); none of them is." >&2; \
	  echo "Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi; \
	echo "Making .venv with $$($$python --version) ($$python)"; \
	if $$python -c 'import ensurepip' 2>/dev/null; then \
	  $$python -m venv --clear .venv; \
	else \
	  $$python -m venv --clear --without-pip .venv && \
	  $$python -m pip --python .venv/bin/python install --quiet pip || \
	  { rm -rf .venv; echo "$$python has neither ensurepip nor pip: install pip for it." >&2; exit 1; }; \
	fi

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing unpooled and what it needs into .venv (a few minutes the first time)"
	$(PIP_INSTALL) --quiet -e .
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "Installing the test tools into .venv"
	$(PIP_INSTALL) --quiet -e '.[dev]'
	@touch $@
