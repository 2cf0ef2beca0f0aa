"""Small trainings of every method, and what they come to, to the bit: so that a change of the code changes no number.

    python tests/golden_runs.py            # trains, and writes tests/golden.json: the new reference, to be explained

Kinds of data: synthetic birds with all labels, the same with another label at each image, aircraft whose parts overlap.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from commands import coarseparts
from safetensors.numpy import load_file

REFERENCE = Path(__file__).with_name("golden.json")

SHORT = {
    "part_epochs": 2,
    "posterior_epochs": 2,
    "label_epochs": 1,
    "em_epochs": 2,
    "keypoint_epochs": 1,
    "em_epoch_steps": 2,
    "epoch_steps": 2,
    "label_steps": 2,
    "part_batch": 3,
    "batch": 4,
    "labelled_batch": 2,
    "encoder": "resnet10",
    "precision": "float32",
}
ALL = "fine-tuning,em,pseudo-sup,multi-task,point-sup,uni-match,distillation,self-training,ada-bn,mask-only"
FOUR = "[keypoints, mask, box, part_boxes]"
BIRDS = f"""
parts: [beak, head, left_eye, left_leg, left_wing, right_eye, right_leg, right_wing, tail, torso]
mirror: [[left_eye, right_eye], [left_leg, right_leg], [left_wing, right_wing]]
keypoint_mirror: [[left eye, right eye], [left leg, right leg], [left wing, right wing]]
size: 32
sources:
- {{split: train, synthetic: birds, count: 4, use: {FOUR}}}
- {{split: train, synthetic: birds, count: 8, first: 100, parts: false, use: {FOUR}}}
- {{split: val, synthetic: birds, count: 3, first: 200, use: {FOUR}}}
"""
MIXED = f"""
parts: [beak, head, left_eye, left_leg, left_wing, right_eye, right_leg, right_wing, tail, torso]
mirror: [[left_eye, right_eye], [left_leg, right_leg], [left_wing, right_wing]]
keypoint_mirror: [[left eye, right eye], [left leg, right leg], [left wing, right wing]]
size: 32
sources:
- {{split: train, synthetic: birds, count: 4, use: {FOUR}}}
- {{split: train, synthetic: birds, count: 2, first: 100, parts: false, use: [keypoints]}}
- {{split: train, synthetic: birds, count: 2, first: 110, parts: false, use: [mask]}}
- {{split: train, synthetic: birds, count: 2, first: 120, parts: false, use: [box]}}
- {{split: train, synthetic: birds, count: 2, first: 130, parts: false, use: [part_boxes, keypoints]}}
- {{split: train, synthetic: birds, count: 2, first: 140, parts: false, use: []}}
- {{split: val, synthetic: birds, count: 3, first: 200, use: {FOUR}}}
"""
AIRCRAFT = """
parts: [nose, wing, wheel, vertical stabilizer]
overlapping: true
size: 32
sources:
- {split: train, synthetic: aircraft, count: 4, use: [mask, box]}
- {split: train, synthetic: aircraft, count: 6, first: 100, parts: false, use: [mask, box]}
- {split: val, synthetic: aircraft, count: 3, first: 200, use: [mask, box]}
"""
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "birds": (BIRDS, ALL, {}),
    "mixed": (MIXED, "em,mask-only", {"em.condition": False, "posteriors": "separate", "em.average": 0}),
    "aircraft": (AIRCRAFT, "fine-tuning,em,multi-task,uni-match,distillation,self-training", {}),
    "paper": (BIRDS, "em", {"distance": "l1", "decoder": "paper", "label_model": "paper", "start": "keypoints"}),
}
"""By name: dataset file, methods, settings beyond ``SHORT``."""


def run(name: str, folder: Path) -> dict[str, Any]:
    """Trains what ``RUNS`` names; digests of each stage's best weights, and each method's mIoU in percent."""
    data, methods, changes = RUNS[name]
    (folder / "data.yaml").write_text(data)
    changed = [f"--set={key}={value}" for key, value in (SHORT | changes).items()]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    coarseparts("compare", folder / "data.yaml", "--methods", methods, "--out", folder / "run", *changed, **one_thread)
    with open(folder / "run" / "results.csv", newline="") as file:
        results = {row["method"]: float(row["part_miou"]) for row in csv.DictReader(file)}
    stages = sorted(folder.glob("run/**/stages/*/best.safetensors"))
    return {"weights": {file.parent.name: _digests(file) for file in stages}, "part_miou": results}


def _digests(file: Path) -> dict[str, str]:
    """Of each network's weights and running statistics, whatever they are called and in which order they stand."""
    networks: dict[str, list[str]] = {}
    for key, tensor in load_file(file).items():
        if tensor.dtype.kind == "f":
            digest = hashlib.sha256(str(tensor.shape).encode() + tensor.tobytes()).hexdigest()
            networks.setdefault(key.split("/")[0], []).append(digest)
    return {name: hashlib.sha256("".join(sorted(each)).encode()).hexdigest()[:16] for name, each in networks.items()}


def machine() -> dict[str, str]:
    """What the bits of a training depend on beside the code."""
    return {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability()}


def main() -> None:
    found = {}
    for name in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = run(name, Path(folder))
    REFERENCE.write_text(json.dumps({"machine": machine(), "runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
