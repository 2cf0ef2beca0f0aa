"""Ants that nobody has seen: what every format is to say, as a document, and as facts that can be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw

KEYPOINTS = ("head", "waist", "left antenna", "right antenna")
PARTS = ("head", "thorax")
IOU, PIXELS = 0.99, 0.5
"""What a mask has to agree by at least, and a keypoint at most be off."""


def document(images: int, objects: int = 2, parts: bool = True, masks: bool = True, seed: int = 0) -> Document:
    """``objects`` ants in each of ``images``: a skeleton of which one keypoint is absent, with a box; ``masks`` with a
    hole, and a score; outlines of two ``parts``; each ant in a group of its own; antennae that swap on a flip."""
    random = np.random.default_rng(seed)
    entries: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for ant in range(objects):
            left, top = 4 + 44 * ant + random.integers(0, 4), 5 + random.integers(0, 9)
            of = {"image_id": image, "group": f"ant {ant}"}
            xy = np.round([left, top] + random.random((4, 2)) * [30, 20], 2)
            visible = [2, 1, 2, 0] if random.random() < 0.5 else [2, 2, 0, 1]
            points = [
                0.0 if not v else float(value) for (x, y), v in zip(xy, visible, strict=True) for value in (x, y, v)
            ]
            entries.append(of | {"category_id": 1, "keypoints": points, "bbox": [float(left), float(top), 32.0, 22.0]})
            if masks:
                body = np.zeros((48, 96), bool)
                body[top : top + 20, left : left + 31] = True
                body[top + 5 : top + 8, left + 12 : left + 15] = False
                entries.append(of | {"category_id": 2, "segmentation": coded(body), "score": 0.75})
            for number in range(2 if parts else 0):
                x, y = left + 14.0 * number, float(top + 2)
                outline = [x, y, x + 12, y, x + 13, y + 11, x + 2, y + 12]
                entries.append(of | {"category_id": 3 + number, "segmentation": [outline]})
    categories: list[Any] = [{"id": 1, "name": "ant", "keypoints": list(KEYPOINTS)}, {"id": 2, "name": "body"}]
    categories += [{"id": 3 + i, "name": part} for i, part in enumerate(PARTS)]
    named = [{"id": i, "file_name": f"{i}.png", "width": 96, "height": 48} for i in range(1, images + 1)]
    whole = [entry | {"id": i} for i, entry in enumerate(entries, 1)]
    return Document(named, categories, whole, mirror=[("left antenna", "right antenna")])


def coded(mask: np.ndarray) -> dict[str, Any]:
    """COCO's run-length code of an (H, W) bool mask, its counts as text."""
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


@dataclass(frozen=True)
class Fact:
    """A label of one kind ("mask", "box", "points"): ``data`` is (H, W) bool, (4,) x, y, width, height, or keypoints
    by name as (x, y, visibility)."""

    image: str
    label: str
    kind: str
    group: str
    data: Any


def facts(found: Document) -> list[Fact]:
    """What a document says."""
    names = {entry["id"]: entry["name"] for entry in found.categories}
    keypoints = {entry["id"]: entry.get("keypoints") or () for entry in found.categories}
    images = {entry["id"]: entry for entry in found.images}
    said = []
    for entry in found.annotations:
        image, which = images[entry["image_id"]], entry["category_id"]
        of = (str(image["file_name"]), names[which])
        group = str(entry.get("group", f"alone {entry['id']}"))
        if any(entry.get("keypoints") or ()):
            rows = np.reshape(entry["keypoints"], (-1, 3))
            named = zip(keypoints[which], rows, strict=True)
            said.append(Fact(*of, "points", group, {name: tuple(row) for name, row in named if row[2]}))
        if entry.get("bbox"):
            said.append(Fact(*of, "box", group, np.array(entry["bbox"], float)))
        if entry.get("segmentation"):
            mask = draw(entry["segmentation"], (image["width"], image["height"]))
            said.append(Fact(*of, "mask", group, mask >= 128 if mask.dtype != bool else mask))
    return said


def of_judge(said: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """Facts that a judge printed: masks as columns' runs from 0 on, as COCO counts them."""
    found = []
    for one in said:
        data = one["data"]
        if one["kind"] == "mask":
            height, width = one["size"]
            data = np.repeat(np.arange(len(data)) % 2, data).reshape(width, height).T.astype(bool)
        elif one["kind"] == "outline":
            data = draw(data, (one["size"][1], one["size"][0]))
        elif one["kind"] == "box":
            data = np.array(data, float)
        kind = one["kind"].replace("outline", "mask")
        found.append(Fact(one["image"], one["label"], kind, str(one["group"]), data))
    return found


@dataclass(frozen=True)
class Verdict:
    """How well facts agree: how many were ``expected`` and ``found``; the worst mask's ``iou``, the farthest keypoint
    or box corner in ``pixels``; the share of keypoints whose ``visibility`` is the same, and of pairs of labels that
    are, or are not, of one group alike (``groups``); NaN where there is nothing of that kind."""

    expected: int
    found: int
    iou: float
    pixels: float
    visibility: float
    groups: float

    def says(self, grouped: bool = True, visible: bool = True) -> str:
        """In words: "yes" where all that the format has a place for arrived."""
        wrong = []
        if self.found < self.expected:
            wrong.append(f"{self.expected - self.found} of {self.expected} labels missing")
        if self.iou < IOU:
            wrong.append(f"IoU {self.iou:.3f}")
        if self.pixels > PIXELS:
            wrong.append(f"{self.pixels:.1f} px off")
        if visible and self.visibility < 1:
            wrong.append(f"{100 * self.visibility:.0f} % of the visibilities")
        if grouped and self.groups < 1:
            wrong.append(f"{100 * self.groups:.0f} % of the groups")
        return ", ".join(wrong) or "yes"

    def __str__(self) -> str:
        return (
            f"{self.found} of {self.expected} labels, masks IoU >= {self.iou:.4f}, within {self.pixels:.3f} px, "
            f"visibility {self.visibility:.2f}, groups {self.groups:.2f}"
        )


def judged(expected: Sequence[Fact], found: Sequence[Fact]) -> Verdict:
    """Compares facts; each expected one with the nearest of its image, label and kind that no other has taken."""
    left: dict[tuple[str, str, str], list[Fact]] = defaultdict(list)
    for fact in found:
        left[fact.image, fact.label, fact.kind].append(fact)
    pairs: list[tuple[Fact, Fact]] = []
    ious, off, seen = [], [], []
    for fact in expected:
        candidates = left[fact.image, fact.label, fact.kind]
        if not candidates:
            continue
        other = min(candidates, key=lambda one: _distance(fact, one))
        candidates.remove(other)
        pairs.append((fact, other))
        if fact.kind == "mask":
            ious.append(1 - _distance(fact, other))
        else:
            off.append(_distance(fact, other))
        if fact.kind == "points":
            seen += [name in other.data and other.data[name][2] == row[2] for name, row in fact.data.items()]
    same = [
        (a[0].group == b[0].group) == (a[1].group == b[1].group)
        for i, a in enumerate(pairs)
        for b in pairs[:i]
        if a[0].image == b[0].image
    ]
    worst, far = min(ious, default=np.nan), max(off, default=np.nan)
    mean = [float(np.mean(each)) if each else np.nan for each in (seen, same)]
    return Verdict(len(expected), len(pairs), float(worst), float(far), *mean)


def _distance(one: Fact, other: Fact) -> float:
    """Of masks 1 - IoU, of others the farthest number in pixels."""
    if one.kind == "mask":
        if one.data.shape != other.data.shape:
            return 1.0
        return 1 - float((one.data & other.data).sum() / max(1, (one.data | other.data).sum()))
    if one.kind == "box":
        return float(np.abs(one.data - other.data).max())
    far = [
        np.abs(np.subtract(row[:2], other.data[name][:2])).max() for name, row in one.data.items() if name in other.data
    ]
    return float(max(far)) if len(far) == len(one.data) else 1e9
