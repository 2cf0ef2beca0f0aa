"""What tools draw shape by shape: loose keypoints, ellipses, turned boxes, masks in a box of their own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

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

LoosePoint = tuple[str, tuple[float, float, int], str]
"""Its name; x, y in pixels and visibility (1 hidden, 2 visible); its group, "" for none."""


def add_points(builder: DocumentBuilder, image: int, name: str, points: Iterable[LoosePoint]) -> None:
    """Adds the points of an image called ``name``: those of one group are one object's, and so are those without a
    group. Where a keypoint comes twice among these nothing says whose they are, which is a problem."""
    by_group: dict[str, list[LoosePoint]] = defaultdict(list)
    for point in points:
        by_group[point[2]].append(point)
    for group, own in by_group.items():
        twice = [label for label, n in Counter(label for label, _, _ in own).items() if n > 1]
        if twice:
            of = f"of group {abridged(group)} " if group else ""
            came = f"image {abridged(name, 200)}: the points {of}{listed(map(abridged, twice))} stand several times"
            remedy = "give the points of each object a group of their own, and export again"
            builder.say(f"{came}, and nothing says which of them are one object; left out", remedy)
        else:
            builder.add(image, NAMELESS, {label: xyv for label, xyv, _ in own}, group=group or None)


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
