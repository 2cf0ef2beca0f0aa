#!/usr/bin/env bash
# Two builds of one commit, a second apart and in different folders: the same bytes. What the wheel holds, and its size.
# usage: benchmarks/package.sh ; writes benchmarks/package.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    "$python" benchmarks/build.py "$work/first" | tee "$work/hashes"
    sleep 1
    "$python" benchmarks/build.py "$work/second" | diff "$work/hashes" - && echo "the second build has the same bytes"
    "$python" - "$work"/first/*.whl <<'PYTHON'
import sys
import zipfile
names = zipfile.ZipFile(sys.argv[1]).namelist()
print(len(names), "files in the wheel")
for wanted in ("coarseparts/py.typed", "coarseparts/report/report.css", "licenses/LICENSE"):
    print("has" if any(name.endswith(wanted) for name in names) else "LACKS", wanted)
print("beside the package:", sorted({name.split("/")[0] for name in names} - {"coarseparts"}))
PYTHON
} 2>&1 | tee benchmarks/package.log
