#!/usr/bin/env bash
# Tests with the lowest versions that pyproject.toml allows, with the newest that there are, whatever constraints.txt
# says, and with a PyTorch for CPUs alone: virtual environments, deleted afterwards, of some 6 GB, the last of some 1.5.
# usage: benchmarks/dependencies.sh [lowest] [newest] [cpu] ; writes benchmarks/dependencies_lowest.log and so on ;
# TESTS="files" are run in place of those below; IN=FOLDER keeps the environments there, and takes them if they are there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$("${PYTHON:-python3}" -c "import sys; print(sys.executable)")
tests=${TESTS:-tests/test_import.py tests/labels tests/inference tests/measurement tests/export tests/data/test_check.py
    tests/data/test_exports.py tests/data/test_photographs.py tests/data/test_dataset_file.py tests/cli/test_completion.py
    tests/test_examples.py}
cpu_torch=${CPU_TORCH:-2.13.0+cpu} cpu_vision=${CPU_VISION:-0.28.0}
declare -A of=([lowest]="the lowest versions that pyproject.toml allows" [newest]="the newest versions that it allows"
    [cpu]="a PyTorch for CPUs alone, the newest of everything else")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tools=("pytest>=8" "hypothesis>=6.100" "packaging>=24")

installed() { # lowest, newest or cpu, and where
    local which=$1 own=$2
    "$python" -m venv "$own"
    if [ "$which" = cpu ]; then
        "$own/bin/pip" install -q --disable-pip-version-check "torch==$cpu_torch" "torchvision==$cpu_vision" "${tools[@]}" \
            ".[all,app,measure,onnx,formats,tensorboard,sweep]"
        # Where there is no torchvision for CPUs, that for CUDA lacks its own operators, which it asks for by name.
        if ! "$own/bin/python" -c "import torchvision" 2>/dev/null; then
            sed -i '1i import torch\
for name in ("nms", "qnms"):\
    torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")' \
                "$own"/lib/python*/site-packages/torchvision/__init__.py
            touch "$own/without-operators"
        fi
        return
    fi
    local -A how=([lowest]=lowest-direct [newest]=highest)
    "$own/bin/pip" install -q --disable-pip-version-check uv
    "$own/bin/uv" pip install -q --system-certs --no-cache --python "$own/bin/python" --resolution "${how[$which]}" \
        -r pyproject.toml --extra all --extra app --extra measure --extra onnx --extra formats --extra tensorboard \
        --extra sweep "${tools[@]}"
    "$own/bin/uv" pip install -q --python "$own/bin/python" --no-deps .
}

resolved() { # lowest, newest or cpu
    local which=$1 own="${IN:-$work}/$1"
    [ -x "$own/bin/coarseparts" ] || installed "$which" "$own" >"$work/said" 2>&1 || { cat "$work/said" && exit 1; }
    echo "${of[$which]}, $("$own/bin/python" --version); the environment has $(du -sm "$own" | cut -f1) MB:"
    [ ! -f "$own/without-operators" ] || echo "  (torchvision $cpu_vision is that for CUDA, without its own operators)"
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
