"""An export of an annotation tool as the labels of a source: which categories are parts, which images are meant, and
whose the parts are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.boxed_parts import boxes_of_parts, taken_apart
from coarseparts.data.formats.coco import objects_of, of_parts, parts_of
from coarseparts.data.formats.coco_file import identity, of_lists, where_of
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.spelling import spelt_otherwise
from coarseparts.data.formats.units import Coordinates
from coarseparts.data.namesakes import renamed
from coarseparts.data.objects import Counts
from coarseparts.labels.part_boxes import PartBoxes
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, close_to, listed

IN_PIXELS = ("CVAT for images", "Label Studio", "YOLO", "SLEAP")
"""Formats that leave no doubt about what coordinates are."""

Join = Callable[[list[Annotation]], tuple[list[Annotation], list[Problem]]]


@dataclass
class Export:
    """What an export gives: ``objects`` with their coarse labels, and with part masks where a group says whose they
    are; ``whole``: part masks of images; ``boxed``: boxes of parts of images; ``problems``; ``counts``: what became of
    its annotations."""

    objects: list[Annotation] = field(default_factory=list)
    whole: list[Annotation] = field(default_factory=list)
    boxed: list[Annotation] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


def of_document(
    path: Path,
    document: Document,
    parts: tuple[str, ...],
    names: Collection[str],
    join: Join,
    objects: tuple[str, ...] | None = None,
) -> Export:
    """What the export ``path`` says of photographs ``names``, relative to their folder. Outlines and masks of a
    category with a part's name are part masks, and everything else is coarse labels, joined by ``join``; or what is of
    the categories ``objects`` alone."""
    found = Export(problems=list(document.problems))
    images, notes = renamed(document.images, names, str(path))
    document, told = _spelt_alike(path, document, parts)
    found.problems += [*notes, *told]
    own, others = _divided(document, parts)
    categories = [one for one in document.categories if isinstance(one, dict) and one.get("name") in parts]
    whole: list[Annotation] = []
    try:
        coco = of_lists(path, {"images": images, "annotations": others, "categories": document.categories})
        pixels: Coordinates = "pixels" if document.format in IN_PIXELS else None
        wanted = None if objects is None else (*objects, *parts)  # keypoints may be called as parts are
        found.objects, problems = objects_of(coco, coordinates=pixels, objects=wanted)
        found.problems += problems
        drawn = of_lists(path, {"images": images, "annotations": own, "categories": categories})
        if (boxes := boxes_of_parts(drawn, parts)) and (usable := taken_apart(drawn, boxes, parts)):
            found.boxed = of_parts(usable, parts, PartBoxes, pixels)[0]
        if drawn.annotations:
            whole = parts_of(drawn, parts, pixels)[0]
        found.problems += [problem for problem in drawn.problems if problem not in found.problems]
    except BadInput as bad:
        return Export(problems=[*found.problems, *bad.problems])
    before = found.objects
    found.objects, problems = join(before)
    found.problems += problems
    outlines = sum(len(one.part_segments) for one in whole)
    boxed = sum(len(one.label(PartBoxes.name)) for one in found.boxed)
    found.counts = Counts.of(len(document.annotations), outlines, boxed, before, found.objects, coco.points)
    groups = {
        where_of(entry["id"], drawn.images[entry["image_id"]][0]): group
        for entry in drawn.annotations
        if isinstance(group := entry.get("group"), str)
    }
    found.objects, found.whole = _given_away(found.objects, whole, groups)
    told = _told(path, document, parts, coco.annotations)
    found.problems += told if drawn.annotations else [note for note in told if note.remedy]
    return found


def _spelt_alike(path: Path, document: Document, parts: tuple[str, ...]) -> tuple[Document, list[Problem]]:
    """The document with parts' names in the place of those that differ from them in capitals, spaces, hyphens and
    underscores alone; and a note on them."""
    named = [one for one in document.categories if isinstance(one, dict) and isinstance(one.get("name"), str)]
    meant, note = spelt_otherwise({one["name"]: bool(one.get("keypoints")) for one in named}, parts)
    if not meant:
        return document, []
    categories = [
        one | {"name": meant.get(one["name"], one["name"])} if any(one is each for each in named) else one
        for one in document.categories
    ]
    return replace(document, categories=categories), [Problem(str(path), note, "", "note")]


def _divided(document: Document, parts: Collection[str]) -> tuple[list[dict], list[Any]]:
    """The annotations that are part masks or boxes of parts, and the others."""
    categories = {str(identity(one.get("id"))): one.get("name") for one in document.categories if isinstance(one, dict)}
    own, others = [], []
    for entry in document.annotations:
        if not isinstance(entry, dict) or categories.get(str(identity(entry.get("category_id")))) not in parts:
            others.append(entry)
        elif not entry.get("segmentation") and isinstance(points := entry.get("keypoints"), list) and any(points):
            others.append(entry)
        else:
            own.append(entry)
    return own, others


def _given_away(
    objects: list[Annotation], whole: list[Annotation], groups: Mapping[str, str]
) -> tuple[list[Annotation], list[Annotation]]:
    """The objects, those of an image with part masks of their own where each part of the image is in the group of one
    of them, or in one that has another's parts, too, and is an object then; what is another's as not labelled; and
    the part masks of the other images. ``groups`` by where a part stands."""
    of_image: dict[str, dict[str, int]] = defaultdict(dict)
    for position, one in enumerate(objects):
        if one.group and not one.alone:
            of_image[one.image][one.group] = position
    images = Counter(one.image for one in objects)
    objects, left = list(objects), []
    for one in whole:
        own = of_image[one.image]
        if not images[one.image] and _are_objects(of_group := _by_group(one, groups)):
            objects += [replace(one, object_id=f"group {name}", alone=False, group=name) for name in of_group]
            own = dict(zip(of_group, range(len(objects) - len(of_group), len(objects)), strict=True))
        if not own or any(groups.get(segment.where) not in own for segment in one.part_segments):
            left.append(one)
            continue
        for group, position in own.items():
            drawn = tuple(each for each in one.part_segments if groups[each.where] == group)
            others = (replace(each, index=IGNORE) for each in one.part_segments if groups[each.where] != group)
            if drawn:
                objects[position] = replace(objects[position], part_segments=(*drawn, *others), owned=True)
    return objects, left


def _by_group(one: Annotation, groups: Mapping[str, str]) -> dict[str, list[int]]:
    """The parts of each group of an image, "" of those in none."""
    found: dict[str, list[int]] = defaultdict(list)
    for segment in one.part_segments:
        found[groups.get(segment.where, "")].append(segment.index)
    return found


def _are_objects(of_group: Mapping[str, Sequence[int]]) -> bool:
    """Whether groups, two at least, are of an object each: of several parts, some of which another one has, too."""
    parts = [{*own} for own in of_group.values()]
    several = len(parts) > 1 and "" not in of_group and all(len(own) > 1 for own in parts)
    return several and len({part for own in parts for part in own}) < sum(map(len, parts))


def _told(path: Path, document: Document, parts: Collection[str], others: Iterable[Any]) -> list[Problem]:
    """A note on which categories are taken for objects, and which part each may have been meant to be."""
    used = {identity(entry.get("category_id")) for entry in others if isinstance(entry, dict)}
    named = [one for one in document.categories if isinstance(one, dict) and isinstance(one.get("name"), str)]
    names = dict.fromkeys(one["name"] for one in named if identity(one.get("id")) in used and one["name"] not in parts)
    if not names:
        return []
    message = f"the categories {listed(map(abridged, names))} are none of `parts` and taken for objects"
    alike = [(name, close_to(name, parts)) for name in names]
    near = [f"{abridged(name)} may be meant to be {abridged(part)}" for name, part in alike if part]
    remedy = f"{listed(near)}: correct the name, if so" if near else ""
    return [Problem(str(path), message, remedy, "note")]
