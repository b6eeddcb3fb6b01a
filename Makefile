SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help bench bench-quick bench-parts bench-count demo test test-one test-e2e torture fuzz lint format types mypy pyright docs clean

# Extra arguments for pytest: make test ARGS="-k stop -x"
ARGS ?=
# A worker on each core and one more, since many tests wait for others; whoever has nothing left takes over from the
# others. WORKERS= runs all in one process.
WORKERS ?= -n $(shell echo $$(($$(nproc) + 1))) --dist worksteal
# How long make fuzz takes.
FUZZ_SECONDS ?= 600
# Quiet twice: errors only.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check
# The programs in benchmarks/ that measure taf alone.
BENCH_PARTS := long_thread storage import_time step encryption listeners sync_calls pauses

help:
	@echo "make demo      run the approval example in a fresh environment"
	@echo "make demo-travel  four scenes with a travel agent that is interrupted"
	@echo "make test      run the tests on every Python found (ARGS=... goes to pytest)"
	@echo "make test-one  run the tests on the first Python found"
	@echo "make test-e2e  run the tests with other programs (pgbouncer, ACP clients), which it installs, and on disks that are really full"
	@echo "make torture   run kills, faults and races by the hundred, with fsync, and fuzz (an hour or so)"
	@echo "make fuzz      fuzz the decoders by coverage, for FUZZ_SECONDS=600"
	@echo "make bench     the same work on taf and its peers, side by side (20 minutes; ARGS=... goes to it)"
	@echo "make bench-quick  a smoke test of that;  make bench-parts measures single things of taf"
	@echo "make bench-count  instructions that a step and others take, against those in benchmarks/counts.json"
	@echo "make lint      ruff: rules and format;  make format repairs"
	@echo "make types     mypy and pyright, both strict"
	@echo "make docs      build the documentation into site/"
	@echo "make clean     remove what the other targets made"

# --- environments: a stamp is as new as its last install, so pip runs only when pyproject.toml changed ---

.venv/bin/python:
	python="$$(scripts/interpreters.sh | sed -n 1p)" && "$$python" -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	.venv/bin/python $(PIP_INSTALL) -e .
	touch $@

.venv/.installed-dev: pyproject.toml | .venv/bin/python
	.venv/bin/python $(PIP_INSTALL) -e '.[test,lint,docs]'
	touch .venv/.installed $@

.venvs/%/.installed: pyproject.toml
	test -x .venvs/$*/bin/python || "$(PYTHON)" -m venv .venvs/$*
	.venvs/$*/bin/python $(PIP_INSTALL) -e '.[test]'
	touch $@

# Python 3.12, since that is what all the peers run on.
.venvs/bench/.installed: pyproject.toml benchmarks/requirements.txt
	python="$$(scripts/interpreters.sh 3.12)" && "$$python" -m venv .venvs/bench
	.venvs/bench/bin/python $(PIP_INSTALL) -r benchmarks/requirements.txt -e .
	touch $@

# --- what a person runs ---

demo: .venv/.installed
	@mkdir -p .demo
	.venv/bin/python examples/approval_workflow.py --db .demo/approval.db

demo-travel: .venv/.installed
	.venv/bin/python -m examples.travel

# $(1): the paths of the interpreters, one a line. All are run, one after another, even when one fails. The first one
# plays every random round and tries every case, each further one a share of them (tests/rounds.py).
define run_tests
	@pythons="$(1)" || exit 1; failed=""; number=0; shares="$$(wc -l <<<"$$pythons")"; \
	while IFS= read -r python <&3; do \
	    number=$$((number + 1)); share=1/1; if [ "$$number" -gt 1 ]; then share="$$number/$$shares"; fi; \
	    version="$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"; \
	    echo "== Python $$version: $$python"; \
	    if ! { $(MAKE) --no-print-directory ".venvs/$$version/.installed" PYTHON="$$python" \
	        && TAF_TEST_SHARE="$$share" ".venvs/$$version/bin/python" -m pytest $(WORKERS) $(ARGS); }; then failed="$$failed $$version"; fi; \
	done 3<<<"$$pythons"; \
	if [ -n "$$failed" ]; then echo "Tests failed on Python:$$failed" >&2; exit 1; fi
endef

test:
	$(call run_tests,$$(scripts/interpreters.sh))

test-one:
	$(call run_tests,$$(scripts/interpreters.sh | sed -n 1p))

test-e2e: WORKERS =
test-e2e: override ARGS += -m e2e
test-e2e:
	@scripts/pgbouncer.sh
	@scripts/textual_chat.sh
	@scripts/acpx.sh
	$(call run_tests,$$(scripts/interpreters.sh | sed -n 1p))

# -s: each part prints its counts.
torture: export TAF_TORTURE = 1
torture: WORKERS =
torture: override ARGS += -s -m 'e2e or not e2e' tests/torture tests/disk tests/simulation tests/pg tests/checkpointer
torture:
	@scripts/pgbouncer.sh
	$(call run_tests,$$(scripts/interpreters.sh | sed -n 1p))
	@$(MAKE) --no-print-directory fuzz

# What is worth keeping stays in .fuzz, and the next time begins with it.
fuzz:
	@python="$$(scripts/interpreters.sh | sed -n 1p)"; test -x .venvs/fuzz/bin/python || "$$python" -m venv .venvs/fuzz
	@.venvs/fuzz/bin/python $(PIP_INSTALL) -e '.[test,fuzz]'
	.venvs/fuzz/bin/python -m tests.fuzz .fuzz $(FUZZ_SECONDS)

bench: .venvs/bench/.installed
	.venvs/bench/bin/python -m compileall -q taf
	.venvs/bench/bin/python -m benchmarks.benchkit run $(ARGS)

bench-quick: override ARGS += --quick
bench-quick: bench

bench-parts: .venvs/bench/.installed
	for part in $(BENCH_PARTS); do .venvs/bench/bin/python benchmarks/$$part.py; done

bench-count: .venv/.installed
	@scripts/valgrind.sh
	.venv/bin/python benchmarks/count.py $(ARGS)

lint: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: .venv/.installed-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

types: mypy pyright

mypy pyright: .venv/.installed-dev
	.venv/bin/$@

docs: .venv/.installed-dev
	.venv/bin/mkdocs build --strict

clean:
	rm -rf .venv .venvs .npm .demo .fuzz site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
