# Everything happens in .venv; nothing is downloaded from a model hub.
PYTHON ?= python3
VENV   ?= .venv
# The release that is tested.
STACK  ?= mindformers==1.7.0 mindspore==2.7.1
BIN    := $(VENV)/bin

.PHONY: demo test lint unit mindformers oracle clean

demo: $(VENV)/.installed                  ## install, load the micro model with stock MindFormers, and let it speak
	cd $$(mktemp -d) && $(CURDIR)/$(BIN)/python $(CURDIR)/examples/quickstart.py

test: $(VENV)/.installed-test lint unit mindformers   ## install and run every test

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.installed-test             ## the tests that need no MindSpore
	$(BIN)/python -m pytest tests/unit

mindformers: $(VENV)/.installed-test      ## the tests on the real stack
	$(BIN)/python -m pytest tests/mindformers tests/orders

oracle: $(VENV)/.installed-oracle         ## the golden data checked live against torch and transformers
	$(BIN)/python -m pytest tests/mindformers -m oracle

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(STACK) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(STACK) --editable '.[test]'
	touch $@

$(VENV)/.installed-oracle: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet $(STACK) --editable '.[test,oracle]'
	touch $@

clean:
	rm -rf $(VENV)
