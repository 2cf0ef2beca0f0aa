#!/usr/bin/env bash
# The built-in birds with one seed and convolutions in float32 and in bfloat16, epoch by epoch.
# usage: benchmarks/precision.sh ; writes benchmarks/precision_float32.log and benchmarks/precision_bfloat16.log
# (committed: float32, from a machine without bfloat16 instructions; the same in bfloat16 is in synthetic_birds_seeds.log)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
for precision in float32 bfloat16; do
    .venv/bin/coarseparts benchmark synthetic-birds "${before[@]}" --out "runs/precision-$precision" --methods fine-tuning,distillation,em \
        --seeds 0 --set "precision=$precision" 2>&1 | tee "benchmarks/precision_$precision.log"
done
