#!/usr/bin/env bash
# What a stranger does who has the wheel and nothing else, in an empty folder and a new virtual environment: install,
# demo, own images from an export, train, predict, measure, the app, ONNX. Minutes of each step, and disk after it.
# usage: benchmarks/wheel.sh ; writes benchmarks/wheel.log ; PYTHON=python3.12 takes another one, DEMO=no leaves the
# demo out. Of the repository it uses the wheel, which it builds, and constraints.txt, for versions that were tested.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD
builder=${BUILDER:-.venv/bin/python}
python=$("${PYTHON:-python3}" -c "import sys; print(sys.executable)")
log=$repository/benchmarks/wheel.log
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$builder" benchmarks/build.py "$work/dist" >/dev/null
cp constraints.txt "$work/"
mkdir "$work/home" "$work/here"
cd "$work/here"
bin=$work/here/venv/bin
# Nothing of whoever runs this gets in: neither settings nor modules nor anything that was downloaded before.
alone=(env -i PATH="$bin:/usr/bin:/bin" HOME="$work/home" COLUMNS=100 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1)

disk() { du -sm "$work/here" | cut -f1; }

step() { # what it is called, then the command
    local name=$1 began=$SECONDS status=0
    shift
    "${alone[@]}" "$@" >"$work/said" 2>&1 || status=$?
    printf '%5d s %6d MB  %s\n' $((SECONDS - began)) "$(disk)" "$name"
    if [ $status != 0 ]; then
        echo "FAILED with status $status:"
        tail -n 30 "$work/said"
        exit 1
    fi
    tail -n "${LINES_SHOWN:-2}" "$work/said" | LC_ALL=C.UTF-8 sed -E 's/^(.{160}).*/\1/; s/^/                 | /'
}

cat >"$work/app.sh" <<'SCRIPT'
# The page that the app answers with, asked for once; then the app is stopped.
coarseparts app runs/birds new --port 0 --no-browser >said.txt 2>&1 &
server=$!
for _ in $(seq 1200); do
    link=$(grep -o 'http://[^ ]*' said.txt | head -n 1)
    [ -n "$link" ] && break
    sleep 0.25
done
python - "$link" <<'PYTHON'
import sys, urllib.request as r
page = r.build_opener(r.HTTPCookieProcessor()).open(sys.argv[1]).read()  # the link leaves its key in a cookie
print(len(page), "bytes of a page")
assert b"<html" in page.lower()
PYTHON
answered=$?
kill -TERM $server
wait $server
exit $answered
SCRIPT
cat >"$work/onnx.sh" <<'SCRIPT'
# The model in onnxruntime, with none of our modules.
coarseparts export runs/birds --to onnx --out birds-onnx && python - <<'PYTHON'
import sys
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession("birds-onnx/part_model.onnx")
(found,) = session.run(None, {"image": np.asarray(Image.open("new/bird_41.jpg"))[None]})
print("onnxruntime says probabilities", found.shape, "; ours imported:", "coarseparts" in sys.modules)
PYTHON
SCRIPT

{
    echo "From the wheel alone ($(cd "$work/dist" && ls ./*.whl | cut -c 3-)), $("$python" --version), $(nproc) cores,$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2),"
    echo "load average $(cut -d' ' -f1-3 /proc/loadavg) before it starts; disk is that of the folder with everything in it"
    step "python -m venv venv" "$python" -m venv venv
    step "pip install 'coarseparts[app,measure,onnx]'" "$bin/pip" install -q -c "$work/constraints.txt" \
        "$(echo "$work"/dist/*.whl)[app,measure,onnx]"
    rm -rf "$work/dist" "$work/constraints.txt"
    step "coarseparts --version" coarseparts --version
    step "coarseparts doctor" coarseparts doctor
    [ "${DEMO:-yes}" = no ] || LINES_SHOWN=11 step "coarseparts demo" coarseparts demo
    step "coarseparts example cvat own" coarseparts example cvat own
    cd own
    step "coarseparts init photos annotations.xml --out birds.yaml" coarseparts init photos annotations.xml --out birds.yaml
    step "coarseparts check birds.yaml" coarseparts check birds.yaml
    LINES_SHOWN=8 step "coarseparts train birds.yaml --out runs/birds --minutes 2" \
        coarseparts train birds.yaml --out runs/birds --minutes 2
    step "coarseparts predict runs/birds new --out parts --overlay --export cvat" \
        coarseparts predict runs/birds new --out parts --overlay --export cvat
    step "coarseparts measure runs/birds new --out traits.csv" coarseparts measure runs/birds new --out traits.csv
    step "coarseparts app runs/birds new (one request, then stopped)" bash "$work/app.sh"
    step "coarseparts export runs/birds --to onnx --out birds-onnx, run by onnxruntime" bash "$work/onnx.sh"
    echo "venv alone: $(du -sm "$work/here/venv" | cut -f1) MB, of which torch and its CUDA libraries $(du -smc "$work"/here/venv/lib/python*/site-packages/{torch,nvidia,triton} 2>/dev/null | tail -1 | cut -f1) MB"
    echo "in all $((SECONDS / 60)) min $((SECONDS % 60)) s"
} 2>&1 | tee "$log"
