# Python 3.11 or newer and make are enough for all targets but those that need a Kafka broker.

PYTHON ?= python3
PYTEST_ARGS ?=
EXAMPLES ?= 2000
CERTIFICATES ?= 1000000
LIVES ?= 2000
MESSAGES ?= 10000
DAMAGED ?= 100000
KILLS ?= 25
PYTHONS ?= 3.11 3.12 3.13 3.14
SOAK_MINUTES ?= 10
FASHION_MNIST ?= /usr/share/datasets/fashion-mnist
EMBEDDINGS ?= data

VENV := .venv
BIN := $(VENV)/bin
# Named in full, since a virtual environment that is active would go first.
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
PACKAGE_VENV := build/package
TESTS := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-quick test-all-pythons coverage lint format docs fuzz kills soak bench pages kafka package clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.installed ## install echo-stream into .venv, so that changes to the code take effect

demo: venv ## install, and run echo-stream demo
	$(BIN)/echo-stream demo

test: $(VENV)/.group-test ## run all tests, with a Kafka broker; PYTEST_ARGS="-k name" for some of them
	.ci/debian-packages
	$(TESTS) $(PYTEST_ARGS)

test-quick: $(VENV)/.group-test ## run the tests that need no broker and are quick
	$(TESTS) -m "not kafka and not slow" $(PYTEST_ARGS)

test-all-pythons: venv ## run the quick tests under each of PYTHONS=
	.ci/all-pythons $(PYTHONS)

coverage: $(VENV)/.group-test ## run the quick tests, and print what of the code they reach
	$(TESTS) -m "not kafka and not slow" --cov --cov-report term:skip-covered $(PYTEST_ARGS)

fuzz: $(VENV)/.group-test ## look long for wrong certificates and decoders; EXAMPLES= CERTIFICATES= LIVES= MESSAGES= DAMAGED=
	ECHO_STREAM_FUZZ_EXAMPLES=$(EXAMPLES) ECHO_STREAM_FUZZ_CERTIFICATES=$(CERTIFICATES) \
		ECHO_STREAM_FUZZ_LIVES=$(LIVES) \
		ECHO_STREAM_FUZZ_MESSAGES=$(MESSAGES) ECHO_STREAM_FUZZ_DAMAGED=$(DAMAGED) \
		$(BIN)/pytest --timeout 0 tests/engine/sketch/test_certificates.py tests/engine/engine/test_repair.py tests/engine/sketch/test_many_certificates.py \
		tests/engine/sketch/test_pool_bounds.py \
		tests/connectors/codecs/test_codecs_fuzz.py

kills: $(VENV)/.group-test ## kill consumers KILLS= times while their topic is being written
	.ci/debian-packages
	ECHO_STREAM_KILLS=$(KILLS) $(BIN)/pytest --timeout 0 tests/recovery/test_kafka_kills.py tests/recovery/test_group_kills.py

soak: $(VENV)/.group-test ## run five consumers at full speed for SOAK_MINUTES= each; memory and files must be flat
	.ci/debian-packages
	ECHO_STREAM_SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/pytest -s --timeout 0 tests/recovery/test_soak.py

bench: $(VENV)/.group-bench ## measure; FASHION_MNIST and EMBEDDINGS name the data's folders
	$(BIN)/python -m benchmarks.quality run benchmarks/plans/quick.toml \
		--data $(EMBEDDINGS) --data $(FASHION_MNIST) --out build/quality.jsonl
	$(BIN)/python -m benchmarks.quality report build/quality.jsonl \
		--records build/records.jsonl --out build/benchmarks
	$(BIN)/python -m benchmarks.speed.engine
	$(BIN)/python -m benchmarks.speed.query
	$(BIN)/python -m benchmarks.speed.http
	$(BIN)/python -m benchmarks.speed.kafka --profile 10
	$(BIN)/python -m benchmarks.speed.losses
	$(BIN)/python -m benchmarks.speed.neighbours
	$(BIN)/python -m benchmarks.streaming.fidelity $(EMBEDDINGS) $(FASHION_MNIST)
	$(BIN)/python -m benchmarks.speed.fashion_mnist $(FASHION_MNIST)
	$(BIN)/python -m benchmarks.streaming.regeneration $(EMBEDDINGS) --fashion-mnist $(FASHION_MNIST)

lint: $(VENV)/.group-lint $(VENV)/.group-test ## check style, format, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/mypy

format: $(VENV)/.group-lint ## format the code and sort the imports
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.group-docs ## build the documentation in build/site, and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pages: $(VENV)/.group-bench ## make docs/benchmarks and the README's table from benchmarks/results
	$(BIN)/python -m benchmarks.report

kafka: venv ## run a Kafka broker in the foreground, on 127.0.0.1:9092 if that is free
	.ci/debian-packages
	$(BIN)/python -m tests.support.kafka.broker

package: venv ## build the sdist and from it the wheel, and try that in a clean environment
	rm -rf dist $(PACKAGE_VENV)
	$(BIN)/uv build --quiet --python $(BIN)/python --out-dir dist
	$(BIN)/uv venv --quiet --python $(BIN)/python $(PACKAGE_VENV)
	$(BIN)/uv pip install --quiet --python $(PACKAGE_VENV)/bin/python dist/*.whl
	cd / && $(CURDIR)/$(PACKAGE_VENV)/bin/echo-stream --help
	rm -rf $(PACKAGE_VENV)

clean: ## remove what the tools leave behind, except .venv and the jars in .cache
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: pyproject.toml | $(BIN)/uv
	$(UV_INSTALL) --editable .
	touch $@

# A dependency group of pyproject.toml.
$(VENV)/.group-%: pyproject.toml $(VENV)/.installed | $(BIN)/uv
	$(UV_INSTALL) --group $*
	touch $@
