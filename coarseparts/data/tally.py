"""Counts of a data set's labels, and what is odd about them."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np

from coarseparts.data.loading import AGREEMENT
from coarseparts.data.records import Record
from coarseparts.data.store_files import LABELS
from coarseparts.labels.mask import HALF
from coarseparts.labels.schema import IGNORE, Schema
from coarseparts.system.problems import Problem

OFF_MASK = 0.03
"""A keypoint farther from the figure-ground mask than this share of the sample's side counts as outside of it: the
tip of a beak or a leg is often clicked just beyond the outline."""

TINY = 4
"""A part of fewer pixels than this at training size, in half of the samples that show it, can hardly be learned."""

FRAMED, HOLE = 0.9, 0.01
"""Shares of the border of its extent that a figure-ground mask fills, and of its extent that it leaves out, where it
seems to be of the background."""

KEYPOINT_COUNTS = ("visible", "hidden", "absent", "not_annotated", "visible_with_mask", "off_mask")
"""What is counted of each keypoint."""


class Tally:
    """Running counts, so that memory does not grow with the images."""

    def __init__(self, schema: Schema, size: int):
        self.schema, self.size = schema, size
        names = ("samples", "images", *LABELS, "unreadable")
        self.splits: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
        self.sources: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
        self.images: set[tuple[str, object]] = set()
        self.pixels: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(schema.channels, np.int64))
        self.showing: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(schema.channels, np.int64))
        self.known: dict[str, int] = defaultdict(int)
        self.tiny = np.zeros(schema.channels, np.int64)
        shape = (len(schema.keypoints), len(KEYPOINT_COUNTS))
        self.keypoints: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(shape, np.int64))
        self.native: list[tuple[float, float, float]] = []
        part_side = {_side(name): i for i, name in enumerate(schema.parts, 1)}
        other = {"left": "right", "right": "left"}
        self.own = {k: part_side.get(_side(name)) for k, name in enumerate(schema.keypoints)}
        self.mirrored = {
            k: part_side.get((other[side], rest))
            for k, (side, rest) in enumerate(map(_side, schema.keypoints))
            if side in other
        }
        self.on_own = self.on_mirrored = 0
        self.masks = self.framing = 0

    def unreadable(self, record: Record) -> None:
        """Count one that could not be read."""
        for counts in (self.splits[record.split], self.sources[_source(record)]):
            counts["unreadable"] += 1

    def add(self, record: Record, arrays: dict[str, np.ndarray | None]) -> list[Problem]:
        """Count one sample; notes of what is odd about it."""
        for where, counts in ((record.split, self.splits[record.split]), ("", self.sources[_source(record)])):
            counts["samples"] += 1
            image = (where or _source(record), record.image or record.synthetic)
            counts["images"] += image not in self.images
            self.images.add(image)
            for label in LABELS:
                counts[label] += arrays[label] is not None
        crop, native = arrays["crop"], arrays["native"]
        assert crop is not None and native is not None
        self.native.append((float(native[0]), float(native[1]), float(crop[2] - crop[0])))
        parts, mask, keypoints = arrays["parts"], arrays["mask"], arrays["keypoints"]
        messages = []
        if parts is not None:
            shown = [self.schema.maps.shows(parts, index).sum() for index in range(1, self.schema.channels)]
            pixels = np.array([(parts == 0).sum(), *shown])  # parts that overlap share pixels
            self.pixels[record.split] += pixels
            self.known[record.split] += int((parts != IGNORE).sum())
            self.showing[record.split] += pixels > 0
            self.tiny += (pixels > 0) & (pixels < TINY)
        if mask is not None:
            self.masks += 1
            self.framing += _is_frame(mask >= HALF)
        if parts is not None and mask is not None:
            agreement, message = self.schema.maps.agreement(parts, mask >= HALF)
            if agreement < AGREEMENT:
                messages.append((message, "do both belong to this object?"))
        if keypoints is not None:
            messages += self._add_keypoints(self.keypoints[record.split], keypoints, mask)
        if keypoints is not None and parts is not None:
            messages += self._sides(keypoints, parts)
        file = str(record.image or record.name)
        return [Problem(file, f"{record.name}: {message}", remedy, "note") for message, remedy in messages]

    def _add_keypoints(
        self, counts: np.ndarray, keypoints: np.ndarray, mask: np.ndarray | None
    ) -> list[tuple[str, str]]:
        for column, v in enumerate((2, 1, 0, -1)):
            counts[:, column] += keypoints[:, 2] == v
        if mask is None or not (mask >= 128).any():
            return []
        visible = keypoints[:, 2] == 2
        off = visible & ~_near(keypoints[:, :2], mask >= 128, OFF_MASK * self.size)
        counts[:, 4] += visible
        counts[:, 5] += off
        if visible.sum() >= 3 and off.sum() * 2 > visible.sum():
            remedy = "do they belong to this image and this object?"
            return [(f"{off.sum()} of {visible.sum()} visible keypoints lie outside the figure-ground mask", remedy)]
        return []

    def _sides(self, keypoints: np.ndarray, parts: np.ndarray) -> list[tuple[str, str]]:
        messages = []
        for k, mirrored in self.mirrored.items():
            (x, y, v), side = keypoints[k], self.own[k]
            if v == 2 and mirrored is not None and side is not None:
                there = parts[int(y), int(x)]
                own, other = (bool(self.schema.maps.shows(there, part)) for part in (side, mirrored))
                self.on_own += own
                self.on_mirrored += other and not own
                if other and not own:
                    message = f"keypoint {self.schema.keypoints[k]!r} lies on part {self.schema.parts[mirrored - 1]!r}"
                    messages.append((message, "left and right are the object's own; one of the two is swapped"))
        return messages

    def shown(self) -> np.ndarray:
        """(K,) bool: which keypoints an image shows, visible or hidden."""
        counts = sum(self.keypoints.values(), np.zeros((len(self.schema.keypoints), len(KEYPOINT_COUNTS)), np.int64))
        shown: np.ndarray = np.any(counts[:, :2], 1)
        return shown

    def facts(self) -> dict[str, Any]:
        """What ``CheckReport`` holds of these counts, by its names."""
        names = ("background", *self.schema.parts)
        share, seen = {}, {}
        for split, pixels in self.pixels.items():
            labelled = max(self.known[split], 1)
            share[split] = {name: round(100 * int(pixels[i]) / labelled, 3) for i, name in enumerate(names)}
            seen[split] = {name: int(self.showing[split][i]) for i, name in enumerate(names)}
        keypoints = {
            split: {
                name: dict(zip(KEYPOINT_COUNTS, row.tolist(), strict=True))
                for name, row in zip(self.schema.keypoints, counts, strict=True)
            }
            for split, counts in self.keypoints.items()
        }
        native = np.array(self.native, np.float64).reshape(-1, 3)
        spread = np.percentile(native, [0, 50, 100], axis=0).round(1).T.tolist() if len(native) else []
        return {
            "splits": dict(self.splits),
            "sources": dict(self.sources),
            "part_share": share,
            "part_samples": seen,
            "keypoints": keypoints,
            "sizes": dict(zip(("width", "height", "crop"), spread, strict=False)),
            "enlarged": int((native[:, 2] < self.size).sum()),
        }

    def oddities(self) -> list[tuple[str, str]]:
        """What is odd about the data set as a whole: (message, remedy)."""
        found = []
        train = self.showing.get("train", np.zeros(self.schema.channels, np.int64))
        for i, name in enumerate(self.schema.parts, 1):
            elsewhere = [split for split, showing in self.showing.items() if split != "train" and showing[i]]
            if "train" in self.splits and not train[i]:
                message = f"part {name!r} is never labelled in train"
                message += f", but in {' and '.join(elsewhere)}" if elsewhere else ""
                found.append((message, "it cannot be learned: label it in a few images, or take it out of `parts`"))
            total = sum(int(showing[i]) for showing in self.showing.values())
            if total and self.tiny[i] * 2 > total:
                message = f"part {name!r} has fewer than {TINY} pixels in {self.tiny[i]} of {total} samples"
                found.append((f"{message} at {self.size} pixels", "choose a larger `size`, or crop to the object"))
        if self.keypoints:
            counts = np.sum(list(self.keypoints.values()), 0)
            off, of = counts[:, 5].sum(), counts[:, 4].sum()
            if off > 0.2 * of:
                message = f"{off} of {of} visible keypoints lie outside the figure-ground masks"
                found.append((message, "are both in pixels of the same images?"))
        if self.framing * 2 > self.masks:
            message = f"the figure-ground masks of {self.framing} of {self.masks} samples are frames around something"
            found.append((message, "is 0 the object there? Save them with 0 for the background"))
        if self.on_mirrored > self.on_own:
            message = f"{self.on_mirrored} keypoints lie on the part of the other side, {self.on_own} on their own"
            found.append((message, "left and right seem to be swapped between keypoints and parts: rename one of them"))
        return found


def _is_frame(mask: np.ndarray) -> bool:
    """Whether (H, W) bool is around something and not something: it fills the border of its own extent, with a hole."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return False
    own = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    border = np.concatenate([own[0], own[-1], own[1:-1, 0], own[1:-1, -1]])
    return bool(border.mean() > FRAMED and own.mean() < 1 - HOLE)


def _source(record: Record) -> str:
    return f"sources[{record.source}] {record.split}"


def _side(name: str) -> tuple[str, str]:
    """("left" | "right" | "", the rest): "left eye", "Left_Eye" and "eye-left" are all ("left", "eye")."""
    words = re.findall(r"[^\W_]+", name.lower())
    sides = [word for word in words if word in ("left", "right")]
    return (sides[0], " ".join(w for w in words if w not in sides)) if len(sides) == 1 else ("", " ".join(words))


def _near(points: np.ndarray, mask: np.ndarray, distance: float) -> np.ndarray:
    """(K,) bool: is any pixel of the mask within ``distance`` of the point?"""
    y, x = np.nonzero(mask)
    squared = (x + 0.5 - points[:, :1]) ** 2 + (y + 0.5 - points[:, 1:]) ** 2  # (K, pixels)
    near: np.ndarray = squared.min(1) <= max(distance, 0.71) ** 2  # at least the pixel that holds it
    return near
