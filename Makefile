# make demo    fuse the sample pair and write the pictures to out/
# make test    lint, types, import directions and tests; the same that CI runs
# make clean   remove what these write; .venv and runs stay, which take long to make anew
#
# Each sets up its own environment under .venv. All they need is Python 3.10 or later; PYTHON=... names another one.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

DEMO := .venv/demo
TEST := .venv/test
# A comma would end the argument of a macro. TensorRT-RTX builds without a GPU.
EXTRAS := all,position,rtx

# 3.11 first: of the Pythons in use it has wheels for every package of the bench.
PYTHON ?= $(shell for name in python3.11 python3 python3.13 python3.12 python3.10; do \
	$$name -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$name && break; done)

# $(call step,NAME,COMMAND): says which step runs, and which one failed.
define step
@echo "== $(1)"
@$(2) || { echo "make test: the step '$(1)' failed" >&2; exit 1; }
endef

# $(call install,ENVIRONMENT,WHAT): the stamp is renewed last, so an interrupted set-up is taken up again. pip goes first:
# --group needs 25.1.
define install
@test -n "$(PYTHON)" || { echo "make: needs Python 3.10 or later with venv (on Debian: python3-venv)" >&2; exit 1; }
$(PYTHON) -m venv $(1)
$(1)/bin/python -m pip install --upgrade 'pip>=25.1'
$(1)/bin/python -m pip install $(2)
touch $(1)/installed
endef

.PHONY: help demo test clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(DEMO)/installed
	@$(DEMO)/bin/python -m apps.salton_sea

test: $(TEST)/installed
	$(call step,lint,$(TEST)/bin/ruff check)
	$(call step,format,$(TEST)/bin/ruff format --check)
	$(call step,spelling,$(TEST)/bin/codespell)
	$(call step,types,$(TEST)/bin/mypy)
	$(call step,import directions,$(TEST)/bin/lint-imports)
	$(call step,tests,$(TEST)/bin/python -m pytest -q --durations=10)

$(DEMO)/installed: pyproject.toml
	$(call install,$(DEMO),-e '.[opencv]')

$(TEST)/installed: pyproject.toml
	$(call install,$(TEST),--group test -e '.[$(EXTRAS)]')

clean:
	rm -rf out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
