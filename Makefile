# Everything starts here. `make run` and `make test` do all the set-up on a fresh machine.

VENV := .venv
PY := $(VENV)/bin/python
WORKERS ?= 2

.PHONY: run setup test test-long lint bench lock clean

run: $(VENV)/.installed
	$(VENV)/bin/tokenomics-cli serve

setup: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml requirements.lock scripts/setup.sh
	sh scripts/setup.sh $(VENV) requirements.lock
	touch $@

$(VENV)/.installed-dev: pyproject.toml requirements-dev.lock scripts/setup.sh
	sh scripts/setup.sh $(VENV) requirements-dev.lock
	touch $(VENV)/.installed $@

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	$(VENV)/bin/pytest -n $(WORKERS) --dist loadfile -m "not long"

test-long: setup
	$(VENV)/bin/pytest -n $(WORKERS) -m long

bench: setup
	$(PY) bench/throughput.py
	$(PY) bench/counters.py
	$(PY) bench/start_up.py
	$(PY) bench/webhooks.py
	$(PY) bench/ledger.py
	$(PY) bench/guard_speed.py
	$(PY) bench/guard_quality.py

# Needs uv. Both locks serve Python 3.12 and later, on every platform; they carry hashes and no address of an index.
LOCK := uv pip compile pyproject.toml --universal --python-version 3.12 --generate-hashes --no-header --quiet
lock:
	$(LOCK) --extra build --extra dev --output-file requirements-dev.lock
	$(LOCK) --extra build --constraint requirements-dev.lock --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
