#!/usr/bin/env bash
# How long an effort takes on a machine with nothing else to do, and how good its part model is: 30 part masks, 407 coarse
# ants, 128 px, ResNet-18 from a weights file, measured on the 60 validation images, by which the epoch was chosen, too.
# usage: benchmarks/effort.sh EFFORT [ANTS] [WEIGHTS] ; writes benchmarks/effort_EFFORT.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
effort=$1 ants=$(realpath "${2:-../shared/data/ants}") weights=${3:-../shared/weights/resnet18_trunk.safetensors}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/ants.yaml" <<END
parts: [head, thorax, abdomen, eye]
mirror: []
keypoint_mirror: []
size: 128
crop: {to: object, margin: 0.1}
sources:
  - {split: train, images: $ants/train_parts/images, part_masks: $ants/train_parts/part_masks,
     coco: $ants/train_parts/coarse.json, limit: 30}
  - {split: train, images: $ants/train_coarse/images, coco: $ants/train_coarse/coarse.json}
  - {split: val, images: $ants/val/images, part_masks: $ants/val/part_masks, coco: $ants/val/coarse.json}
END
{
    echo "\$ coarseparts train ants.yaml --effort $effort --weights $(basename "$weights")"
    grep -m 1 "model name" /proc/cpuinfo | cut -d : -f 2
    began=$SECONDS
    .venv/bin/coarseparts train "$work/ants.yaml" --out "$work/run" --effort "$effort" --weights "$weights" 2>&1 |
        sed -u "s#$work/##"
    echo "all told $((SECONDS - began)) s"
} | tee "benchmarks/effort_$effort.log"
