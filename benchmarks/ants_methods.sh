#!/usr/bin/env bash
# The methods on the ants, with 30 part masks and with 150: every stage of EM's shorter than in ants.sh (4 epochs of
# EM), so compare these rows with each other and not with that table.
# usage: benchmarks/ants_methods.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants_methods.log, .csv and _margins.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
all=${data%.yaml}_all.yaml # beside the original, for its paths are relative to it
trap 'rm -f "$all"' EXIT
sed '/limit: 30/d' "$data" > "$all"
# The numbers of part masks one after another, so that those with 30 are done first.
for parts in 30 30,150; do
    .venv/bin/coarseparts benchmark "$all" --out runs/ants-methods --seeds 0 --parts "$parts" --weights "$weights" \
        --methods em,fine-tuning,multi-task,point-sup,distillation --set em_epochs=4 2>&1
done | tee benchmarks/ants_methods.log
cp runs/ants-methods/results.csv benchmarks/ants_methods.csv
cp runs/ants-methods/margins.csv benchmarks/ants_methods_margins.csv
