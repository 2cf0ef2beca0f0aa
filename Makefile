# Everything sets itself up: from a clean clone, `make demo` or `make test` is all that has to be typed.
# PYTHON=python3.12 chooses the interpreter, VENV=elsewhere the folder that everything is installed into.

PYTHON ?= python3 python3.13 python3.12 python3.11 python3.14
VENV ?= .venv
STAMP := $(VENV)/.installed

.PHONY: setup demo test lint docs wheel clean

setup: $(STAMP)

demo: setup
	$(VENV)/bin/coarseparts demo --out runs/demo

test: setup
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: setup
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(VENV)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

# Two builds of one commit are the same bytes: files are dated by the commit.
wheel: setup
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt build
	$(VENV)/bin/python benchmarks/build.py dist

# What was trained, runs/, is nobody's to delete but yours.
clean:
	if [ -f $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	rm -rf build dist docs/_build docs/reference *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Done again only when the dependencies change. The stamp comes last: a half-finished install is taken up again.
$(STAMP): pyproject.toml constraints.txt
	@for candidate in $(PYTHON); do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "make: needs Python 3.11 or newer, which none of these is: $(PYTHON);" \
	        "install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	    version=$$("$$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "make: Python $$version here cannot make virtual environments (its ensurepip or venv is missing);" \
	        "on Debian and Ubuntu: sudo apt install python$$version-venv" >&2; exit 1; \
	fi; \
	if ! "$(VENV)/bin/python" -m pip --version >/dev/null 2>&1; then "$$found" -m venv "$(VENV)" || exit 1; fi; \
	echo "Installing into $(VENV) with $$found; the first time takes a few minutes (PyTorch with CUDA is 5.5 GB)."
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,measure]'
	@touch $@
