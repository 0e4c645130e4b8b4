# Two commands matter: `make demo` shows the main job, `make test` proves it. Each sets itself up.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# requirements.lock pins every package by hash and names no index, so a mirror works as well.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

setup: $(STAMP) ## install everything into .venv

demo: $(STAMP) ## simulate the paper's platform, analyse it, print Table 1, and stay up to look around
	$(BIN)/mlp-analyzer demo

test: $(STAMP) ## lint, types, layers and every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

lint: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(STAMP) ## regenerate the gRPC code from analyzer.proto
	cd . && PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I . \
		--python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. \
		analyzer_service/api/v1/analyzer.proto

collector: ## build the Collector distribution of collector-config/ (needs Go 1.26)
	collector-config/build

schema: $(STAMP) ## regenerate clickhouse/schema, and what a cluster gets, from the migrations
	$(BIN)/python -m analyzer_service.store.schema
	$(BIN)/python tests/contract/test_sql_cluster.py

lock: $(STAMP) ## re-resolve requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --quiet --upgrade --output-file requirements.lock

bench: $(STAMP) ## measure, as ratios in one run, and write benchmarks/results
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.collector

soak: $(STAMP) ## kill everything under load, twice over, and compare with an undisturbed twin
	$(BIN)/python -m benchmarks.soak

segments: $(STAMP) ## judge segments in worlds of known skill, and write benchmarks/results
	$(BIN)/python -m benchmarks.segments

verdicts: $(STAMP) ## judge planted worlds, 100 a cell, and write benchmarks/results
	$(BIN)/python -m benchmarks.verdicts

soak-spool: $(STAMP) ## kill the receiver for a minute, with and without a spool, and write benchmarks/results
	$(BIN)/python -m benchmarks.spool

.PHONY: help verdicts setup soak-spool segments demo test lint collector proto schema lock bench soak
