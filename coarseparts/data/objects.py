"""Which annotations are one object: tools write its skeleton, and its mask or box, apart. Those that say so by a group
are joined first, then those that lie in one place."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.drawing import Outline
from coarseparts.data.formats.units import box_iou
from coarseparts.data.twice import objects_once
from coarseparts.labels.given import Given
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import abridged, listed

WITHIN = 0.8
"""Share of labelled keypoints that lie in a figure, from which on they may be that object's."""

APART = 0.25
"""By how much the best figure has to be better than the next one, of both sides, to be no guess."""

FILLED = 0.75
"""Intersection over union of a box and that of a mask, from which on they may be one object's."""

MARGIN = 0.05
"""A figure's box is larger by this share of its sides: the tip of an antenna is clicked just beyond the outline."""


@dataclass(frozen=True)
class Counts:
    """What became of the annotations of label files: ``outlines`` and ``boxes`` of parts, ``coarse`` labels, and those
    ``left_out``; the coarse ones are ``objects``, for some were joined with another ``by_group`` or ``by_place``, or
    were ``points`` that are keypoints of one object."""

    annotations: int = 0
    outlines: int = 0
    coarse: int = 0
    left_out: int = 0
    objects: int = 0
    by_group: int = 0
    by_place: int = 0
    boxes: int = 0
    points: int = 0

    @classmethod
    def of(
        cls,
        annotations: int,
        outlines: int,
        boxes: int,
        before: Sequence[Annotation],
        after: Sequence[Annotation],
        points: int = 0,
    ) -> Counts:
        """Of so many ``annotations``, those with coarse labels being ``before`` and ``after`` they were joined, and
        ``points`` more having been put together earlier."""
        fewer, groups = len(before) - len(after), {(one.image, one.group) for one in before if one.group}
        in_groups = sum(bool(one.group) for one in before) - len(groups)
        by_group = min(in_groups, fewer)
        coarse = len(before) + points
        rest = annotations - outlines - boxes - coarse
        return cls(
            annotations, outlines, coarse, rest, len(after), by_group, fewer - by_group, boxes=boxes, points=points
        )


def grouped(objects: Sequence[Annotation]) -> tuple[list[Annotation], list[Problem]]:
    """The objects, those of one image and group as one: the polygons of its masks together. Errors where a group has
    two keypoint labels, boxes or masks that cannot be one; its annotations are left out then."""
    groups: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for one in objects:
        if one.group:
            groups[one.image, one.group].append(one)
    several = {key: own for key, own in groups.items() if len(own) > 1}
    if not several:
        return list(objects), []
    left = Counter(one.image for one in objects)
    for (image, _), own in several.items():
        left[image] -= len(own) - 1
    found: list[Annotation] = []
    problems: list[Problem] = []
    for one in objects:
        own = several.get((one.image, one.group), [one]) if one.group else [one]
        if one is not own[0]:
            continue
        try:
            labels = _together(own)
        except ValueError as error:
            message = f"{one.where}: its group {abridged(one.group)} has {error}"
            problems.append(Problem(one.file, message, "give each object a group of its own"))
            continue
        names = next((each.keypoint_names for each in own if "keypoints" in each.labels), one.keypoint_names)
        alone = one.alone or (left[one.image] == 1 and len(own) > 1)
        found.append(replace(one, labels=labels, keypoint_names=names, alone=alone))
    return found, problems


def _together(several: Sequence[Annotation]) -> dict[str, Given]:
    """The labels of annotations that are one object; of several boxes those are left out that files write around each
    mask. Raises ValueError."""
    labels: dict[str, Given] = {}
    boxed = sum("box" in one.labels for one in several) > 1
    for one in several:
        own = one.labels
        if boxed and _is_of_mask(one):
            own = {style: given for style, given in own.items() if style != "box"}
        for style, given in own.items():
            if style not in labels:
                labels[style] = given
                continue
            before, more = labels[style].value, given.value
            both = isinstance(before, Outline) and isinstance(before.segmentation, list)
            if not both or not isinstance(more.segmentation, list):
                raise ValueError(f"two labels of the kind {style}")
            outline = replace(before, segmentation=[*before.segmentation, *more.segmentation])
            labels[style] = replace(labels[style], value=outline)
    return labels


Objects = tuple[list[Annotation], list[Problem]]


def _is_of_mask(one: Annotation) -> bool:
    """Whether a box is nothing but that around its annotation's mask."""
    mask, box = one.label("mask"), one.label("box")
    around = None if mask is None or box is None else mask.extent
    return around is not None and bool(np.abs(np.asarray(box, np.float64) - around).max() <= 1)


def joined_as(how: str) -> Callable[[list[Annotation]], Objects]:
    """Joins the annotations of a file as ``Source.join`` says."""

    def all_ways(found: list[Annotation]) -> Objects:
        objects, problems = grouped(found)
        if how == "id":
            return objects, problems
        objects, twice = objects_once(objects)
        objects, notes = join(objects)
        return objects, [*problems, *twice, *notes]

    return (lambda found: (found, [])) if how == "none" else all_ways


def join(objects: Sequence[Annotation]) -> tuple[list[Annotation], list[Problem]]:
    """The objects of a file in which annotations that say different things of one place have become one: a box and the
    mask that fills it, then keypoints without a mask, and a mask or box without keypoints in which they lie. Each
    belongs to one other at most; where two would fit about as well both stay as they are. Notes say how many were
    joined, and where it could not be told.
    """
    found, problems = list(objects), []
    for stage in _STAGES:
        found, told = _joined(found, stage)
        problems += told
    return found, problems


@dataclass(frozen=True)
class _Stage:
    """What is joined with what: ``is_more``, which is added to what ``is_figure``; ``fit`` of the two, 0..1, which has
    to be ``least`` or more; what notes call them."""

    is_more: Callable[[Annotation], bool]
    is_figure: Callable[[Annotation], bool]
    fit: Callable[[Annotation, Annotation], float]
    least: float
    joined: str
    unclear: str


def _joined(objects: Sequence[Annotation], stage: _Stage) -> Objects:
    by_image: dict[str, list[Annotation]] = defaultdict(list)
    for one in objects:
        by_image[one.image].append(one)
    more_of: dict[int, Annotation] = {}  # by the figure's id()
    alone: set[str] = set()
    unclear: list[str] = []
    for image, own in by_image.items():
        pairs, doubtful = _pairs([*filter(stage.is_more, own)], [*filter(stage.is_figure, own)], stage)
        more_of |= pairs
        unclear += [image] * doubtful
        if pairs and len(own) == 1 + len(pairs):
            alone.add(image)
    taken = {id(more) for more in more_of.values()}
    found = []
    for one in objects:
        if id(one) in taken:
            continue
        if (other := more_of.get(id(one))) is not None:
            names, labels = other.keypoint_names or one.keypoint_names, {**other.labels, **one.labels}
            both = one.alone or one.image in alone
            one = replace(one, labels=labels, keypoint_names=names, alone=both, group=one.group or other.group)
        found.append(one)
    joined = [one.image for one in objects if id(one) in more_of]
    return found, _notes(objects, stage, joined, unclear)


def _pairs(
    more: Sequence[Annotation], figures: Sequence[Annotation], stage: _Stage
) -> tuple[dict[int, Annotation], bool]:
    """What belongs to a figure, by the figure's id(), where there is no doubt; and whether there is any elsewhere."""
    if not more or not figures:
        return {}, False
    share = np.array([[stage.fit(one, figure) for figure in figures] for one in more])
    pairs, doubtful = {}, False
    for row, one in enumerate(more):
        column = int(share[row].argmax())
        if share[row, column] < stage.least:
            continue
        others = np.concatenate([np.delete(share[row], column), np.delete(share[:, column], row)])
        if others.size and others.max() > share[row, column] - APART:
            doubtful = True
        else:
            pairs[id(figures[column])] = one
    return pairs, doubtful


def _within(skeleton: Annotation, figure: Annotation) -> float:
    """The share of a skeleton's labelled keypoints that lie in the box of a figure."""
    points, box = skeleton.keypoints, _box(figure)
    assert points is not None and box is not None
    xy = points[points[:, 2] > 0, :2]
    more = MARGIN * (box[2:] - box[:2])
    inside = ((xy >= box[:2] - more) & (xy <= box[2:] + more)).all(1)
    return float(inside.mean()) if len(xy) else 0.0


def _box(figure: Annotation) -> np.ndarray | None:
    """(x0, y0, x1, y1) of a figure: its box, or that of its polygons; None where neither is there."""
    if (box := figure.label("box")) is not None:
        return np.asarray(box, np.float64)
    mask = figure.label("mask")
    return None if mask is None else mask.extent


def lie_together(one: Annotation, other: Annotation) -> bool:
    """Whether two figures fill the same place."""
    return _box(one) is not None and _box(other) is not None and _overlap(one, other) >= FILLED


def _overlap(boxed: Annotation, figure: Annotation) -> float:
    """The intersection over union of the boxes of two figures."""
    one, other = _box(boxed), _box(figure)
    assert one is not None and other is not None
    return box_iou(one, other) if (one[2:] > one[:2]).all() and (other[2:] > other[:2]).all() else 0.0


_STAGES = (
    _Stage(
        lambda one: one.labels.keys() == {"box"},
        lambda one: "mask" in one.labels and _box(one) is not None,
        _overlap,
        FILLED,
        "a mask and a box around it",
        "boxes that fit several masks",
    ),
    _Stage(
        lambda one: "keypoints" in one.labels and "mask" not in one.labels,
        lambda one: "keypoints" not in one.labels and _box(one) is not None,
        _within,
        WITHIN,
        "keypoints and a mask or box around them",
        "keypoints that lie in several masks or boxes",
    ),
)


def _notes(
    objects: Sequence[Annotation], stage: _Stage, joined: Sequence[str], unclear: Sequence[str]
) -> list[Problem]:
    file = objects[0].file if objects else ""
    notes = []
    if joined:
        message = f"{len(joined)} objects are written as two annotations each, {stage.joined}"
        remedy = "they are taken for one; write `join: none` in this source if they are not"
        notes.append(Problem(file, f"{message}: {listed(list(dict.fromkeys(joined)), SHOWN)}", remedy, "note"))
    if unclear:
        message = f"{len(unclear)} images have {stage.unclear}, or the other way round"
        remedy = "they stay objects of their own: write each object as one annotation"
        notes.append(Problem(file, f"{message}: {listed(unclear, SHOWN)}", remedy, "note"))
    return notes
