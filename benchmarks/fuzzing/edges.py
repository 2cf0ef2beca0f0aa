"""JSON's edges: every value that JSON can hold and few expect, at every place of a COCO file, one after the other."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import damage, world
from fuzzing.coco import case
from fuzzing.judge import ANY, SAME, TOLD, Case

NUMBERS = ("keypoints", "bbox", "segmentation", "counts")
UNUSED = {
    "coarse.json": ("iscrowd", "name"),
    "parts.json": ("bbox",),
    "boxes.json": (),
}
"""Keys that this use of the file reads, if at all, with another meaning."""


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: one edge at one place; the kind of place first, so that 45 keypoint numbers do not take all."""
    shutil.copytree(world.dataset(base), place)
    name = rng.choices(["coarse.json", "parts.json", "boxes.json"], [6, 3, 2])[0]
    file = place / "data" / "few" / name
    tree = json.loads(file.read_bytes())
    edge = list(damage.EDGES)[number % len(damage.EDGES)]
    value = copy.deepcopy(damage.EDGES[edge])
    if rng.random() < 0.1:  # where nobody looks it is nobody's concern
        holder = rng.choice([tree, *tree["images"], *tree["annotations"], *tree["categories"]])
        holder[rng.choice(["attributes", "info", "Ü", "license"])] = value
        harmless = edge not in ("100,000 levels", "1,000 levels", "1,000 levels of objects", "twins")
        what, expect = f"{edge} in a key of its own", SAME if harmless else ANY
    else:
        at = _place(tree, rng)
        damage.put(tree, at, value)
        key = next(str(k) for k in reversed(at) if isinstance(k, str))
        coordinate = key in NUMBERS and isinstance(at[-1], int) and key not in UNUSED[name]
        what, expect = f"{edge} at {'/'.join(map(str, at))}", ANY
        if coordinate and edge in damage.NO_NUMBER and not (key == "keypoints" and "categories" in at):
            expect = TOLD
    file.write_bytes(damage.dumped(tree).encode("utf-8", "surrogatepass"))
    return case(number, name, expect, what)


def _place(tree: Any, rng: Random) -> damage.Path:
    kinds: dict[tuple[str, ...], list[damage.Path]] = {}
    for at in damage.places(tree):
        kinds.setdefault(tuple("*" if isinstance(k, int) else k for k in at), []).append(at)
    return rng.choice(kinds[rng.choice(sorted(kinds))])
