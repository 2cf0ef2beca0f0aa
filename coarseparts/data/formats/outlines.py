"""Masks as polygons along the edges of their pixels, exactly: holes and several pieces included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

Ring = list[tuple[int, int]]


def rings(mask: np.ndarray) -> list[Ring]:
    """The edges of an (H, W) bool mask as closed rings of corners (x, y) between its pixels, without those on a
    straight line. Outer ones go round clockwise as one sees them, those of holes the other way. Pixels that touch at a
    corner alone are of two rings."""
    padded = np.pad(mask, 1).astype(np.int8)
    across = np.diff(padded, axis=0)[:, 1:-1]  # (H + 1, W): +1 where a pixel is below the edge, -1 where it is above
    along = np.diff(padded, axis=1)[1:-1]  # (H, W + 1): +1 where a pixel is right of the edge, -1 where it is left
    follows: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for y, x in np.argwhere(across).tolist():
        begin, end = ((x, y), (x + 1, y)) if across[y, x] > 0 else ((x + 1, y), (x, y))
        follows[begin].append(end)
    for y, x in np.argwhere(along).tolist():
        begin, end = ((x, y + 1), (x, y)) if along[y, x] > 0 else ((x, y), (x, y + 1))
        follows[begin].append(end)
    found = []
    while follows:
        start = next(iter(follows))
        ring, at = [start], _next(follows, start, None)
        while at != start:
            ring.append(at)
            at = _next(follows, at, ring[-2])
        found.append(_corners(ring))
    return found


def outer_rings(mask: np.ndarray) -> list[Ring]:
    """``rings`` without those of holes, which the polygons of many tools cannot have."""

    def area(ring: Ring) -> float:
        x, y = np.array(ring, np.float64).T
        return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())

    return [ring for ring in rings(mask) if area(ring) > 0]


def _next(
    follows: dict[tuple[int, int], list[tuple[int, int]]], at: tuple[int, int], before: tuple[int, int] | None
) -> tuple[int, int]:
    """The corner after ``at``, taken away; of two the one to the right, so that pixels that only touch stay apart."""
    ends = follows[at]
    which = 0
    if len(ends) > 1 and before is not None:
        right = (at[0] - (at[1] - before[1]), at[1] + (at[0] - before[0]))
        which = ends.index(right) if right in ends else 0
    end = ends.pop(which)
    if not ends:
        del follows[at]
    return end


def _corners(ring: Ring) -> Ring:
    """A ring without the corners at which it goes straight on."""
    points = np.array(ring)
    turns = (np.roll(points, -1, 0) - points != points - np.roll(points, 1, 0)).any(1)
    return [(x, y) for x, y in points[turns].tolist()]


def bridged(polygons: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Several rings as one: from each to the next along a line, and back along the same lines, which so enclose
    nothing. Rings within others are holes, as far as a reader counts how often it is inside."""
    path: list[tuple[float, float]] = []
    for ring in polygons:
        path += [*ring, ring[0]]
    return path[:-1] if len(polygons) == 1 else path + [ring[0] for ring in polygons[-2::-1]]


def simplified(ring: Sequence[tuple[float, float]], tolerance: float) -> list[tuple[float, float]]:
    """A closed ring without the corners that lie within ``tolerance`` pixels of the line between those that are kept
    (Douglas and Peucker, 1973); at least three of them."""
    points = np.array([*ring, ring[0]], np.float64)
    far = int(np.linalg.norm(points - points[0], axis=1).argmax())
    kept, left = {0, far, len(points) - 1}, [(0, far), (far, len(points) - 1)]
    while left:
        begin, end = left.pop()
        if end - begin < 2:
            continue
        between, line = points[begin + 1 : end] - points[begin], points[end] - points[begin]
        length = float(np.hypot(*line))
        cross = np.abs(between[:, 0] * line[1] - between[:, 1] * line[0])
        distance = cross / length if length else np.hypot(*between.T)
        at = int(distance.argmax())
        if distance[at] > tolerance or (begin == 0 and len(kept) == 3 and end == far):
            kept.add(begin + 1 + at)
            left += [(begin, begin + 1 + at), (begin + 1 + at, end)]
    return [(float(x), float(y)) for x, y in points[sorted(kept)[:-1]]]
