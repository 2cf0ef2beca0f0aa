"""Whether the numbers of an annotation file are what they are taken for: pixels, and boxes as x, y, width, height."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

TIGHT = 0.8
"""Intersection over union above which a box is taken for the box of an outline."""

MOST = 1e9
"""A coordinate beyond this is a mistake: no image is that large, and single precision could not hold its sums."""

Finding = tuple[str, str]
"""A message and its remedy."""

Coordinates = Literal["pixels", "stated", "relative", "percent"] | tuple[int, int] | None
"""What the coordinates of a source's label files are: pixels of the photographs, or of images of the size that the file
states for each, or of this size (width, height); shares of the sides, 0..1, or percent; None: what the file tells."""

LARGE, PERHAPS, SEVERAL = 200, 110, 4
"""Pixels of an image's sides from which on, and images, in which labels up to 100 alone are percent, or may be."""


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
    remedy = "expected pixels: multiply x and width by the image's width, y and height by its height; or, if those of "
    remedy += "all labels are shares, write `coordinates: relative` in this source"
    return [(f"all coordinates of {label} lie between 0 and 1", remedy)]


def are_shares(kinds: Mapping[str, tuple[Sequence[np.ndarray], int]]) -> tuple[bool, list[Finding]]:
    """Whether all of a file's coordinates are shares of the images' sides; and what is wrong where only those of some
    kinds are. ``kinds``: arrays of any shape of each kind of label, and how many numbers tell (``fractions``)."""
    found = {label: fractions(label, arrays, least) for label, (arrays, least) in kinds.items() if len(arrays)}
    wrong = [finding for findings in found.values() for finding in findings]
    others = [label for label, findings in found.items() if not findings]
    if wrong and all(max(float(np.abs(array).max(initial=0)) for array in kinds[label][0]) <= 1 for label in others):
        return True, []
    return False, wrong


def percent(
    coordinates: Sequence[np.ndarray], sizes: Sequence[tuple[int, int] | None], large: int = LARGE
) -> list[Finding]:
    """Whether all coordinates lie between 0 and 100, though every image has sides of ``large`` pixels or more.
    ``sizes``: (width, height) of each image as it is stated."""
    known = [min(size) for size in sizes if size is not None]
    if len(known) < max(SEVERAL, len(sizes)) or min(known) < large or not coordinates:
        return []
    if max(float(np.abs(array).max(initial=0)) for array in coordinates) > 100:
        return []
    message = f"all coordinates lie between 0 and 100, in {len(known)} images of at least {min(known)} pixels"
    remedy = "write `coordinates: percent` in this source if they are percent, `coordinates: pixels` if they are not"
    return [(message, remedy)]


def corners(
    boxes: Sequence[np.ndarray], sizes: Sequence[tuple[int, int] | None], outlines: Sequence[np.ndarray | None]
) -> list[Finding]:
    """Whether most boxes (x0, y0, x1, y1), read as x, y, width, height, make sense only if they were corners, or if
    their x and y were the centre's.

    ``sizes``: (width, height) of each box's image, ``outlines``: (n, 2) points of the object's outline, where known.
    A box speaks for corners if it reaches beyond its image, or misses its outline, and would not as corners; for
    centres as its outline does.
    """
    remedy = "COCO's bbox is [x, y, width, height], from the upper left corner: export again if these are others"
    for called, vote in (("corners, x0, y0, x1, y1", _for_corners), ("centres, x, y, width, height", _for_centres)):
        votes = [vote(*said) for said in zip(boxes, sizes, outlines, strict=True)]
        count, against = votes.count(1), votes.count(-1)
        if count and count >= len(votes) / 2 and against * 10 <= count:
            message = f"{count} of {len(votes)} boxes fit their image and object only if they are {called}"
            return [(message, remedy)]
    return []


def _for_corners(box: np.ndarray, size: tuple[int, int] | None, outline: np.ndarray | None) -> int:
    """1 for corners, -1 against, 0 for neither."""
    x, y, right, bottom = box.tolist()
    other = np.array([x, y, right - x, bottom - y])
    if other[2] <= x or other[3] <= y:
        return -1
    if outline is not None:
        return _better(other, box, outline)
    if size is not None:
        beyond = max(right - size[0], bottom - size[1])
        return int(beyond > 1.5 and other[2] <= size[0] + 1.5 and other[3] <= size[1] + 1.5)
    return 0


def _for_centres(box: np.ndarray, size: tuple[int, int] | None, outline: np.ndarray | None) -> int:
    """1 for centres, -1 against, 0 for neither."""
    half = np.tile((box[2:] - box[:2]) / 2, 2)
    return 0 if outline is None else _better(box - half, box, outline)


def _better(other: np.ndarray, box: np.ndarray, outline: np.ndarray) -> int:
    """1 where the ``other`` box alone is that of an outline, -1 where ``box`` alone is."""
    extent = np.concatenate([outline.min(0), outline.max(0)])
    as_it_is, otherwise = box_iou(box, extent), box_iou(other, extent)
    return int(otherwise >= TIGHT > as_it_is) - int(as_it_is >= TIGHT > otherwise)


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1) with an area."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    return both / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - both)
