"""COCO files: keypoints, figure-ground segmentation and boxes of objects, or one category per part.

The JSON is parsed here rather than by pycocotools, which trusts its input (a malformed mask can crash the process);
pycocotools only fills polygons that have been checked. Coordinates are taken as they stand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from coarseparts.data.dataset_file import strangers
from coarseparts.data.formats import units
from coarseparts.data.formats.annotation import Annotation, inside
from coarseparts.data.formats.units import MOST
from coarseparts.data.images import MAX_PIXELS
from coarseparts.data.problems import BadInput, Problem, capped, unreadable
from coarseparts.labels.schema import MOST_KEYPOINTS, unfit
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.text import abridged, listed, readable, short

MOST_ANNOTATIONS, MOST_POINTS = 10_000, 100_000
"""Annotations of one image, and points of one annotation's polygons."""

LARGE = 20_000_000
"""Bytes of a file that is glanced at before it is parsed."""

MOST_OUTLINE = 2_000_000
"""Pixels along the outline of an annotation's polygons: pycocotools asks for some 100 bytes for each."""

MOST_RUNS = 5_000_000
"""Characters, or numbers, of a mask's run lengths."""


@dataclass
class CocoFile:
    """A COCO file's entries that make sense by themselves: ``images`` id -> (relative path, (width, height) or None),
    ``named`` relative path -> id, ``categories`` id -> (name, keypoint names), ``annotations`` with a known image and
    category, crowds left out. Ids are texts (``_identity``). ``broken_...``: ids of entries with an error;
    ``incomplete``: ids of images of which an annotation is left out because of one."""

    path: Path
    images: dict[str, tuple[str, tuple[int, int] | None]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    categories: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    annotations: list[dict] = field(default_factory=list)
    broken_images: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    broken_categories: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def say(self, message: str, remedy: str, severity: str = "error") -> None:
        """Add a finding about this file."""
        self.problems.append(Problem(str(self.path), message, remedy, severity))  # type: ignore[arg-type]


def load_coco(path: Path) -> CocoFile:
    """Parse a COCO file. Raises BadInput when it is no JSON or has not the three lists; what is wrong inside them
    goes to ``problems`` and is left out."""
    coco = CocoFile(path)
    lists = _lists(path)
    _refuse_crowding(path, lists["annotations"])
    for i, entry in enumerate(lists["images"]):
        _add_image(coco, i, entry)
    for i, entry in enumerate(lists["categories"]):
        _add_category(coco, i, entry)
    named = {name for _, names in coco.categories.values() for name in names}
    if len(named) > MOST_KEYPOINTS:
        came = f"has {len(named):,} names of keypoints in all its categories, expected at most {MOST_KEYPOINTS:,}"
        raise BadInput(Problem(str(path), came, "is the list of names the right one? export the file again"))
    _keep_usable(coco, lists["annotations"])
    return coco


def _lists(path: Path) -> dict[str, list]:
    remedy = "export it again as COCO JSON with images, annotations and categories"
    try:
        _refuse_unread(path)
        raw = load_json(path)
    except OSError as error:
        raise BadInput(unreadable(path, error, "name an existing file")) from None
    except DocumentError as error:
        raise BadInput(Problem(str(path), str(error), remedy)) from None
    if not isinstance(raw, dict):
        raise BadInput(Problem(str(path), f"holds a {type(raw).__name__}, expected a COCO object", remedy))
    wrong = [key for key in ("images", "annotations", "categories") if not isinstance(raw.get(key), list)]
    if wrong:
        raise BadInput(Problem(str(path), f"has no list {', '.join(wrong)}", remedy))
    return raw


_CROWDED = "is image_id right? export the file again, or divide the image"


def _refuse_unread(path: Path) -> None:
    """Raises BadInput where so many annotations stand beside so few images that one of them must have too many: a
    glance at a large file, of which the parsing alone would take longer than anybody waits for a refusal."""
    if path.stat().st_size < LARGE:
        return
    raw = path.read_bytes()
    annotations, images = raw.count(b'"image_id"'), raw.count(b'"file_name"')
    if annotations > MOST_ANNOTATIONS * max(images, 1):
        came = (
            f"has {annotations:,} annotations on {images:,} images, expected at most {MOST_ANNOTATIONS:,} of an image"
        )
        raise BadInput(Problem(str(path), came, _CROWDED))


def _refuse_crowding(path: Path, annotations: list) -> None:
    """Raises BadInput where an image has more annotations than any has that somebody drew."""
    if len(annotations) <= MOST_ANNOTATIONS:
        return
    written = (entry.get("image_id") for entry in annotations if isinstance(entry, dict))
    counts: Counter[str | None] = Counter()
    for value, count in Counter(value for value in written if isinstance(value, int | float | str)).items():
        counts[_identity(value)] += count
    crowded = [(image, count) for image, count in counts.items() if count > MOST_ANNOTATIONS and image is not None]
    if crowded:
        at_most = f"expected at most {MOST_ANNOTATIONS:,}"
        told = (f"image {abridged(image)} has {count:,} annotations, {at_most}" for image, count in crowded)
        raise BadInput(capped(Problem(str(path), message, _CROWDED) for message in told))


def _add_image(coco: CocoFile, i: int, entry: Any) -> None:
    key = _id_of(coco, f"images[{i}]", entry)
    if key is None:
        return
    try:
        name = inside(entry.get("file_name"))
        if key in coco.images:
            coco.say(f"image id {key} stands twice ({coco.images[key][0]}, {name})", "renumber one")
        elif name in coco.named:
            coco.say(f"image {name} is listed twice, with the ids {coco.named[name]} and {key}", "keep one entry")
        else:
            coco.named[name] = key
            coco.images[key] = (name, _stated_size(entry))
            return
    except _Broken as broken:
        coco.say(f"image {key}: {broken}", broken.remedy)
    except ValueError as error:
        coco.say(f"image {key}: {error}", "write it relative to the image folder, and inside it")
    coco.broken_images.add(key)


def _stated_size(entry: dict) -> tuple[int, int] | None:
    """(width, height) of an image; None where one of them is missing or 0, as tools write that do not know it."""
    sides = []
    for key in ("width", "height"):
        value = entry.get(key)
        if type(value) not in (int, float, type(None)) or not 0 <= (value or 0) <= MOST or (value or 0) % 1:
            raise _Broken(f"{key} is {short(value)}", "expected a whole number of pixels, or none")
        sides.append(int(value or 0))
    return (sides[0], sides[1]) if all(sides) else None


def _add_category(coco: CocoFile, i: int, entry: Any) -> None:
    key = _id_of(coco, f"categories[{i}]", entry)
    if key is None:
        return
    name = entry.get("name", key)
    name = _identity(name) if isinstance(name, int | float) else name
    names = [] if entry.get("keypoints") is None else entry["keypoints"]
    where = f"categories[{i}]"
    if key in coco.categories:
        coco.say(f"category id {key} stands twice", "renumber one")
    elif not isinstance(name, str) or (why := unfit(name)):
        came = f"name {why}" if isinstance(name, str) else f"name is {short(entry['name'])}"
        coco.say(f"{where}: {came}", "expected a text: correct the name and export the file again")
    elif isinstance(names, list) and len(names) > MOST_KEYPOINTS:
        came = f"{where} has {len(names):,} keypoints, expected at most {MOST_KEYPOINTS:,}"
        coco.say(came, "is the list of names the right one? export the file again")
    elif not isinstance(names, list) or (odd := [v for v in names if not isinstance(v, str) or unfit(v)]):
        which = f", of which {short(odd[0])} is no name" if isinstance(names, list) else ""
        came = f"{where}: keypoints is {short(names)}{which}"
        coco.say(came, "expected a list of names, such as [head, tail]: export the file again")
    elif len(set(names)) < len(names):
        coco.say(f"{where} names a keypoint twice", "give every keypoint a name of its own")
    else:
        coco.categories[key] = (name, tuple(names))
        return
    coco.broken_categories.add(key)


def _keep_usable(coco: CocoFile, annotations: list) -> None:
    """Adds the annotations whose ids make sense, those ids as the dictionaries of images and categories have them."""
    crowds = lost = 0
    broken = (coco.broken_images - coco.images.keys(), coco.broken_categories - coco.categories.keys())
    seen: set[tuple] = set()
    for i, entry in enumerate(annotations):
        before = len(coco.problems) + lost
        key = _id_of(coco, f"annotations[{i}]", entry, f"#{i}")
        if not isinstance(entry, dict):
            continue
        image, category = _identity(entry.get("image_id")), _identity(entry.get("category_id"))
        where = f"annotation {abridged(key or '')}"
        crowd = entry.get("iscrowd")
        if key is None:
            pass
        elif image in broken[0] or category in broken[1]:
            lost += 1
        elif image is None or image not in coco.images:
            remedy = "list it under images, or remove the annotation"
            coco.say(f"{where}: image {short(entry.get('image_id'))} is not listed", remedy)
        elif category is None or category not in coco.categories:
            coco.say(f"{where}: category {short(entry.get('category_id'))} is not listed", "list it under categories")
        elif (image, key) in seen:
            coco.say(f"annotation id {abridged(key)} stands twice at image {abridged(image)}", "renumber one")
        elif type(crowd) not in (int, float, bool, type(None)) or crowd not in (None, 0, 1):
            coco.say(f"{where}: iscrowd is {short(crowd)}", "expected 0 or 1")
        elif crowd:
            crowds += 1
        else:
            seen.add((image, key))
            coco.annotations.append(entry | {"id": key, "image_id": image, "category_id": category})
        if image is not None and len(coco.problems) + lost > before:
            coco.incomplete.add(image)
    if lost:
        coco.say(f"{lost} annotations of images or categories with an error are left out", "", "note")
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
        where = _where(entry["id"], image)
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
            alone = per_image[entry["image_id"]] == 1 and entry["image_id"] not in coco.incomplete
            objects.append(
                Annotation(str(path), where, image, readable(entry["id"]), alone, size, keypoint_names=names, **found)
            )
    _say_units(coco, objects)
    return objects, coco.problems


def _where(key: str, image: str) -> str:
    return f"annotation {abridged(key)} ({abridged(image, 200)})"


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
    broken_images = {coco.images[key][0] for key in coco.incomplete & coco.images.keys()}
    for entry in coco.annotations:
        image = coco.images[entry["image_id"]][0]
        part = coco.categories[entry["category_id"]][0]
        where = _where(entry["id"], image)
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
    broken_images = {coco.images[key][0] for key in coco.incomplete & coco.images.keys()}
    for entry in coco.annotations:
        image, size = coco.images[entry["image_id"]]
        part = coco.categories[entry["category_id"]][0]
        where = _where(entry["id"], image)
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
    named = dict.fromkeys(name for name, _ in coco.categories.values())
    for name, remedy in strangers(named, parts):
        coco.say(f"category {name} is not among `parts`", remedy)
    if lacking := [abridged(part) for part in parts if part not in named]:
        coco.say(f"has no category for {listed(lacking)}", "they count as not to be seen in these images", "note")


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
        outline = 0.0
        for polygon in segmentation:
            # A little outside is usual. Far outside pycocotools would ask for memory by the polygon's length.
            x, y = np.array(polygon[0::2]), np.array(polygon[1::2])
            if min(x.min() / width, y.min() / height) < -1 or max(x.max() / width, y.max() / height) > 2:
                came = f"{x.min():g}..{x.max():g}, {y.min():g}..{y.max():g}"
                raise ValueError(f"a polygon lies far outside the image: {came} of {width}x{height}")
            # So it would for an outline that goes to and fro in an image.
            outline += float(np.maximum(np.abs(x - np.roll(x, 1)), np.abs(y - np.roll(y, 1))).sum())
        if outline > MOST_OUTLINE:
            raise ValueError(f"the outline is {outline:,.0f} pixels long, expected at most {MOST_OUTLINE:,}")
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
        came = listed(f"{v:g}" for v in sorted(odd))
        raise _Broken(f"keypoint visibility {came}, expected 0, 1 or 2", "0 = not labelled, 1 = hidden, 2 = visible")
    points[points[:, 2] == 0] = 0
    return points if points.any() else None


def _box(value: Any) -> np.ndarray | None:
    """(x0, y0, x1, y1) float32, or None when the box is missing or all zeros."""
    if value is None or (isinstance(value, list) and all(type(v) in (int, float) and v == 0 for v in value)):
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
        if not isinstance(size, list) or len(size) != 2 or not all(type(v) is int and v > 0 for v in size):
            raise _Broken("segmentation is a broken RLE", remedy)
        if (
            not (isinstance(counts, str) or (isinstance(counts, list) and all(type(v) is int for v in counts)))
            or not counts
        ):
            raise _Broken("segmentation is a broken RLE", remedy)
        if size[0] * size[1] > MAX_PIXELS:
            came = f"{size[1]:,}x{size[0]:,} pixels"
            raise _Broken(f"segmentation is an RLE of {came}, expected at most {MAX_PIXELS:,}", "draw it again")
        if len(counts) > MOST_RUNS:
            came = f"{len(counts):,} counts"
            raise _Broken(f"segmentation is an RLE of {came}, expected at most {MOST_RUNS:,}", "draw it again")
        return {"size": size, "counts": counts}
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise _Broken(f"segmentation is a broken {type(value).__name__}", remedy)
    if (points := sum(map(len, value)) // 2) > MOST_POINTS:
        raise _Broken(f"polygons of {points:,} points, expected at most {MOST_POINTS:,}", "draw it with fewer")
    for polygon in value:
        numbers = _finite(polygon, "a polygon")
        if numbers.size < 6 or numbers.size % 2:
            raise _Broken(f"a polygon of {numbers.size} numbers, expected at least 3 points (x, y)", remedy)
    return value


def _finite(value: Any, what: str) -> np.ndarray:
    """A flat list of numbers as float64; JSON as Python reads it may hold NaN, infinity and integers of any length."""
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise _Broken(f"{what} is {short(value)}", "expected a flat list of numbers")
    try:
        numbers = np.array(value, np.float64)
    except OverflowError:
        numbers = np.array([np.inf])
    odd = numbers[~(np.abs(numbers) <= MOST)]
    if odd.size:
        raise _Broken(f"{what} holds {odd[0]:g}", "expected numbers of pixels: draw it again or remove it")
    return numbers


def _id_of(coco: CocoFile, where: str, entry: Any, default: str | None = None) -> str | None:
    """The id of a list's entry, ``default`` where it has none; None, and a problem more, where there is none to use."""
    if not isinstance(entry, dict):
        coco.say(f"{where} is {short(entry)}, expected an object", "export the file again")
    elif "id" not in entry and default is None:
        coco.say(f"{where} has no id", "export the file again")
    else:
        key = _identity(entry["id"]) if "id" in entry else default
        if key is None:
            coco.say(f"{where}: id is {short(entry['id'])}", "expected a whole number or a text: export the file again")
        return key
    return None


def _identity(value: Any) -> str | None:
    """An id as one text, however it is written: 3, 3.0, "3" and " 3" are the same; None for what is no id."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:  # beyond, floats are no longer exact
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) and not unfit(value) else None
