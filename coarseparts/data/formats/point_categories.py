"""COCO files that have a category for each keypoint: annotations of a pixel, which become keypoints of one object."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from coarseparts.data.formats.coco_file import CocoFile
from coarseparts.data.formats.units import MOST, Coordinates
from coarseparts.system.text import abridged, listed

POINT = 2.0
"""Pixels of a box's longer side, up to which it is a point."""

FEWEST = 3
"""Points of two categories at least, from which on that is taken for a habit of the file."""

CATEGORY = "object"
"""What the points of an image are keypoints of."""

Place = tuple[float, float]


def gather_points(coco: CocoFile, coordinates: Coordinates) -> None:
    """Puts the points of an image together, where two categories or more, ``FEWEST`` annotations at least, are nothing
    but points: they become one annotation with a keypoint for each category, all of them visible; a note tells it.
    Where a category has several points in an image it is not said whose they are: then one error, and none is used."""
    boxes = [box for entry in coco.annotations if len(box := _numbers(entry.get("bbox"))) == 4]
    shares = coordinates in ("relative", "percent") or max((max(box) for box in boxes), default=2) <= 1
    most = 0.0 if shares else POINT  # a box of whatever size may have sides below 2 there
    places = [_place(entry, coco.categories[entry["category_id"]][1], most) for entry in coco.annotations]
    others = {entry["category_id"] for entry, at in zip(coco.annotations, places, strict=True) if at is None}
    named = {key: name for key, (name, _) in coco.categories.items()}
    points = [
        (entry, at)
        for entry, at in zip(coco.annotations, places, strict=True)
        if at is not None and entry["category_id"] not in others
    ]
    used = [key for key in coco.categories if any(entry["category_id"] == key for entry, _ in points)]
    if len(used) < 2 or len(points) < FEWEST:
        return
    coco.annotations = [entry for entry in coco.annotations if entry["category_id"] in others]
    told = f"{len(points)} annotations are of a pixel or so, of {len(used)} categories"
    count = Counter((entry["image_id"], entry["category_id"]) for entry, _ in points)
    if max(count.values()) > 1 or len({named[key] for key in used}) < len(used):
        message = f"{told}: it seems to have a category per keypoint, and does not say whose each is"
        remedy = "expected one category with a list of `keypoints`: export skeletons, or a keypoint format"
        coco.say(message, remedy)
        return
    of_image: dict[str, dict[str, Place]] = defaultdict(dict)
    first: dict[str, dict[str, Any]] = {}
    for entry, at in points:
        of_image[entry["image_id"]][entry["category_id"]] = at
        first.setdefault(entry["image_id"], entry)
    key = f"{CATEGORY} of points"  # no id of the file's: those are whole numbers and texts without such a meaning
    coco.categories[key] = (CATEGORY, tuple(named[each] for each in used))
    for image, found in of_image.items():
        numbers = [number for each in used for number in ((*found[each], 2) if each in found else (0, 0, 0))]
        about = {"id": first[image]["id"], "image_id": image, "category_id": key}
        coco.annotations.append(about | {"keypoints": numbers})
    coco.points += len(points) - len(of_image)
    names = listed(abridged(named[each]) for each in used)
    coco.say(f"{told}: they are taken for the keypoints {names} of one object an image", "", "note")


def _place(entry: dict[str, Any], names: tuple[str, ...], most: float) -> Place | None:
    """Where an annotation is that says a point alone, its box being no larger than ``most``; None for any other."""
    outline, box, keypoints = (_numbers(entry.get(key)) for key in ("segmentation", "bbox", "keypoints"))
    if len(box) == 4 and max(box[2:]) > most:
        return None
    if len(names) < 2 and len(keypoints) == 3 and not outline and keypoints[2] > 0:
        return keypoints[0], keypoints[1]
    if keypoints or len(outline) not in (0, 2) or isinstance(entry.get("segmentation"), dict):
        return None
    if outline:
        return outline[0], outline[1]
    if len(box) == 4 and min(box[2:]) >= 0 and any(box):
        return box[0] + box[2] / 2, box[1] + box[3] / 2
    return None


def _numbers(value: Any) -> list[float]:
    """The numbers of a list, or of the one list in it; none where it is something else."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list) or len(value) > 4:
        return [0.0] * 5 if value else []  # something larger than a point
    fit = all(type(number) in (int, float) and abs(number) <= MOST for number in value)
    return [float(number) for number in value] if fit else [0.0] * 5
