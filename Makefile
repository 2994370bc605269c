# Everything runs in a virtual environment of its own, made on demand.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ASYNCIO = channels service subscriptions.test_subscriptions worker.test_maintenance_service \
	worker.test_threads worker.test_worker worker.test_worker_failures worker.test_worker_stop

.PHONY: demo test asyncio coverage lint docs bench bench-peers chaos model faults clean

demo: $(VENV)/.examples ## live events from a real file, on a private redis-server
	$(BIN)/python examples/demo.py

test: $(VENV)/.test ## all tests
	$(BIN)/python -m twisted.trial tests

asyncio: $(VENV)/.test ## what depends on the reactor, on asyncio's
	$(BIN)/python -m twisted.trial --reactor=asyncio $(patsubst %,tests.integration.%,$(ASYNCIO))

coverage: $(VENV)/.test ## all tests, and what they do not run; less than the floor is an error
	$(BIN)/coverage erase
	$(BIN)/coverage run -m twisted.trial tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(VENV)/.lint ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs ## the docs site, in build/docs; what Sphinx warns of is an error
	$(BIN)/sphinx-build -E -W --keep-going -n -q -b html docs build/docs

bench: $(VENV)/.bench ## every kind of work, beside the limits of the same run: 5 minutes
	$(BIN)/python benchmarks/run.py --out build/benchmarks

bench-peers: $(VENV)/.bench ## beside other clients and job queues, too, which it installs; twice: 20 minutes
	$(BIN)/python benchmarks/run.py --peers --out docs/benchmarks/first
	$(BIN)/python benchmarks/run.py --peers --out docs/benchmarks/second \
	  --again docs/benchmarks/first/results.json

chaos: $(VENV)/.test ## workers killed and frozen, connections cut, servers restarted: minutes
	$(BIN)/python -m tests.chaos._jobs
	$(BIN)/python -m tests.chaos
	TXTHOONK_CHAOS_CHANGES=50000 $(BIN)/python -m twisted.trial tests.integration.test_chaos_subscriptions

model: $(VENV)/.test ## models of the feed types beside the real thing, by chance: minutes
	TXTHOONK_MODEL_EXAMPLES=1000 $(BIN)/python -m twisted.trial tests.model

faults: $(VENV)/.test ## every verb's connection cut after every byte: a quarter of an hour
	TXTHOONK_FAULTS_EVERY_BYTE=1 $(BIN)/python -m twisted.trial tests.faults.test_cuts

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .coverage* \
		_trial_temp* benchmarks/peers/.env

$(VENV)/.%: setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@
