#!/usr/bin/env bash
# Which coarse label helps how much (Table 3's question): EM on the ants with masks, keypoints or boxes alone.
# Shorter than ants.sh (a third of its EM epochs), so compare these rows with each other.
# usage: benchmarks/ants_labels.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants_labels.log and .csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
table=benchmarks/ants_labels.csv
for labels in mask keypoints box mask,keypoints,box; do
    .venv/bin/coarseparts compare "$data" --out "runs/ants-$labels" --methods em --labels "$labels" \
        --weights "$weights" --set em_epochs=4 2>&1
    rows="runs/ants-$labels/results.csv"
    [ "$labels" = mask ] && head -1 "$rows" > "$table"
    tail -n +2 "$rows" | sed "s/^\([^,]*\),/\"\1: $labels\",/" >> "$table"
done | tee benchmarks/ants_labels.log
