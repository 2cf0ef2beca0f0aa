#!/usr/bin/env bash
# The methods on the built-in birds: 30 part masks, 1,000 coarse images, 64 px, measured on 200 held-out birds a seed.
# First all methods and controls with one seed, then ours and the strongest of the others with three.
# usage: benchmarks/synthetic_birds.sh [SEEDS] ; writes benchmarks/synthetic_birds.{log,csv}, _margins.csv (all methods)
# and benchmarks/synthetic_birds_seeds.* (three seeds), likewise, and the IoU of each part (_by_part.csv) of those
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
run() { # NAME OPTIONS...
    local name=$1
    shift
    .venv/bin/coarseparts benchmark synthetic-birds "${before[@]}" --out runs/synthetic-birds "$@" 2>&1 | tee "benchmarks/$name.log"
    cp runs/synthetic-birds/results.csv "benchmarks/$name.csv"
    cp runs/synthetic-birds/margins.csv "benchmarks/${name}_margins.csv"
}
run synthetic_birds --seeds 0
run synthetic_birds_seeds --seeds "${1:-0,1,2}" --methods em,fine-tuning,multi-task,point-sup,distillation
cp runs/synthetic-birds/by_part.csv benchmarks/synthetic_birds_seeds_by_part.csv
