"""What becomes of each image of a workspace, as its journal and its COCO file say it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.app.requests import Labels

JOURNAL = "journal.jsonl"
STATUSES = ("new", "accepted", "corrected", "skipped", "damaged")
SAVED = ("accepted", "corrected")
"""Statuses of images whose parts a person stands for."""


@dataclass
class Entry:
    """An image: ``name`` with forward slashes, ``path``; ``status``: what became of it, of STATUSES but "damaged";
    ``revision`` counts what was saved.

    ``confidence`` 0..1 once the model has seen it; ``reason`` where it cannot be worked on; ``size`` (width, height)
    once it has been opened; ``rank`` in the queue. Of what was saved last: its status, ``saved_as``, the ``labels``,
    the photograph's ``saved_size`` and ``pixels`` (``fingerprint``)."""

    name: str
    path: Path
    status: str = "new"
    revision: int = 0
    confidence: float | None = None
    reason: str | None = None
    size: tuple[int, int] | None = None
    rank: int | None = None
    saved_as: str = "corrected"
    labels: dict[str, Any] = field(default_factory=dict)
    saved_size: tuple[int, int] | None = None
    pixels: str = ""

    @property
    def id(self) -> str:
        """What names it in addresses: the same whatever other images there are, and no path."""
        return hashlib.blake2b(self.name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @property
    def shown(self) -> str:
        """Its status in the list, of STATUSES."""
        return "damaged" if self.reason else self.status

    @property
    def fits(self) -> bool:
        """Whether the photograph still has the size that it had when it was saved."""
        return None in (self.size, self.saved_size) or self.size == self.saved_size

    def take(self, line: dict[str, Any]) -> None:
        """What a line of the journal says becomes true."""
        self.status, self.revision = line["status"], line["revision"]
        self.saved_as = self.status if self.status in SAVED else self.saved_as
        try:
            if "labels" in line:
                labels = dict(line["labels"])
                mask = labels.pop("mask", None)
                self.labels = Labels.model_validate(labels).model_dump() | {"mask": mask}
            if "size" in line:
                width, height = map(int, line["size"])
                self.saved_size, self.pixels = (width, height), str(line.get("pixels", ""))
        except (ValueError, TypeError):
            self.labels = {}


def fingerprint(array: np.ndarray) -> str:
    """What tells a photograph (H, W, 3) uint8 from others, whatever its file says besides."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=8).hexdigest()


def lines_of(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal that say what became of an image; one that was cut off by a stop says nothing."""
    try:
        lines = file.read_bytes().split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return
    for raw in lines:
        try:
            line = json.loads(raw)
            if line["status"] in STATUSES and isinstance(line["image"], str) and type(line["revision"]) is int:
                yield line
        except (ValueError, KeyError, TypeError, RecursionError):
            continue


def add_line(file: Path, line: dict[str, Any]) -> None:
    """Adds a line to a journal, on the disk when this returns. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line, ensure_ascii=True) + "\n"
    with file.open("ab") as target:
        if target.tell() and not _ends_a_line(file):
            text = "\n" + text
        target.write(text.encode())
        target.flush()
        os.fsync(target.fileno())


def _ends_a_line(file: Path) -> bool:
    with file.open("rb") as text:
        text.seek(-1, os.SEEK_END)
        return text.read(1) == b"\n"


def coco_of(entries: Iterable[Entry], keypoints: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """A COCO file's lists with the labels of some images, an object each. Keypoints that nobody placed are unknown, not
    absent: there is a category for every set of them that was."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in entries:
        if entry.saved_size is None:
            continue
        (width, height), labels = entry.saved_size, entry.labels
        images.append({"id": len(images) + 1, "file_name": entry.name, "width": width, "height": height})
        given = labels.get("keypoints", {})
        placed = [*(name for name in keypoints if name in given), *sorted(given.keys() - set(keypoints))]
        label: dict[str, Any] = {}
        if placed:
            points = (given[name] for name in placed)
            label |= {"keypoints": [v for x, y in points for v in (x, y, 2)], "num_keypoints": len(placed)}
        if labels.get("mask"):
            label["segmentation"] = labels["mask"]
        if labels.get("box"):
            x0, y0, x1, y1 = labels["box"]
            label["bbox"] = [min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)]
        if not label:
            continue
        number = len(categories) + 1
        named = {"id": number, "name": "object" if number == 1 else f"object {number}", "keypoints": placed}
        category = categories.setdefault(tuple(placed), named)
        keys = {"id": len(annotations) + 1, "image_id": len(images), "category_id": category["id"], "iscrowd": 0}
        annotations.append(keys | label)
    return {"images": images, "annotations": annotations, "categories": list(categories.values())}
