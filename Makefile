# A Python of a version that the pinned packages have wheels for
PYTHON ?= $(shell for python in python3.11 python3.10 python3 python; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' \
	2>/dev/null && echo $$python && break; done)
ENVIRONMENT = $(or $(PYTHON),$(error Python 3.10 or 3.11 is needed; name it \
	with make PYTHON=/path/to/python3.11)) requirements/environment.py

# Files of tests side by side: their fixtures are made once for each file
PROCESSES ?= 2
PARALLEL = --numprocesses $(PROCESSES) --dist loadfile

.PHONY: help demo test test-lite test-modern lint docs clean

help:
	@echo 'make demo         train two small networks, MSE and focal MSE, and compare them'
	@echo 'make test         run the tests (PROCESSES=2 at a time)'
	@echo 'make test-lite    run them beside mmpose 1.1 and mmcv-lite'
	@echo 'make test-modern  test checkpoints beside torch 2.13'
	@echo 'make lint         check the style'
	@echo 'make docs         build the documentation into docs/_build'

demo:
	@$(ENVIRONMENT) main
	@.venv/bin/python tools/demo.py

test:
	@$(ENVIRONMENT) main
	@.venv/bin/python -m pytest $(PARALLEL) tests

test-lite:
	@$(ENVIRONMENT) lite
	@.venv-lite/bin/python -m pytest $(PARALLEL) tests

test-modern:
	@$(ENVIRONMENT) modern
	@.venv-modern/bin/python -m pytest tests/test_compat.py

lint:
	@$(ENVIRONMENT) main
	@.venv/bin/ruff check .

docs:
	@$(ENVIRONMENT) main
	@.venv/bin/python -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo 'open docs/_build/html/index.html'

clean:
	rm -rf .venv .venv-lite .venv-modern docs/_build build *.egg-info
