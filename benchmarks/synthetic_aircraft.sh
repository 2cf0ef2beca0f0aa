#!/usr/bin/env bash
# The built-in aircraft, whose parts overlap and whose part labels are noisy on most images: 60 clean part masks, 600
# images with figure-ground masks, 64 px, measured on 200 held-out aircraft a seed (Table 4's shape).
# usage: benchmarks/synthetic_aircraft.sh [SEEDS] ; writes benchmarks/synthetic_aircraft.log, .csv and _margins.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
.venv/bin/coarseparts benchmark synthetic-aircraft "${before[@]}" --out runs/synthetic-aircraft --seeds "${1:-0,1,2}" \
    --methods fine-tuning,multi-task,em,distillation --set em.average=0 \
    --set multi_task.mask=1 2>&1 | tee benchmarks/synthetic_aircraft.log
cp runs/synthetic-aircraft/results.csv benchmarks/synthetic_aircraft.csv
cp runs/synthetic-aircraft/margins.csv benchmarks/synthetic_aircraft_margins.csv
