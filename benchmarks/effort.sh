#!/usr/bin/env bash
# How long an effort takes on a machine with nothing else to do, and how good its part model is: 30 part masks, 407 coarse
# ants, 128 px, ResNet-18 from a weights file, measured on the 60 validation images, by which the epoch was chosen, too.
# usage: benchmarks/effort.sh EFFORT [DATA] [WEIGHTS] ; writes benchmarks/effort_EFFORT.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
effort=$1 data=${2:-examples/ants.yaml} weights=${3:-../shared/weights/resnet18_trunk.safetensors}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    echo "\$ coarseparts train $(basename "$data") --effort $effort --weights $(basename "$weights")"
    grep -m 1 "model name" /proc/cpuinfo | cut -d : -f 2
    began=$SECONDS
    .venv/bin/coarseparts train "$data" --out "$work/run" --effort "$effort" --weights "$weights" 2>&1 |
        sed -u "s#$work/##"
    echo "all told $((SECONDS - began)) s"
} | tee "benchmarks/effort_$effort.log"
