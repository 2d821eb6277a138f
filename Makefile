# Everything a newcomer needs is `make demo` and `make test`; each makes .venv first if need be.
# The MLX backend of Linux is the extra named by EXTRA: cpu, cuda12 or cuda13. Macs use Metal.

PYTHON ?= python3
EXTRA ?= cpu
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test wheel-test test-oldest test-editors lint types format generated docs bench clean

help: ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# Not bin/python: that is there too where venv failed half-way for want of ensurepip, and after uv venv.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(sys.version_info < (3, 11) and "elmcfg needs Python 3.11 or newer; %s is %s. Try: make PYTHON=python3.12 ..." % (sys.executable, v))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.user: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRA)]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRA)]' --group dev
	@touch $@ $(VENV)/.user

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	@touch $@

demo: $(VENV)/.user ## build OpenELM-270M in MLX and prove it
	$(BIN)/elmcfg build-and-run openelm-270m

# Two tests at a time: most of them wait for a process of one thread. OpenBLAS's threads wait by
# spinning, and those of two processes would take each other's core.
test: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/.dev ## run the whole test suite
	$(BIN)/python -m pytest -n 2

# The distributions, and the sdist's tests with its sources away.
AWAY := build/away
$(AWAY): $(VENV)/.dev
	rm -rf dist $(AWAY)
	$(BIN)/python -m build --outdir dist
	mkdir -p $(AWAY)
	tar -xzf dist/elmcfg-*.tar.gz -C $(AWAY) --strip-components 1
	rm -r $(AWAY)/elmcfg
.PHONY: $(AWAY)

# TESTS may name some of them: make wheel-test TESTS=tests/test_cli.py PYTHON=python3.13
wheel-test: $(AWAY) ## run the tests against the wheel, in a fresh environment
	$(PYTHON) -m venv --clear build/wheel
	build/wheel/bin/python -m pip install --quiet --upgrade pip
	wheel=$$(echo $$PWD/dist/*.whl) && cd $(AWAY) && ../wheel/bin/python -m pip install --quiet \
		--constraint constraints.txt "elmcfg[$(EXTRA)] @ file://$$wheel" --group test
	cd $(AWAY) && ../wheel/bin/python -m pytest $(TESTS)

# From pyproject.toml itself: dependencies of the wheel would not be direct ones to the resolver.
test-oldest: $(AWAY) ## run the tests with the oldest dependencies that pyproject.toml allows
	$(PYTHON) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet uv
	cd $(AWAY) && ../oldest/bin/uv pip install --quiet --python ../oldest \
		--resolution lowest-direct -r pyproject.toml --extra $(EXTRA) --group test
	build/oldest/bin/uv pip install --quiet --python build/oldest --no-deps dist/*.whl
	cd $(AWAY) && ../oldest/bin/python -m pytest $(TESTS)

EDITORS := build/editors
$(EDITORS)/node_modules: tests/editors/package.json
	mkdir -p $(EDITORS) && cp tests/editors/package.json $(EDITORS)
	npm install --silent --prefix $(EDITORS)
	@touch $@

test-editors: $(VENV)/.dev $(EDITORS)/node_modules ## test the schemas in the language servers of editors
	$(BIN)/python -m pytest tests/test_editors.py

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

bench: $(VENV)/.bench ## run every comparison, and write docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

clean: ## remove the environment and what tools left
	rm -rf $(VENV) dist build site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
