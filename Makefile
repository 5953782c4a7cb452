# Each target does its own set-up: `make demo` and `make test` work on a fresh Debian or Ubuntu machine that has
# rustup, g++, nasm and python3-pip.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
CARGO ?= cargo
# One profile for all, so that no dependency is compiled twice.
BUILD := --release --workspace --locked

# --- libtorch -------------------------------------------------------------------------------------------------
# Three wheels, fetched for one fixed Python and platform so that their hashes fit every host, unpacked into an
# ignored folder. A LIBTORCH or LIBTORCH_USE_PYTORCH of the user's own is left alone.

LIBTORCH_WHEELS := model_adapters/libtorch.txt
LIBTORCH_STAMP := .libtorch/$(shell sha256sum $(LIBTORCH_WHEELS) 2>/dev/null | cut -c1-16)
LIBTORCH_PLATFORMS := $(foreach n,17 25 28,--platform manylinux_2_$(n)_x86_64) --platform manylinux2014_x86_64

ifeq ($(LIBTORCH)$(LIBTORCH_USE_PYTORCH),)
libtorch: tools $(LIBTORCH_STAMP)
else
libtorch: tools
	@echo "libtorch: the one of your environment"
endif

$(LIBTORCH_STAMP): $(LIBTORCH_WHEELS)
	@[ "$$(uname -sm)" = "Linux x86_64" ] || { echo "make libtorch serves Linux on x86_64; set LIBTORCH to a torch 2.11.0 of your own"; exit 1; }
	rm -rf .libtorch .libtorch.partial
	mkdir -p .libtorch.partial/wheels
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
	  --implementation cp --python-version 3.11 $(LIBTORCH_PLATFORMS) \
	  --dest .libtorch.partial/wheels --requirement $(LIBTORCH_WHEELS)
	for wheel in .libtorch.partial/wheels/*.whl; do $(PYTHON) -m zipfile -e "$$wheel" .libtorch.partial; done
	rm -rf .libtorch.partial/wheels
	mv .libtorch.partial .libtorch
	touch $@

# --- tools ----------------------------------------------------------------------------------------------------

.PHONY: tools
tools:
	@missing=; \
	check() { command -v "$$1" >/dev/null 2>&1 || missing="$$missing $$2"; }; \
	check g++ g++; check nasm nasm; \
	$(PYTHON) -m pip --version >/dev/null 2>&1 || missing="$$missing python3-pip"; \
	if [ -n "$$missing" ]; then echo "missing:$$missing; install with: sudo apt-get install$$missing"; exit 1; fi
	@command -v $(CARGO) >/dev/null 2>&1 || { echo "missing: Rust 1.95; install with: curl https://sh.rustup.rs -sSf | sh"; exit 1; }

# --- what one does --------------------------------------------------------------------------------------------

.PHONY: help build demo results test lint licences bench oracle libtorch clean

help:
	@echo "make demo      build, then run the small checkpoints and benchmarks that ship with the repository"
	@echo "make test      build, then run every test"
	@echo "make lint      formatting and clippy"
	@echo "make licences  the licences of all dependencies (needs cargo-deny)"
	@echo "make results   build, then record what the shipped checkpoints score: results/mini-suite"
	@echo "make bench     scoring, loading and answering at real size beside the usual programs in Python (20 GB of disk)"
	@echo "make oracle    make the test fixtures anew with transformers and Pillow (5.5 GB of Python packages)"

build: libtorch
	$(CARGO) build $(BUILD)

demo: build
	target/release/vila-bench demo

# Runs of their own, so that those of an earlier checkpoint are in nobody's way.
RECORD := target/release/vila-bench
RECORDED := runs/results/mini-vila runs/results/mini-llava

results: build
	rm -rf runs/results
	$(RECORD) demo --out runs/results
	mkdir -p results/mini-suite
	for run in $(RECORDED); do $(RECORD) baseline "$$run" --out "results/mini-suite/$$(basename "$$run").jsonl"; done
	for format in md csv json; do \
	  $(RECORD) leaderboard $(RECORDED) --against vila-paper-t5 --format "$$format" --out "results/mini-suite/leaderboard.$$format"; \
	done

test: libtorch
	$(CARGO) test $(BUILD)

lint: libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(BUILD) --all-targets -- -D warnings

bench: build .oracle/.complete
	$(PYTHON) tests/bench/bench.py target/release/vila-bench
	$(CARGO) build $(BUILD) --example real_size --example pictures
	.oracle/bin/python tests/bench/speed.py target/release/vila-bench
	$(PYTHON) tests/bench/real_size.py target/release/examples/real_size

licences:
	cargo-deny --workspace check licenses

# --- fixtures -------------------------------------------------------------------------------------------------

.oracle/.complete: tests/oracle/requirements.txt
	$(PYTHON) -m venv .oracle
	.oracle/bin/pip install --quiet --disable-pip-version-check --requirement tests/oracle/requirements.txt
	touch $@

oracle: .oracle/.complete
	for script in $(filter-out tests/oracle/dump.py,$(wildcard tests/oracle/*.py)); do .oracle/bin/python "$$script"; done

clean:
	rm -rf target .libtorch .libtorch.partial .oracle .bench runs
