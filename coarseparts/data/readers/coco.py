"""COCO files: keypoints, figure-ground segmentation and boxes of objects, or one category per part.

The JSON is parsed here rather than by pycocotools, which trusts its input (a malformed mask can crash the process);
pycocotools only fills polygons that have been checked. Coordinates are taken as they stand.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from coarseparts.data.dataset_file import nearest
from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.readers import units
from coarseparts.data.readers.annotation import Annotation, inside

MOST = 1e9
"""A coordinate beyond this is a mistake: no image is that large, and single precision could not hold its sums."""


@dataclass
class CocoFile:
    """A COCO file's entries that make sense by themselves: ``images`` id -> (relative path, (width, height) or None),
    ``categories`` id -> (name, keypoint names), ``annotations`` with a known image and category, crowds left out."""

    path: Path
    images: dict[Any, tuple[str, tuple[int, int] | None]] = field(default_factory=dict)
    categories: dict[Any, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    annotations: list[dict] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def say(self, message: str, remedy: str, severity: str = "error") -> None:
        """Add a finding about this file."""
        self.problems.append(Problem(str(self.path), message, remedy, severity))  # type: ignore[arg-type]


def load_coco(path: Path) -> CocoFile:
    """Parse a COCO file. Raises BadInput when it is no JSON or has not the three lists; what is wrong inside them
    goes to ``problems`` and is left out."""
    coco = CocoFile(path)
    lists = _lists(path)
    listed: dict[str, Any] = {}
    for i, entry in enumerate(lists["images"]):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            coco.say(f"images[{i}] has no id", "export the file again")
            continue
        try:
            name = inside(entry.get("file_name"))
        except ValueError as error:
            coco.say(f"image {entry['id']}: {error}", "write it relative to the image folder, and inside it")
            continue
        if entry["id"] in coco.images:
            coco.say(f"image id {entry['id']} stands twice ({coco.images[entry['id']][0]}, {name})", "renumber one")
            continue
        if name in listed:
            coco.say(f"image {name} is listed twice, with the ids {listed[name]} and {entry['id']}", "keep one entry")
            continue
        listed[name] = entry["id"]
        size = (entry.get("width"), entry.get("height"))
        stated = all(isinstance(v, int) and v > 0 for v in size)
        coco.images[entry["id"]] = (name, size if stated else None)  # type: ignore[assignment]
    for i, entry in enumerate(lists["categories"]):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            coco.say(f"categories[{i}] has no id", "export the file again")
            continue
        names = [] if entry.get("keypoints") is None else entry["keypoints"]
        if not isinstance(names, list) or not all(isinstance(v, str) and v.strip() for v in names):
            came = f"categories[{i}]: keypoints is {str(names)[:40]!r}"
            coco.say(came, "expected a list of names, such as [head, tail]: export the file again")
        elif len(set(names)) < len(names):
            coco.say(f"categories[{i}] names a keypoint twice", "give every keypoint a name of its own")
        else:
            coco.categories[entry["id"]] = (str(entry.get("name", entry["id"])), tuple(names))
    _keep_usable(coco, lists["annotations"])
    return coco


def _lists(path: Path) -> dict[str, list]:
    remedy = "export it again as COCO JSON with images, annotations and categories"
    try:
        raw = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise BadInput(Problem(str(path), f"cannot be read: {error.strerror}", "name an existing file")) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(path), "is not text in UTF-8, expected JSON", remedy)) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(Problem(str(path), f"is not valid JSON: {error}", remedy)) from None
    if not isinstance(raw, dict):
        raise BadInput(Problem(str(path), f"holds a {type(raw).__name__}, expected a COCO object", remedy))
    wrong = [key for key in ("images", "annotations", "categories") if not isinstance(raw.get(key), list)]
    if wrong:
        raise BadInput(Problem(str(path), f"has no list {', '.join(wrong)}", remedy))
    return raw


def _keep_usable(coco: CocoFile, annotations: list) -> None:
    crowds = 0
    seen: set[tuple] = set()
    for i, entry in enumerate(annotations):
        if not isinstance(entry, dict):
            coco.say(f"annotations[{i}] is a {type(entry).__name__}", "export the file again")
            continue
        entry.setdefault("id", f"#{i}")
        key = (entry.get("image_id"), entry["id"])
        if not all(map(_is_id, key)) or entry["image_id"] not in coco.images:
            message = f"annotation {entry['id']}: image {entry.get('image_id')!r} is not listed"
            coco.say(message, "list it under images, or remove the annotation")
        elif not _is_id(entry.get("category_id")) or entry["category_id"] not in coco.categories:
            coco.say(
                f"annotation {entry['id']}: category {entry.get('category_id')!r} is not listed",
                "list it under categories",
            )
        elif key in seen:
            coco.say(f"annotation id {entry['id']} stands twice at image {entry['image_id']}", "renumber one")
        elif entry.get("iscrowd"):
            crowds += 1
        else:
            seen.add(key)
            coco.annotations.append(entry)
    if crowds:
        coco.say(f"{crowds} annotations are crowds (iscrowd) and left out", "", "note")


def read_coco(path: Path) -> tuple[list[Annotation], list[Problem]]:
    """The objects of a COCO file and what is wrong with it; an object with an error is left out.

    Several annotations of an image are several objects. Visibility is COCO's; the coordinates of a keypoint of
    visibility 0 are set to 0. A keypoint array of zeros, a box of zeros and an empty segmentation count as missing.
    Raises BadInput when the file is no COCO file.
    """
    coco = load_coco(path)
    per_image = Counter(entry["image_id"] for entry in coco.annotations)
    objects = []
    for entry in coco.annotations:
        image, size = coco.images[entry["image_id"]]
        where = f"annotation {entry['id']} ({image})"
        names = coco.categories[entry["category_id"]][1]
        before = len(coco.problems)
        found: dict[str, Any] = {}
        for label, read in (
            ("keypoints", lambda e: _keypoints(e.get("keypoints"), names)),  # noqa: B023 (called at once)
            ("box", lambda e: _box(e.get("bbox"))),
            ("segmentation", lambda e: _segmentation(e.get("segmentation"))),
        ):
            try:
                found[label] = read(entry)
            except _Broken as broken:
                coco.say(f"{where}: {broken}", broken.remedy)
        if len(coco.problems) == before:
            alone = per_image[entry["image_id"]] == 1
            objects.append(
                Annotation(str(path), where, image, str(entry["id"]), alone, size, keypoint_names=names, **found)
            )
    _say_units(coco, objects)
    return objects, coco.problems


def _say_units(coco: CocoFile, objects: list[Annotation]) -> None:
    """Problems where coordinates are shares of the image or boxes are corners, as far as the file itself tells."""
    outlines = [_points(found.segmentation) for found in objects]
    seen = [found.keypoints[found.keypoints[:, 2] > 0, :2] for found in objects if found.keypoints is not None]
    boxed = [(found.box, found.size, outline) for found, outline in zip(objects, outlines, strict=True)]
    of_box = [said for said in boxed if said[0] is not None]
    found = units.fractions("keypoints", seen, 6)
    found += units.fractions("segmentation", [points for points in outlines if points is not None], 6)
    found += units.fractions("bbox", [box for box, _, _ in of_box if box is not None], 2)
    for message, remedy in found:
        coco.say(message, remedy)
    if of_box and not found:
        for message, remedy in units.corners(*zip(*of_box, strict=True)):
            coco.say(message, remedy, "note")


def _points(segmentation: Any) -> np.ndarray | None:
    """(n, 2) the corners of all polygons; None for RLE."""
    if not isinstance(segmentation, list):
        return None
    return np.concatenate([np.array(polygon, np.float64).reshape(-1, 2) for polygon in segmentation])


def read_part_coco(path: Path, parts: tuple[str, ...]) -> tuple[dict[str, list[PartSegment]], list[Problem]]:
    """The parts' segmentations of each image (relative path), and what is wrong with the file.

    Categories are matched to ``parts`` by name; an image with an error in it is left out. Raises BadInput when the
    file is no COCO file.
    """
    coco = load_coco(path)
    _match_categories(coco, parts)
    found: dict[str, list[PartSegment]] = defaultdict(list)
    broken_images = set()
    for entry in coco.annotations:
        image = coco.images[entry["image_id"]][0]
        part = coco.categories[entry["category_id"]][0]
        where = f"annotation {entry['id']} ({image})"
        try:
            segmentation = _segmentation(entry.get("segmentation"))
            if segmentation is None:
                raise _Broken("has no segmentation", "draw the part or remove the annotation")
        except _Broken as broken:
            coco.say(f"{where}: {broken}", broken.remedy)
            broken_images.add(image)
            continue
        if part in parts:
            found[image].append(PartSegment(parts.index(part) + 1, segmentation, str(path), where))
        else:
            broken_images.add(image)
    return {image: segments for image, segments in found.items() if image not in broken_images}, coco.problems


def read_part_boxes(path: Path, parts: tuple[str, ...]) -> tuple[dict[str, list[PartBox]], list[Problem]]:
    """The parts' boxes of each image (relative path), and what is wrong with the file.

    Categories are matched to ``parts`` by name. An image with an error in it is left out. Raises BadInput when the file
    is no COCO file.
    """
    coco = load_coco(path)
    _match_categories(coco, parts)
    found: dict[str, list[PartBox]] = defaultdict(list)
    broken_images = set()
    for entry in coco.annotations:
        image, size = coco.images[entry["image_id"]]
        part = coco.categories[entry["category_id"]][0]
        where = f"annotation {entry['id']} ({image})"
        try:
            box = _box(entry.get("bbox"))
            if box is None:
                raise _Broken("has no bbox", "draw the part's box or remove the annotation")
        except _Broken as broken:
            coco.say(f"{where}: {broken}", broken.remedy)
            broken_images.add(image)
            continue
        if part in parts:
            found[image].append(PartBox(parts.index(part) + 1, tuple(box.tolist()), size, str(path), where))
        else:
            broken_images.add(image)
    all_boxes = [box for boxes in found.values() for box in boxes]
    corners = [np.array(box.box) for box in all_boxes]
    for message, remedy in units.fractions("bbox", corners, 2):
        coco.say(message, remedy)
    for message, remedy in units.corners(corners, [box.size for box in all_boxes], [None] * len(corners)):
        coco.say(message, remedy, "note")
    return {image: boxes for image, boxes in found.items() if image not in broken_images}, coco.problems


def _match_categories(coco: CocoFile, parts: tuple[str, ...]) -> None:
    """Notes what of the categories and the parts has no counterpart."""
    for name, _ in coco.categories.values():
        if name not in parts:
            coco.say(f"category {name!r} is not among `parts`", nearest(name, parts))
    lacking = [part for part in parts if part not in {name for name, _ in coco.categories.values()}]
    if lacking:
        coco.say(f"has no category for {', '.join(lacking)}", "they count as not to be seen in these images", "note")


@dataclass(frozen=True)
class PartSegment:
    """A region of part ``index`` (1..P) as COCO polygons or RLE; ``file`` and ``where`` say where it stands."""

    index: int
    segmentation: Any
    file: str
    where: str


@dataclass(frozen=True)
class PartBox:
    """A box (x0, y0, x1, y1) of part ``index`` (1..P), not yet clipped; ``size`` (width, height) of the image as the
    file states it; ``file`` and ``where`` say where it stands."""

    index: int
    box: tuple[float, ...]
    size: tuple[int, int] | None
    file: str
    where: str


def draw_parts(segments: list[PartSegment], size: tuple[int, int], overlapping: bool = False) -> np.ndarray:
    """(H, W) uint8 part index of an image of ``size`` (width, height); with ``overlapping`` a bit field.

    Where parts that exclude each other cover each other the smaller one is on top, so that an eye stays on its head.
    Raises BadInput.
    """
    drawn, problems = [], []
    for segment in segments:
        try:
            drawn.append((segment.index, draw(segment.segmentation, size)))
        except ValueError as error:
            problems.append(Problem(segment.file, f"{segment.where}: {error}", "draw the part again"))
    if problems:
        raise BadInput(problems)
    parts = np.zeros(size[::-1], np.uint8)
    if overlapping:
        for index, mask in drawn:
            parts[mask] |= 1 << (index - 1)
        return parts
    for index, mask in sorted(drawn, key=lambda pair: -int(pair[1].sum())):
        parts[mask] = index
    return parts


def draw(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of COCO polygons or RLE (compressed or not) in an image of ``size`` (width, height).

    Raises ValueError for a mask of another size, runs that do not add up, polygons far outside the image, and for a
    mask without a pixel.
    """
    width, height = size
    if isinstance(segmentation, dict):
        rows, columns = segmentation["size"]
        if (columns, rows) != (width, height):
            raise ValueError(f"the RLE mask is {columns}x{rows} pixels, the image is {width}x{height}")
        counts = segmentation["counts"]
        runs = _runs(counts) if isinstance(counts, str) else list(counts)
        if any(run < 0 for run in runs) or sum(runs) != width * height:
            raise ValueError(f"the RLE mask is broken: its runs add up to {sum(runs)} of {width * height} pixels")
    else:
        for polygon in segmentation:
            # A little outside is usual. Far outside pycocotools would ask for memory by the polygon's length.
            x, y = np.array(polygon[0::2]), np.array(polygon[1::2])
            if min(x.min() / width, y.min() / height) < -1 or max(x.max() / width, y.max() / height) > 2:
                came = f"{x.min():g}..{x.max():g}, {y.min():g}..{y.max():g}"
                raise ValueError(f"a polygon lies far outside the image: {came} of {width}x{height}")
        encoded = coco_mask.frPyObjects([[float(v) for v in polygon] for polygon in segmentation], height, width)
        runs = _runs(coco_mask.merge(encoded)["counts"].decode())
    values = np.arange(len(runs)) % 2 == 1
    mask = np.repeat(values, runs).reshape(width, height).T  # runs go down the columns
    if not mask.any():
        raise ValueError("the mask is empty: it holds no pixel")
    return mask


def _runs(text: str) -> list[int]:
    """Lengths of the runs of a compressed RLE: 5 bits per character, low ones first, with a continuation bit and a
    sign, each from the third on as the difference to the one two before. Raises ValueError."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"the RLE mask is broken: {character!r} cannot stand at run {len(runs)}")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the RLE mask is broken: it ends inside a run")
    return runs


class _Broken(ValueError):
    """An annotation's label that cannot be used, with what to do about it."""

    def __init__(self, message: str, remedy: str):
        super().__init__(message)
        self.remedy = remedy


def _keypoints(value: Any, names: tuple[str, ...]) -> np.ndarray | None:
    """(k, 3) float32, or None when none is labelled."""
    if value is None or (isinstance(value, list) and not value):
        return None
    numbers = _finite(value, "keypoints")
    if numbers.size != 3 * len(names):
        message = f"{numbers.size} keypoint numbers for {len(names)} keypoint names, expected {3 * len(names)}"
        raise _Broken(message, "give x, y, v for each of the category's keypoints")
    points = numbers.reshape(-1, 3).astype(np.float32)
    odd = set(points[:, 2].tolist()) - {0.0, 1.0, 2.0}
    if odd:
        came = ", ".join(f"{v:g}" for v in sorted(odd))
        raise _Broken(f"keypoint visibility {came}, expected 0, 1 or 2", "0 = not labelled, 1 = hidden, 2 = visible")
    points[points[:, 2] == 0] = 0
    return points if points.any() else None


def _box(value: Any) -> np.ndarray | None:
    """(x0, y0, x1, y1) float32, or None when the box is missing or all zeros."""
    if value is None or (isinstance(value, list) and not any(value)):
        return None
    numbers = _finite(value, "bbox")
    if numbers.size != 4 or numbers[2] <= 0 or numbers[3] <= 0:
        came = ", ".join(f"{v:g}" for v in numbers[:5])
        raise _Broken(f"bbox is [{came}], a box without an area", "expected [x, y, width, height]")
    return np.array([*numbers[:2], *(numbers[:2] + numbers[2:])], np.float32)


def _segmentation(value: Any) -> Any:
    """Polygons or RLE of the right form (whether RLE's runs add up is seen when it is drawn), or None."""
    if value is None or value == [] or value == {}:
        return None
    remedy = "expected polygons [[x, y, x, y, x, y, ...], ...] or RLE {size: [height, width], counts: ...}"
    if isinstance(value, dict):
        size, counts = value.get("size"), value.get("counts")
        good_size = isinstance(size, list) and len(size) == 2 and all(type(v) is int and v > 0 for v in size)
        good_counts = isinstance(counts, str) or (isinstance(counts, list) and all(type(v) is int for v in counts))
        if not (good_size and good_counts and counts):
            raise _Broken("segmentation is a broken RLE", remedy)
        return value
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise _Broken(f"segmentation is a broken {type(value).__name__}", remedy)
    for polygon in value:
        numbers = _finite(polygon, "a polygon")
        if numbers.size < 6 or numbers.size % 2:
            raise _Broken(f"a polygon of {numbers.size} numbers, expected at least 3 points (x, y)", remedy)
    return value


def _finite(value: Any, what: str) -> np.ndarray:
    """A flat list of numbers as float64; JSON as Python reads it may hold NaN, infinity and integers of any length."""
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise _Broken(f"{what} is {str(value)[:40]!r}", "expected a flat list of numbers")
    try:
        numbers = np.array(value, np.float64)
    except OverflowError:
        numbers = np.array([np.inf])
    odd = numbers[~(np.abs(numbers) <= MOST)]
    if odd.size:
        raise _Broken(f"{what} holds {odd[0]:g}", "expected numbers of pixels: draw it again or remove it")
    return numbers


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)
