#!/usr/bin/env bash
# All tests with other Pythons than the one that is first on the path, each in a new virtual environment of some 6 GB.
# usage: benchmarks/pythons.sh python3.12 python3.13 ; writes benchmarks/python_3.12.log and so on
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for python in "$@"; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    {
        echo "\$ make test PYTHON=python$version    # $("$python" --version)"
        make test PYTHON="$python" VENV="$work/$version" 2>&1 | grep -E '^(FAILED|ERROR|[0-9]+ (passed|failed))' || true
    } | tee "benchmarks/python_$version.log"
    rm -rf "${work:?}/$version"
done
