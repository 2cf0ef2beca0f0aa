"""What becomes of each image of a workspace, as its journal and its COCO file say it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
STATUSES = ("new", "accepted", "corrected", "skipped", "damaged")


@dataclass
class Entry:
    """An image: ``name`` with forward slashes, ``path``; ``status`` of STATUSES, ``revision`` counts what was saved.

    ``confidence`` 0..1 once the model has seen it; ``reason`` where it is damaged; ``labels`` given so far; ``size``
    (width, height) once it has been opened; ``rank`` in the queue."""

    name: str
    path: Path
    status: str = "new"
    revision: int = 0
    confidence: float | None = None
    reason: str | None = None
    labels: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    rank: int | None = None


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
        if entry.size is None:
            continue
        (width, height), labels = entry.size, entry.labels
        images.append({"id": len(images) + 1, "file_name": entry.name, "width": width, "height": height})
        placed = [name for name in keypoints if name in labels.get("keypoints", {})]
        label: dict[str, Any] = {}
        if placed:
            points = (labels["keypoints"][name] for name in placed)
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
