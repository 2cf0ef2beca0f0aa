"""Whether the numbers of an annotation file are what they are taken for: pixels, and boxes as x, y, width, height."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

TIGHT = 0.8
"""Intersection over union above which a box is taken for the box of an outline."""

MOST = 1e9
"""A coordinate beyond this is a mistake: no image is that large, and single precision could not hold its sums."""

Finding = tuple[str, str]
"""A message and its remedy."""


def fractions(label: str, coordinates: Iterable[np.ndarray], least: int) -> list[Finding]:
    """Whether all of a file's ``coordinates`` of one kind of label lie in 0..1, as shares of the image's sides.

    Each array is of any shape; fewer than ``least`` numbers between 0 and 1 say nothing.
    """
    count, greatest = 0, 0.0
    for array in coordinates:
        count += int(np.count_nonzero(array % 1))
        greatest = max(greatest, float(np.abs(array).max(initial=0)))
        if greatest > 1:
            return []
    if count < least:
        return []
    remedy = "expected pixels: multiply x and width by the image's width, y and height by its height"
    return [(f"all coordinates of {label} lie between 0 and 1", remedy)]


def corners(
    boxes: Sequence[np.ndarray], sizes: Sequence[tuple[int, int] | None], outlines: Sequence[np.ndarray | None]
) -> list[Finding]:
    """Whether most boxes (x0, y0, x1, y1), read as x, y, width, height, make sense only if they were corners.

    ``sizes``: (width, height) of each box's image, ``outlines``: (n, 2) points of the object's outline, where known.
    A box speaks for corners if it reaches beyond its image, or misses its outline, and would not as corners.
    """
    votes = [_vote(*said) for said in zip(boxes, sizes, outlines, strict=True)]
    for_corners, against = votes.count(1), votes.count(-1)
    if not for_corners or for_corners < len(votes) / 2 or against * 10 > for_corners:
        return []
    message = f"{for_corners} of {len(votes)} boxes fit their image and object only if they are corners, x0, y0, x1, y1"
    return [(message, "COCO's bbox is [x, y, width, height]: export again if these are corners")]


def _vote(box: np.ndarray, size: tuple[int, int] | None, outline: np.ndarray | None) -> int:
    """1 for corners, -1 against, 0 for neither."""
    x, y, right, bottom = box.tolist()
    other = np.array([x, y, right - x, bottom - y])
    if other[2] <= x or other[3] <= y:
        return -1
    if outline is not None:
        extent = np.concatenate([outline.min(0), outline.max(0)])
        as_it_is, as_corners = box_iou(box, extent), box_iou(other, extent)
        return int(as_corners >= TIGHT > as_it_is) - int(as_it_is >= TIGHT > as_corners)
    if size is not None:
        beyond = max(right - size[0], bottom - size[1])
        return int(beyond > 1.5 and other[2] <= size[0] + 1.5 and other[3] <= size[1] + 1.5)
    return 0


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1) with an area."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    return both / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - both)
