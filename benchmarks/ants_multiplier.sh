#!/usr/bin/env bash
# What 30 part masks are worth on the ants with EM, in part masks of fine-tuning: all epochs of the default preset, one
# seed, the 60 validation images; and the control distillation with the same 30.
# usage: benchmarks/ants_multiplier.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants_multiplier.{log,csv}, _margins.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
all=${data%.yaml}_all.yaml # beside the original, for its paths are relative to it
trap 'rm -f "$all"' EXIT
sed '/limit: 30/d' "$data" > "$all"
run() { # PARTS METHODS
    .venv/bin/coarseparts benchmark "$all" --out runs/ants-multiplier --seeds 0 --parts "$1" --methods "$2" \
        --weights "$weights" 2>&1
    tail -n +2 runs/ants-multiplier/results.csv >> benchmarks/ants_multiplier.csv
}
{
    rm -f benchmarks/ants_multiplier.csv
    run 60,120,150 fine-tuning
    run 30 em,distillation,fine-tuning
    sed -i "1i $(head -1 runs/ants-multiplier/results.csv)" benchmarks/ants_multiplier.csv
    cp runs/ants-multiplier/margins.csv benchmarks/ants_multiplier_margins.csv
    .venv/bin/python benchmarks/label_multiplier.py benchmarks/ants_multiplier.csv
} | tee benchmarks/ants_multiplier.log
