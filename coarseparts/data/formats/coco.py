"""COCO files: keypoints, figure-ground segmentation and boxes of objects, or one category per part.

Coordinates are taken as they stand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.formats import habits, units
from coarseparts.data.formats.annotation import Annotation, PartSegment
from coarseparts.data.formats.axes import other_way_round
from coarseparts.data.formats.boxed_parts import boxes_of_parts, taken_apart
from coarseparts.data.formats.coco_file import Broken, CocoFile, divide_crowds, leave_out_others, load_coco, where_of
from coarseparts.data.formats.coco_values import (
    as_box,
    as_keypoints,
    as_outline,
    as_polylines,
    as_segmentation,
    is_nothing,
)
from coarseparts.data.formats.keypoint_numbers import name_keypoints
from coarseparts.data.formats.point_categories import CATEGORY as GATHERED
from coarseparts.data.formats.point_categories import gather_points
from coarseparts.data.formats.units import Coordinates
from coarseparts.data.scaling import placed
from coarseparts.data.twice import parts_once
from coarseparts.labels import LabelStyle
from coarseparts.labels.given import Given, OfPart
from coarseparts.labels.part_boxes import PartBoxes
from coarseparts.system.problems import Problem
from coarseparts.system.text import abridged, close_to, listed, readable, short, strangers


def read_coco(
    path: Path,
    parts: tuple[str, ...] = (),
    coordinates: Coordinates = None,
    photographs: frozenset[str] = frozenset(),
    several: bool = False,
    objects: tuple[str, ...] | None = None,
) -> tuple[list[Annotation], list[Problem]]:
    """The objects of a COCO file and what is wrong with it; an object with an error is left out. Where categories
    besides the objects' are drawn ``parts``, their annotations are no objects: behind these comes an annotation for
    each image with its ``part_segments``, or with boxes of its parts where these are boxes alone. ``several``: other
    files say more of the same images, in other categories; so a single category may be a part.
    ``objects``: the categories of objects, those that are neither these nor parts being left out; None for all.

    Several annotations of an image are several objects. Visibility is COCO's; the coordinates of a keypoint of
    visibility 0 are set to 0. A keypoint array of zeros, a box of zeros and an empty segmentation count as missing; so
    do keypoints without coordinates (NaN, null) and those in the corner, or beyond, where tools put what is not there;
    and boxes that in the whole file are nothing but the hull of the keypoints. All of that is noted. Raises BadInput
    when the file is no COCO file.
    """
    return objects_of(load_coco(path, photographs, parts), parts, coordinates, several, objects)


def objects_of(
    coco: CocoFile,
    parts: tuple[str, ...] = (),
    coordinates: Coordinates = None,
    several: bool = False,
    objects: tuple[str, ...] | None = None,
) -> tuple[list[Annotation], list[Problem]]:
    """``read_coco`` of a file that is loaded."""
    path, lost = coco.path, habits.Lost()
    divide_crowds(coco, parts)
    gather_points(coco, coordinates)
    if objects is not None:
        leave_out_others(coco, (*objects, *parts, GATHERED))
    name_keypoints(coco)
    apart = _taken_apart(coco, parts, coordinates, several)
    _say_axes(coco)
    per_image = Counter(entry["image_id"] for entry in coco.annotations)
    found = []
    for entry in coco.annotations:
        image, size = coco.images[entry["image_id"]]
        where = where_of(entry["id"], image)
        names = coco.categories[entry["category_id"]][1]
        before = len(coco.problems)
        labels: dict[str, Given] = {}
        for style, key, read in (
            ("keypoints", "keypoints", lambda value: as_keypoints(value, names, lost)),  # noqa: B023 (called at once)
            ("box", "bbox", lambda value: as_box(value, labels.get("keypoints"))),  # noqa: B023
            ("mask", "segmentation", lambda value: as_outline(value, str(path), where)),  # noqa: B023
        ):
            try:
                value = read(entry.get(key))  # type: ignore[operator]
            except Broken as broken:
                coco.say(f"{where}: {broken}", broken.remedy)
                continue
            if value is not None:
                labels[style] = Given(value, str(path), where, size)
        if len(coco.problems) == before:
            alone = per_image[entry["image_id"]] == 1 and entry["image_id"] not in coco.incomplete
            key, group = readable(entry["id"]), entry.get("group")
            of = group if isinstance(group, str) else ""
            found.append(Annotation(str(path), where, image, key, alone, names, labels, group=of))
    found = _in_pixels(coco, found, coordinates)
    drawn = [one.label("mask").segmentation for one in found if "mask" in one.labels]
    for message, remedy in (*lost.notes(), *habits.all_hidden(found), *habits.holes(drawn)):
        coco.say(message, remedy, "note")
    hulls = habits.hulls(found)
    for message, remedy in hulls:
        coco.say(message, remedy, "note")
    return (habits.without_boxes(found) if hulls else found) + apart, coco.problems


def _in_pixels(coco: CocoFile, objects: list[Annotation], coordinates: Coordinates) -> list[Annotation]:
    """The objects, those of shares placed where the file leaves no doubt that all are; problems where it does, and
    where boxes are corners, as far as the file itself tells."""
    outlines = [mask.points if (mask := one.label("mask")) is not None else None for one in objects]
    seen = [points[points[:, 2] > 0, :2] for one in objects if (points := one.keypoints) is not None]
    boxed = [(one.labels.get("box"), outline) for one, outline in zip(objects, outlines, strict=True)]
    of_box = [(box.value, box.size, outline) for box, outline in boxed if box is not None]
    drawn = [points for points in outlines if points is not None]
    kinds = {"keypoints": (seen, 6), "segmentation": (drawn, 6), "bbox": ([box for box, _, _ in of_box], 2)}
    coordinates, doubtful = _told_units(coco, kinds, coordinates)
    if of_box and not doubtful and coordinates is None:
        for message, remedy in units.corners(*zip(*of_box, strict=True)):
            coco.say(message, remedy)
    return [placed(one, coordinates) for one in objects]


def _told_units(
    coco: CocoFile, kinds: dict[str, tuple[list[np.ndarray], int]], coordinates: Coordinates
) -> tuple[Coordinates, bool]:
    """What the coordinates are (``units.are_shares`` of ``kinds``), and whether that is in doubt, which is told."""
    if coordinates is not None:
        return coordinates, False
    shares, found = units.are_shares(kinds)
    if shares:
        message = (
            f"all coordinates of {listed(label for label, (arrays, _) in kinds.items() if arrays)} lie between 0 and 1"
        )
        remedy = "they are taken for shares of the images' sides; write `coordinates: pixels` if they are not"
        coco.say(message, remedy, "note")
        return "relative", False
    arrays = [array for several, _ in kinds.values() for array in several]
    sizes = [coco.images[image][1] for image in dict.fromkeys(entry["image_id"] for entry in coco.annotations)]
    found = found or units.percent(arrays, sizes)
    for message, remedy in found:
        coco.say(message, remedy)
    for message, remedy in () if found else units.percent(arrays, sizes, units.PERHAPS):
        coco.say(message, remedy, "note")
    return None, bool(found)


def read_part_coco(
    path: Path,
    parts: tuple[str, ...],
    coordinates: Coordinates = None,
    photographs: frozenset[str] = frozenset(),
) -> tuple[list[Annotation], list[Problem]]:
    """An annotation per image with the segmentations of all its parts, and what is wrong with the file.

    Categories are matched to ``parts`` by name; an image with an error in it is left out. Raises BadInput when the
    file is no COCO file.
    """
    return parts_of(load_coco(path, photographs, parts, as_drawn=True), parts, coordinates)


def parts_of(
    coco: CocoFile, parts: tuple[str, ...], coordinates: Coordinates = None
) -> tuple[list[Annotation], list[Problem]]:
    """``read_part_coco`` of a file that is loaded."""
    divide_crowds(coco, parts)
    return _part_masks(coco, parts, coordinates), coco.problems


def _part_masks(
    coco: CocoFile, parts: tuple[str, ...], coordinates: Coordinates, complete: bool = True
) -> list[Annotation]:
    file, remedy = str(coco.path), "draw the part or remove the annotation"
    found, broken = _by_image(coco, parts, ("segmentation",), as_segmentation, remedy, complete)
    said = [value for entries in found.values() for _, value, _ in entries if isinstance(value, list)]
    _say_axes(coco)
    for message, told in habits.holes(said):
        coco.say(message, told, "note")
    corners = [np.array(polygon, np.float64) for polygons in said for polygon in polygons]
    coordinates, _ = _told_units(coco, {"segmentation": (corners, 6)}, coordinates)
    layers = {
        where_of(entry["id"], coco.images[entry["image_id"]][0]): entry["layer"]
        for entry in coco.annotations
        if type(entry.get("layer")) is int
    }
    groups = {where_of(one["id"], coco.images[one["image_id"]][0]): str(one.get("group")) for one in coco.annotations}
    annotations, twice = [], 0
    for image, entries in found.items():
        if image not in broken:
            size = coco.images[coco.named[image]][1]
            once = parts_once([((index, groups[where]), value) for index, value, where in entries])
            twice += len(entries) - len(once)
            entries = [entries[at] for at in once]
            segments = tuple(
                PartSegment(index, value, file, where, size, layer=layers.get(where, 0))
                for index, value, where in entries
            )
            annotations.append(Annotation(file, segments[0].where, image, part_segments=segments))
    if twice:
        message = f"{twice:,} outlines of parts are drawn twice, and the later ones are used"
        coco.say(message, "leave out those that are not meant", "note")
    return [placed(one, coordinates) for one in annotations]


def _say_axes(coco: CocoFile) -> None:
    for told, severity in other_way_round(coco):
        coco.say(*told, severity)


def _taken_apart(coco: CocoFile, parts: tuple[str, ...], coordinates: Coordinates, several: bool) -> list[Annotation]:
    """The part masks of a file that has objects and parts, or several parts, as categories, or with ``several`` files
    has them; takes their annotations out of it. Only categories that are drawn count: a box or a point of this name is
    something else."""
    names = {key: name for key, (name, _) in coco.categories.items()}
    used = {names[entry["category_id"]] for entry in coco.annotations}
    segmented = (entry for entry in coco.annotations if not is_nothing(entry.get("segmentation")))
    drawn = {name for entry in segmented if (name := names[entry["category_id"]]) in parts}
    boxes = boxes_of_parts(coco, parts)
    of_boxes = {names[entry["category_id"]] for entry in boxes}
    if len(both := drawn | of_boxes) < 2 and used == both and not several:
        return []
    usable = taken_apart(coco, boxes, parts) if boxes else None
    found = of_parts(usable, parts, PartBoxes, coordinates)[0] if usable else []
    used = {names[entry["category_id"]] for entry in coco.annotations}
    if not drawn:
        return found
    lacking = [part for part in parts if part not in names.values()]
    for name in sorted(used - drawn):
        if near := close_to(name, lacking):
            coco.say(
                f"category {short(name, 60)} is taken for an object's", f"did you mean the part {short(near, 60)}?"
            )
    own = [entry for entry in coco.annotations if names[entry["category_id"]] in drawn]
    coco.annotations = [entry for entry in coco.annotations if names[entry["category_id"]] not in drawn]
    others = f", those of {listed(map(abridged, sorted(used - drawn)))} for objects" if used - drawn else ""
    told = listed(map(abridged, sorted(drawn)))
    coco.say(f"annotations of the categories {told} are taken for part masks{others}", "", "note")
    categories = {key: said for key, said in coco.categories.items() if said[0] in drawn}
    return found + _part_masks(replace(coco, annotations=own, categories=categories), parts, coordinates, not several)


def read_of_parts(
    path: Path, parts: tuple[str, ...], style: type[LabelStyle], coordinates: Coordinates = None
) -> tuple[list[Annotation], list[Problem]]:
    """An annotation per image with what the file says of all its parts in a label ``style``, and what is wrong with it.

    Categories are matched to ``parts`` by name. An image with an error in it is left out. Raises BadInput when the file
    is no COCO file.
    """
    return of_parts(load_coco(path, parts=parts), parts, style, coordinates)


def of_parts(
    coco: CocoFile, parts: tuple[str, ...], style: type[LabelStyle], coordinates: Coordinates = None
) -> tuple[list[Annotation], list[Problem]]:
    """``read_of_parts`` of a file that is loaded."""
    divide_crowds(coco, parts)
    path = coco.path
    keys, read, remedy = _OF_PARTS[style.coco]
    names = ("background",) * style.of_background + parts
    found, broken = _by_image(coco, names, keys, read, remedy, style.complete)
    annotations = []
    boxes, sizes = [], []
    values: list[np.ndarray] = []
    for image, entries in found.items():
        size = coco.images[coco.named[image]][1]
        values += [line for _, value, _ in entries for line in (value if isinstance(value, list) else [value])]
        if style.coco == "bbox":
            boxes += [value for _, value, _ in entries]
            sizes += [size] * len(entries)
        if image not in broken:
            said = tuple(OfPart(i - style.of_background, value, where) for i, value, where in entries)
            given = Given(said, str(path), said[0].where, size)
            annotations.append(Annotation(str(path), given.where, image, labels={style.name: given}))
    coordinates, doubtful = _told_units(coco, {style.coco: (values, 2 if boxes else 6)}, coordinates)
    if not doubtful and coordinates is None:
        for message, remedy in units.corners(boxes, sizes, [None] * len(boxes)):
            coco.say(message, remedy)
    return [placed(one, coordinates) for one in annotations], coco.problems


def _by_image(
    coco: CocoFile,
    parts: tuple[str, ...],
    keys: tuple[str, ...],
    read: Callable[[Any], Any],
    remedy: str,
    complete: bool,
) -> tuple[dict[str, list[tuple[int, Any, str]]], set[str]]:
    """By image (relative path) the part's index, what ``read`` makes of the first of ``keys`` that the entry has, and
    where it stands, of each annotation; and the images with an error in them. ``remedy``: what to do where there is
    nothing to read; ``complete``: a part without an annotation cannot be seen."""
    _match_categories(coco, parts, complete)
    found: dict[str, list[tuple[int, Any, str]]] = defaultdict(list)
    broken_images = {coco.images[image][0] for image in coco.incomplete & coco.images.keys()}
    for entry in coco.annotations:
        image = coco.images[entry["image_id"]][0]
        part = coco.categories[entry["category_id"]][0]
        where = where_of(entry["id"], image)
        try:
            value = read(next((entry[key] for key in keys if entry.get(key) is not None), None))
            if value is None:
                raise Broken(f"has no {keys[0]}", remedy)
        except Broken as broken:
            coco.say(f"{where}: {broken}", broken.remedy)
            broken_images.add(image)
            continue
        if part in parts:
            found[image].append((parts.index(part) + 1, value, where))
        else:
            broken_images.add(image)
    return found, broken_images


def _match_categories(coco: CocoFile, parts: tuple[str, ...], all_of: bool) -> None:
    """Notes what of the categories and, if ``all_of`` them are to be there, of the parts has no counterpart."""
    named = dict.fromkeys(name for name, _ in coco.categories.values())
    used = {coco.categories[entry["category_id"]][0] for entry in coco.annotations}
    for name, remedy in strangers([name for name in named if name in used], parts):
        coco.say(f"category {name} is not among `parts`", remedy)
    if spare := [abridged(name) for name in named if name not in used and name not in parts]:
        coco.say(f"has no annotation of the categories {listed(spare)}, which are not among `parts`", "", "note")
    if all_of and (lacking := [abridged(part) for part in parts if part not in named]):
        coco.say(f"has no category for {listed(lacking)}", "they count as not to be seen in these images", "note")


_OF_PARTS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any], str]] = {
    "bbox": (("bbox",), as_box, "draw the part's box or remove the annotation"),
    "polylines": (("polylines", "segmentation"), as_polylines, "draw a line or remove the annotation"),
}
"""What a label style may read of a COCO file (``LabelStyle.coco``): the keys of an annotation, the first that it has
counting, their reader, and what to do where there is nothing to read."""
