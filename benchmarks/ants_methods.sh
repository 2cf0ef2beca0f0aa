#!/usr/bin/env bash
# The methods on the ants, with 30 part masks and then, the strongest of them, with 150; a third of the epochs of EM
# (4 in place of 12), and of what the others match them with.
# usage: benchmarks/ants_methods.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants_methods.{log,csv}, _margins.csv and
# benchmarks/ants_methods_150.*, likewise
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
all=${data%.yaml}_all.yaml # beside the original, for its paths are relative to it
trap 'rm -f "$all"' EXIT
sed '/limit: 30/d' "$data" > "$all"
run() { # NAME PARTS METHODS
    .venv/bin/coarseparts benchmark "$all" "${before[@]}" "${whole[@]}" --out runs/ants-methods --seeds 0 --parts "$2" --methods "$3" \
        --weights "$weights" --set em_epochs=4 2>&1 | tee "benchmarks/$1.log"
    cp runs/ants-methods/results.csv "benchmarks/$1.csv"
    cp runs/ants-methods/margins.csv "benchmarks/$1_margins.csv"
}
run ants_methods 30 em,fine-tuning,multi-task,point-sup,distillation
run ants_methods_150 150 em,fine-tuning,multi-task
