"""What is damaged: a data set of seven birds, and a run, a benchmark and a sweep on it, made once a campaign."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIDE = 32
"""Pixels of every photograph and of training."""

TINY = {
    "part_epochs": 2,
    "posterior_epochs": 1,
    "label_epochs": 1,
    "em_epochs": 2,
    "em_epoch_steps": 1,
    "label_steps": 1,
    "epoch_steps": 1,
    "part_batch": 2,
    "batch": 2,
    "labelled_batch": 2,
    "encoder": "resnet10",
    "precision": "float32",
}
SMALL = tuple(word for key, value in TINY.items() for word in ("--set", f"{key}={value}"))
"""The least training that passes through every stage."""

EVALUATE = ("evaluate", "run", "--json")
PREDICT = ("predict", "run", "data/many/images", "--out", "maps")
TRAIN = ("train", "data/birds.yaml", "--out", "run", *SMALL)
BENCHMARK = ("benchmark", "data/birds.yaml", "--out", "run", "--methods", "fine-tuning,em", "--seeds", "0", *SMALL)
SWEEP = ("sweep", "data/birds.yaml", "--out", "run", "--method", "fine-tuning", "--over", "part_lr=0.001,0.01")
SWEEP = (*SWEEP, "--sampler", "grid", *SMALL)
CHECK = ("check", "data/birds.yaml", "--json")

MADE = {"train": TRAIN, "benchmark": BENCHMARK, "sweep": SWEEP}
"""Commands that leave a folder ``run``."""


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Of every command of a campaign: one thread, no terminal, no GPU, nothing downloaded."""
    given = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    given |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TERM": "dumb", "COLUMNS": "120"}
    return {**os.environ, **given, **(extra or {})}


def made(base: Path, name: str, make: Callable[[Path], None]) -> Path:
    """``base/name``, made by ``make`` if it is not there, by one process while the others wait; never moved, since a
    run remembers where its data were."""
    target, done = base / name, base / f"{name}.made"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(target, ignore_errors=True)
            make(target)
            done.touch()
    return target


def dataset(base: Path) -> Path:
    """A folder that holds ``data``: birds.yaml and what it names."""
    return made(base, "world", lambda own: in_a_child(lambda: write_dataset(own / "data")))


def undamaged(place: Path, base: Path, twin: str) -> None:
    """The data set in ``place``: the folder of every twin that needs no run."""
    shutil.copytree(dataset(base), place)


def trained(base: Path, verb: str, space: str = "") -> Path:
    """A folder that holds ``data`` and the ``run`` of a command of ``MADE``; ``space``: another seed's."""

    def make(own: Path) -> None:
        shutil.copytree(dataset(base), own)
        command = [sys.executable, "-m", "coarseparts", *MADE[verb]]
        command += {"benchmark": ["--seeds", "1"], "": []}.get(verb, ["--seed", "1"]) if space else []
        done = subprocess.run(command, cwd=own, env=environment(), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the undamaged {verb} ends with {done.returncode}: {done.stderr[-2000:]}")

    return made(base, f"{verb}{space}", make)


def in_a_child(work: Callable[[], Any]) -> None:
    """Runs ``work`` in a process of its own: rendering starts threads, after which nothing can be forked."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the data set could not be written")


def write_dataset(
    folder: Path, parts: list[str] | None = None, keypoints: list[str] | None = None, category: str = "bird"
) -> None:
    """Three training birds with everything, two with coarse labels, two for validation; other names if given."""
    from coarseparts.data.synthetic import birds

    parts, keypoints = parts or list(birds.SCHEMA.parts), keypoints or list(birds.SCHEMA.keypoints)
    _photographs(folder / "few", 0, 3, parts, keypoints, category)
    _photographs(folder / "many", 10, 2, parts, keypoints, category)
    _photographs(folder / "val", 50, 2, parts, keypoints, category)
    (folder / "birds.yaml").write_text(json.dumps(description(parts, keypoints), indent=1), encoding="utf-8")


def description(parts: list[str], keypoints: list[str]) -> dict[str, Any]:
    """The dataset file; JSON is YAML, too."""
    coarse = {"coco": "{}/coarse.json", "images": "{}/images", "part_boxes": "{}/boxes.json"}
    said = {
        "few": ("train", {"part_coco": "{}/parts.json"}),
        "many": ("train", {}),
        "val": ("val", {"part_masks": "{}/masks"}),
    }
    sources = [
        {"split": split} | {k: v.format(name) for k, v in (coarse | more).items()}
        for name, (split, more) in said.items()
    ]
    return {
        "parts": parts,
        "mirror": [],
        "keypoints": keypoints,
        "keypoint_mirror": [],
        "size": SIDE,
        "crop": {"to": "object", "margin": 0.1},
        "sources": sources,
    }


def _photographs(folder: Path, first: int, count: int, parts: list[str], keypoints: list[str], category: str) -> None:
    import numpy as np
    from PIL import Image

    from coarseparts.data.synthetic import birds

    drawn = birds.render(count, size=SIDE, seed=3, first=first)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    images: list[dict] = []
    coarse: list[dict] = []
    of_parts: list[dict] = []
    boxes: list[dict] = []
    for i in range(count):
        name = f"bird {first + i:03d}.png"  # a space, as users have them
        Image.fromarray(drawn["image"][i]).save(folder / "images" / name)
        Image.fromarray(drawn["parts"][i]).save(folder / "masks" / name)
        images.append({"id": i + 1, "file_name": name, "width": SIDE, "height": SIDE})
        x0, y0, x1, y1 = (float(v) for v in drawn["box"][i])
        mask = drawn["mask"][i] > 0
        coarse.append(
            {
                "id": i + 1,
                "image_id": i + 1,
                "category_id": 1,
                "iscrowd": 0,
                "keypoints": [round(float(v), 2) for v in drawn["keypoints"][i].ravel()],
                "segmentation": compressed(mask) if i % 2 else {"size": [SIDE, SIDE], "counts": _runs(mask)},
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
        )
        for part in np.unique(drawn["parts"][i])[1:]:
            shown = drawn["parts"][i] == part
            rows, columns = np.nonzero(shown)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            of_part = {"id": len(of_parts) + 1, "image_id": i + 1, "category_id": int(part)}
            of_part["bbox"] = [int(v) for v in box]
            left, top, wide, high = of_part["bbox"]
            corners = [left, top, left + wide, top, left + wide, top + high, left, top + high]
            outline = [corners] if part % 2 else compressed(shown)
            of_parts.append({**of_part, "segmentation": outline})
            boxes.append(of_part)
    named = [{"id": 1, "name": category, "keypoints": keypoints}]
    each = [{"id": k, "name": part} for k, part in enumerate(parts, 1)]
    for file, found, categories in (
        ("coarse", coarse, named),
        ("parts", of_parts, each),
        ("boxes", boxes, each),
    ):
        coco = {"images": images, "annotations": found, "categories": categories}
        (folder / f"{file}.json").write_text(json.dumps(coco), encoding="utf-8")


def _runs(mask: Any) -> list[int]:
    """Uncompressed RLE of an (H, W) bool mask, down the columns."""
    import numpy as np

    flat = np.concatenate([[False], mask.T.ravel()])
    edges = np.nonzero(np.diff(flat))[0]
    return [int(v) for v in np.diff(np.concatenate([[0], edges, [mask.size]]))]


def compressed(mask: Any) -> dict[str, Any]:
    """RLE as pycocotools writes it."""
    import numpy as np
    from pycocotools import mask as rle

    return {"size": [SIDE, SIDE], "counts": rle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()}
