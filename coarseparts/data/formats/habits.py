"""What tools and their users write out of habit, told from a file as a whole: keypoints in a corner for those that are
not there, visibility 1 for all, boxes that are nothing but the hull of the keypoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.units import Finding
from coarseparts.system.text import listed, short

HIDDEN = 5
"""Keypoints, all of them hidden, from which on that is worth a note."""

HULLS = 3
"""Objects whose boxes are the hulls of their keypoints, from which on that is taken for a habit of the file."""


RECTANGLES = 4
"""Annotations of a category whose outlines are their boxes, from which on that is taken for a habit of the file."""

MOST_SLACK = 0.005
"""Share of a box's longer side by which such an outline may differ from it."""


@dataclass
class Lost:
    """Keypoints of a file that are taken as not labelled, by name: how many lie in a corner, how many have no
    coordinates, and how many there are of each; and how many are visible only because nothing is said (``plain``)."""

    cornered: Counter[str] = field(default_factory=Counter)
    nowhere: Counter[str] = field(default_factory=Counter)
    of: Counter[str] = field(default_factory=Counter)
    plain: int = 0

    def add(self, names: Sequence[str], cornered: np.ndarray, nowhere: np.ndarray) -> None:
        """Counts the keypoints of an object: (k,) bool each."""
        self.of.update(names)
        for counter, those in ((self.cornered, cornered), (self.nowhere, nowhere)):
            counter.update(name for name, one in zip(names, those, strict=True) if one)

    def notes(self) -> Iterator[Finding]:
        for names, what in ((self.cornered, "lie at (0, 0) or beyond"), (self.nowhere, "have no coordinates")):
            if names:
                told = listed(f"{short(name)} in {n} of {self.of[name]} objects" for name, n in names.items())
                yield f"keypoints that {what} are taken as not labelled: {told}", ""
        if self.plain:
            yield f"{self.plain:,} keypoints have no visibility, and are taken as visible", ""


def all_hidden(objects: Sequence[Annotation]) -> list[Finding]:
    """Whether every labelled keypoint is a hidden one, of which nothing is learned."""
    seen = [points[:, 2] for one in objects if (points := one.keypoints) is not None]
    hidden, visible = (sum(int((v == level).sum()) for v in seen) for level in (1, 2))
    if hidden < HIDDEN or visible:
        return []
    message = f"all {hidden:,} labelled keypoints have visibility 1, hidden, and none has 2: nothing is learned of them"
    return [(message, "if 1 means visible here, write `visible: 1` in this source")]


def hulls(objects: Sequence[Annotation]) -> list[Finding]:
    """Whether the boxes of all objects with keypoints, ``HULLS`` at least, are the hulls of these."""
    both = [one for one in objects if {"box", "keypoints"} <= one.labels.keys()]
    if len(both) < HULLS or not all(is_hull(one.label("box"), one.keypoints) for one in both):
        return []
    outlined = [one for one in both if "mask" in one.labels and one.label("mask").extent is not None]
    if outlined and all(np.abs(one.label("box") - one.label("mask").extent).max() <= 1.5 for one in outlined):
        return []  # they are the outlines' boxes as well
    message = f"the boxes of all {len(both)} objects with keypoints are the hulls of these, not the objects' boxes"
    return [(message, "they are not used; the crop is the wider one around keypoints")]


def holes(segmentations: Iterable[Any]) -> list[Finding]:
    """Whether outlines have rings that go round the other way within others, as holes do that scripts write beside the
    outline (OpenCV's contours): COCO fills them."""
    count = sum(isinstance(one, list) and len(one) > 1 and _has_hole(one) for one in segmentations)
    if not count:
        return []
    message = (
        f"{count} outlines have a ring inside another one that goes round the other way, as holes do: it is filled"
    )
    return [(message, "COCO's polygons have no holes: write such masks as run lengths (RLE)")]


def _has_hole(polygons: Sequence[Sequence[float]]) -> bool:
    rings = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons]
    areas = [
        float((ring[:, 0] * np.roll(ring[:, 1], -1) - np.roll(ring[:, 0], -1) * ring[:, 1]).sum()) for ring in rings
    ]
    extents = [(ring.min(0), ring.max(0)) for ring in rings]
    outer = int(np.argmax(np.abs(areas)))
    return any(
        area * areas[outer] < 0 and (low > extents[outer][0]).all() and (high < extents[outer][1]).all()
        for area, (low, high) in zip(areas, extents, strict=True)
    )


def are_boxes(entries: Sequence[dict[str, Any]]) -> bool:
    """Whether the outlines of all entries of COCO annotations, ``RECTANGLES`` at least, are their boxes, drawn: tools
    that know boxes alone write them as both."""
    return len(entries) >= RECTANGLES and all(_is_box(one.get("segmentation"), one.get("bbox")) for one in entries)


def _is_box(segmentation: Any, box: Any) -> bool:
    numbers: Any = segmentation[0] if isinstance(segmentation, list) and len(segmentation) == 1 else None
    if not all(isinstance(said, list) and _ARE_NUMBERS.issuperset(map(type, said)) for said in (numbers, box)):
        return False
    if len(box) != 4 or len(numbers) not in (8, 10) or not np.isfinite([*box, *numbers]).all():
        return False
    x0, y0, x1, y1 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    corners = np.array(numbers, np.float64).reshape(-1, 2)
    slack = max(1.0, MOST_SLACK * max(box[2:])) if max(x1, y1) > 1 else MOST_SLACK
    on_x, on_y = (np.abs(corners[:, axis, None] - sides) <= slack for axis, sides in ((0, (x0, x1)), (1, (y0, y1))))
    if not (on_x.any(1) & on_y.any(1)).all():
        return False
    return len({(int(x), int(y)) for x, y in zip(on_x.argmax(1), on_y.argmax(1), strict=True)}) == 4


_ARE_NUMBERS = frozenset((int, float))


def without_boxes(objects: Sequence[Annotation]) -> list[Annotation]:
    """The objects, those with keypoints without their boxes."""
    return [
        replace(one, labels={style: given for style, given in one.labels.items() if style != "box"})
        if "keypoints" in one.labels
        else one
        for one in objects
    ]


def is_hull(box: np.ndarray, points: np.ndarray | None) -> bool:
    """Whether a box (x0, y0, x1, y1) lies around labelled keypoints (k, 3), two at least, to a pixel."""
    if points is None or (points[:, 2] > 0).sum() < 2:
        return False
    labelled = points[points[:, 2] > 0, :2]
    return bool(np.abs(box - np.concatenate([labelled.min(0), labelled.max(0)])).max() <= 1.0)
