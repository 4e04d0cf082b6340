# Everything that this project does, with Python 3.11 or newer and make:
#
#     make demo       from a human seed to preference pairs
#     make test       what README promises, tested
#
# PYTHON is what the environment is made with, VENV is where it lies.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Some images set it; every process would then compile every module that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Two OpenMP threads that spin while they wait are ten times slower when anything else wants a core.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo notebooks test check lint format bench pins clean

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

# ------------------------------------------------------------------------------- environment

setup: $(VENV)/.ready  ## an environment in .venv (once; again when the requirements change)

# torch comes first and by pip, whose settings decide on a build (a CPU build where one is
# configured). All else is resolved and pinned already, so that nothing replaces that build; uv
# installs it in a quarter of pip's time, and pip does where uv finds no packages. Nothing is
# compiled here: of thirty thousand modules, most are never imported.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

$(VENV)/.pinned: requirements/ci.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed, found '$$($(PYTHON) --version 2>&1)'." \
	       "Name one: make setup PYTHON=python3.11" >&2; exit 1; }
	@echo "setup 1/4: an environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "setup 2/4: torch"
	@$(PIP) install --no-compile -c requirements/ci.txt torch uv
	@echo "setup 3/4: everything else, pinned"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements/ci.txt \
	  || $(PIP) install --no-compile --no-deps -r requirements/ci.txt
	@touch $@

$(VENV)/.ready: $(VENV)/.pinned pyproject.toml
	@echo "setup 4/4: srlm-data itself"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

pins: setup  ## resolve requirements/ci.in anew into requirements/ci.txt
	$(BIN)/uv pip compile requirements/ci.in --override requirements/override.txt \
	  --universal --python-version 3.11 --upgrade --no-header --no-annotate --quiet \
	  --output-file $(VENV)/pins.txt
	awk -f requirements/portable.awk $(VENV)/pins.txt > requirements/ci.txt

# ---------------------------------------------------------------------------------------- use

SCORES = SELECT score, count(*) AS judgments, \
  bar(count(*), 0, max(count(*)) OVER (), 40) AS share \
  FROM iter1.judgments GROUP BY score ORDER BY score DESC

demo: setup  ## build recipes/iter1.yaml: from a human seed to preference pairs, and M2
	$(BIN)/srlm-data build recipes/iter1.yaml
	@echo; echo "What was built, in ./store:"; echo
	@$(BIN)/srlm-data ls
	@echo; echo "What M1 thinks of its own answers, 0 to 5:"; echo
	@$(BIN)/srlm-data sql "$(SCORES)"
	@echo; echo "Look next:"
	@printf '  %-45s%s\n' \
	  "$(BIN)/srlm-data report iter1" "one page to look at: report.html" \
	  "$(BIN)/srlm-data show iter1.pairs" "the pairs themselves" \
	  "$(BIN)/srlm-data lineage iter1.pairs" "what they were made from, back to the seed" \
	  "$(BIN)/srlm-data eval recipes/loop.yaml" "the whole loop: SFT, M1, M2 and M3 side by side" \
	  "./store/datasets/" "Parquet, for DuckDB, Polars, datasets and TRL"

notebooks: setup  ## execute the notebooks on an example store and keep their pictures
	$(BIN)/python tools/render_notebooks.py

# ------------------------------------------------------------------------------------- checks

# Two at a time; the tests of a file stay together, for they share what they have built.
test: setup  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint test  ## what a change must pass: lint, types, floors, tests

lint: setup  ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff put the code in form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# real.py and gpu.py want models of your own; collect, reading, report, variants and view take hours
# together. All say with --help what they measure.
bench: setup  ## the figures of README and docs/performance.md, measured again (two hours)
	@$(PIP) install -c requirements/ci.txt rouge-score
	@for part in scale data_side engines closed_loop; do \
	  echo "benchmarks/$$part.py"; $(BIN)/python benchmarks/$$part.py || exit 1; done

clean:  ## remove caches and build output; environments and built datasets stay
	rm -rf dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .coverage
	find srlm_data train tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
