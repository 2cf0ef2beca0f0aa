"""Which categories of exports are parts, which are the objects that have them; and which names mirror each other."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from coarseparts.data.formats.annotation import Annotation, PartSegment
from coarseparts.data.formats.coco import objects_of, parts_of
from coarseparts.data.formats.coco_file import identity, of_lists
from coarseparts.data.formats.drawing import draw
from coarseparts.data.images import MAX_PIXELS
from coarseparts.data.proposal.survey import Export
from coarseparts.labels.schema import unfit
from coarseparts.system.problems import BadInput

COVERS = 0.9
"""Share of what else is drawn in an image, from which on a category that covers it is the object's."""

HOLDS = 0.8
"""Share of an image's keypoints that lie in what is drawn of an object, at least."""

LOOKED_AT = 40
"""Images in which categories are compared, those with the most of them."""

SIDE = 256
"""Pixels of the longer side at which outlines are compared."""


@dataclass
class Drawn:
    """Categories that are drawn (outlines or masks): ``parts`` and ``wholes``, each in the order of the exports."""

    parts: list[str] = field(default_factory=list)
    wholes: list[str] = field(default_factory=list)


def drawn_categories(exports: Iterable[Export]) -> Drawn:
    """The categories of exports that are drawn. One that in most images covers all that else is drawn and holds the
    keypoints is an object; so is one beside which nothing is drawn and no keypoint is set."""
    segments: dict[str, list[tuple[str, PartSegment]]] = defaultdict(list)
    points: dict[str, list[np.ndarray]] = defaultdict(list)
    names: dict[str, None] = {}
    for export in exports:
        own = _names_drawn(export)
        names |= dict.fromkeys(own)
        for one in _masks(export, own):
            segments[_image(one)] += [(own[segment.index - 1], segment) for segment in one.part_segments]
        for one in _skeletons(export):
            if (keypoints := one.keypoints) is not None:
                points[_image(one)].append(keypoints[keypoints[:, 2] > 0, :2])
    votes: dict[str, Counter[bool]] = defaultdict(Counter)
    for image in sorted(segments, key=lambda image: -len({name for name, _ in segments[image]}))[:LOOKED_AT]:
        for name, covers in _covering(segments[image], points.get(image, [])).items():
            votes[name][covers] += 1
    whole = [name for name in names if votes[name][True] > votes[name][False]]
    return Drawn([name for name in names if name in votes and name not in whole], whole)


def _image(one: Annotation) -> str:
    """What an image is called in several exports: its file's name alone."""
    return one.image.rpartition("/")[2]


def _names_drawn(export: Export) -> tuple[str, ...]:
    document = export.document
    drawn = [one for one in document.annotations if isinstance(one, dict) and one.get("segmentation")]
    used = {identity(one.get("category_id")) for one in drawn}
    named = [one for one in document.categories if isinstance(one, dict) and identity(one.get("id")) in used]
    names = dict.fromkeys(one["name"] for one in named if isinstance(one.get("name"), str))
    return tuple(name for name in names if not unfit(name))


def _masks(export: Export, names: tuple[str, ...]) -> list[Annotation]:
    """What is drawn of categories ``names`` in each image; none where the export cannot be used, which ``check``
    tells."""
    document = export.document
    drawn = [one for one in document.annotations if isinstance(one, dict) and one.get("segmentation")]
    lists = {"images": document.images, "annotations": drawn, "categories": document.categories}
    try:
        return parts_of(of_lists(export.path, lists), names)[0] if names else []
    except BadInput:
        return []


def _skeletons(export: Export) -> list[Annotation]:
    document = export.document
    placed = [one for one in document.annotations if isinstance(one, dict) and one.get("keypoints")]
    lists = {"images": document.images, "annotations": placed, "categories": document.categories}
    try:
        return objects_of(of_lists(export.path, lists))[0]
    except BadInput:
        return []


def _covering(segments: Sequence[tuple[str, PartSegment]], points: Sequence[np.ndarray]) -> dict[str, bool]:
    """For each category that is drawn in an image, whether it covers all else that is said of it."""
    masks, scale = _small_masks(segments)
    found = {}
    for name, mask in masks.items():
        others = [other for key, other in masks.items() if key != name]
        rest = np.logical_or.reduce(others) if others else np.zeros_like(mask)
        covers = not rest.any() or bool(mask[rest].mean() >= COVERS)
        found[name] = covers and _holds(mask, [xy * scale for xy in points])
    return found


def _holds(mask: np.ndarray, points: Sequence[np.ndarray]) -> bool:
    """Whether keypoints lie in the box around a mask."""
    xy = np.concatenate([*points, np.zeros((0, 2))])
    if not len(xy):
        return True
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1
    more = 0.05 * (high - low) + 1
    return bool(((xy >= low - more) & (xy <= high + more)).all(1).mean() >= HOLDS)


def _small_masks(segments: Sequence[tuple[str, PartSegment]]) -> tuple[dict[str, np.ndarray], float]:
    """The mask of each category of an image at about ``SIDE`` pixels, and their scale; without what cannot be drawn."""
    sizes = [size for _, segment in segments if (size := _size(segment))]
    if not sizes:
        return {}, 1.0
    size = max(sizes)
    step = max(1, -(-max(size) // SIDE))
    small = (-(-size[0] // step), -(-size[1] // step))
    masks: dict[str, np.ndarray] = {}
    for name, segment in segments:
        try:
            if isinstance(segment.segmentation, dict):
                mask = draw(segment.segmentation, size)[::step, ::step]
            else:
                mask = draw([(np.array(one) / step).tolist() for one in segment.segmentation], small)
        except ValueError:
            continue
        masks[name] = masks.get(name, False) | mask
    return {name: mask for name, mask in masks.items() if mask.any()}, 1 / step


def _size(segment: PartSegment) -> tuple[int, int] | None:
    """(width, height) of the image of a segment as it says, or as far as its corners reach; None where it is too
    large."""
    size = segment.size
    if size is None and isinstance(segment.segmentation, dict):
        rows, columns = segment.segmentation["size"]
        size = (columns, rows)
    elif size is None:
        corners = np.concatenate([np.array(one, np.float64).reshape(-1, 2) for one in segment.segmentation])
        width, height = np.ceil(np.clip(corners.max(0), 1, MAX_PIXELS)).astype(int).tolist()
        size = (width, height)
    return size if 0 < size[0] * size[1] <= MAX_PIXELS else None


_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|\d+|[\W_]+")
_SWAP = {"left": "right", "right": "left", "l": "r", "r": "l"}


def mirrored(names: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ in one word alone: left and right, or L and R, in whatever spelling."""
    words = {name: tuple(word.lower() for word in _WORD.findall(name)) for name in names}
    by_words: Mapping[tuple[str, ...], str] = {own: name for name, own in words.items()}
    pairs: list[tuple[str, str]] = []
    for name, own in words.items():
        sides = [i for i, word in enumerate(own) if word in _SWAP]
        others = (by_words.get((*own[:i], _SWAP[own[i]], *own[i + 1 :])) for i in sides)
        taken = {each for pair in pairs for each in pair}
        other = next((other for other in others if other is not None), None)
        if other is not None and other != name and not {name, other} & taken:
            pairs.append((name, other))
    return pairs
