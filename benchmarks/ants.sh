#!/usr/bin/env bash
# Ant photographs, 30 part masks, 407 coarse images, 128 px, ResNet-18 from a weights file: the methods in one table.
# usage: benchmarks/ants.sh [DATASET.yaml] [WEIGHTS] ; writes benchmarks/ants.log and benchmarks/ants.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-examples/ants.yaml} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
.venv/bin/coarseparts compare "$data" --out runs/ants --methods em,distillation,fine-tuning --weights "$weights" \
    --set em.overlap=0.2 --set em.average=0 2>&1 |
    tee benchmarks/ants.log
cp runs/ants/results.csv benchmarks/ants.csv
