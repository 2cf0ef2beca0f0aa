#!/usr/bin/env bash
# All methods on the built-in birds: 30 part masks, 1,000 coarse images, 64 px, measured on 200 held-out birds a seed.
# usage: benchmarks/synthetic_birds.sh [SEEDS] ; writes benchmarks/synthetic_birds.log, .csv and _margins.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.venv/bin/coarseparts benchmark synthetic-birds --out runs/synthetic-birds --seeds "${1:-0,1,2}" 2>&1 |
    tee benchmarks/synthetic_birds.log
cp runs/synthetic-birds/results.csv benchmarks/synthetic_birds.csv
cp runs/synthetic-birds/margins.csv benchmarks/synthetic_birds_margins.csv
