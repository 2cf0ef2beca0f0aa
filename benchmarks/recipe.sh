#!/usr/bin/env bash
# The paper's recipe whole ("Ours" of Table 2: ResNet-34, 256 px, every stage's own epochs) on 6,000 synthetic birds, from
# rendering them to the final table. Meant for a GPU: on two CPU cores it would take weeks.
# usage: benchmarks/recipe.sh [--set KEY=VALUE ...] ; writes benchmarks/recipe.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
start=$(date +%s)
{
    .venv/bin/coarseparts train benchmarks/recipe.yaml --out runs/recipe --preset paper --set weights=random \
        --set random_start_factor=6 --set precision=auto --set compile=true "$@" 2>&1
    echo "from start to table: $(($(date +%s) - start)) s"
} | tee benchmarks/recipe.log
