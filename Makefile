# Two commands require nothing but Python 3.11 or newer:  make demo  and  make test
# AIRFLOW=2.11.2 takes the other supported line, in an environment of its own.
AIRFLOW ?= 3.3.2
PYTHON ?= python3

VENV := .venv-$(AIRFLOW)
BIN := $(VENV)/bin
CONSTRAINTS := constraints/airflow-$(AIRFLOW).txt
INSTALLED := $(VENV)/.installed
BROWSER := $(VENV)/.browser
PEERS := .venv-peers-$(AIRFLOW)
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal
# the linters' own dependencies do not fit beside Airflow 2.11, and one line is enough to lint on
GROUPS := --group test --group e2e $(if $(filter 3.%,$(AIRFLOW)),--group lint)

# runs two commands at once, and prints the output of the first behind that of the second; failed is 1 if either fails
side_by_side = output=$$(mktemp); $(1) > $$output 2>&1 & first=$$!; $(2); second=$$?; wait $$first; first=$$?; \
    cat $$output; rm $$output; failed=$$((first || second))

# everything starts twice as fast with compiled modules
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test unit lint format coverage e2e e2e-slow browser chaos bench bench-slow audit package clean help

help:
	@echo "make demo        run the example DAG on the ModelArts emulator"
	@echo "make check       check style, types, the direction of imports and the unit tests (some seconds)"
	@echo "make test        run the unit and the integration tests (about a minute and a half)"
	@echo "make unit        run the unit tests"
	@echo "make lint        check style, types and the direction of imports"
	@echo "make format      fix import order and formatting"
	@echo "make coverage    run the tests, and fail when fewer branches of the package are run than before"
	@echo "make e2e         run the example DAGs, and pipelines with a real scheduler on PostgreSQL, which must be installed"
	@echo "make e2e-slow    end workers, triggerers and servers while tasks wait (five minutes); PostgreSQL must be installed"
	@echo "make browser     use connection form, trials tab and report in Chromium; it and PostgreSQL must be installed"
	@echo "make chaos       run 300 searches while 30 % of all responses are faulty, and workers and triggerers die"
	@echo "make bench       measure the costs of the package, compared with other providers (a quarter of an hour)"
	@echo "make bench-slow  measure how many waits real triggerers hold, on PostgreSQL, which must be installed"
	@echo "make audit       check the dependencies for known vulnerabilities"
	@echo "make package     build the wheel, install it elsewhere, and run the documented test of a pipeline with it"
	@echo "make clean       remove the virtual environments and build output"
	@echo "AIRFLOW=2.11.2 behind any of them selects that version; the default is $(AIRFLOW)"

demo: $(INSTALLED)
	@$(BIN)/python scripts/demo.py

check: $(INSTALLED)
	@began=$$(date +%s); $(call side_by_side,$(MAKE) --no-print-directory lint,$(MAKE) --no-print-directory unit); \
	    echo "==> Checked in $$(($$(date +%s) - began)) seconds"; exit $$failed

# of three workers one can compute while tests of the others wait
test: $(INSTALLED)
	@echo "==> Running the unit and integration tests on Airflow $(AIRFLOW)"
	@$(call side_by_side,$(BIN)/python -m pytest -q tests/unit,\
	    $(BIN)/python -m pytest -q -n 3 --dist worksteal tests/integration); exit $$failed

unit: $(INSTALLED)
	@echo "==> Running the unit tests on Airflow $(AIRFLOW)"
	@$(PYTEST) tests/unit

lint: $(INSTALLED)
	@echo "==> Checking style, types and the direction of imports"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

format: $(INSTALLED)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

coverage: $(INSTALLED)
	@echo "==> Running the unit and integration tests, and counting the branches that they take"
	@$(PYTEST) --cov

e2e: $(INSTALLED)
	@echo "==> Running the example DAGs on Airflow $(AIRFLOW)"
	@$(BIN)/python -m pytest -q tests/system
	@$(BIN)/python tests/system/e2e.py
	@$(BIN)/python tests/system/identities.py

e2e-slow: $(INSTALLED)
	@$(BIN)/python tests/system/endings.py

browser: $(BROWSER)
	@$(BIN)/python tests/system/browser.py
	@$(if $(filter 3.%,$(AIRFLOW)),$(BIN)/python tests/system/browser_trials.py)

chaos: $(INSTALLED)
	@$(BIN)/python tests/system/chaos.py

bench: $(PEERS)/.installed
	@$(PEERS)/bin/python benchmarks/parse.py
	@$(PEERS)/bin/python benchmarks/read.py
	@$(PEERS)/bin/python benchmarks/wait.py

bench-slow: $(INSTALLED)
	@$(BIN)/python benchmarks/triggerers.py

audit: $(INSTALLED)
	@$(BIN)/python scripts/audit.py $(CONSTRAINTS)

package: $(INSTALLED)
	@$(BIN)/python scripts/check_package.py $(CONSTRAINTS)

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	@echo "==> Making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required")'
	@$(PYTHON) -m venv $(VENV)
	@echo "==> Installing Airflow $(AIRFLOW), this package and its test tools (a minute or two)"
	@$(BIN)/python -m pip install -qq --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install -qq --constraint $(CONSTRAINTS) "apache-airflow==$(AIRFLOW)" \
	    --editable . $(GROUPS)
	@touch $@

$(BROWSER): $(INSTALLED)
	@$(BIN)/python -m pip install -qq --constraint $(CONSTRAINTS) --group browser
	@touch $@

# what the benchmarks compare with requires an older release of one library than Airflow's
$(PEERS)/.installed: pyproject.toml $(CONSTRAINTS)
	@echo "==> Installing what the benchmarks compare with in $(PEERS) (a few minutes)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install -qq --upgrade "pip>=25.1"
	@grep -v '^python-dateutil==' $(CONSTRAINTS) > $(PEERS)/constraints.txt
	@$(PEERS)/bin/python -m pip install -qq --constraint $(PEERS)/constraints.txt "apache-airflow==$(AIRFLOW)" \
	    --editable . --group test --group bench
	@touch $@

clean:
	rm -rf .venv-* build dist
