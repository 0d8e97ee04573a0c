# Two commands are enough: `make demo` and `make test`. Both make .venv with locked packages first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# for matrix products of tests that run side by side: more would wait for each other, twice as long in all
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

.PHONY: demo test lint types docs coverage lock clean

demo: .venv/demo
	$(BIN)/ferkit doctor
	$(BIN)/python examples/01_recognise_a_picture.py
	$(BIN)/python examples/02_recognise_a_video.py
	$(BIN)/ferkit fit pipelines/hog_svm.yaml -o out/hog_svm.ferkit
	$(BIN)/ferkit evaluate sample --split PrivateTest --model out/hog_svm.ferkit
	@echo "Look at out/picture.png and out/video.mp4"

test: .venv/test
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered --cov-fail-under=90

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/test
	$(BIN)/mypy

docs: .venv/test
	$(BIN)/python tools/write_command_pages.py

lock:
	uv pip compile setup.cfg --universal --python-version 3.11 --no-header -q --extra dlib -o requirements/demo.txt
	uv pip compile setup.cfg --universal --python-version 3.11 --no-header -q --extra dlib --extra train --extra serve --extra tables --extra test -c requirements/demo.txt -o requirements/test.txt
	sed -i '1i # Locked packages of `make demo`. Made by: make lock' requirements/demo.txt
	sed -i '1i # Locked packages of `make test`. Made by: make lock' requirements/test.txt

.venv/bin/python: tools/system_packages.sh
	@sh tools/system_packages.sh
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Got Python {v[0]}.{v[1]}, expected 3.11 or newer: make PYTHON=python3.11") if v < (3, 11) else None'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/demo: .venv/bin/python requirements/demo.txt setup.cfg
	$(BIN)/pip install -q -r requirements/demo.txt
	$(BIN)/pip install -q --no-deps -e .
	@touch $@

.venv/test: .venv/demo requirements/test.txt
	$(BIN)/pip install -q -r requirements/test.txt
	@touch $@

clean:
	rm -rf .venv out build dist *.egg-info
