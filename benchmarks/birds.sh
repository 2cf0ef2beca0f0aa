#!/usr/bin/env bash
# Two sources in one training set: synthetic birds with part masks, real photographs with keypoints only.
# usage: benchmarks/birds.sh [PHOTOGRAPHS] [WEIGHTS] ; writes benchmarks/birds.log, runs/birds and runs/birds-parts
# (part maps and overlays of 24 photographs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
photographs=${1:-../shared/data/birds/train_coarse/images} weights=${2:-../shared/weights/resnet18_trunk.safetensors}
{
    .venv/bin/coarseparts train examples/birds.yaml "${before[@]}" "${whole[@]}" --out runs/birds --weights "$weights" \
        --set part_epochs=15 --set posterior_epochs=15 --set em_epochs=3 \
        --set em.dice=0.2 --set em.average=0
    mkdir -p runs/birds-photos
    ls "$photographs" | awk 'NR % 123 == 1' | head -24 | xargs -I{} cp "$photographs/{}" runs/birds-photos/
    .venv/bin/coarseparts predict runs/birds runs/birds-photos --out runs/birds-parts --overlay
    .venv/bin/python benchmarks/birds_hits.py runs/birds
} 2>&1 | tee benchmarks/birds.log
