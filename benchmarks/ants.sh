#!/usr/bin/env bash
# Ant photographs, 407 coarse images, 128 px, ResNet-18 from a weights file, all epochs, one seed, the validation images:
# the methods with 30 part masks, then fine-tuning with more of them, for the question what 30 with EM are worth.
# usage: benchmarks/ants.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants.{log,csv}, ants_margins.csv,
# ants_by_part.csv and ants_multiplier.{log,csv}
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
out=runs/ants-benchmark
all=${data%.yaml}_all.yaml # beside the original, for its paths are relative to it
trap 'rm -f "$all"' EXIT
sed '/limit: 30/d' "$data" > "$all"
run() { # PARTS METHODS
    .venv/bin/coarseparts benchmark "$all" "${before[@]}" "${whole[@]}" --out "$out" --seeds 0 --parts "$1" --methods "$2" --weights "$weights" 2>&1
}
{
    run 30 em,fine-tuning,multi-task,point-sup,distillation
    cp "$out/results.csv" benchmarks/ants.csv
    cp "$out/margins.csv" benchmarks/ants_margins.csv
    cp "$out/by_part.csv" benchmarks/ants_by_part.csv
} | tee benchmarks/ants.log
{
    run 60,120,150 fine-tuning
    { cat "$out/results.csv"; grep ',\(em\|fine-tuning\),0,' benchmarks/ants.csv; } > benchmarks/ants_multiplier.csv
    .venv/bin/python benchmarks/label_multiplier.py benchmarks/ants_multiplier.csv
} | tee benchmarks/ants_multiplier.log
