"""One object, or one part, that is labelled twice: by two annotators, or because a list was put together twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from coarseparts.data.formats.annotation import Annotation, PartSegment
from coarseparts.data.formats.drawing import Outline, draw
from coarseparts.data.formats.units import box_iou
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import listed

ALIKE, BOXES, PARTS = 0.7, 0.9, 0.5
"""Intersection over union from which on two masks, and two boxes of one file that nothing else tells apart, are one
object's: animals that lie over each other differ in their outlines; and two outlines of a part are one, being small."""

AWAY = 0.1
"""Distance between the keypoints of one object, in shares of the diagonal of their hull, up to which they are alike."""

SIDE = 128
"""Pixels of the longer side at which outlines are compared."""


def objects_once(objects: Sequence[Annotation]) -> tuple[list[Annotation], list[Problem]]:
    """The objects of files without those that say of one place in an image what a later one says, too: all labels of
    the kinds that both have are alike. The later one's count, and of the other one the labels that it lacks; notes say
    of how many."""
    by_image: dict[str, list[Annotation]] = defaultdict(list)
    for one in objects:
        by_image[one.image].append(one)
    found: dict[int, Annotation] = {}
    twice: dict[tuple[str, str], list[str]] = defaultdict(list)
    for image, own in by_image.items():
        left = dict(enumerate(own))
        for first, last in _pairs([_extent(one) for one in own]):
            if first in left and last in left and _same(one := left[first], other := left[last]):
                del left[first]
                left[last] = _with_labels_of(one, other)
                twice[one.file, other.file].append(image)
        if len(left) == 1 < len(own):
            left = {at: replace(one, alone=True) for at, one in left.items()}
        found |= {id(own[at]): one for at, one in left.items()}
    return [found[id(one)] for one in objects if id(one) in found], [
        _note(*files, images) for files, images in twice.items()
    ]


def _with_labels_of(one: Annotation, other: Annotation) -> Annotation:
    """The ``other`` object with the labels of ``one`` that it lacks."""
    names = other.keypoint_names if "keypoints" in other.labels else one.keypoint_names or other.keypoint_names
    return replace(other, labels={**one.labels, **other.labels}, keypoint_names=names, group=other.group or one.group)


def _note(file: str, other: str, images: Sequence[str]) -> Problem:
    those = listed(list(dict.fromkeys(images)), SHOWN)
    message = f"{len(images):,} objects are labelled twice, and the later labels are used: {those}"
    if file != other:
        message = f"{len(images):,} objects are labelled in {other}, too, whose labels are used: {those}"
    remedy = "leave out those that are not meant; write `join: none` in this source if they are of several objects"
    return Problem(file, message, remedy, "note")


def _pairs(extents: Sequence[np.ndarray | None]) -> Iterator[tuple[int, int]]:
    """Positions of two extents (x0, y0, x1, y1) that fill half of each other, the earlier one first."""
    known = np.array([i for i, extent in enumerate(extents) if extent is not None], int)
    if len(known) < 2:
        return
    boxes = np.array([extents[i] for i in known])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    for row in range(len(known) - 1):
        others = boxes[row + 1 :]
        sides = np.minimum(others[:, 2:], boxes[row, 2:]) - np.maximum(others[:, :2], boxes[row, :2])
        common = np.prod(np.maximum(sides, 0), 1)
        alike = common >= 0.5 * (areas[row + 1 :] + areas[row] - common)
        yield from ((int(known[row]), int(known[row + 1 + at])) for at in np.flatnonzero(alike))


def _extent(one: Annotation) -> np.ndarray | None:
    """(x0, y0, x1, y1) around an object's mask, box or keypoints, with an area; None where nothing tells it."""
    mask, box, points = one.label("mask"), one.label("box"), one.keypoints
    found = None if mask is None else mask.extent
    if found is None and box is not None:
        found = box
    if found is None and points is not None and (points[:, 2] > 0).any():
        seen = points[points[:, 2] > 0, :2]
        found = np.concatenate([seen.min(0) - 1, seen.max(0) + 1])
    return found if found is not None and (found[2:] > found[:2]).all() else None


def _same(one: Annotation, other: Annotation) -> bool:
    """Whether all labels of the kinds that two objects have are alike, and there is one."""
    if one.group and other.group and one.group != other.group:
        return False
    shared = one.labels.keys() & other.labels.keys()
    if not shared or (one.keypoint_names != other.keypoint_names and "keypoints" in shared):
        return False
    if shared == {"box"} and one.labels.keys() != other.labels.keys():
        return False  # what only one of them has may be of another object (``objects.join``)
    least = BOXES if one.file == other.file and shared == {"box"} else ALIKE
    return all(_alike(style, one.label(style), other.label(style), least) for style in shared)


def _alike(style: str, one: Any, other: Any, least: float) -> bool:
    if style == "box":
        return box_iou(np.asarray(one, np.float64), np.asarray(other, np.float64)) >= least
    if style == "keypoints":
        return _near(one.xyv, other.xyv)
    if isinstance(one, Outline) and isinstance(other, Outline):
        return _same_outline(one.segmentation, other.segmentation, least)
    return False


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether keypoints (k, 3) that both have lie near each other, two at least."""
    both = (one[:, 2] > 0) & (other[:, 2] > 0)
    if both.sum() < 2:
        return False
    a, b = one[both, :2], other[both, :2]
    diagonal = np.hypot(*(np.maximum(a.max(0), b.max(0)) - np.minimum(a.min(0), b.min(0))))
    return bool(np.hypot(*(a - b).T).mean() <= AWAY * diagonal)


def _same_outline(one: Any, other: Any, least: float) -> bool:
    """Whether the pixels of two segmentations have an intersection over union of ``least``."""
    if one == other:
        return True
    first, second = Outline(one, "", "").extent, Outline(other, "", "").extent
    if first is None or second is None:
        return False
    try:
        a, b = _drawn(one, other, np.maximum(first[2:], second[2:]))
    except ValueError:
        return False  # told where it is used
    return bool((a & b).sum() >= least * (a | b).sum())


def _drawn(one: Any, other: Any, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool masks of two segmentations, of about ``SIDE`` pixels where both are polygons. Raises ValueError."""
    sized = next((said["size"] for said in (one, other) if isinstance(said, dict)), None)
    if sized is not None:
        return draw(one, (sized[1], sized[0])), draw(other, (sized[1], sized[0]))
    scale = SIDE / max(float(reach.max()), 1.0)
    width, height = np.maximum(np.ceil(reach * scale), 1).astype(int).tolist()
    small = [[(np.array(polygon) * scale).tolist() for polygon in said] for said in (one, other)]
    return draw(small[0], (width, height)), draw(small[1], (width, height))


def parts_once(drawn: Sequence[tuple[Hashable, Any]]) -> list[int]:
    """The positions of an image's (part, segmentation) without those that a later one of the same part draws anew."""
    left = set(range(len(drawn)))
    extents = [Outline(said, "", "").extent for _, said in drawn]
    whole = [one if one is not None and (one[2:] > one[:2]).all() else None for one in extents]
    for first, last in _pairs(whole):
        if (
            first in left
            and drawn[first][0] == drawn[last][0]
            and _same_outline(drawn[first][1], drawn[last][1], PARTS)
        ):
            left.discard(first)
    return sorted(left)


def drawn_over(one: PartSegment, others: Sequence[PartSegment]) -> bool:
    """Whether one of the other regions of the same part, of which it has one, lies over a region's extent, or may."""
    extents = [Outline(each.segmentation, "", "").extent for each in (one, *others)]
    own = extents[0]
    for each, extent in zip(others, extents[1:], strict=True):
        if each.index == one.index:
            if own is None or extent is None or each.of != one.of:
                return True
            if (np.minimum(own[2:], extent[2:]) > np.maximum(own[:2], extent[:2])).all():
                return True
    return False
