#!/usr/bin/env bash
# Real photographs that have keypoints alone, beside other images that have a mask: synthetic birds with part masks, synthetic
# birds with masks, 1,000 photographs with keypoints. What becomes of the photographs with a tenth of Eq. 2's weights in
# the E-step and with Eq. 2's own, both before em.impute and augmentation.ramp, and with today's default.
# usage: benchmarks/birds_mixed.sh [PHOTOGRAPHS] [WEIGHTS] ; PHOTOGRAPHS: a folder with images/ and coarse.json; writes
# benchmarks/birds_mixed.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
photographs=$(realpath "${1:-../shared/data/birds/train_coarse}")
weights=${2:-../shared/weights/resnet18_trunk.safetensors}
mkdir -p runs
sed -e "s#\.\./\.\./shared/data/birds/train_coarse#$photographs#" \
    -e 's#^\( *\)use: \[keypoints\]#&\n\1limit: 1000#' \
    -e 's#^.*split: val.*#  - {split: train, synthetic: birds, count: 300, first: 5000, parts: false, use: [mask]}\n&#' \
    examples/birds.yaml > runs/birds-mixed.yaml
one() {  # a name, then options
    local run=runs/birds-mixed-$1
    shift
    echo "\$ coarseparts train birds-mixed.yaml $*"
    .venv/bin/coarseparts train runs/birds-mixed.yaml --out "$run" --weights "$weights" \
        --set part_epochs=10 --set posterior_epochs=10 --set em_epochs=2 "$@" 2>&1 | sed -u "s#$photographs/##g"
    .venv/bin/python benchmarks/birds_hits.py "$run"
}
{
    one tenth "${newest[@]}"
    one whole "${newest[@]}" --set em.alpha=1 --set em.gamma=1 --set em.evidence=1
    one default
} | tee benchmarks/birds_mixed.log
