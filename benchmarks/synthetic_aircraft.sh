#!/usr/bin/env bash
# The built-in aircraft, whose parts overlap and whose part labels are noisy on most images: 60 clean part masks, 600
# images with figure-ground masks, 64 px, measured on 200 held-out aircraft a seed (Table 4's shape). One
# seed after another, so that a run that was stopped has a whole table of those done.
# usage: benchmarks/synthetic_aircraft.sh [SEEDS] ; writes benchmarks/synthetic_aircraft.log, .csv and _margins.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seeds=${1:-0,1,2} python=${PYTHON:-.venv/bin/python} name=benchmarks/synthetic_aircraft out=runs/synthetic-aircraft
for k in $(seq "$(tr , '\n' <<< "$seeds" | wc -l)"); do
    PYTHONPATH=$PWD "$python" -m coarseparts benchmark synthetic-aircraft --out "$out" \
        --seeds "$(cut -d, -f"-$k" <<< "$seeds")" --methods em,fine-tuning,distillation,multi-task 2>&1 | tee "$name.log"
    cp "$out/results.csv" "$name.csv"
    cp "$out/margins.csv" "${name}_margins.csv"
done
