#!/usr/bin/env bash
# How many part masks fine-tuning needs to be as good as EM with 30, on the built-in birds: one seed, 64 px. EM's row is
# that of synthetic_birds.sh.
# usage: benchmarks/label_multiplier.sh ; writes benchmarks/label_multiplier.csv and .log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
{
    .venv/bin/coarseparts benchmark synthetic-birds "${before[@]}" --out runs/synthetic-birds --seeds 0 --methods fine-tuning \
        --parts 30,60,120,240,480 2>&1
    { cat runs/synthetic-birds/results.csv; grep ',ours,em,0,' benchmarks/synthetic_birds.csv; } \
        > benchmarks/label_multiplier.csv
    .venv/bin/python benchmarks/label_multiplier.py
} | tee benchmarks/label_multiplier.log
