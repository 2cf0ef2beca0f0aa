"""What a mask and its photograph say of one part: numbers in pixels, degrees and colour values. No files."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from coarseparts.system.errors import Failed

LENGTHS = ("length", "width", "feret", "curve_length", "curve_width", "perimeter")
COLOURS = ("red", "green", "blue")
PLACES = ("centroid_x", "centroid_y")
TRAITS = ("area", *LENGTHS, "orientation", *PLACES, *COLOURS, "pieces")
"""``area`` pixels; ``length`` and ``width`` the sides of the smallest box around it at any angle, ``feret`` its largest
diameter, ``curve_length`` and ``curve_width`` along its skeleton, ``perimeter``, all in pixels; ``orientation`` of its
longer axis, degrees anticlockwise from the image's x axis, 0..180; ``centroid_x``, ``centroid_y`` pixels from the upper
left corner; ``red``, ``green``, ``blue`` means, 0..255; ``pieces`` that do not touch, crumbs left out."""

CRUMB = 0.01
"""A piece with less than this share of the part's area is a crumb, which is counted in the area and nowhere else."""

LARGEST = 512
"""Pixels of the longer side at which a skeleton is looked for, at most: a larger mask is thinned out first."""


def library() -> Any:
    """``skimage``. Raises Failed, with the command that installs it, where it is missing."""
    try:
        import skimage.measure
        import skimage.morphology
    except ImportError:
        raise Failed("scikit-image is not installed, which measures; run: pip install 'coarseparts[measure]'") from None
    return skimage


def shape(mask: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """``TRAITS`` of a part from its mask (H, W) bool and the image (H, W, 3) uint8. Of an empty mask
    area and pieces are 0, the others nan."""
    skimage = library()
    if not mask.any():
        return dict.fromkeys(TRAITS, np.nan) | {"area": 0.0, "pieces": 0.0}
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    y, x = int(rows[0]), int(columns[0])
    inside = np.pad(mask[y : rows[-1] + 1, x : columns[-1] + 1], 1)
    region = skimage.measure.regionprops(inside.astype(np.uint8))[0]
    length, width = _sides(_hull(inside))
    curve = _along(inside, skimage)
    centre_y, centre_x = region.centroid
    colours = image[mask].mean(0, dtype=np.float64)
    return {
        "area": float(region.area),
        "length": length,
        "width": width,
        "feret": _diameter(_hull(inside)),
        "curve_length": curve[0],
        "curve_width": curve[1],
        "perimeter": float(skimage.measure.perimeter_crofton(inside, directions=4)),
        "orientation": float((np.degrees(region.orientation) + 90) % 180),
        "centroid_x": float(centre_x + x - 0.5),
        "centroid_y": float(centre_y + y - 0.5),
        **dict(zip(COLOURS, map(float, colours), strict=True)),
        "pieces": float(_pieces(inside)),
    }


def _pieces(mask: np.ndarray) -> int:
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    return int((sizes >= CRUMB * sizes.sum()).sum())


def _hull(mask: np.ndarray) -> np.ndarray:
    """(N, 2) corners of the convex hull of a mask's pixels, each a square of side 1."""
    from scipy.spatial import ConvexHull

    rows = np.nonzero(mask.any(1))[0]
    first, last = mask[rows].argmax(1), mask.shape[1] - mask[rows, ::-1].argmax(1)
    ends = np.concatenate([np.stack([first, rows], 1), np.stack([last, rows], 1)])
    points = np.concatenate([ends, ends + np.array([0, 1])]).astype(float)
    corners: np.ndarray = points[ConvexHull(points).vertices]
    return corners


def _sides(hull: np.ndarray) -> tuple[float, float]:
    """The longer and the shorter side of the smallest rectangle around a hull: one of its sides lies on the hull's."""
    edges = np.roll(hull, -1, 0) - hull
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    spans = np.stack([np.ptp(hull @ edges.T, 0), np.ptp(hull @ (edges[:, ::-1] * (-1, 1)).T, 0)])
    found = spans[:, spans.prod(0).argmin()]
    return float(found.max()), float(found.min())


def _diameter(hull: np.ndarray) -> float:
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=-1).max())


def _along(mask: np.ndarray, skimage: Any) -> tuple[float, float]:
    """Length and mean width of a mask's largest piece along the longest way through its skeleton."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    piece = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    step = -(-max(piece.shape) // LARGEST)
    thinned = np.pad(piece[::step, ::step], 1)
    if not thinned.any():
        return float("nan"), float("nan")
    depth = ndimage.distance_transform_edt(thinned)
    points = np.argwhere(skimage.morphology.skeletonize(thinned))
    way = points[_longest(points, thinned.shape)].astype(float)
    # From pixel to pixel a way is a staircase, up to 8 % longer than the curve.
    curve = np.concatenate([way[:1], ndimage.uniform_filter1d(way, 9, axis=0, mode="nearest"), way[-1:]])
    length = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum())
    deep = depth[tuple(way[[0, -1]].astype(int).T)]
    # The skeleton ends short of the outline, by about what it lies deep there; a pixel's own half is in the depth.
    total = length + max(0.0, deep[0] - 0.5) + max(0.0, deep[-1] - 0.5) + 1
    area = float(piece.sum())
    return float(total * step), area / float(total * step)


def _longest(points: np.ndarray, size: tuple[int, ...]) -> list[int]:
    """The indices of the points (N, 2) on the longest of the shortest ways between two of them."""
    index = np.full((size[0] + 2, size[1] + 2), -1)
    index[tuple(points.T + 1)] = np.arange(len(points))
    starts, ends, costs = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        other = index[points[:, 0] + 1 + dy, points[:, 1] + 1 + dx]
        near = np.nonzero(other >= 0)[0]
        starts.append(near)
        ends.append(other[near])
        costs.append(np.full(len(near), np.hypot(dy, dx)))
    places = np.concatenate(starts), np.concatenate(ends)
    graph = coo_matrix((np.concatenate(costs), places), shape=(len(points),) * 2).tocsr()
    far = dijkstra(graph, directed=False, indices=0)
    begin = int(np.where(np.isfinite(far), far, -1).argmax())
    far, before = dijkstra(graph, directed=False, indices=begin, return_predecessors=True)
    end = int(np.where(np.isfinite(far), far, -1).argmax())
    way = [end]
    while way[-1] != begin:
        way.append(int(before[way[-1]]))
    return way
