#!/usr/bin/env bash
# How many part masks fine-tuning needs to be as good as EM with 30, on the built-in birds: one seed, 64 px. EM's rows, of
# one label each and of all, and fine-tuning's with 30 are those of synthetic_birds_each.sh.
# usage: benchmarks/label_multiplier.sh ; writes benchmarks/label_multiplier.csv and .log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python} each=benchmarks/synthetic_birds_each.csv
{
    PYTHONPATH=$PWD "$python" -m coarseparts benchmark synthetic-birds --out runs/multiplier --seeds 0 \
        --methods fine-tuning --parts 60,120,240,480 2>&1
    {
        cat runs/multiplier/results.csv
        grep '^30,one-of-all,.*,fine-tuning,0,' "$each"
        grep '^30,.*,em,0,' "$each" | sed -e 's/,em,/,em (all labels),/' -e '/,one-of-all,/s/(all labels)/(one label each)/'
    } > benchmarks/label_multiplier.csv
    "$python" benchmarks/label_multiplier.py
} | tee benchmarks/label_multiplier.log
