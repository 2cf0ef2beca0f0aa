#!/usr/bin/env bash
# The ants where each of the 407 coarse images has one label, taken at random, beside all of them: 30 part masks, ResNet-18
# from a weights file, measured on the 120 other images with part masks, by which nothing was chosen. One seed after
# another, so that a run that was stopped has a whole table of those done. At 64 px, a quarter of the work of the 128 px
# that ants are usually trained at (SIZE=128).
# usage: [SIZE=64] [LABELS=one,all] benchmarks/ants_each.sh [SEEDS] [METHODS] [DATA] [WEIGHTS] ; DATA: the folder of the ants
# writes benchmarks/ants_each.{log,csv}, _margins.csv and _by_part.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seeds=${1:-0,1,2} methods=${2:-em,fine-tuning,multi-task,point-sup,distillation}
data=$(realpath "${3:-../shared/data/ants}") weights=${4:-../shared/weights/resnet18_trunk.safetensors}
python=${PYTHON:-.venv/bin/python} name=benchmarks/ants_each size=${SIZE:-64} labels=${LABELS:-one,all}
out=runs/ants-each-$size
mkdir -p "$out"
find "$data/train_parts/images" -type f -printf '%f\n' | LC_ALL=C sort | tail -n +31 > "$out/rest.txt"
cat > "$out/ants.yaml" << END
parts: [head, thorax, abdomen, eye]
size: $size
crop: {to: object, margin: 0.1}
sources:
  - {split: train, images: $data/train_parts/images, part_masks: $data/train_parts/part_masks, coco: $data/train_parts/coarse.json, limit: 30}
  - {split: test, images: $data/train_parts/images, part_masks: $data/train_parts/part_masks, coco: $data/train_parts/coarse.json, only: rest.txt}
  - {split: train, images: $data/train_coarse/images, coco: $data/train_coarse/coarse.json}
  - {split: val, images: $data/val/images, part_masks: $data/val/part_masks, coco: $data/val/coarse.json}
END
for k in $(seq "$(tr , '\n' <<< "$seeds" | wc -l)"); do
    PYTHONPATH=$PWD "$python" -m coarseparts benchmark "$out/ants.yaml" --split test --labels-each "$labels" \
        --methods "$methods" --weights "$weights" --seeds "$(cut -d, -f"-$k" <<< "$seeds")" --out "$out/cells" 2>&1 |
        sed -u "s#$data/##g" | tee "$name.log"
    for table in results margins by_part; do
        cp "$out/cells/$table.csv" "${name}_$table.csv"
    done
    mv "${name}_results.csv" "$name.csv"
done
