#!/usr/bin/env bash
# README's first table: the built-in birds where each of the 1,000 coarse images has one label, taken at random, beside all
# of them; 30 part masks, 64 px, measured on 200 held-out birds a seed. One seed after another, so that a run that was
# stopped has a whole table of those done.
# usage: benchmarks/synthetic_birds_each.sh [SEEDS] ; writes benchmarks/synthetic_birds_each.{log,csv}, _margins.csv and
# _by_part.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seeds=${1:-0,1,2} python=${PYTHON:-.venv/bin/python} name=benchmarks/synthetic_birds_each out=runs/each
for k in $(seq "$(tr , '\n' <<< "$seeds" | wc -l)"); do
    PYTHONPATH=$PWD "$python" -m coarseparts benchmark synthetic-birds --labels-each one,all \
        --methods em,fine-tuning,point-sup,distillation,frozen-probe,upper-bound \
        --seeds "$(cut -d, -f"-$k" <<< "$seeds")" --out "$out" 2>&1 | tee "$name.log"
    cp "$out/results.csv" "$name.csv"
    cp "$out/margins.csv" "${name}_margins.csv"
    cp "$out/by_part.csv" "${name}_by_part.csv"
done
