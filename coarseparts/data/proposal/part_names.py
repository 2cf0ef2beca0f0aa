"""Which categories of exports are parts, which are the objects that have them; and which names mirror each other."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coarseparts.data.formats.annotation import Annotation, PartSegment, leads_out
from coarseparts.data.formats.coco import objects_of, parts_of
from coarseparts.data.formats.coco_file import identity, of_lists
from coarseparts.data.formats.document_builder import plain_path
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.habits import are_boxes
from coarseparts.data.images import MAX_PIXELS
from coarseparts.data.proposal.survey import Export
from coarseparts.labels.schema import unfit
from coarseparts.system.problems import BadInput

COVERS = 0.9
"""Share of what else is drawn in an image, from which on a category that covers it is the object's."""

HOLDS = 0.8
"""Share of an image's keypoints that lie in what is drawn of an object, at least."""

BEYOND = 1.25
"""Share of an image's size, from which on what is drawn beyond it was drawn in a larger one."""

LOOKED_AT = 40
"""Images of each category in which it is compared with others, those with the most categories."""

NEAR = 2
"""Pixels between outlines that touch each other, as they are compared."""

SIDE = 256
"""Pixels of the longer side at which outlines are compared."""


@dataclass
class Drawn:
    """Categories that are drawn (outlines or masks): ``parts``, ``wholes``, and what lies ``beside`` these, each in the
    order of the exports."""

    parts: list[str] = field(default_factory=list)
    wholes: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)


def drawn_categories(exports: Iterable[Export]) -> Drawn:
    """The categories of exports that are drawn. One that in most images covers all that touches it and holds the
    keypoints is an object; so is one beside which nothing is drawn and no keypoint is set. Where there are objects, one
    that in most images touches none of them lies beside them; so does a second label of regions of several others."""
    segments: dict[str, list[tuple[str, PartSegment]]] = defaultdict(list)
    points: dict[str, list[tuple[Any, np.ndarray]]] = defaultdict(list)
    names: dict[str, None] = {}
    for export in exports:
        own = _names_drawn(export)
        names |= dict.fromkeys(own)
        for one in _masks(export, own):
            segments[_image(one)] += [(own[segment.index - 1], segment) for segment in one.part_segments]
        for one in _skeletons(export):
            if (keypoints := one.keypoints) is not None:
                points[_image(one)].append((one.labels["keypoints"].of, keypoints[keypoints[:, 2] > 0, :2]))
    votes: dict[str, Counter[bool]] = defaultdict(Counter)
    touching: list[dict[str, set[str]]] = []
    for image in _looked_at({image: {name for name, _ in own} for image, own in segments.items()}):
        units = {segment.of for _, segment in segments[image]}
        placed = [xy for of, xy in points.get(image, []) if of in units]  # in the same units
        touched: dict[str, set[str]] = {}
        touching.append(touched)
        for name, covers in _covering(segments[image], placed, touched).items():
            votes[name][covers] += 1
    second = _second_labels(segments.values())
    whole = [name for name in names if votes[name][True] > votes[name][False] and name not in second]
    there = [of for of in touching if not of.keys().isdisjoint(whole)]
    near = Counter((name, not own.isdisjoint(whole)) for of in there for name, own in of.items())
    beside = [name for name in names if whole and name not in whole and near[name, False] > near[name, True]]
    beside += [name for name in second if name not in beside]
    return Drawn([name for name in names if name not in (*whole, *beside)], whole, beside)


def _second_labels(drawn: Iterable[Sequence[tuple[str, PartSegment]]]) -> list[str]:
    """The categories whose every outline is one of another category's, too, and of several that share none themselves:
    what is said of regions besides their names, such as the view. ``drawn``: of each image."""
    count: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    partners: dict[str, set[str]] = defaultdict(set)
    for own in drawn:
        of_outline: dict[str, set[str]] = defaultdict(set)
        for name, segment in own:
            of_outline[str(segment.segmentation)].add(name)
        for together in of_outline.values():
            count.update(together)
            if len(together) > 1:
                shared.update(together)
                for name in together:
                    partners[name] |= together - {name}
    always = [name for name in partners if shared[name] == count[name]]
    return [name for name in always if any(partners[name] - partners[other] - {other} for other in partners[name])]


def _looked_at(drawn: Mapping[str, Collection[str]]) -> list[str]:
    """The images, of those with the most categories first, in which each category comes ``LOOKED_AT`` times, if it
    does so often. ``drawn``: categories by image."""
    count: Counter[str] = Counter()
    found = []
    for image in sorted(drawn, key=lambda image: -len(drawn[image])):
        if any(count[name] < LOOKED_AT for name in drawn[image]):
            count.update(drawn[image])
            found.append(image)
    return found


def _image(one: Annotation) -> str:
    """What an image is called in several exports: its file's name alone."""
    return one.image.rpartition("/")[2]


def _inside(images: Sequence[Any]) -> list[Any]:
    """The entries of images, those whose names lead out of their folder without its beginning: which photographs are
    meant does not matter here."""
    found = []
    for one in images:
        if isinstance(one, dict) and isinstance(name := one.get("file_name"), str) and leads_out(name):
            one = one | {"file_name": re.sub(r"^(\.\.?/)+", "", plain_path(name)[0])}
        found.append(one)
    return found


def _entries_drawn(export: Export) -> list[dict[str, Any]]:
    """The annotations with outlines, without those of categories whose outlines are boxes."""
    of_category: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for one in export.document.annotations:
        if isinstance(one, dict) and one.get("segmentation"):
            of_category[identity(one.get("category_id"))].append(one)
    return [one for own in of_category.values() if not are_boxes(own) for one in own]


def _names_drawn(export: Export) -> tuple[str, ...]:
    document = export.document
    used = {identity(one.get("category_id")) for one in _entries_drawn(export)}
    named = [one for one in document.categories if isinstance(one, dict) and identity(one.get("id")) in used]
    names = dict.fromkeys(one["name"] for one in named if isinstance(one.get("name"), str))
    return tuple(name for name in names if not unfit(name))


def _masks(export: Export, names: tuple[str, ...]) -> list[Annotation]:
    """What is drawn of categories ``names`` in each image; none where the export cannot be used, which ``check``
    tells."""
    document = export.document
    drawn = _entries_drawn(export)
    lists = {"images": _inside(document.images), "annotations": drawn, "categories": document.categories}
    try:
        return parts_of(of_lists(export.path, lists), names)[0] if names else []
    except BadInput:
        return []


def _skeletons(export: Export) -> list[Annotation]:
    document = export.document
    placed = [one for one in document.annotations if isinstance(one, dict) and one.get("keypoints")]
    lists = {"images": _inside(document.images), "annotations": placed, "categories": document.categories}
    try:
        return objects_of(of_lists(export.path, lists))[0]
    except BadInput:
        return []


def _covering(
    segments: Sequence[tuple[str, PartSegment]], points: Sequence[np.ndarray], touched: dict[str, set[str]]
) -> dict[str, bool]:
    """For each category that is drawn in an image, whether it covers all else that is said of it and touches it; to
    ``touched`` is added which others these are."""
    from scipy import ndimage  # here, for it takes a third of a second to import

    masks, scale = _small_masks(segments)
    wider = {name: ndimage.binary_dilation(mask, iterations=NEAR) for name, mask in masks.items()}
    found = {}
    for name, mask in masks.items():
        touched[name] = {other for other in masks if other != name and (wider[name] & masks[other]).any()}
        rest = np.logical_or.reduce([np.zeros_like(mask), *(masks[other] for other in touched[name])])
        covers = bool(mask[rest].mean() >= COVERS) if rest.any() else len(masks) == 1
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
    """(width, height) of the image of a segment as it says, or as far as its corners reach where they are far beyond
    it; None where it is too large."""
    if isinstance(segment.segmentation, dict):
        rows, columns = segment.segmentation["size"]
        size = (columns, rows)
    else:
        corners = np.concatenate([np.array(one, np.float64).reshape(-1, 2) for one in segment.segmentation])
        reach = np.ceil(np.clip(corners.max(0), 1, MAX_PIXELS)).astype(int)
        said = np.array(segment.of or segment.size or (1, 1))
        width, height = np.where(reach > BEYOND * said, reach, said).tolist()
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


def numbered(names: Collection[str]) -> list[str]:
    """Two names that differ in the number behind them, where every name has one, and each kind of them the same ones,
    two at least: people tell animals apart so; [] where that is not so."""
    of_kind: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        if (said := re.fullmatch(r"(.*\D)(\d+)", name)) is None:
            return []
        of_kind[said[1]][said[2]] = name
    numbers = [own.keys() for own in of_kind.values()]
    if len(numbers) < 2 or len(numbers[0]) < 2 or any(own != numbers[0] for own in numbers):
        return []
    return [*next(iter(of_kind.values())).values()][:2]
