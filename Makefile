# Thumbstream. `make` alone says what there is.

VENV ?= .venv
#: Further arguments of run, test, faults and bench: make test ARGS="tests/api -x"
ARGS ?=
#: Tests that run at once: as many as there are cores, unless said otherwise; of `make test`, which mostly waits, two a core.
JOBS ?= auto
two_a_core = $$((2 * $$(getconf _NPROCESSORS_ONLN)))
#: Photos that each fault of `make faults` meets; 1050 is the long form, of half an hour.
PHOTOS ?= 60
#: Where `make faults` writes its table, as $(REPORT).md and $(REPORT).json.
REPORT ?= faults
#: Where the tests look for the jars of Apache Kafka.
TEST_KAFKA_LIBS ?= $(HOME)/.cache/thumbstream-tests/kafka

# Set in many container images. Here each worker of the tests would compile every test again, for 10 s, and each process
# that a test starts every module of ours.
unexport PYTHONDONTWRITEBYTECODE

in_range := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
find_python = for each in python3.11 python3.12 python3.13 python3 python; do \
	if $$each -c '$(in_range)' 2>/dev/null; then echo $$each; break; fi; done
bin := $(VENV)/bin
pip_install = $(bin)/python -m pip install --quiet --disable-pip-version-check --no-input
lock = $(bin)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links pyproject.toml --group build

.DEFAULT_GOAL := help
.PHONY: help run test test-unit test-servers faults lint format check bench kafka lock release-documents clean

help: ## Show this
	@echo 'Thumbstream makes thumbnails of uploaded photos as a stream. It needs Python 3.11, 3.12 or 3.13.'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-17s %s\n' "$$name" "$$what"; done
	@echo
	@echo '  ARGS="…" is passed on (make test ARGS="tests/api -x"), PYTHON=… chooses the interpreter.'

run: $(VENV)/.installed ## Install what is missing, then run everything on this machine
	@$(bin)/thumbstream up $(ARGS)

test: $(VENV)/.installed-dev ## Run the tests that need nothing but Python: the embedded broker, SQLite, files
	@$(bin)/pytest -n $(if $(filter auto,$(JOBS)),$(two_a_core),$(JOBS)) --dist worksteal \
		-m 'unit or database or embedded' $(ARGS)

test-unit: $(VENV)/.installed-dev ## Run the tests that need no database, no broker and no other process, while typing
	@$(bin)/pytest -n $(JOBS) --dist worksteal -m unit --hypothesis-profile=quick $(addprefix --ignore=tests/,api browser end_to_end faults) $(ARGS)

# Files in their order: by default those of few tests come last, and the few of the fuzzing take the longest.
test-servers: $(VENV)/.installed-dev ## Run the tests on Apache Kafka, PostgreSQL, S3, Chromium; what lacks is skipped
	@TEST_KAFKA_LIBS='$(TEST_KAFKA_LIBS)' $(bin)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		-m 'servers or browser' $(ARGS)

faults: $(VENV)/.installed-dev ## Kill and cut what there is under load, and account for every photo
	@TEST_KAFKA_LIBS='$(TEST_KAFKA_LIBS)' FAULTS_PHOTOS='$(PHOTOS)' FAULTS_REPORT='$(REPORT)' \
		$(bin)/pytest -o testpaths='tests/faults tests/test_servers.py' -m faults -s $(ARGS)

lint: $(VENV)/.installed-dev ## Check style and types
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/mypy tests/support/*.py

format: $(VENV)/.installed-dev ## Format the code and fix what ruff can fix
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

check: lint test ## Check style and types, then run the tests: what a change must pass

bench: $(VENV)/.installed ## Measure this machine: photos a second, latency, overhead
	@$(bin)/thumbstream bench $(ARGS)

kafka: ## Fetch Apache Kafka for the tests, by Maven; they run it with Java 17 or newer
	@rm -f '$(TEST_KAFKA_LIBS)'/*.jar
	@mvn --quiet --batch-mode --file tests/support/apache_kafka/pom.xml dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory='$(TEST_KAFKA_LIBS)'

lock: $(VENV)/.installed-dev ## Pin the newest allowed versions in requirements.txt and requirements-dev.txt
	@$(lock) --upgrade --output-file requirements.txt
	@$(lock) --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt

release-documents: $(VENV)/.installed-dev ## Keep today's OpenAPI and AsyncAPI as those of the release being made
	@PYTHONPATH=. $(bin)/python tests/support/released_documents.py

clean: ## Remove the environment and all caches; photos and settings stay
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@python='$(PYTHON)'; [ -n "$$python" ] || python="$$($(find_python))"; \
	if [ -z "$$python" ]; then \
		echo 'Thumbstream needs Python 3.11, 3.12 or 3.13, and none is on the PATH. PYTHON=/path/to/python names one.' >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c '$(in_range)'; then \
		echo "Thumbstream needs Python 3.11, 3.12 or 3.13; $$python is none of them." >&2; exit 1; \
	fi; \
	echo "Making an environment in $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo 'Installing what Thumbstream needs; this takes a minute, and only the first time'
	@$(pip_install) --require-hashes -r requirements.txt
	@$(pip_install) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo 'Installing what the tests and checks need'
	@$(pip_install) --no-deps --require-hashes -r requirements-dev.txt
	@touch $@
