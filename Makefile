# The first of these that is a Python of 3.10 to 3.$(1)
python = $(or $(PYTHON),$(shell for python in $(2); do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $(1)))' \
	2>/dev/null && echo $$python && break; done),$(error \
	Python 3.10 to 3.$(1) is needed: name one with make PYTHON=/path/to/python))
NEWEST = $(call python,14,python3 python3.13 python3.12 python3.11 python3.10 python)
OLDEST = $(call python,11,python3.11 python3.10 python3 python)
VENV ?= .venv
MAIN = $(NEWEST) requirements/environment.py main --folder $(VENV)

# Files of tests side by side: their fixtures are made once for each file
PROCESSES ?= 2
TESTS ?= tests
PYTEST = bin/python -m pytest --numprocesses $(PROCESSES) --dist loadfile $(TESTS)

.PHONY: help demo test test-slow test-oldest test-compiled lint docs clean

help:
	@echo 'make demo           train two small networks, and write a page that compares them'
	@echo 'make test           run the tests (PROCESSES=2 at a time); another Python:'
	@echo '                    make test PYTHON=python3.12 VENV=.venv-3.12'
	@echo 'make test-slow      train the largest recipes, too, for some minutes'
	@echo 'make test-oldest    run them beside torch 2.1 and NumPy 1.26'
	@echo 'make test-compiled  run them beside compiled mmcv and xtcocotools'
	@echo 'make lint           check the style'
	@echo 'make docs           build the documentation into docs/_build'

demo:
	@$(MAIN)
	@$(VENV)/bin/python -m mmpose_wloss demo

test:
	@$(MAIN)
	@$(VENV)/$(PYTEST)

test-slow:
	@$(MAIN)
	@$(VENV)/$(PYTEST) -m slow

test-oldest:
	@$(OLDEST) requirements/environment.py oldest
	@.venv-oldest/$(PYTEST)

test-compiled:
	@$(OLDEST) requirements/environment.py compiled
	@.venv-compiled/$(PYTEST)

lint:
	@$(MAIN)
	@$(VENV)/bin/ruff check .

docs:
	@$(MAIN)
	@$(VENV)/bin/python -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo 'open docs/_build/html/index.html'

clean:
	rm -rf .venv .venv-* docs/_build build *.egg-info
