"""VGG Image Annotator (VIA) 1 and 2: the project, and the annotations as JSON or CSV: regions with attributes."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import (
    DocumentBuilder,
    finite,
    head,
    json_of,
    told_apart,
    write_json,
)
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.label_studio_images import image_path
from coarseparts.data.formats.outlines import bridged, outer_rings, rings
from coarseparts.data.formats.shapes import LoosePoint, add_points, ellipse
from coarseparts.data.formats.table import rows_of
from coarseparts.data.formats.via_attributes import PART, Naming, naming_of
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, short

NAME = "VGG Image Annotator"

REMEDY = "save the project, or export the annotations, in VIA again"

_SIDES = ("width", "height")

COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
"""Columns of a table that are read; in VIA 1.0 the header begins with #."""

_PROJECT = re.compile(rb'"_via_(settings|img_metadata|attributes|data_format_version|image_id_list)"\s*:')
_ENTRIES = (rb'"filename"\s*:', rb'"regions"\s*:', rb'"(file_attributes|region_attributes|shape_attributes)"\s*:')


def recognises(path: Path) -> bool:
    """Whether a file begins as VIA's projects, annotations or tables do."""
    begin = head(path).lstrip()
    if begin.startswith(b"{"):
        return bool(_PROJECT.search(begin)) or all(re.search(pattern, begin) for pattern in _ENTRIES)
    first = begin.partition(b"\n")[0].lower()
    return all(column.encode() in first for column in COLUMNS)


@dataclass
class _Image:
    """What an entry, or the rows of an image, say: its name as written, its bytes, what is said of it (``about``), and
    its regions, each its shape, its attributes and where it stands."""

    name: str
    size: str
    about: Any
    regions: list[tuple[Any, Any, str]] = field(default_factory=list)

    @property
    def pixels(self) -> tuple[int, int] | None:
        """(width, height), where somebody wrote them down as attributes of the file: VIA does not know them."""
        about = self.about if isinstance(self.about, dict) else {}
        sides = [str(about.get(side, "")).strip() for side in _SIDES]
        whole = all(side.isascii() and side.isdigit() and 0 < len(side) < 7 and int(side) for side in sides)
        return (int(sides[0]), int(sides[1])) if whole else None


def read(path: Path) -> Document:
    """What people drew: polygons, circles, ellipses and closed lines are masks, rectangles boxes, points keypoints.
    What regions are called and which of them are one object, their attributes say (``naming_of``). Raises BadInput."""
    builder = DocumentBuilder(path)
    if head(path).lstrip().startswith(b"{"):
        images, defined = _of_json(path, builder)
    else:
        images, defined = _of_table(path, builder), {}
    images = _once(images, builder)
    attributes = [[own if isinstance(own, dict) else {} for _, own, _ in one.regions] for one in images]
    naming = naming_of(attributes, defined, builder)
    names = told_apart([image_path(one.name) for one in images])
    for one in images:
        name = names[image_path(one.name)[0]]
        if (key := builder.image(name, one.pixels)) is None:
            continue
        points: list[LoosePoint] = []
        for shape, own, where in one.regions:
            try:
                _add_region(shape, own, key, naming, points, builder)
            except ValueError as error:
                builder.say(f"image {abridged(name, 200)}, {where}: {error}", "correct or delete it in VIA")
        add_points(builder, key, name, points)
    return builder.document()


def _of_json(path: Path, builder: DocumentBuilder) -> tuple[list[_Image], Any]:
    """The images of a project or of annotations, and what a project says of the attributes of regions."""
    whole = json_of(path, REMEDY)
    entries = whole.get("_via_img_metadata", whole) if isinstance(whole, dict) else None
    if not isinstance(entries, dict) or (entries is whole and any(key.startswith("_via_") for key in whole)):
        raise BadInput(Problem(str(path), "holds no images (_via_img_metadata)", REMEDY))
    found = []
    for key, entry in entries.items():
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name.strip():
            builder.say(f"entry {abridged(key)}: its filename is {short(name)}, expected a file's name", REMEDY)
            continue
        regions = entry.get("regions", [])
        if isinstance(regions, dict):  # of VIA 1
            regions = list(regions.values())
        if not isinstance(regions, list):
            builder.say(f"image {abridged(name, 200)}: its regions are {short(regions)}, expected a list", REMEDY)
            continue
        image = _Image(name, str(entry.get("size", "")), entry.get("file_attributes"))
        for number, region in enumerate(regions, 1):
            own = region if isinstance(region, dict) else {"shape_attributes": region}
            said = own.get("shape_attributes"), own.get("region_attributes")
            image.regions.append((*said, f"region {number}"))
        found.append(image)
    attributes = whole.get("_via_attributes")
    return found, attributes.get("region") if isinstance(attributes, dict) else {}


def _of_table(path: Path, builder: DocumentBuilder) -> list[_Image]:
    """The images of a table, whose regions are a row each; an image without regions has one that is empty."""
    found: dict[tuple[str, str], _Image] = {}
    rows = rows_of(path, REMEDY)
    columns = [cell.strip().lstrip("#").strip().lower() for cell in next(rows, (0, []))[1]]
    if lacking := [column for column in COLUMNS if column not in columns]:
        raise BadInput(Problem(str(path), f"has no column {lacking[0]}", REMEDY))
    for number, row in rows:
        cells = dict(zip(columns, row, strict=False))
        if not (name := cells.get("filename", "").strip()):
            builder.say(f"row {number}: names no file", REMEDY)
            continue
        size = cells.get("file_size", "")
        about = _json_cell(cells.get("file_attributes", ""))
        image = found.setdefault((name, size), _Image(name, size, about))
        shape, own = (_json_cell(cells.get(column, "")) for column in COLUMNS[1:])
        if shape or own:
            image.regions.append((shape, own, f"row {number}"))
    return list(found.values())


def _json_cell(cell: str) -> Any:
    """What a cell says; its text where it is no JSON, which no region is made of."""
    try:
        return json.loads(cell) if cell.strip() else {}
    except (ValueError, RecursionError):
        return cell


def _once(images: list[_Image], builder: DocumentBuilder) -> list[_Image]:
    """Each image once: of entries of one name, which are of files of different sizes, the one that has regions; where
    several have different ones nothing says which one is meant, which is a problem, and they are left out."""
    of_name: dict[str, list[_Image]] = defaultdict(list)
    for one in images:
        of_name[one.name].append(one)
    found = []
    for name, own in of_name.items():
        drawn = [one for one in own if one.regions] or own[:1]
        said = [[region[:2] for region in one.regions] for one in drawn]
        if any(each != said[0] for each in said):
            sizes = " and ".join(one.size for one in drawn)
            message = f"the image {abridged(name, 200)} stands there several times, of files of {sizes} bytes"
            builder.say(message, "delete in VIA those that are not the photograph's")
        else:
            found.append(drawn[0])
    return found


def _add_region(
    shape: Any, attributes: Any, image: int, naming: Naming, points: list[LoosePoint], builder: DocumentBuilder
) -> None:
    """Adds a region to the document, a point to ``points``. Raises ValueError."""
    if not isinstance(shape, dict):
        raise ValueError(f"its shape is {short(shape, 60)}, expected an object")
    if not isinstance(attributes or {}, dict):
        raise ValueError(f"its attributes are {short(attributes, 60)}, expected an object")
    kind, attributes = str(shape.get("name")), attributes or {}
    if kind == "polyline" and not _is_closed(shape):
        builder.pass_over("open lines enclose nothing: passed over", "close them where they are outlines")
        return
    if kind != "point" and kind not in _FIGURES:
        builder.pass_over(f"regions of the shape {abridged(kind)} are passed over")
        return
    labels, group = naming.names(attributes), naming.group(attributes)
    if len(labels) > 1:
        builder.pass_over("regions have several names: each is used")
    for label in labels:
        if kind == "point":
            x, y = (_number(shape, key) for key in ("cx", "cy"))
            points.append((label, (x, y, 1 if naming.hidden(attributes) else 2), group))
        else:
            builder.add(image, label, group=group or None, **_FIGURES[kind](shape))


def _polygon(shape: dict) -> dict:
    return {"segmentation": [_corners(shape).ravel().tolist()]}


def _circle(shape: dict) -> dict:
    x, y, radius = (_number(shape, key) for key in ("cx", "cy", "r"))
    if radius <= 0:
        raise ValueError("is a circle without an area")
    return {"segmentation": [ellipse(x, y, radius, radius)]}


def _ellipse(shape: dict) -> dict:
    """Turned clockwise by radians, from VIA 2.0.9 on."""
    x, y, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
    if rx <= 0 or ry <= 0:
        raise ValueError("is an ellipse without an area")
    angle = float(np.degrees(_number(shape, "theta"))) if "theta" in shape else 0.0
    return {"segmentation": [ellipse(x, y, rx, ry, angle)]}


def _rect(shape: dict) -> dict:
    x, y, width, height = (_number(shape, key) for key in ("x", "y", "width", "height"))
    if width <= 0 or height <= 0:
        raise ValueError("is a box without an area")
    return {"bbox": [x, y, width, height]}


_FIGURES: dict[str, Callable[[dict], dict]] = {
    "polygon": _polygon,
    "polyline": _polygon,
    "circle": _circle,
    "ellipse": _ellipse,
    "rect": _rect,
}


def _is_closed(shape: dict) -> bool:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or not len(xs) == len(ys) > 3:
        return False
    return bool(xs[0] == xs[-1] and ys[0] == ys[-1])


def _number(shape: dict, key: str) -> float:
    number = finite(shape.get(key))
    if number is None:
        raise ValueError(f"{key} is {short(shape.get(key))}, expected a number")
    return number


def _corners(shape: dict) -> np.ndarray:
    """(n, 2) float64, n of at least 3. Raises ValueError."""
    axes = [shape.get(f"all_points_{axis}") for axis in "xy"]
    numbers = [[finite(value) for value in axis] if isinstance(axis, list) else [] for axis in axes]
    if len(numbers[0]) != len(numbers[1]) or len(numbers[0]) < 3 or None in numbers[0] + numbers[1]:
        came = " and ".join(f"{len(own)}" for own in numbers)
        raise ValueError(f"has {came} numbers for x and y, expected as many of both, three or more")
    return np.array(numbers, np.float64).T


GROUP, HIDDEN, SCORE = "object_id", "visibility", "score"
"""Attributes that are written: what regions of one object share, that of a keypoint that cannot be seen, and how sure a
region is."""


def write(document: Document, out: Path) -> None:
    """Writes a project of VIA 2, which opens by *Project > Load*. Its attributes: ``part``, what a region is called,
    ``object_id``, the same in regions of one object, ``visibility`` of hidden keypoints, and ``score``; of the files
    their ``width`` and ``height``.

    Masks become polygons along the edges of their pixels, one for each piece; one with holes becomes one polygon whose
    rings are joined by lines that enclose nothing. An image's entry may say with ``path`` where it lies.
    """
    of_image: dict[Any, list[dict]] = defaultdict(list)
    for entry in document.annotations:
        of_image[entry["image_id"]].append(entry)
    categories = {entry["id"]: entry for entry in document.categories}
    images: dict[str, dict] = {}
    names: dict[str, str] = {}
    for image in document.images:
        regions = list(_with_attributes(of_image[image["id"]], categories))
        names |= {own["region_attributes"][PART]: "" for own in regions}
        name, path = image["file_name"], image.get("path")
        size = os.path.getsize(path) if path else -1
        about = {side: str(image[side]) for side in _SIDES if image.get(side)}
        images[f"{name}{size}"] = {"filename": name, "size": size, "regions": regions, "file_attributes": about}
    text = {"type": "text", "description": "", "default_value": ""}
    part = {"type": "dropdown", "description": "", "options": names, "default_options": {}}
    attributes = {
        "region": {PART: part, GROUP: text, HIDDEN: text, SCORE: text},
        "file": {side: text for side in _SIDES},
    }
    paths = [(image["path"], image["file_name"]) for image in document.images if image.get("path")]
    folders = {path.removesuffix(name) for path, name in paths}
    core: dict[str, Any] = {
        "buffer_size": 18,
        "filepath": {},
        "default_filepath": folders.pop() if len(folders) == 1 else "",
    }
    whole: dict[str, Any] = {
        "_via_settings": {"core": core, "project": {"name": "coarseparts"}},
        "_via_img_metadata": images,
    }
    whole |= {"_via_attributes": attributes, "_via_data_format_version": "2.0.10"}
    write_json(whole | {"_via_image_id_list": list(images)}, out)


def _with_attributes(entries: list[dict], categories: dict[Any, dict]) -> Iterator[dict]:
    """The regions of an image's annotations."""
    groups: dict[str, str] = {}
    for entry in entries:
        own = list(_regions_of(entry, categories[entry["category_id"]]))
        name = entry.get("group") or (f"annotation {entry['id']}" if len(own) > 1 else "")
        more = {GROUP: groups.setdefault(name, str(len(groups) + 1))} if name else {}
        more |= {SCORE: f"{entry['score']:g}"} if "score" in entry else {}
        yield from ({"shape_attributes": shape, "region_attributes": about | more} for shape, about in own)


def _regions_of(entry: dict, category: dict) -> Iterator[tuple[dict, dict]]:
    """The shapes of an annotation, each with what it is called."""
    numbers = np.array(entry.get("keypoints") or [], np.float64).reshape(-1, 3)
    for name, (x, y, visibility) in zip(category.get("keypoints", ()), numbers.tolist(), strict=False):
        if visibility:
            hidden = {HIDDEN: "hidden"} if visibility == 1 else {}
            yield {"name": "point", "cx": x, "cy": y}, {PART: name} | hidden
    about = {PART: category["name"]}
    for polygon in _polygons_of(entry.get("segmentation")):
        xs, ys = np.array(polygon, np.float64).reshape(-1, 2).T.tolist()
        yield {"name": "polygon", "all_points_x": xs, "all_points_y": ys}, about
    if entry.get("bbox"):
        x, y, width, height = entry["bbox"]
        yield {"name": "rect", "x": x, "y": y, "width": width, "height": height}, about


def _polygons_of(outline: Any) -> list:
    if not isinstance(outline, dict):
        return outline or []
    rows, columns = outline["size"]
    mask = draw(outline, (columns, rows))
    whole, outer = rings(mask), outer_rings(mask)
    return list(outer) if len(whole) == len(outer) else [bridged(whole)]
