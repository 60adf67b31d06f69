# Each target is one line to type; all of them make the environment first if need be.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete

.PHONY: setup check test test-slow demo clean

setup: $(STAMP)  ## make .venv and prove that it works

# Pip installs uv, uv installs the rest by the pins, and compiles it once instead of in each of the
# many processes of a run; a matching torch and torchvision, and one OpenCV, show themselves by importing.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	$(BIN)/python -c "import torch, torchvision, cv2, open_clip, av, ray"
	touch $@

check: $(STAMP)  ## style, types, and the rules of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/house

test: $(STAMP)  ## the suite
	$(BIN)/pytest -m "not slow"

test-slow: $(STAMP)  ## what takes longer
	$(BIN)/pytest -m slow

demo: $(STAMP)  ## footage, the whole DAG on a local Ray, a trained model and a sampled video
	$(BIN)/clipmill demo demo/footage --run demo/store

clean:  ## remove what was made here
	rm -rf .venv demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
