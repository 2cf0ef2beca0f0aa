"""Pre-annotations for Label Studio: tasks with predictions, and the labelling interface that shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from coarseparts.data.formats import label_studio_rle
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import write_json
from coarseparts.data.formats.drawing import draw
from coarseparts.system.files import write_whole
from coarseparts.system.problems import BadInput, Problem

TAGS = {"box": "RectangleLabels", "polygon": "PolygonLabels", "mask": "BrushLabels", "keypoint": "KeyPointLabels"}
"""The interface's controls by their names there, and their tags."""

POINT = 0.5
"""Percent of the image's width that a keypoint is shown as."""

ADDRESS = "/data/local-files/?d="
"""How Label Studio asks for a file of its local storage."""


def write(document: Document, out: Path) -> None:
    """Writes ``out``, JSON that Label Studio imports as tasks with predictions, and beside it, with the suffix .xml,
    the labelling interface for it.

    An image is asked for by its name from Label Studio's local storage. RLE becomes a brush mask, polygons become
    polygons. Regions of one object have its first figure as parent, keypoints without a figure are tied by relations;
    a hidden one has the note "hidden". Raises BadInput where the size of an image with annotations is not known or a
    mask does not fit; then nothing is written.
    """
    categories = {entry["id"]: entry for entry in document.categories}
    by_image: dict[int, list[dict]] = defaultdict(list)
    for entry in document.annotations:
        by_image[entry["image_id"]].append(entry)
    tasks, problems = [], []
    for image in document.images:
        task: dict[str, Any] = {"data": {"image": ADDRESS + quote(image["file_name"])}}
        try:
            task["predictions"] = _predictions(image, by_image[image["id"]], categories)
        except ValueError as error:
            problems.append(Problem(str(out), f"image {image['file_name']}: {error}", "give the images of the labels"))
        tasks.append(task)
    if problems:
        raise BadInput(problems)
    write_whole(out.with_suffix(".xml"), _interface(tasks).encode())
    write_json(tasks, out)


def _predictions(image: dict, annotations: list[dict], categories: dict[int, dict]) -> list[dict]:
    """An image's annotations as one prediction; none where there are none. Raises ValueError."""
    if not annotations:
        return []
    if not image.get("width") or not image.get("height"):
        raise ValueError("its size is not known")
    objects: dict[Any, list[dict]] = defaultdict(list)
    for entry in annotations:
        objects[entry.get("group", entry["id"])].append(entry)
    results = [result for one in objects.values() for result in _Regions(image, categories).of_object(one)]
    scores = [entry["score"] for entry in annotations if "score" in entry]
    score = {"score": float(np.mean(scores))} if scores else {}
    return [{"model_version": "coarseparts", **score, "result": results}]


class _Regions:
    """The regions and relations of one object of an image."""

    def __init__(self, image: dict, categories: dict[int, dict]):
        self.size = image["width"], image["height"]
        self.categories = categories
        self.results: list[dict] = []

    def of_object(self, one: list[dict]) -> list[dict]:
        """Label Studio's results. Raises ValueError."""
        skeletal = {entry["category_id"] for entry in one if any(entry.get("keypoints") or ())}
        parent = None
        for entry in sorted(one, key=lambda entry: entry["category_id"] not in skeletal):
            for kind, value in self._figures(entry):
                key = self._add(entry, kind, self.categories[entry["category_id"]]["name"], value, parent)
                parent = parent or key
        points = [self._point(entry, *point, parent) for entry in one for point in self._points(entry)]
        if parent is None:
            for key in points[1:]:
                self.results.append({"type": "relation", "from_id": points[0], "to_id": key, "direction": "right"})
        return self.results

    def _figures(self, entry: dict) -> Iterator[tuple[str, dict]]:
        width, height = self.size
        if entry.get("bbox"):
            x, y, across, along = entry["bbox"]
            numbers = {"x": x / width, "y": y / height, "width": across / width, "height": along / height}
            yield "box", {key: 100 * number for key, number in numbers.items()} | {"rotation": 0}
        segmentation = entry.get("segmentation")
        if isinstance(segmentation, dict):
            yield "mask", {"format": "rle", "rle": label_studio_rle.encode(draw(segmentation, self.size))}
        for polygon in segmentation if isinstance(segmentation, list) else ():
            points = np.array(polygon, np.float64).reshape(-1, 2) * 100 / (width, height)
            yield "polygon", {"points": points.tolist(), "closed": True}

    def _points(self, entry: dict) -> Iterator[tuple[str, float, float, int]]:
        numbers = entry.get("keypoints") or []
        names = self.categories[entry["category_id"]].get("keypoints", ())
        for i, name in enumerate(names[: len(numbers) // 3]):
            x, y, visibility = numbers[3 * i : 3 * i + 3]
            if visibility:
                yield name, x, y, visibility

    def _point(self, entry: dict, name: str, x: float, y: float, visibility: int, parent: str | None) -> str:
        value = {"x": 100 * x / self.size[0], "y": 100 * y / self.size[1], "width": POINT}
        key = self._add(entry, "keypoint", name, value, parent)
        if visibility == 1:
            self.results[-1]["meta"] = {"text": ["hidden"]}
        return key

    def _add(self, entry: dict, kind: str, label: str, value: dict, parent: str | None) -> str:
        key = f"a{entry['id']}-{len(self.results)}"
        type_ = TAGS[kind].lower()
        result: dict[str, Any] = {"id": key, "type": type_, "from_name": kind, "to_name": "image", "image_rotation": 0}
        result |= {"original_width": self.size[0], "original_height": self.size[1], "value": value | {type_: [label]}}
        if parent is not None:
            result["parentID"] = parent
        if "score" in entry:
            result["score"] = float(entry["score"])
        self.results.append(result)
        return key


def _interface(tasks: list[dict]) -> str:
    """The labelling interface of tasks: the image, and a control with its labels for each kind of region."""
    labels: dict[str, dict[str, None]] = {kind: {} for kind in TAGS}
    for task in tasks:
        for result in (result for prediction in task["predictions"] for result in prediction["result"]):
            if result["type"] != "relation":
                labels[result["from_name"]][result["value"][result["type"]][0]] = None
    lines = ["<View>", '  <Image name="image" value="$image" zoom="true"/>']
    for kind, names in labels.items():
        if names:
            lines.append(f'  <{TAGS[kind]} name="{kind}" toName="image">')
            lines += [f"    <Label value={quoteattr(name)}/>" for name in names]
            lines.append(f"  </{TAGS[kind]}>")
    return "\n".join([*lines, "</View>", ""])
