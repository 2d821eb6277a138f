# Everything a newcomer needs is `make demo` and `make test`; each makes .venv first if need be.
# The MLX backend of Linux is the extra named by EXTRA: cpu, cuda12 or cuda13. Macs use Metal.

PYTHON ?= python3
EXTRA ?= cpu
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint types format generated docs bench clean

help: ## show this help
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(sys.version_info < (3, 11) and "elmcfg needs Python 3.11 or newer; %s is %s. Try: make PYTHON=python3.12 ..." % (sys.executable, v))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.user: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRA)]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRA)]' --group dev
	@touch $@ $(VENV)/.user

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	@touch $@

demo: $(VENV)/.user ## build OpenELM-270M in MLX and prove it
	$(BIN)/elmcfg build-and-run openelm-270m

test: $(VENV)/.dev ## run the whole test suite
	$(BIN)/python -m pytest

lint: $(VENV)/.dev ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## check types
	$(BIN)/mypy

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generated: $(VENV)/.dev ## write schemas/, the reference pages and the pictures again
	$(BIN)/python -m elmcfg.schema
	$(BIN)/python -m elmcfg.manual
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/picture.py

docs: $(VENV)/.docs ## build the documentation site into site/
	$(BIN)/zensical build --clean --strict

bench: $(VENV)/.bench ## run the benchmarks
	$(BIN)/python benchmarks/validate.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/shapes.py
	$(BIN)/python benchmarks/forward.py
	$(BIN)/python benchmarks/proof.py
	$(BIN)/python benchmarks/study.py
	$(BIN)/python benchmarks/train.py

clean: ## remove the environment and what tools left
	rm -rf $(VENV) dist build site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
