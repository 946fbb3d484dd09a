# make run: from a fresh machine to a trained and evaluated model. make help lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUNS ?= runs

.DEFAULT_GOAL := help
.PHONY: help run test quick bench check recipes data slow docs clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/.developed: $(VENV)/.tested
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.documented: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

run: $(VENV)/.installed  ## install, train the embedded default (scikit-learn's digits), evaluate it
	$(BIN)/dltool train cnn/digits --out $(RUNS)/digits --overwrite
	$(BIN)/dltool eval $(RUNS)/digits --confusion

# The byte code of the tests is kept, whatever the shell says: without it each worker takes 5 s longer to begin.
test quick: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.tested  ## install what is missing and run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

quick: $(VENV)/.tested  ## the tests near what changed since main, within two minutes
	$(BIN)/python -m pytest -p tests.nearest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.developed  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.tested  ## dltool train against a plain Keras script, in alternating runs; needs MNIST and DLTOOL_DATA
	$(BIN)/python -m tests.benchmarks.training $(BENCH_ARGS)

recipes: $(VENV)/.tested  ## train the quick recipes end to end and hold them to the figures in their headers
	$(BIN)/python -m pytest -m 'recipes and not slow' -n auto --maxprocesses 4 --dist worksteal tests/test_recipes.py tests/test_docs.py $(PYTEST_ARGS)

data: $(VENV)/.tested  ## the tests of real data; needs DLTOOL_DATA
	$(BIN)/python -m pytest -m 'data and not slow and not recipes' -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

slow: $(VENV)/.tested  ## the tests that take minutes: long recipes, many nets; needs DLTOOL_DATA
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

docs: $(VENV)/.documented  ## draw the picture of the imports, build the book into site/; any broken link fails
	$(BIN)/python docs/draw_imports.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:  ## remove what make made, the virtual environment included
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist site
