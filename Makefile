# Everything a newcomer or CI runs. Each target does its own set-up: python3 with venv, and make, are enough.
#
#   make serve                           the server with the example plugins, in the foreground
#   make serve ARGS="--core threaded"    the same with options of `anycore serve`
#   make test ARGS="-k xmlrpc"           the tests, or some of them

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=

BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --no-input
UV  ?= $(VENV)-lock/bin/uv

# One empty file in the venv for each set of packages in it: installed once, and again when its lock has changed.
SERVE := $(VENV)/.serve
TEST  := $(VENV)/.test
LINT  := $(VENV)/.lint
DOCS  := $(VENV)/.docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test lint format types imports docs wheel bench bench-access bench-held bench-prefork bench-restart bench-rpyc bench-store lock clean

help:  ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

serve: $(SERVE)  ## Serve the example plugins in the foreground
	exec $(BIN)/anycore serve examples/plugins $(ARGS)

test: $(TEST)  ## Run the tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(LINT)  ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(LINT)  ## Mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(TEST) $(LINT)  ## Check types
	$(BIN)/mypy

imports: $(SERVE) $(LINT)  ## Check that imports go down only
	$(BIN)/lint-imports --no-logo

docs: $(SERVE) $(DOCS)  ## Build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

wheel: | $(BIN)/pip  ## Build the wheel into dist
	rm -rf build dist
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

bench: $(SERVE)  ## Measure, side by side with the peers
	$(BIN)/python -m benchmarks $(ARGS)

bench-access: $(SERVE)  ## Measure what it costs to ask whether a caller may call
	$(BIN)/python -m benchmarks.access $(ARGS)

bench-held: $(TEST)  ## Measure what is held under load: idle, hostile and too many peers
	$(BIN)/python -m benchmarks.held $(ARGS)

bench-prefork: $(SERVE)  ## Measure what several processes give, and what the end of one costs
	$(BIN)/python -m benchmarks.prefork $(ARGS)

bench-restart: $(TEST)  ## Restart a server under load, and count the calls that fail
	$(BIN)/python -m benchmarks.restart $(ARGS)

bench-rpyc: $(TEST)  ## Measure RPyC, side by side with rpyc itself
	$(BIN)/python -m benchmarks.rpyc $(ARGS)

bench-store: $(SERVE)  ## Measure the store, beside raw lmdb, sqlite3 and dbm.gnu
	$(BIN)/python -m benchmarks.store $(ARGS)

lock: $(UV)  ## Renew requirements/*.lock
	UV=$(UV) requirements/lock

clean:  ## Remove all that was made, the venv included
	rm -rf $(VENV) $(VENV)-lock build dist docs/_build src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing venv puts there: while it is missing, an earlier attempt was cut short.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Anycore needs Python 3.11 or newer; %s is %d.%d. Try: make PYTHON=python3.11" % (sys.executable, v[0], v[1]))'
	$(PYTHON) -m venv $(VENV)

# The locks carry hashes, which an editable install cannot have: hence two calls.
$(SERVE): pyproject.toml requirements/serve.lock | $(BIN)/pip
	$(PIP) install --quiet -r requirements/serve.lock
	$(PIP) install --quiet --no-deps -e .
	@touch $@

$(TEST): $(SERVE) requirements/test.lock
	$(PIP) install --quiet -r requirements/test.lock
	@touch $@

$(LINT): requirements/lint.lock | $(BIN)/pip
	$(PIP) install --quiet -r requirements/lint.lock
	@touch $@

$(DOCS): requirements/docs.lock | $(BIN)/pip
	$(PIP) install --quiet -r requirements/docs.lock
	@touch $@

$(VENV)-lock/bin/uv:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv
