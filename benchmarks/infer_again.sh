#!/usr/bin/env bash
# What it costs to leave out line 14's second forward pass of the posterior (em.infer_again=false: the part model then
# learns from the labels that line 8 inferred): the built-in birds as in synthetic_birds.sh, three seeds.
# usage: benchmarks/infer_again.sh [SEEDS] ; writes benchmarks/infer_again.{log,csv}
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.venv/bin/coarseparts benchmark synthetic-birds --out runs/infer-again --seeds "${1:-0,1,2}" --methods em \
    --set em.infer_again=false 2>&1 | tee benchmarks/infer_again.log
cp runs/infer-again/results.csv benchmarks/infer_again.csv
