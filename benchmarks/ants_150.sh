#!/usr/bin/env bash
# Fine-tuning with five times the part masks (150), for the question how many masks EM with 30 is worth.
# usage: benchmarks/ants_150.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants_150.log and benchmarks/ants_150.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
more=${data%.yaml}_150.yaml # beside the original, for its paths are relative to it
trap 'rm -f "$more"' EXIT
sed 's/limit: 30/limit: 150/' "$data" > "$more"
.venv/bin/coarseparts compare "$more" --out runs/ants-150 --methods fine-tuning --weights "$weights" \
    --set em.overlap=0.2 --set em.average=0 2>&1 |
    tee benchmarks/ants_150.log
cp runs/ants-150/results.csv benchmarks/ants_150.csv
