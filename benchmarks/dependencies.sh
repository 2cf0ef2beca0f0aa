#!/usr/bin/env bash
# Tests with the lowest versions that pyproject.toml allows, and with the newest that there are, whatever constraints.txt
# says: two virtual environments, deleted afterwards, of some 6 GB each.
# usage: benchmarks/dependencies.sh [lowest] [newest] ; writes benchmarks/dependencies_lowest.log and ..._newest.log ;
# TESTS="files" are run in place of those below; IN=FOLDER keeps the environments there, and takes them if they are there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$("${PYTHON:-python3}" -c "import sys; print(sys.executable)")
tests=${TESTS:-tests/test_import.py tests/labels tests/inference tests/measurement tests/export tests/data/test_check.py
    tests/data/test_exports.py tests/data/test_photographs.py tests/data/test_dataset_file.py tests/cli/test_completion.py
    tests/test_examples.py}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

resolved() { # lowest or newest
    local which=$1 own="${IN:-$work}/$1"
    local -A how=([lowest]=lowest-direct [newest]=highest)
    if [ ! -x "$own/bin/coarseparts" ]; then
        "$python" -m venv "$own"
        "$own/bin/pip" install -q --disable-pip-version-check uv
        "$own/bin/uv" pip install -q --system-certs --no-cache --python "$own/bin/python" --resolution "${how[$which]}" \
            -r pyproject.toml --extra all --extra app --extra measure --extra onnx --extra formats --extra tensorboard \
            --extra sweep "pytest>=8" "hypothesis>=6.100" "packaging>=24"
        "$own/bin/uv" pip install -q --python "$own/bin/python" --no-deps .
    fi
    echo "the $which versions that pyproject.toml allows, $("$own/bin/python" --version):"
    "$own/bin/python" - <<'PYTHON'
import re
import tomllib
from importlib.metadata import version
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = {name: needs for name, needs in project["optional-dependencies"].items() if name not in ("dev", "docs", "all")}
for need in sorted({*project["dependencies"], *(one for needs in extras.values() for one in needs)}):
    print(f"  {need}: {version(re.split(r'[><=]', need)[0])}")
PYTHON
    "$own/bin/python" -m coarseparts doctor | sed -n '/^self-test/,$p'
    echo "pytest $tests" | tr -s ' \n' ' '
    echo
    # shellcheck disable=SC2086
    "$own/bin/python" -m pytest -p no:cacheprovider $tests 2>&1 | tail -n 40
}

for which in "${@:-lowest newest}"; do
    for one in $which; do
        resolved "$one" 2>&1 | tee "benchmarks/dependencies_$one.log"
    done
done
