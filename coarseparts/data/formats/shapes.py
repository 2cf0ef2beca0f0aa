"""What tools draw shape by shape: loose keypoints, ellipses, turned boxes, masks in a box of their own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from coarseparts.data.formats.document_builder import DocumentBuilder
from coarseparts.data.formats.drawing import draw
from coarseparts.data.images import MAX_PIXELS
from coarseparts.system.text import abridged, listed

NAMELESS = "object"
"""The category of keypoints that no skeleton holds together."""

SMALL = 1 << 18
"""Pixels of an image up to which a mask is encoded from all of it; of larger ones its own pixels are fewer."""

LARGER = 1.25
"""By how much a figure has to be larger than one that lies in it, which is a part of it then."""

LoosePoint = tuple[str, tuple[float, float, int], str]
"""Its name; x, y in pixels and visibility (1 hidden, 2 visible); its group, "" for none."""


@dataclass(frozen=True)
class Figure:
    """What is drawn around something: the object that it is of, by number; its ``kind``, a label; whether it is a box;
    and (x0, y0, x1, y1) around it."""

    object: int
    kind: str
    box: bool
    extent: tuple[float, float, float, float]


def holders(points: Sequence[tuple[Collection[str], tuple[float, float]]], figures: Sequence[Figure]) -> list[int]:
    """The object of each of an image's points, (names, (x, y)), where the figures of one kind, two at least, hold all
    of them and none a name twice; none where that can be said in no way or in two. Figures that lie in those of another
    kind are parts. Outlines are asked where a name comes twice: those of two eyes tell no animals apart."""
    names = Counter(name for each, _ in points for name in each)
    twice = max(names.values(), default=0) > 1
    kinds: dict[tuple[str, bool], list[Figure]] = defaultdict(list)
    for one in figures:
        kinds[one.kind, one.box].append(one)
    ways = []
    for own in kinds.values():
        if len({one.object for one in own}) < 2 or not (twice or own[0].box) or _are_parts(own, figures):
            continue
        holds = [{one.object for one in own if _is_in(xy, one.extent)} for _, xy in points]
        if all(len(which) == 1 for which in holds):
            way = [which.pop() for which in holds]
            taken = Counter((at, name) for at, (each, _) in zip(way, points, strict=True) for name in each)
            if max(taken.values(), default=2) == 1:
                ways.append(way)
    if len({tuple(map(way.index, way)) for way in ways}) > 1:  # which ones go together, whatever holds them
        return []
    return ways[0] if ways else []


def _is_in(point: tuple[float, float], extent: tuple[float, float, float, float]) -> bool:
    return extent[0] <= point[0] <= extent[2] and extent[1] <= point[1] <= extent[3]


def _are_parts(own: Sequence[Figure], figures: Sequence[Figure]) -> bool:
    """Whether each figure of a kind lies in one of another label that is larger."""
    return all(
        any(
            other.kind != one.kind
            and _area(other.extent) > LARGER * _area(one.extent)
            and all(_is_in((one.extent[i], one.extent[j]), other.extent) for i, j in ((0, 1), (2, 3)))
            for other in figures
        )
        for one in own
    )


def _area(extent: tuple[float, float, float, float]) -> float:
    return (extent[2] - extent[0]) * (extent[3] - extent[1])


def add_points(builder: DocumentBuilder, image: int, name: str, points: Iterable[LoosePoint]) -> None:
    """Adds the points of an image called ``name``, whose figures have been added: those of one group are one object's.
    Those without belong to the figures in which they lie, as far as these tell (``holders``), and are one object's
    else. Where a keypoint comes twice then nothing says whose they are, which is a problem."""
    by_group: dict[str, list[LoosePoint]] = defaultdict(list)
    for point in points:
        by_group[point[2]].append(point)
    if loose := by_group.get(""):
        drawn = builder.drawn_on(image)
        objects = list(dict.fromkeys(entry.get("group") or entry["id"] for entry, _ in drawn))
        figures = [
            Figure(objects.index(entry.get("group") or entry["id"]), label, "bbox" in entry, extent)
            for entry, label in drawn
            if (extent := _extent(entry)) is not None
        ]
        found = holders([((one[0],), one[1][:2]) for one in loose], figures)
        if found:
            del by_group[""]
            builder.pass_over("images have keypoints that nothing ties: they belong to the figures in which they lie")
        for point, at in zip(loose, found, strict=False):
            own = objects[at]
            group = own if isinstance(own, str) else f"figure {own}"
            for entry, _ in drawn:
                if entry["id"] == own:
                    entry["group"] = group
            by_group[group].append(point)
    for group, own in by_group.items():
        twice = [label for label, n in Counter(label for label, _, _ in own).items() if n > 1]
        if twice:
            of = f"of group {abridged(group)} " if group else ""
            came = f"image {abridged(name, 200)}: the points {of}{listed(map(abridged, twice))} stand several times"
            remedy = "give the points of each object a group of their own, or draw a box around each, and export again"
            builder.say(f"{came}, and nothing says which of them are one object; left out", remedy)
        else:
            builder.add(image, NAMELESS, {label: xyv for label, xyv, _ in own}, group=group or None)


def _extent(entry: dict) -> tuple[float, float, float, float] | None:
    """(x0, y0, x1, y1) around the box or outline of an annotation; None where it has none."""
    outline = entry.get("segmentation")
    if "bbox" in entry:
        x, y, width, height = entry["bbox"]
        return x, y, x + width, y + height
    if isinstance(outline, dict):
        x, y, width, height = coco_mask.toBbox(outline).tolist()
        return x, y, x + width, y + height
    numbers = [number for polygon in outline or () for number in polygon]
    return (min(numbers[0::2]), min(numbers[1::2]), max(numbers[0::2]), max(numbers[1::2])) if numbers else None


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> list[float]:
    """An ellipse, turned clockwise, as a flat polygon of 64 corners."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return turned(np.stack([rx * np.cos(angles), ry * np.sin(angles)], 1), x, y, degrees).ravel().tolist()


def turned(points: np.ndarray, x: float, y: float, degrees: float) -> np.ndarray:
    """Points (n, 2) about (0, 0), turned clockwise as one sees them and moved to (x, y)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def placed(mask: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict:
    """RLE of a mask (h, w) bool whose upper left pixel is (left, top) of an image of ``size`` (width, height), as far
    as it lies in it. Raises ValueError where no pixel does, or the image is too large."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(f"the image is {width:,}x{height:,} pixels, expected at most {MAX_PIXELS:,}")
    own = mask[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    if not own.any():
        raise ValueError("its mask is empty: it holds no pixel")
    if width * height <= SMALL:
        whole = np.zeros((height, width), np.uint8, order="F")
        row, column = max(top, 0), max(left, 0)
        whole[row : row + own.shape[0], column : column + own.shape[1]] = own
        return {"size": [height, width], "counts": coco_mask.encode(whole)["counts"].decode()}
    x, y = np.nonzero(own.T)  # down the columns, as the runs go
    pixels = (x + max(left, 0)) * height + y + max(top, 0)
    first = np.flatnonzero(np.diff(pixels, prepend=-2) > 1)
    begins, ends = pixels[first], pixels[np.append(first[1:], len(pixels)) - 1] + 1
    edges = np.stack([begins, ends], 1).ravel()
    counts = np.diff(np.concatenate([[0], edges, [width * height]])).tolist()
    counts = counts if counts[-1] else counts[:-1]
    code = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": code["counts"].decode()}


def cut_out(segmentation: dict, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """An RLE mask of an image of ``size`` (width, height) as a mask (h, w) bool of its own extent, with left and top.
    Raises ValueError where it is empty or broken."""
    mask = draw(segmentation, size)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], int(columns[0]), int(rows[0])
