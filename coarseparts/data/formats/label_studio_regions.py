"""The regions of a Label Studio annotation: what was drawn, in pixels, with its labels and what it is tied to."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from coarseparts.data.formats import label_studio_rle
from coarseparts.data.formats.document_builder import DocumentBuilder, finite, rle
from coarseparts.data.formats.visibility import is_hidden
from coarseparts.data.images import MAX_PIXELS
from coarseparts.system.text import abridged, short

KEYPOINT, BOX, POLYGON, MASK = "keypoint", "box", "polygon", "mask"

AROUND = 64
"""Corners of the polygon that an ellipse becomes."""

CURVE = 16
"""Straight lines that a curve of a vector becomes."""

AGAIN = "draw it again in Label Studio, or remove it, and export again"


@dataclass
class Region:
    """Something drawn. ``value``: of a keypoint (x, y), of a box [x, y, width, height], of a polygon [x, y, x, y, ...],
    of a mask COCO's RLE, None where the region says nothing but what it holds together. ``parent``: the id of the
    region that it belongs to."""

    id: str
    kind: str
    value: Any
    labels: list[str] = field(default_factory=list)
    parent: str | None = None
    hidden: bool = False
    score: float | None = None

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """(x0, y0, x1, y1) around it."""
        if self.value is None:
            return None
        if self.kind == BOX:
            x, y, width, height = self.value
            return x, y, x + width, y + height
        if self.kind == MASK:
            x, y, width, height = coco_mask.toBbox(self.value).tolist()
            return x, y, x + width, y + height
        numbers = self.value
        return min(numbers[0::2]), min(numbers[1::2]), max(numbers[0::2]), max(numbers[1::2])


@dataclass
class Drawn:
    """What an annotation of one image holds: regions by id, pairs of ids that relations tie, and the image's size."""

    regions: dict[str, Region] = field(default_factory=dict)
    relations: list[tuple[str, str]] = field(default_factory=list)
    size: tuple[int, int] | None = None


def drawn(results: Any, where: str, builder: DocumentBuilder) -> Drawn:
    """The regions among an annotation's ``results``. What cannot be used is a problem of the builder's, ``where``
    naming the task; what says nothing of parts and objects is counted there."""
    found = Drawn()
    if not isinstance(results, list):
        builder.say(f"{where}: its result is {short(results)}", "expected a list of regions: export it again")
        return found
    shapes: dict[str, list[dict]] = defaultdict(list)
    for i, entry in enumerate(results):
        if not isinstance(entry, dict):
            builder.say(f"{where}: result {i} is {short(entry)}", "expected an object: export it again")
        elif entry.get("type") == "relation":
            found.relations.append((str(entry.get("from_id")), str(entry.get("to_id"))))
        elif not _is_region(entry):
            builder.pass_over(f"results of the type {abridged(str(entry.get('type')))} are of no region: passed over")
        else:  # one region may come in several results: its shape with its labels, or apart, and its choices
            shapes[str(entry.get("id", f"result {i}"))].append(entry)
    for key, entries in shapes.items():
        try:
            region = _region(key, entries, builder)
        except ValueError as error:
            builder.say(f"{where}, region {abridged(key)}: {error}", AGAIN)
            continue
        if region is not None:
            found.size = found.size or _size(entries[0])
            found.regions[key] = region
    return found


def _is_region(entry: dict) -> bool:
    value = entry.get("value")
    return isinstance(value, dict) and ("original_width" in entry or any(mark in value for mark in _SHAPES))


def _region(key: str, entries: list[dict], builder: DocumentBuilder) -> Region | None:
    """The region that ``entries`` of one id describe, None where it is none of ours. Raises ValueError."""
    value = {name: each for entry in entries for name, each in entry["value"].items()}
    first = entries[0]
    if finite(first.get("image_rotation", 0)) != 0:
        turned = short(first["image_rotation"])
        raise ValueError(f"it was drawn on the image turned by {turned} degrees, expected 0: turn the image back first")
    shape = next((read for mark, read in _SHAPES.items() if mark in value), None)
    if shape is None:
        kind = abridged(str(first.get("type")))
        builder.pass_over(f"regions of the type {kind} are neither points, boxes, polygons nor masks: passed over")
        return None
    said = [text for entry in entries for text in _texts(entry["value"].get("choices"))]
    notes = [entry["meta"] for entry in entries if isinstance(entry.get("meta"), dict)]
    said += [text for note in notes for text in _texts(note.get("text"))]
    labels = [text for name, each in value.items() if name.endswith("labels") for text in _texts(each)]
    parent = next((entry["parentID"] for entry in entries if entry.get("parentID")), None)
    if not labels and (labels := _called(entries)):
        builder.pass_over("regions have no label: they are called as their choice or text says")
    score = finite(first.get("score"))
    region = Region(key, KEYPOINT, None, list(dict.fromkeys(labels)), None if parent is None else str(parent))
    region.hidden = any(map(is_hidden, said))
    region.score = None if score is None or not 0 <= score <= 1 else score
    region.kind, region.value = shape(value, _size(first), builder)
    if region.kind == KEYPOINT and not labels:
        builder.pass_over("keypoints have no label: passed over", "give each a label")
        return None
    return region


def _called(entries: list[dict]) -> list[str]:
    """What the only choice or text of a region calls it, but for what they say of its visibility; [] where there are
    several."""
    values = [entry["value"].get(key) for entry in entries for key in ("choices", "text")]
    said = [text for value in values for text in _texts(value)]
    said = [text for text in said if not is_hidden(text) and text.strip().casefold() != "visible"]
    return said if len(said) == 1 else []


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _size(entry: dict) -> tuple[int, int]:
    """(width, height) of the image that a result was drawn on. Raises ValueError."""
    sides = [finite(entry.get(f"original_{side}")) for side in ("width", "height")]
    width, height = (side if side is not None and side >= 1 and side % 1 == 0 else 0 for side in sides)
    if not width or not height:
        came = f"{short(entry.get('original_width'))} x {short(entry.get('original_height'))}"
        raise ValueError(f"the original size is {came}, expected whole numbers of pixels")
    return int(width), int(height)


def _numbers(value: dict, *names: str) -> Iterator[float]:
    for name in names:
        number = finite(value.get(name, 0 if name == "rotation" else None))
        if number is None:
            raise ValueError(f"{name} is {short(value.get(name))}, expected a number in percent of the image")
        yield number


_Shape = tuple[str, Any]


def _keypoint(value: dict, size: tuple[int, int], builder: DocumentBuilder) -> _Shape:
    x, y = _numbers(value, "x", "y")
    return KEYPOINT, (x / 100 * size[0], y / 100 * size[1])


def _box(value: dict, size: tuple[int, int], builder: DocumentBuilder) -> _Shape:
    """A box; of a turned one the upright box around it; none where it is larger than the image."""
    x, y, width, height, angle = _numbers(value, "x", "y", "width", "height", "rotation")
    if width <= 0 or height <= 0:
        raise ValueError(f"it is a box of {width:g} x {height:g} percent, expected an area")
    if max(width, height) > 101:
        builder.pass_over("boxes are larger than their image: they hold their objects together, and are no boxes")
        return BOX, None
    x, width = x / 100 * size[0], width / 100 * size[0]
    y, height = y / 100 * size[1], height / 100 * size[1]
    if angle % 360 == 0:
        return BOX, [x, y, width, height]
    builder.pass_over("boxes are turned: the upright box around each is used", "draw polygons where that is too wide")
    turn = math.radians(angle)  # clockwise as one sees it, about the corner that x and y name
    right, down = (math.cos(turn) * width, math.sin(turn) * width), (-math.sin(turn) * height, math.cos(turn) * height)
    xs = [x, x + right[0], x + down[0], x + right[0] + down[0]]
    ys = [y, y + right[1], y + down[1], y + right[1] + down[1]]
    return BOX, [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _ellipse(value: dict, size: tuple[int, int], builder: DocumentBuilder) -> _Shape:
    x, y, across, along, angle = _numbers(value, "x", "y", "radiusX", "radiusY", "rotation")
    if across <= 0 or along <= 0:
        raise ValueError(f"it is an ellipse of the radii {across:g} and {along:g} percent, expected an area")
    builder.pass_over(f"ellipses are taken for the polygons of {AROUND} corners in them")
    around, turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False), math.radians(angle)
    u, v = across / 100 * size[0] * np.cos(around), along / 100 * size[1] * np.sin(around)
    xs = x / 100 * size[0] + math.cos(turn) * u - math.sin(turn) * v
    ys = y / 100 * size[1] + math.sin(turn) * u + math.cos(turn) * v
    return POLYGON, np.stack([xs, ys], -1).ravel().tolist()


def _polygon(value: dict, size: tuple[int, int], builder: DocumentBuilder) -> _Shape:
    points = value["points"]
    if not isinstance(points, list) or len(points) < 3:
        came = f"{len(points)} points" if isinstance(points, list) else short(points)
        raise ValueError(f"it is a polygon of {came}, expected at least 3 points")
    numbers = []
    for point in points:
        pair = [finite(number) for number in point] if isinstance(point, list) else []
        if len(pair) != 2 or None in pair:
            raise ValueError(f"a point of its polygon is {short(point)}, expected x and y in percent of the image")
        numbers += [number / 100 * side for number, side in zip(pair, size, strict=True)]  # type: ignore[operator]
    return POLYGON, numbers


def _vector(value: dict, size: tuple[int, int], builder: DocumentBuilder) -> _Shape:
    """A closed path as a polygon, each curve of it as ``CURVE`` straight lines; none where it is open."""
    vertices = value["vertices"]
    if not isinstance(vertices, list) or not all(isinstance(one, dict) for one in vertices):
        raise ValueError(f"its vertices are {short(vertices)}, expected a list of points")
    if value.get("closed") is not True:
        builder.pass_over("open vectors enclose nothing: passed over", "close them where they are outlines")
        return POLYGON, None
    vertices = _in_order(vertices)
    points: list[list[float]] = []
    for before, vertex in zip([*vertices[-1:], *vertices[:-1]], vertices, strict=True):
        ends = [[*_numbers(end, "x", "y")] for end in (before, vertex)]
        controls = [before.get("controlPoint2"), vertex.get("controlPoint1")]
        for i, (control, of) in enumerate(zip(controls, (before, vertex), strict=True)):
            bent = control if of.get("isBezier") is True and isinstance(control, dict) else of
            ends.insert(1 + i, [*_numbers(bent, "x", "y")])
        straight = ends[0] == ends[1] and ends[2] == ends[3]
        share = np.array([1.0]) if straight else np.linspace(0, 1, CURVE + 1)[1:]
        weights = np.stack([(1 - share) ** 3, 3 * share * (1 - share) ** 2, 3 * share**2 * (1 - share), share**3], -1)
        points += (weights @ np.array(ends)).tolist()
    return _polygon({"points": points}, size, builder)


def _in_order(vertices: list[dict]) -> list[dict]:
    """Vertices one after the other: each may name the one before it. Raises ValueError where two name the same."""
    after = {str(one["prevPointId"]): one for one in vertices if one.get("prevPointId") is not None}
    if not after:
        return vertices
    found = [one for one in vertices if one.get("prevPointId") is None][:1]
    while found and len(found) <= len(vertices) and (following := after.get(str(found[-1].get("id")))) is not None:
        found.append(following)
    if len(found) != len(vertices):
        raise ValueError("its vertices are not one path")
    return found


def _brush(value: dict, size: tuple[int, int], builder: DocumentBuilder) -> _Shape:
    return _mask(label_studio_rle.decode(value["rle"], size), builder)


def _bitmask(value: dict, size: tuple[int, int], builder: DocumentBuilder) -> _Shape:
    """A mask as a PNG in the text of an URL; what is not transparent is the mask."""
    begin, comma, code = str(value["imageDataURL"]).partition(",")
    if not begin.startswith("data:image/png") or not comma:
        raise ValueError("its bitmask is no PNG in base64")
    try:
        with Image.open(io.BytesIO(base64.b64decode(code, validate=True)), formats=("PNG",)) as image:
            if image.size != size or size[0] * size[1] > MAX_PIXELS:
                raise ValueError(
                    f"its bitmask has {image.size[0]}x{image.size[1]} pixels, expected {size[0]}x{size[1]}"
                )
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
    except (binascii.Error, OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError("its bitmask is no whole PNG in base64") from None
    return _mask(alpha >= 128, builder)


def _mask(mask: np.ndarray, builder: DocumentBuilder) -> _Shape:
    """An (H, W) bool mask; none where all of it has been erased, which leaves a region in Label Studio."""
    if not mask.any():
        builder.pass_over("masks are empty: passed over")
        return MASK, None
    return MASK, rle(mask)


_SHAPES = {
    "rle": _brush,
    "imageDataURL": _bitmask,
    "points": _polygon,
    "vertices": _vector,
    "radiusX": _ellipse,
    "height": _box,
    "x": _keypoint,
}
"""Readers of shapes by what only they have among their numbers; the first that fits."""
