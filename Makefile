# Every target makes what it needs first, so that each works alone on a bare machine with make and Python 3.11 or newer.
# Arguments for the program behind a target: make test ARGS='-k watch -x', make run ARGS='--nodes 5'.

PYTHON ?= python3
ARGS ?=
# Of the simulation: the first seed (another one each time if not set), and how many in `make test-all`.
export SEED SEEDS PROGRAMS

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
FUZZ_INSTALLED := $(VENV)/fuzz-installed
BENCH_INSTALLED := $(VENV)/bench-installed
GEN_VENV := .gen-venv
GEN_INSTALLED := $(GEN_VENV)/installed

HOSTED_TESTS := tests/unit/api tests/unit/client tests/unit/gateways/etcd tests/unit/wire tests/unit/test_server.py \
    tests/unit/test_costs.py tests/cluster

PIP_FLAGS := --quiet --disable-pip-version-check --no-input
# Commands that this project installs are found first, by the targets and by what they start.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install run demo test test-all test-etcd etcd gen check fix bench peers clean python

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install the server, the client and the tools into .venv

run: $(INSTALLED) ## Start a cluster of three nodes in the foreground (ARGS: of `scripts/cluster start`)
	@$(BIN)/python scripts/cluster start $(ARGS)

demo: $(INSTALLED) ## Tell the story: services come, die and are missed at once
	@$(BIN)/python scripts/demo $(ARGS)

test: $(INSTALLED) ## Run the tests, in less than five minutes (ARGS: of pytest)
	@$(BIN)/python -m pytest -m 'not full' -n 2 --dist loadgroup $(ARGS)

# Without ARGS, what depends on who serves gRPC runs on grpcio's server once more.
test-all: $(INSTALLED) $(FUZZ_INSTALLED) ## Run every test, the slow ones too (ARGS: of pytest; SEEDS=2000 simulations)
	@run() { $(BIN)/python -m pytest "$$@" $(ARGS) && return; status=$$?; [ $$status -eq 5 ] && none=$$none. || failed=1; }; \
	    run -m 'not alone' -n 2 --dist loadgroup; run -m alone; \
	    $(if $(ARGS),,export COORDINATOR_GRPC_HOST=grpcio; run -m 'not full' -n 2 --dist loadgroup $(HOSTED_TESTS);) \
	    [ "$$none" != .. ] && [ -z "$$failed" ]

test-etcd: $(INSTALLED) etcd ## Compare etcd's API with a real etcd (PROGRAMS=10000: so many random programs; SEED)
	@$(BIN)/python -m pytest tests/etcd $(ARGS)

# Debian's, where there is none: that takes root, or a word of yours.
etcd:
	@command -v etcd >/dev/null && command -v etcdctl >/dev/null || { \
	    echo "Installing Debian's etcd-server and etcd-client ..."; \
	    { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y etcd-server etcd-client; } \
	        >/dev/null 2>&1 || { echo "There is no etcd here. On Debian and Ubuntu: apt install etcd-server etcd-client" >&2; exit 1; }; }

gen: $(INSTALLED) $(GEN_INSTALLED) ## Generate code: protobuf messages and the blocking face of the client
	@$(GEN_VENV)/bin/python scripts/gen $(ARGS)

check: $(INSTALLED) $(GEN_INSTALLED) ## Check generated code, format, lint, types and house rules; change nothing
	@$(GEN_VENV)/bin/python scripts/gen --check
	@$(BIN)/ruff format --check --quiet --diff .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_tidy.py $(ARGS)

fix: $(INSTALLED) gen ## Write what `check` would complain about, where a tool can
	@$(BIN)/ruff check --fix $(ARGS) .
	@$(BIN)/ruff format .

bench: $(INSTALLED) $(BENCH_INSTALLED) peers ## Measure beside etcd and ZooKeeper (ARGS: --quick; others of benchmarks/run.py)
	@$(BIN)/python benchmarks/run.py $(ARGS)

# As for etcd; what can't be had is left out.
peers:
	@command -v etcd >/dev/null && command -v h2load >/dev/null && [ -e /usr/share/java/zookeeper.jar ] || { \
	    echo "Installing Debian's etcd-server, zookeeper and nghttp2-client ..."; \
	    { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	        etcd-server zookeeper nghttp2-client; } \
	        >/dev/null 2>&1 || true; }

clean: ## Stop the cluster of this checkout; remove its data, the environments, builds and caches
	@if [ -e .cluster/cluster.json ]; then $(PYTHON) scripts/cluster stop; fi
	rm -rf .cluster .etcd-clients $(VENV) $(GEN_VENV) build dist *.egg-info client/build client/dist client/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The Python to build environments with must be there and new enough; say so before pip does in its own words.
python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$$($(PYTHON) --version) is too old: Coordinator needs 3.11 or newer. Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) can't make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(INSTALLED): pyproject.toml client/pyproject.toml
	@test -x $(BIN)/python || { $(MAKE) --no-print-directory python && $(PYTHON) -m venv $(VENV); }
	@echo "Installing into $(VENV) ..."
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install $(PIP_FLAGS) -e './client[cli]' -e '.[dev]'
	@touch $@

$(FUZZ_INSTALLED): $(INSTALLED)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install $(PIP_FLAGS) -e '.[fuzz]'
	@touch $@

$(BENCH_INSTALLED): $(INSTALLED)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install $(PIP_FLAGS) -e '.[bench]'
	@touch $@

$(GEN_INSTALLED): scripts/gen-requirements.txt
	@test -x $(GEN_VENV)/bin/python || { $(MAKE) --no-print-directory python && $(PYTHON) -m venv $(GEN_VENV); }
	@echo "Installing into $(GEN_VENV) ..."
	@$(GEN_VENV)/bin/python -m pip install $(PIP_FLAGS) -r scripts/gen-requirements.txt
	@touch $@
