# On a fresh machine: `make demo` shows what truetap does, `make test` proves it on three backends.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BACKENDS := tensorflow jax torch

.PHONY: demo test test-oldest test-nightly capabilities check docs linkcheck format bench pictures dist smoke check-workflows clean

demo: $(VENV)/.demo
	KERAS_BACKEND=tensorflow $(BIN)/python examples/wrong_labels.py

test: $(VENV)/.test
	VENV=$(VENV) PYTHON=$(BIN)/python tests/run_all.sh

# The oldest versions that pyproject.toml admits, in an environment of their own. torch has no old build for a CPU on PyPI.
test-oldest: $(VENV)-oldest/.done
	PYTHON=$(VENV)-oldest/bin/python tests/oldest.sh tensorflow jax

# Keras' nightly build over the versions of `make test`; it may fail, and is there to say so before a release of Keras does.
test-nightly: $(VENV)-nightly/.done
	PYTHON=$(VENV)-nightly/bin/python tests/oldest.sh nightly $(BACKENDS)

# docs/capabilities.md from the results of this Keras; results of other versions stay as they are.
capabilities: $(VENV)/.test
	for backend in $(BACKENDS); do KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q -p tests.capabilities \
		--capabilities=docs/capabilities tests/backends; done
	$(BIN)/python -m docs.capabilities

check: $(VENV)/.test
	$(BIN)/ruff check truetap tests benchmarks examples docs
	$(BIN)/ruff format --check truetap tests benchmarks examples docs
	$(BIN)/mypy
	cd tests/typing && $(abspath $(BIN))/mypy --strict --config-file= --cache-dir=$(abspath $(VENV))/.mypy_cache program.py
	PATH="$(abspath $(BIN)):$$PATH" pyright

docs: $(VENV)/.docs
	KERAS_BACKEND=$${KERAS_BACKEND:-tensorflow} $(BIN)/python -m sphinx -q -E -W --keep-going docs docs/_build/html
	$(BIN)/python docs/links.py docs/_build/html

linkcheck: $(VENV)/.docs # follows links to other sites, so it needs a network and is no part of CI
	KERAS_BACKEND=$${KERAS_BACKEND:-tensorflow} $(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/linkcheck

format: $(VENV)/.test
	$(BIN)/ruff check --fix truetap tests benchmarks examples docs
	$(BIN)/ruff format truetap tests benchmarks examples docs

bench: $(VENV)/.test
	for backend in $(BACKENDS); do KERAS_BACKEND=$$backend $(BIN)/python benchmarks/collect.py || exit 1; done
	for backend in $(BACKENDS); do KERAS_BACKEND=$$backend $(BIN)/python benchmarks/overhead.py || exit 1; done
	for backend in $(BACKENDS); do KERAS_BACKEND=$$backend $(BIN)/python benchmarks/tap.py || exit 1; done

pictures: $(VENV)/.test
	KERAS_BACKEND=tensorflow $(BIN)/python docs/picture.py
	KERAS_BACKEND=tensorflow $(BIN)/python docs/rule_pictures.py
	KERAS_BACKEND=torch $(BIN)/python docs/rule_pictures.py

dist: $(VENV)/.release # a wheel and an sdist, the wheel built from the sdist
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tests/release/check_dist.py dist

EXTRAS ?= # such as "jax pandas"; by default each
smoke: dist
	$(BIN)/python tests/release/smoke.py dist $(EXTRAS)

check-workflows: $(VENV)/.release
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml requirements/demo.txt
	@echo "Installing TensorFlow, Keras and what truetap needs into $(VENV): about 2 GB"
	$(BIN)/pip install --quiet -r requirements/demo.txt
	$(BIN)/pip install --quiet -e .
	touch $@

# torch comes first: a version that is installed keeps pip from taking a larger build for another package.
$(VENV)/.test: $(VENV)/bin/python pyproject.toml requirements/torch.txt requirements/test.txt
	$(BIN)/pip install --quiet -r requirements/torch.txt
	$(BIN)/pip install --quiet -r requirements/test.txt
	$(BIN)/pip install --quiet -e .
	touch $@

$(VENV)/.docs: $(VENV)/.demo requirements/docs.txt
	$(BIN)/pip install --quiet -r requirements/docs.txt
	touch $@

$(VENV)/.release: $(VENV)/bin/python requirements/release.txt
	$(BIN)/pip install --quiet -r requirements/release.txt
	touch $@

$(VENV)-oldest/.done: pyproject.toml requirements/oldest.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/pip install --quiet -r requirements/oldest.txt
	$(VENV)-oldest/bin/pip install --quiet -e .
	touch $@

$(VENV)-nightly/.done: pyproject.toml requirements/torch.txt requirements/test.txt
	$(PYTHON) -m venv $(VENV)-nightly
	$(VENV)-nightly/bin/pip install --quiet -r requirements/torch.txt
	$(VENV)-nightly/bin/pip install --quiet -r requirements/test.txt
	$(VENV)-nightly/bin/pip install --quiet -e .
	$(VENV)-nightly/bin/pip uninstall --quiet --yes keras
	$(VENV)-nightly/bin/pip install --quiet --pre --upgrade keras-nightly
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-nightly build dist docs/_build .pytest_cache .mypy_cache .ruff_cache
