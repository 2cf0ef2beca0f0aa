#!/usr/bin/env bash
# One model of the ants as a user would train it: 30 part masks, 407 coarse images, 128 px, ResNet-18 from a weights
# file, all defaults, or, for what takes models as they come (clicks.py, traits.py), EM of 128 steps. The 120 other
# images with part masks are split "test": these models are measured on them, never on held-back images.
# usage: benchmarks/ants_model.sh [ANTS] [WEIGHTS] ; writes runs/ants-model, runs/ants-model.yaml, benchmarks/ants_model.log
# or, with LENGTH=standard, runs/ants-model-standard and benchmarks/ants_model_standard.log: all defaults, and the time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ants=$(realpath "${1:-../shared/data/ants}") weights=${2:-../shared/weights/resnet18_trunk.safetensors}
held=$PWD/runs/ants-test name=ants-model short=(--set em_epochs=4 --set em_epoch_steps=32)
if [ "${LENGTH:-}" = standard ]; then name=ants-model-standard short=(); fi
mkdir -p "$held"
.venv/bin/python - "$ants/train_parts" "$held" <<'END'
"""Links to all images but the first 30 and their part masks, and the COCO file of these alone."""
import json
import sys
from pathlib import Path

folder, held = map(Path, sys.argv[1:])
others = sorted(path.name for path in (folder / "images").glob("*.jpg"))[30:]
for kind in ("images", "part_masks"):
    (held / kind).mkdir(exist_ok=True)
    for name in others:
        name = name if kind == "images" else Path(name).stem + ".png"
        (held / kind / name).unlink(missing_ok=True)
        (held / kind / name).symlink_to(folder / kind / name)
coco = json.loads((folder / "coarse.json").read_text())
coco["images"] = [image for image in coco["images"] if image["file_name"] in others]
kept = {image["id"] for image in coco["images"]}
coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] in kept]
(held / "coarse.json").write_text(json.dumps(coco))
END
cat > runs/ants-model.yaml <<END
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
  - {split: test, images: $held/images, part_masks: $held/part_masks, coco: $held/coarse.json}
END
{
    grep -m 1 "model name" /proc/cpuinfo | cut -d : -f 2
    began=$SECONDS
    .venv/bin/coarseparts train runs/ants-model.yaml --out "runs/$name" --weights "$weights" "${short[@]}" 2>&1
    echo "trained in $((SECONDS - began)) s, all told"
    for split in val test; do
        .venv/bin/coarseparts evaluate "runs/$name" --split "$split" 2>&1
    done
    for labels in none box mask keypoints all; do
        echo "posterior given $labels:"
        .venv/bin/coarseparts evaluate "runs/$name" --split test --model posterior --labels "$labels" 2>&1
    done
} | tee "benchmarks/${name//-/_}.log"
