#!/usr/bin/env bash
# Which coarse label helps how much (Table 3's question): EM on the ants with masks, keypoints or boxes alone.
# Every stage is shorter than in ants.sh, so compare these rows with each other and not with that table.
# usage: benchmarks/ants_labels.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants_labels.log and .csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
table=benchmarks/ants_labels.csv
for label in mask keypoints box; do
    .venv/bin/coarseparts compare "$data" "${before[@]}" "${whole[@]}" --out "runs/ants-$label" --methods em --labels "$label" \
        --weights "$weights" --set part_epochs=20 --set posterior_epochs=20 --set em_epochs=2 --set em.dice=0.2 --set em.average=0 2>&1
    rows="runs/ants-$label/results.csv"
    if [ "$label" = mask ]; then head -1 "$rows" > "$table"; fi
    # One table: the label stands behind the method's name.
    tail -n +2 "$rows" | sed -E "s/^([^,]*),[^,]*,(([^,]*,){2}[^,]*),/\1,all,\2 ($label),/" >> "$table"
done | tee benchmarks/ants_labels.log
