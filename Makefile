# Everything happens in .venv; nothing is downloaded from a model hub.
PYTHON ?= python3
VENV   ?= .venv
# The release that is tested.
STACK  ?= mindformers==1.7.0 mindspore==2.7.1
BIN    := $(VENV)/bin
# How many tests run at a time; on the real stack each needs about 1.5 GB.
JOBS   ?= 2
# The rows of the matrix, see noxfile.py; and which tests run on them, by a marker expression such as "not sweep".
ROWS   ?= 1.7.0 1.7.0-oldest 1.8.0 1.9.0 2.0.0 2.1.0
SELECT ?=
# Which tests `make coverage` measures.
COVERED ?= tests/unit tests/docs tests/mindformers tests/activation
# Where the wheel and the sdist go.
DIST   ?= dist

.PHONY: demo test lint unit mindformers ascend oracle test-matrix coverage docs wheel dist clean

demo: $(VENV)/.installed                  ## install, load the micro model with stock MindFormers, and let it speak
	cd $$(mktemp -d) && $(CURDIR)/$(BIN)/python $(CURDIR)/examples/quickstart.py

test: $(VENV)/.installed-test lint unit mindformers   ## install and run every test

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src

unit: $(VENV)/.installed-test             ## the tests that need no MindSpore
	$(BIN)/python -m pytest --numprocesses $(JOBS) tests/unit tests/docs

mindformers: $(VENV)/.installed-test $(VENV)/.installed-plugin   ## the tests on the real stack, on the CPU and rehearsed on Ascend
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --junit-xml=.nox/results/1.7.0.xml tests/mindformers tests/activation tests/ascend

ascend: $(VENV)/.installed-test           ## of them MindSpore's real Ascend plugin, rehearsed above a stub of CANN
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile tests/ascend

test-matrix: $(VENV)/.installed-nox       ## every test on every supported release, each in an environment of its own
	JOBS=$(JOBS) $(BIN)/nox --sessions $(foreach row,$(ROWS),"matrix($(row))") $(if $(SELECT),-- -m "$(SELECT)")

# Every process that a test starts is measured, too; what the tests leave out is listed line by line in htmlcov/.
coverage: $(VENV)/.installed-coverage     ## which lines and branches the tests reach: a table, and htmlcov/index.html
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(COVERED)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage html --quiet
	$(BIN)/python -m coverage report

oracle: $(VENV)/.installed-nox            ## the reference data checked live against transformers 4 and 5
	$(BIN)/nox --sessions "oracle(4)" "oracle(5)"

docs: $(VENV)/.installed-docs             ## the documentation, into site/
	$(BIN)/python -m mkdocs build --strict

wheel: $(VENV)/.installed-build            ## the wheel, into dist/
	$(BIN)/python -m hatchling build --target wheel --directory $(DIST)

dist: $(VENV)/.installed-build             ## sdist and wheel, into dist/
	$(BIN)/python -m hatchling build --directory $(DIST)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(STACK) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(STACK) --editable '.[test]'
	touch $@

# A serving engine's plugin, without the engine, and beside the packages: its wheel has a package "tests".
$(VENV)/.installed-plugin: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --no-deps --only-binary=:all: --python-version 3.11 --upgrade \
	    --target $(VENV)/vllm-mindspore vllm-mindspore==0.5.1
	touch $@

$(VENV)/.installed-coverage: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet $(STACK) --editable '.[test,coverage]'
	touch $@

$(VENV)/.installed-nox:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'nox>=2024.4.15'
	touch $@

$(VENV)/.installed-build:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'hatchling>=1.21'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(STACK) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(DIST) htmlcov
