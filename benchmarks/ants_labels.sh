#!/usr/bin/env bash
# Which coarse label helps how much (Table 3's question): EM on the ants with masks, keypoints or boxes alone.
# usage: benchmarks/ants_labels.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants_<label>.log and .csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
for label in mask keypoints box; do
    .venv/bin/coarseparts compare "$data" --out "runs/ants-$label" --methods em --labels "$label" \
        --weights "$weights" 2>&1 | tee "benchmarks/ants_$label.log"
    cp "runs/ants-$label/results.csv" "benchmarks/ants_$label.csv"
done
