"""Photographs that several sources of a split have: what the sources say of one becomes one sample."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from coarseparts.data import accounts
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.drawing import Outline
from coarseparts.data.label_sources import parts_together
from coarseparts.data.objects import join, lie_together
from coarseparts.data.sources import Found, Said
from coarseparts.labels import STYLES
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import listed

ALIKE = 1.0
"""Pixels up to which coordinates of two sources are the same."""

_READ_ALIKE = ("use", "unlabelled_keypoints", "visible")
"""Keys that say how labels are read, of which a sample has one value."""


def bring_together(dataset: DatasetFile, found: Sequence[Found]) -> list[Problem]:
    """Gives what later sources say of a photograph to the first source of their split that has it: objects are joined
    by place, as those of several files of one source are. Photographs whose labels exclude each other, or are to be
    read in two ways, stay samples of their own; notes say which."""
    holders: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for i, source in enumerate(dataset.sources):
        if source.images is not None:
            folder = os.path.realpath(source.images)
            for image in found[i].said:
                holders[source.split, os.path.normpath(os.path.join(folder, image))].append((i, image))
    shared: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for several in holders.values():
        (first, name), *others = several
        for i, image in others:
            shared[first, i].append((name, image))
    problems = []
    for (first, i), names in shared.items():
        problems += _brought(dataset, found, first, i, names)
    return problems


def _brought(
    dataset: DatasetFile, found: Sequence[Found], first: int, i: int, names: Sequence[tuple[str, str]]
) -> list[Problem]:
    """Gives what the source ``i`` says of photographs to the source ``first``; ``names``: what each is called there and
    in ``i``. Notes."""
    source, host = dataset.sources[i], dataset.sources[first]
    folder = source.images
    assert folder is not None
    file, those = str(dataset.path), f"sources[{first}] and sources[{i}] have labels"
    odd = [key for key in _READ_ALIKE if getattr(source, key) != getattr(host, key)]
    if odd:
        message = f"{those} of {len(names)} same photographs, which become samples of their own for each"
        return [Problem(file, message, f"write the same {listed(odd)} in both, that they become one", "note")]
    ours, theirs = found[first].said, found[i].said
    for name, image in names:
        theirs[image] = _without_same(theirs[image], ours[name])
    image_of = {name: image for name, image in names if not _contradict(ours[name], theirs[image])}
    own: dict[str, list[Annotation]] = {name: [] for name in image_of}
    mixed = []
    for name, image in image_of.items():
        both = [*ours[name][0], *(replace(one, image=name) for one in theirs[image][0])]
        mixed += [replace(one, alone=one.alone and len(both) == 1) for one in both]
    objects, problems = join(mixed) if source.join == host.join == "place" else (mixed, [])
    for one in objects:
        own[one.image].append(one)
    one_each = {name for name, image in names if len(ours[name][0]) == len(theirs[image][0]) == 1}
    apart = [name for name, _ in names if name not in own or (name in one_each and len(own[name]) > 1)]
    for name in own.keys() - {*apart}:
        whole = [replace(one, image=name) for one in theirs.pop(image_of[name])[1]]
        ours[name] = own[name], parts_together([*ours[name][1], *whole])[0]
        found[i].account.add(folder / image_of[name], accounts.ELSEWHERE)
    if made := len(names) - len(apart):
        message = f"{those} of {made} same photographs, which become one sample for each object"
        problems.append(Problem(file, message, "", "note"))
    if apart:
        message = f"{those} that exclude each other of {len(apart)} same photographs, which become samples of their own"
        remedy = "remove those that should not count"
        problems.append(Problem(file, f"{message}: {listed(apart, SHOWN)}", remedy, "note"))
    return problems


def _without_same(said: Said, before: Said) -> Said:
    """What is said of a photograph without the labels that have been said ``before``: boxes and keypoints to a pixel,
    outlines and part masks as they stand."""
    objects = []
    for one in said[0]:
        labels = {
            style: given
            for style, given in one.labels.items()
            if not any(_same(style, one, other) for other in before[0] if style in other.labels)
        }
        if labels or one.has_parts:
            objects.append(one if len(labels) == len(one.labels) else replace(one, labels=labels))
    drawn = [_drawn(one) for one in before[1] if one.has_parts]
    return objects, [one for one in said[1] if not (one.has_parts and _drawn(one) in drawn)]


def _same(style: str, one: Annotation, other: Annotation) -> bool:
    a, b = one.label(style), other.label(style)
    if style == "mask":
        return isinstance(a, Outline) and isinstance(b, Outline) and a.segmentation == b.segmentation
    if style == "keypoints":
        if one.keypoint_names != other.keypoint_names:
            return False
        a, b = one.keypoints, other.keypoints
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and bool((np.abs(a - b) <= ALIKE).all())


def _drawn(one: Annotation) -> tuple[list[tuple[int, Any]], Any]:
    """The part masks of an image, as they are compared."""
    return [(segment.index, segment.segmentation) for segment in one.part_segments], one.part_files


def _of_other_parts(first: Said, second: Said) -> bool:
    """Whether two sources have outlines of an image's parts as a whole, each of other parts than the other one."""
    drawn = []
    for own, whole in (first, second):
        if any(one.has_parts for one in own) or any(one.part_files for one in whole):
            return False
        drawn.append({segment.index for one in whole for segment in one.part_segments})
    return drawn[0].isdisjoint(drawn[1])


def _contradict(first: Said, second: Said) -> bool:
    """Whether two sources say things of a photograph that cannot both be of its objects: two part masks, two labels of
    one kind of one object, or a figure-ground mask of the image where it shows several."""
    parts, styles = [], []
    for own, whole in (first, second):
        parts.append(any(one.has_parts for one in (*own, *whole)))
        styles.append([{style for one in said for style in one.labels} for said in (own, whole)])
    (own_styles, whole_styles), (others, of_others) = styles
    if (all(parts) and not _of_other_parts(first, second)) or of_others & own_styles:
        return True
    if whole_styles & (others | of_others):
        return True
    if max(len(first[0]), len(second[0])) > 1 and not all(STYLES[style].of_image for style in whole_styles | of_others):
        return True
    return any(
        one.labels.keys() & other.labels.keys() and lie_together(one, other) for one in first[0] for other in second[0]
    )
