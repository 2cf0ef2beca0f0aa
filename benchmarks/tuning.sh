#!/usr/bin/env bash
# How the default preset's own numbers were chosen: on the validation images of a seed that no table uses, with a third
# of the epochs. Every method that looks at coarse labels, ours included, has as many trials in a round (but for one
# more of fine-tuning, with which everything begins); those that label for themselves were asked where they begin and
# at which rate. What a later round starts from stands behind --set.
# Writes benchmarks/tuning.log and benchmarks/tuning.csv; about an hour on 2 cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
: > benchmarks/tuning.csv
mkdir -p runs/tuning
number=0 world=synthetic-birds epochs=4
try() { # METHOD OPTIONS...
    number=$((number + 1))
    local method=$1
    shift
    local folder="runs/tuning/$number-$method"
    echo "\$ coarseparts sweep $world --method $method --seed 9 --sampler grid --set em_epochs=$epochs $*"
    .venv/bin/coarseparts sweep "$world" "${before[@]}" --out "$folder" --method "$method" --seed 9 --sampler grid \
        --set em_epochs="$epochs" "$@" 2> "$folder.err"
    sed "s/^/$number,$method,/" "$folder/sweep.csv" >> benchmarks/tuning.csv
}
# Rounds 1 to 4 were before there was an average of the posterior, and all five before the last one's own finds.
before+=(--set multi_task.mask=1.0 --set point_sup.mask=1.0)
first=("${before[@]}" --set random_start_factor=3.0 --set em.dice=0.2 --set em.average=0)
second=("${before[@]}" --set random_start_factor=3.0 --set em.average=0)
third=("${before[@]}" --set random_start_factor=6.0 --set em.average=0)
{
    echo "# round 1: where the baselines begin, their rate; EM's rate and the weight of the soft Dice loss"
    try multi-task "${first[@]}" --over multi_task.rate=0.5,2.0 --over multi_task.keypoints=0.1,0.5
    try point-sup "${first[@]}" --over point_sup.rate=0.5,2.0 --over point_sup.start=part-model,fine-tuning
    for method in pseudo-sup self-training uni-match; do
        try "$method" "${first[@]}" --over "${method/-/_}.start=part-model,fine-tuning"
    done
    try em "${second[@]}" --over em_part_lr=0.001,0.002 --over em.dice=0.2,1.0
    echo "# round 2: more of both, for all"
    try em "${second[@]}" --over em_part_lr=0.002,0.004 --over em.dice=1.0,3.0
    try multi-task "${second[@]}" --over multi_task.rate=2.0,4.0 --over em.dice=1.0,3.0
    try point-sup "${second[@]}" --over point_sup.rate=2.0,4.0 --over em.dice=1.0,3.0
    try fine-tuning "${second[@]}" --over part_lr=0.001,0.002 --over em.dice=1.0,3.0
    echo "# round 3: the doubled rate for everything that starts from random encoders, and still more of the soft Dice loss"
    try em "${third[@]}" --over em.dice=3.0,10.0
    try multi-task "${third[@]}" --over em.dice=3.0,10.0
    try point-sup "${third[@]}" --over em.dice=3.0,10.0
    try fine-tuning --over em.dice=3.0,10.0 --over random_start_factor=6.0,12.0
    for method in pseudo-sup self-training uni-match; do
        try "$method" --over "${method/-/_}.rate=0.5,1.0"
    done
    echo "# round 4: whether EM can be set further apart from the control distillation"
    try distillation --over em_part_lr=0.001
    try em --set em.average=0 --over em_posterior_lr=0.0005,0.001 --over em.evidence=0.3
    echo "# round 5: EM's labels from an average of the posterior; as many for the strongest baselines"
    try em --over em.average=0.98,0.995
    try multi-task --over multi_task.mask=0.5,2.0
    try point-sup --over point_sup.mask=0.5,2.0
    echo "# the same on the aircraft, half of the epochs, beside distillation; and what else could set EM apart from it"
    world=synthetic-aircraft epochs=6
    try em --over em.average=0.98,0.0
    try distillation --over em_part_lr=0.001
    try em --set em.average=0.98 --over em.gamma=0.0 --over em.alpha=0.1,0.0
    try em --set em.average=0.98 --over em.target=mode
} | tee benchmarks/tuning.log
