"""Polygons in pixels, cut to an image and measured without drawing them on arrays."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask


def cut(polygon: np.ndarray, width: float, height: float) -> np.ndarray | None:
    """What of a polygon (n, 2) lies in the image 0..width, 0..height, as a polygon; None if nothing does.

    Each border in turn cuts off what lies beyond it (Sutherland and Hodgman's method). Of a polygon that leaves the
    image and comes back, the pieces stay joined along the border, which encloses nothing more.
    """
    points = polygon
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        depth = sign * (points[:, axis] - limit)  # how far inside this border
        if (depth >= 0).all():
            continue
        kept = []
        for i in range(len(points)):
            j = (i + 1) % len(points)
            if depth[i] >= 0:
                kept.append(points[i])
            if (depth[i] >= 0) != (depth[j] >= 0):
                kept.append(points[i] + (points[j] - points[i]) * depth[i] / (depth[i] - depth[j]))
        if len(kept) < 3:
            return None
        points = np.array(kept)
    return np.clip(points, 0, (width, height))  # rounding


def enclosed(polygon: np.ndarray) -> float:
    """The area by the sum over its edges; of a polygon that crosses itself, less than it covers."""
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def run_lengths(polygons: list[np.ndarray], width: int, height: int) -> dict:
    """The pixels that polygons cover together, as pycocotools' run-length code. The polygons lie in the image."""
    drawn = coco_mask.frPyObjects([polygon.ravel().tolist() for polygon in polygons], height, width)
    return coco_mask.merge(drawn)


def covered(code: dict) -> int:
    """Number of pixels of a run-length code."""
    return int(coco_mask.area(code))


def common(one: dict, other: dict) -> int:
    """Number of pixels that two run-length codes share."""
    return int(coco_mask.area(coco_mask.merge([one, other], intersect=True)))
