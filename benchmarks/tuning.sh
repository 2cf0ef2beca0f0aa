#!/usr/bin/env bash
# How the default preset's own numbers of the baselines were chosen: on the validation images of a seed that no table
# uses, with a third of the epochs; four trials for methods that look at coarse labels, two for the others (where they
# begin is what matters to those that label for themselves). Writes benchmarks/tuning.log and benchmarks/tuning.csv
# usage: benchmarks/tuning.sh [METHOD ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
over() {
    case $1 in
    em) echo "--over em_part_lr=0.0005,0.001 --over em.overlap=0.2,1.0" ;;
    pseudo-sup | self-training | uni-match) echo "--over ${1/-/_}.start=part-model,fine-tuning" ;;
    multi-task) echo "--over multi_task.rate=0.5,2.0 --over multi_task.keypoints=0.1,0.5" ;;
    point-sup) echo "--over point_sup.rate=0.5,2.0 --over point_sup.start=part-model,fine-tuning" ;;
    esac
}
[ $# -gt 0 ] || set -- em pseudo-sup multi-task point-sup uni-match self-training
{
    for method in "$@"; do
        echo "\$ coarseparts sweep synthetic-birds --method $method --seed 9 --sampler grid $(over "$method") --set em_epochs=4"
        # shellcheck disable=SC2046
        .venv/bin/coarseparts sweep synthetic-birds --out "runs/tuning/$method" --method "$method" --seed 9 \
            --sampler grid $(over "$method") --set em_epochs=4 2> "runs/tuning-$method.err"
    done
} | tee benchmarks/tuning.log
for method in "$@"; do sed "s/^/$method,/" "runs/tuning/$method/sweep.csv"; done > benchmarks/tuning.csv
