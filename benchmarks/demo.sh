#!/usr/bin/env bash
# The demonstration with the seeds given (default 0,1,2): 30 part masks, 1,000 coarse images, measured on 200 held-out birds a seed.
# usage: benchmarks/demo.sh [SEEDS] ; writes benchmarks/demo.log and benchmarks/demo.csv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
{
    echo "cores: $(nproc); $(.venv/bin/python -c 'import torch; print("torch", torch.__version__, "threads", torch.get_num_threads())')"
    .venv/bin/coarseparts demo --out runs/demo3 --seeds "${1:-0,1,2}" 2>&1
} | tee benchmarks/demo.log
cp runs/demo3/results.csv benchmarks/demo.csv
