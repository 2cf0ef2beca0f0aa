"""What is too large, and a machine that has too little: told in one line, within seconds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing import run_folder, world
from fuzzing.judge import Finding, of_files, of_outcome, snapshot
from fuzzing.process import Real
from fuzzing.stopped import undisturbed

QUICK = 5.0
"""Seconds of a processor within which it has to be told, after what the command does undisturbed."""

MOST = 120.0
"""Seconds until a case counts as hung."""

LOADS = ("train", "evaluate", "predict")
"""Commands that import the networks and work before they meet the limit."""

Tree = dict[str, Any]
Change = Callable[[Path], None]


def findings(
    place: Path, base: Path, number: int, rng: Random, explain: bool
) -> tuple[str, list[tuple[str, ...]], list[Finding]]:
    """Case ``number`` of ``CASES``, again from the first one after the last."""
    name = list(CASES)[number % len(CASES)]
    change, command, shell, statuses, named = CASES[name]
    if command[0] in ("evaluate", "predict"):
        run_folder.undamaged(place, base, "predict")
    else:
        shutil.copytree(world.dataset(base), place)
    change(place)
    before = snapshot(place)
    disk = place / "disk"
    small = "disk" in shell or any(word.startswith("disk") for word in command)
    if small:
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)], check=True)
    try:
        outcome = Real(command, place, shell=shell).wait(MOST)
        found = of_outcome(outcome, statuses) + of_files(place, before)
    finally:
        if small:
            subprocess.run(["umount", str(disk)], check=True)
    said = [line for line in outcome.err.split("\n") if line]
    if outcome.status and not any(re.search(named, line) for line in said + outcome.out.split("\n")):
        found.append(Finding("wrong blame", f"nothing of {named!r} is told: {' | '.join(said)[-300:]}"))
    if "2> /dev/full" in shell:  # where nothing can be said nothing is missed
        found = [f for f in found if "without a word" not in f.text]
    if outcome.status and outcome.processor > QUICK + (undisturbed(base, command[0])[0] if command[0] in LOADS else 0):
        found.append(Finding("slow", f"{outcome.processor:.1f} s of a processor, {outcome.seconds:.1f} s in all"))
    if explain:
        print(outcome)
    return f"{name} ({outcome.processor:.1f} s, status {outcome.status})", [command], found


def _unchanged(place: Path) -> None:
    pass


def _yaml(change: Callable[[Tree], Any]) -> Change:
    def write(place: Path) -> None:
        file = place / "data" / "birds.yaml"
        tree = json.loads(file.read_text())
        change(tree)
        file.write_text(yaml.safe_dump(tree, sort_keys=False))

    return write


def _coco(change: Callable[[Tree], Any], name: str = "coarse.json") -> Change:
    def write(place: Path) -> None:
        file = place / "data" / "few" / name
        tree = json.loads(file.read_text())
        change(tree)
        file.write_text(json.dumps(tree))

    return write


def _names(count: int) -> list[str]:
    return [f"name {i}" for i in range(count)]


def _long_polygon(tree: Tree) -> None:
    import math

    corners = [(16 + 14 * math.cos(i / 1e5), 16 + 14 * math.sin(i / 1e5)) for i in range(1_000_000)]
    tree["annotations"][0]["segmentation"] = [[round(v, 3) for corner in corners for v in corner]]


def _many_annotations(tree: Tree) -> None:
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
    tree["annotations"] = [{"id": i, **box} for i in range(1_000_000)]


def _many_polygons(tree: Tree) -> None:
    tree["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]] * 200_000


def _large_image(place: Path) -> None:
    from PIL import Image

    Image.new("L", (30_000, 30_000)).save(place / "data" / "few" / "images" / "bird 000.png")


def _long_category(tree: Tree) -> None:
    tree["categories"][0]["keypoints"] = _names(100_000)
    for entry in tree["annotations"]:
        entry["keypoints"] = [1, 1, 2] * 100_000


MEMORY = 'ulimit -v 3500000; exec "$@"'
FILES = 'ulimit -n 12; exec "$@"'
LITTLE = 'ulimit -v 1000000; exec "$@"'
FULL = 'exec "$@" > /dev/full'
SAYS = r"disk is full|No space left|standard output"
TOO_LITTLE = r"memory|threads"
ON_DISK = (*world.TRAIN[:3], "disk/run", *world.SMALL)
MAPS_ON_DISK = (*world.PREDICT[:4], "disk/maps", "--overlay")

CASES: dict[str, tuple[Change, tuple[str, ...], str, tuple[int, ...], str]] = {
    "100,000 parts": (_yaml(lambda t: t.update(parts=_names(100_000))), world.CHECK, "", (2,), r"100,?000|254"),
    "100,000 keypoints": (
        _yaml(lambda t: t.update(keypoints=_names(100_000))),
        world.CHECK,
        "",
        (2,),
        "100,?000|keypoints",
    ),
    "100,000 keypoints of a category": (_coco(_long_category), world.CHECK, "", (0, 2), "100,?000|keypoint"),
    "100,000 keypoints, none named": (
        lambda place: (_coco(_long_category)(place), _yaml(lambda t: t.pop("keypoints"))(place), None)[-1],
        world.CHECK,
        "",
        (0, 2),
        "100,?000|keypoint",
    ),
    "20,000 sources": (_yaml(lambda t: t.update(sources=t["sources"] * 7000)), world.CHECK, "", (0, 2), "sources"),
    "a polygon of 1,000,000 points": (_coco(_long_polygon), world.CHECK, "", (0, 2), "polygon|segmentation"),
    "200,000 polygons": (_coco(_many_polygons), world.CHECK, "", (0, 2), "polygon|segmentation"),
    "1,000,000 annotations": (_coco(_many_annotations), world.CHECK, "", (0, 2), "annotations|1,?000,?000"),
    "1,000,000 part boxes": (
        _coco(_many_annotations, "boxes.json"),
        world.CHECK,
        "",
        (0, 2),
        "annotations|1,?000,?000",
    ),
    "size 100000": (_yaml(lambda t: t.update(size=100_000)), world.CHECK, "", (2,), "100,?000"),
    "a photograph of 900 megapixels": (_large_image, world.CHECK, "", (2,), "bird 000.png"),
    "check in 3.5 GB": (_unchanged, world.CHECK, MEMORY, (0, 1), TOO_LITTLE),
    "check in 1 GB": (_unchanged, world.CHECK, LITTLE, (0, 1), TOO_LITTLE),
    "evaluate in 1 GB": (_unchanged, world.EVALUATE, LITTLE, (0, 1), TOO_LITTLE),
    "predict in 3.5 GB": (_unchanged, world.PREDICT, MEMORY, (0, 1), TOO_LITTLE),
    "train in 3.5 GB": (
        _yaml(lambda t: t.update(size=1024)),
        (*world.TRAIN, "--set", "part_batch=64", "--set", "batch=64"),
        MEMORY,
        (1,),
        "memory",
    ),
    "train in 6 GB": (
        _yaml(lambda t: t.update(size=1024)),
        (*world.TRAIN, "--set", "part_batch=64", "--set", "batch=64"),
        'ulimit -v 6000000; exec "$@"',
        (1,),
        "memory.*(batch|size)",
    ),
    "check with 12 files": (_unchanged, world.CHECK, FILES, (0, 1), "files|12"),
    "train with 12 files": (_unchanged, world.TRAIN, FILES, (0, 1), "files|12"),
    "evaluate with 12 files": (_unchanged, world.EVALUATE, FILES, (0, 1), "files|12"),
    "predict with 12 files": (_unchanged, world.PREDICT, FILES, (0, 1), "files|12"),
    "check to a full device": (_unchanged, world.CHECK, FULL, (1,), SAYS),
    "check's tables to a full device": (_unchanged, world.CHECK[:-1], FULL, (1,), SAYS),
    "evaluate to a full device": (_unchanged, world.EVALUATE, FULL, (1,), SAYS),
    "--help to a full device": (_unchanged, ("--help",), FULL, (1,), SAYS),
    "settings to a full device": (_unchanged, ("settings",), FULL, (1,), SAYS),
    "errors to a full device": (_unchanged, ("check", "nowhere.yaml"), 'exec "$@" 2> /dev/full > said', (2,), "^$"),
    "train on a full disk": (_unchanged, ON_DISK, "", (1,), SAYS),
    "predict on a full disk": (
        lambda place: _many_photographs(place),
        MAPS_ON_DISK,
        "",
        (1,),
        SAYS,
    ),
    "a contact sheet on a full disk": (_unchanged, (*world.CHECK[:-1], "--sheet", "disk/sheet.png"), "", (0, 1), SAYS),
    "files of at most 100 kB": (_unchanged, world.TRAIN, 'ulimit -f 100; exec "$@"', (1,), SAYS + "|large"),
}
"""What is changed, the command, the shell's limits before it, its right statuses, and what has to be told."""


def _many_photographs(place: Path) -> None:
    """So many that their part maps and overlays do not fit on the disk of a case."""
    import random

    from PIL import Image

    folder = place / "data" / "many" / "images"
    for i in range(6):
        noise = random.Random(i).randbytes(200 * 200 * 3)
        Image.frombytes("RGB", (200, 200), noise).save(folder / f"noise {i}.png")


if os.geteuid():
    CASES = {name: case for name, case in CASES.items() if "disk" not in " ".join(case[1])}  # mounting needs root
