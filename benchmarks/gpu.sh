#!/usr/bin/env bash
# What a GPU makes of it, in about ten minutes: each network and step at the paper's scale, where the host's time goes,
# and twenty trainings at once (benchmarks/curves.py). With --toy: one step of each, on whatever there is.
# usage: benchmarks/gpu.sh [--toy] ; writes benchmarks/throughput_gpu.log and benchmarks/curves.{jsonl,log}
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=${PYTHON:-../.venv/bin/python} out=${OUT:-.}
export PYTHONPATH=..
if [ "${1:-}" = --toy ]; then
    "$python" throughput.py --preset default --encoder resnet10 --size 32 --batch 2 --labelled 2 --repetitions 1 \
        | tee "$out/throughput_gpu.log"
    "$python" curves.py "$out/curves.jsonl" --work "$out/curves" --toy --only "cars-like all distillation 1x seed10"
    exit
fi
"$python" throughput.py --device cuda --repetitions 10 --profile 25 2>&1 | tee "$out/throughput_gpu.log"
OMP_NUM_THREADS=1 "$python" curves.py "$out/curves.jsonl" --work ../runs/curves --data ../../shared/data/ants \
    --weights ../../shared/weights --at-once 12 --seconds 460 2>&1 | tee "$out/curves.log"
"$python" curves.py "$out/curves.jsonl" --table | tee -a "$out/curves.log"
