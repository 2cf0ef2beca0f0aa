"""What an annotation of a COCO file says under each of its keys: keypoints, box, outline and lines, checked."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from coarseparts.data.formats import habits
from coarseparts.data.formats.coco_file import Broken
from coarseparts.data.formats.drawing import Outline
from coarseparts.data.formats.keypoint_numbers import in_threes, with_nowhere
from coarseparts.data.formats.units import MOST
from coarseparts.data.images import allowed
from coarseparts.labels.given import Given, Points
from coarseparts.system.text import listed, short

MOST_POINTS = 100_000
"""Points of one annotation's polygons."""

MOST_RUNS = 5_000_000
"""Characters, or numbers, of a mask's run lengths."""


def as_outline(value: Any, file: str, where: str) -> Outline | None:
    """``as_segmentation`` of an annotation that stands at ``where`` in a ``file``."""
    segmentation = as_segmentation(value)
    return None if segmentation is None else Outline(segmentation, file, where)


def as_keypoints(value: Any, names: tuple[str, ...], lost: habits.Lost) -> Points | None:
    """(k, 3) float32, or None when none is labelled."""
    if is_nothing(value):
        return None
    value = _by_name(unquoted(value), names)
    missing = np.zeros(len(names), bool)
    if isinstance(value, list) and not _all_there(value, len(names)):
        value, lost.plain = in_threes(value, len(names), lost.plain)
        if len(value) == 3 * len(names):
            value, missing = with_nowhere(value)
    numbers = _finite(value, "keypoints")
    if numbers.size != 3 * len(names):
        message = f"{numbers.size} keypoint numbers for {len(names)} keypoint names, expected {3 * len(names)}"
        raise Broken(message, "give x, y, v for each of the category's keypoints")
    points = numbers.reshape(-1, 3).astype(np.float32)
    odd = set(points[:, 2].tolist()) - {0.0, 1.0, 2.0}
    if odd:
        came = listed(f"{v:g}" for v in sorted(odd))
        raise Broken(f"keypoint visibility {came}, expected 0, 1 or 2", "0 = not labelled, 1 = hidden, 2 = visible")
    cornered = ~missing & (points[:, 2] > 0) & (points[:, :2] <= 0).all(1)
    lost.add(names, cornered, missing & (points[:, 2] > 0))
    points[(points[:, 2] == 0) | missing | cornered] = 0
    return Points(names, points) if points.any() else None


def _by_name(value: Any, names: tuple[str, ...]) -> Any:
    """Keypoints as a list where they are written by name, {name: [x, y, visibility]}; those without one are absent."""
    if not isinstance(value, dict):
        return value
    if odd := [name for name in value if name not in names]:
        raise Broken(f"it has the keypoint {short(odd[0], 60)}", "name it in the category's list `keypoints`")
    return [[*unquoted(value[name])] if isinstance(value.get(name), list) else [0, 0, 0] for name in names]


def unquoted(value: Any) -> Any:
    """A list of numbers, or of lists of them, with numbers in the place of texts that are some: json.dumps with
    default=str makes these of numpy's."""
    first, depth = value, 0
    while isinstance(first, list) and first:
        first, depth = first[0], depth + 1
    if not isinstance(first, str) or not 0 < depth < 3:
        return value
    return [unquoted(one) if isinstance(one, list) else _number(one) for one in value]


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and len(value) < 40 and _NUMBER.fullmatch(value.strip()) else value


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def _all_there(value: list[Any], count: int) -> bool:
    """Whether these are the x, y and visibility of ``count`` keypoints, numbers all."""
    return len(value) == 3 * count and _NUMBERS.issuperset(map(type, value)) and all(v == v for v in value)


_NUMBERS = frozenset((int, float))


def as_box(value: Any, keypoints: Given | None = None) -> np.ndarray | None:
    """(x0, y0, x1, y1) float32, or None when the box is missing, all zeros, or the hull of ``keypoints`` on a line."""
    if is_nothing(value) or (isinstance(value, list) and all(type(v) in (int, float) and v == 0 for v in value)):
        return None
    numbers = _finite(unquoted(value), "bbox")
    if numbers.size == 4 and keypoints is not None and (numbers[2:] == 0).any():
        if habits.is_hull(np.concatenate([numbers[:2], numbers[:2] + numbers[2:]]), keypoints.value.xyv):
            return None
    if numbers.size != 4 or numbers[2] <= 0 or numbers[3] <= 0:
        came = ", ".join(f"{v:g}" for v in numbers[:5])
        raise Broken(f"bbox is [{came}], a box without an area", "expected [x, y, width, height]")
    return np.array([*numbers[:2], *(numbers[:2] + numbers[2:])], np.float32)


def as_segmentation(value: Any) -> Any:
    """Polygons or RLE of the right form (whether RLE's runs add up is seen when it is drawn), or None."""
    if is_nothing(value) or value == {}:
        return None
    remedy = "expected polygons [[x, y, x, y, x, y, ...], ...] or RLE {size: [height, width], counts: ...}"
    if isinstance(value, dict):
        size, counts = _whole(unquoted(value.get("size"))), _counts(value.get("counts"))
        if not isinstance(size, list) or len(size) != 2 or not all(type(v) is int and v > 0 for v in size):
            raise Broken("segmentation is a broken RLE", remedy)
        if (
            not (isinstance(counts, str) or (isinstance(counts, list) and all(type(v) is int for v in counts)))
            or not counts
        ):
            raise Broken("segmentation is a broken RLE", remedy)
        if size[0] * size[1] > allowed():
            came = f"{size[1]:,}x{size[0]:,} pixels"
            raise Broken(f"segmentation is an RLE of {came}, expected at most {allowed():,}", "draw it again")
        if len(counts) > MOST_RUNS:
            came = f"{len(counts):,} counts"
            raise Broken(f"segmentation is an RLE of {came}, expected at most {MOST_RUNS:,}", "draw it again")
        return {"size": size, "counts": counts}
    value = _in_a_row(unquoted(value))
    if isinstance(value, list) and all(type(number) in (int, float) for number in value):
        value = [value]  # a polygon by itself
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise Broken(f"segmentation is a broken {type(value).__name__}", remedy)
    value = [polygon for polygon in value if polygon]
    if (points := sum(map(len, value)) // 2) > MOST_POINTS:
        raise Broken(f"polygons of {points:,} points, expected at most {MOST_POINTS:,}", "draw it with fewer")
    for polygon in value:
        numbers = _finite(polygon, "a polygon")
        if numbers.size < 6 or numbers.size % 2:
            raise Broken(f"a polygon of {numbers.size} numbers, expected at least 3 points (x, y)", remedy)
    return value


def _in_a_row(value: Any) -> Any:
    """Polygons with their points in a row, x, y, x, y, ..., where each is a pair, of one polygon or of several."""

    def is_pairs(points: Any) -> bool:
        whole = isinstance(points, list) and len(points) > 2
        return whole and all(
            isinstance(one, list) and len(one) == 2 and _NUMBERS >= {*map(type, one)} for one in points
        )

    if is_pairs(value):
        return [number for point in value for number in point]
    if isinstance(value, list) and any(map(is_pairs, value)):
        return [[number for point in one for number in point] if is_pairs(one) else one for one in value]
    return value


def _whole(value: Any) -> Any:
    """A list with whole numbers as such: tables keep them as 120.0."""
    if not isinstance(value, list) or float not in set(map(type, value)):
        return value
    return [int(one) if type(one) is float and one % 1 == 0 and abs(one) < MOST else one for one in value]


def _counts(value: Any) -> Any:
    """Run lengths: of the text that Python makes of bytes (b'...') what is in it, of numbers in texts these."""
    if not isinstance(value, str):
        return _whole(unquoted(value))
    if value.startswith("b'") and value.endswith("'") and len(value) <= MOST_RUNS:
        return value[2:-1].replace("\\\\", "\\")
    return value


def is_nothing(value: Any) -> bool:
    """Whether a label is not there: null, NaN as tables write it, an empty list or one of empty lists."""
    return value is None or value != value or (isinstance(value, list) and all(one == [] for one in value))


def as_polylines(value: Any) -> list[np.ndarray] | None:
    """(n, 2) points of each line, n >= 1, or None."""
    if is_nothing(value):
        return None
    remedy = "expected lines [[x, y, x, y, ...], ...]"
    if not isinstance(value, list) or not all(isinstance(line, list) for line in value):
        raise Broken(f"polylines are a broken {type(value).__name__}", remedy)
    if (points := sum(map(len, value)) // 2) > MOST_POINTS:
        raise Broken(f"polylines of {points:,} points, expected at most {MOST_POINTS:,}", "draw them with fewer")
    lines = [_finite(line, "a polyline") for line in value]
    if odd := [line.size for line in lines if not line.size or line.size % 2]:
        raise Broken(f"a polyline of {odd[0]} numbers", remedy)
    return [line.reshape(-1, 2) for line in lines]


def _finite(value: Any, what: str) -> np.ndarray:
    """A flat list of numbers as float64; JSON as Python reads it may hold NaN, infinity and integers of any length."""
    if not isinstance(value, list) or not _NUMBERS.issuperset(map(type, value)):
        raise Broken(f"{what} is {short(value)}", "expected a flat list of numbers")
    try:
        numbers = np.array(value, np.float64)
    except OverflowError:
        numbers = np.array([np.inf])
    odd = numbers[~(np.abs(numbers) <= MOST)]
    if odd.size:
        raise Broken(f"{what} holds {odd[0]:g}", "expected numbers of pixels: draw it again or remove it")
    return numbers
