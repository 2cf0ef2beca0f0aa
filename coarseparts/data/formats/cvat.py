"""CVAT for images 1.1: one XML file with skeletons, masks, polygons, ellipses, boxes and points."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import DocumentBuilder, Keypoints, head
from coarseparts.data.formats.shapes import LoosePoint, add_points, cut_out, ellipse, placed, turned
from coarseparts.data.formats.units import MOST
from coarseparts.data.formats.visibility import says_hidden
from coarseparts.system.documents import DocumentError, load_xml
from coarseparts.system.files import write_whole
from coarseparts.system.problems import BadInput, Problem, unreadable
from coarseparts.system.text import abridged, listed, short

NAME = "CVAT for images"

REMEDY = "export the task as CVAT for images 1.1"

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold."""

FILE = "annotations.xml"
"""What CVAT calls the file in its archive."""


def recognises(path: Path) -> bool:
    """Whether a file, or annotations.xml of a folder, begins as CVAT's annotations do."""
    begin = head(path / FILE if path.is_dir() else path).lstrip()
    return begin.startswith(b"<") and b"<annotations" in begin and any(key in begin for key in _BEGIN)


_BEGIN = (b"<version>", b"<meta>", b"<image ", b"<track ")


def read(path: Path) -> Document:
    """What people drew: a skeleton's point is absent where it is outside, hidden where it is occluded. Shapes of one
    image and group are one object; those of a higher z-order lie over the others. Raises BadInput."""
    file = path / FILE if path.is_dir() else path
    try:
        root = load_xml(file)
    except OSError as error:
        raise BadInput(unreadable(file, error, "name an existing file")) from None
    except DocumentError as error:
        raise BadInput(Problem(str(file), str(error), REMEDY)) from None
    if root.tag != "annotations":
        raise BadInput(Problem(str(file), f"is XML of {short(root.tag)}, expected annotations", REMEDY))
    if root.find("track") is not None:
        raise BadInput(Problem(str(file), "is CVAT for video, with tracks", REMEDY))
    builder = DocumentBuilder(file)
    for label in root.iterfind("meta//labels/label"):
        if label.findtext("parent"):
            builder.category(label.findtext("parent", ""), [label.findtext("name", "")])
    _say_numbers(root, builder)
    images = list(_once(root.findall("image"), builder))
    for image in images:
        _add_image(image, builder)
    _say_attributes(images, builder)
    subsets = Counter(subset for image in images if (subset := image.get("subset")))
    if len(subsets) > 1:
        told = listed(f"{abridged(subset)} ({count:,})" for subset, count in subsets.items())
        builder.say(f"its images are of the subsets {told}, which say nothing here", "divide them by `only`", "note")
    return builder.document()


def _say_numbers(root: Element, builder: DocumentBuilder) -> None:
    """A note on skeletons of several labels whose points have the numbers that CVAT gives them for names: those of one
    number are taken for the same keypoint."""
    numbers: dict[str, set[str]] = defaultdict(set)
    for skeleton in root.iterfind("image/skeleton"):
        own = {point.get("label") or "" for point in skeleton.iterfind("points")}
        numbers[skeleton.get("label") or ""] |= {name for name in own if name.isdecimal()}
    shared = {name for name, count in Counter(name for own in numbers.values() for name in own).items() if count > 1}
    if shared:
        labels = listed(abridged(label) for label, own in numbers.items() if own & shared)
        message = f"the skeletons {labels} have points called {listed(sorted(shared))}, taken for the same keypoints"
        builder.say(message, "if they are others, give the points names of their own in CVAT", "note")


def _say_attributes(images: list[Element], builder: DocumentBuilder) -> None:
    """A note on attributes that tell the shapes of one label in an image apart: they may be what was meant."""
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    apart: dict[tuple[str, str], int] = Counter()
    for image in images:
        here: dict[tuple[str, str], list[str]] = defaultdict(list)
        for shape in (shape for shape in image if shape.tag in _FIGURES):
            for attribute in shape.iterfind("attribute"):
                here[shape.get("label") or "", attribute.get("name") or ""].append((attribute.text or "").strip())
        for key, own in here.items():
            values[key].update(own)
            apart[key] += len(own) > 1 and len({*own}) == len(own)
    for (label, name), count in apart.items():
        if count * 2 > len(images) > 0:
            told = listed((abridged(value, 40) for value in sorted(values[label, name])), 8)
            message = f"shapes of the label {abridged(label)} differ in the attribute {abridged(name)} ({told})"
            remedy = "if these are parts, give the shapes labels of these names"
            builder.say(f"{message}, which is not read", remedy, "note")


def _once(images: list[Element], builder: DocumentBuilder) -> Iterator[Element]:
    """Each image once, with its shapes: of the tasks of a project several may have images of one name; where they have
    other shapes nothing says which one is meant, which is a problem, and they are left out."""
    of_name: dict[str | None, list[Element]] = defaultdict(list)
    for image in images:
        of_name[image.get("name")].append(image)
    for name, own in of_name.items():
        drawn = [image for image in own if len(image)] or own[:1]
        if len({b"".join(tostring(shape).strip() for shape in image) for image in drawn}) > 1:
            message = f"image {abridged(name or '?', 200)} stands there {len(drawn)} times, with other shapes each"
            builder.say(message, "export each task by itself, and name the photographs of each in a source of its own")
        else:
            yield drawn[0]


def _add_image(image: Element, builder: DocumentBuilder) -> None:
    name = image.get("name")
    try:
        size = (_whole(image, "width", 1), _whole(image, "height", 1))
    except ValueError as error:
        builder.say(f"image {abridged(name or '?', 200)}: {error}", REMEDY)
        return
    key = builder.image(name, size)
    if key is None:
        return
    points: list[LoosePoint] = []
    shapes = list(enumerate(image, start=1))
    for number, shape in sorted(shapes, key=lambda pair: _order(pair[1])):
        try:
            _add_shape(shape, key, size, points, builder)
        except ValueError as error:
            builder.say(f"image {abridged(name or '', 200)}, shape {number} ({abridged(shape.tag)}): {error}", REMEDY)
    add_points(builder, key, name or "", points)


def _order(shape: Element) -> float:
    try:
        return _number(shape, "z_order", 0)
    except ValueError:
        return 0


def _add_shape(
    shape: Element, image: int, size: tuple[int, int], points: list[LoosePoint], builder: DocumentBuilder
) -> None:
    """Adds a shape to the document, a loose point to ``points``. Raises ValueError."""
    label, group = shape.get("label") or "", shape.get("group_id", "0")
    group = "" if group == "0" else group
    if shape.get("outside") == "1":
        builder.pass_over("shapes of tracks are outside their image: they are not there")
    elif shape.tag == "skeleton":
        if keypoints := _skeleton(shape):
            builder.add(image, label, keypoints, group=group or None)
        else:
            builder.pass_over("skeletons have no point that is not outside: they say nothing")
    elif shape.tag == "points":
        xy = _pairs(shape)
        if len(xy) == 1:
            points.append((label, (*xy[0].tolist(), _visibility(shape)), group))
        else:
            builder.pass_over(
                "shapes of several points, which have no names, are passed over", "draw skeletons in their place"
            )
    elif shape.tag in _FIGURES:
        if _number(shape, "rotation", 0) and shape.tag == "box":
            builder.pass_over("boxes are turned: the upright boxes around them are used")
        layer = int(_order(shape)) or None
        builder.add(image, label, group=group or None, layer=layer, **_FIGURES[shape.tag](shape, size))
    else:
        builder.pass_over(f"shapes of the kind {abridged(shape.tag)} are passed over")


def _skeleton(shape: Element) -> Keypoints:
    found: Keypoints = {}
    for point in shape.iterfind("points"):
        name = point.get("label") or ""
        if name in found:
            raise ValueError(f"the point {abridged(name)} stands twice")
        if point.get("outside") != "1":
            xy = _pairs(point)
            if len(xy) != 1:
                raise ValueError(f"the point {abridged(name)} has {len(xy)} places, expected one")
            found[name] = (*xy[0].tolist(), _visibility(point))
    return found


def _visibility(shape: Element) -> int:
    """1 where a point is occluded, or an attribute of it says so, else 2."""
    said = ((each.get("name") or "", [each.text or ""]) for each in shape.iterfind("attribute"))
    return 1 if shape.get("occluded") == "1" or any(says_hidden(*each) for each in said) else 2


def _polygon(shape: Element, size: tuple[int, int]) -> dict:
    points = _pairs(shape)
    if len(points) < 3:
        raise ValueError(f"has {len(points)} corners, expected at least 3")
    return {"segmentation": [points.ravel().tolist()]}


def _ellipse(shape: Element, size: tuple[int, int]) -> dict:
    x, y, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
    return {"segmentation": [ellipse(x, y, abs(rx), abs(ry), _number(shape, "rotation", 0))]}


def _box(shape: Element, size: tuple[int, int]) -> dict:
    x0, y0, x1, y1 = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    half = np.array([x1 - x0, y1 - y0]) / 2
    corners = turned(
        half * [[-1, -1], [1, -1], [1, 1], [-1, 1]], (x0 + x1) / 2, (y0 + y1) / 2, _number(shape, "rotation", 0)
    )
    low, high = corners.min(0), corners.max(0)
    if (high <= low).any():
        raise ValueError("is a box without an area")
    return {"bbox": [*low.tolist(), *(high - low).tolist()]}


def _mask(shape: Element, size: tuple[int, int]) -> dict:
    """Runs of 0 and 1 in turn, along the rows of the mask's own box."""
    left, top = _whole(shape, "left", -size[0]), _whole(shape, "top", -size[1])
    width, height = _whole(shape, "width", 1), _whole(shape, "height", 1)
    if width > 2 * size[0] or height > 2 * size[1]:
        raise ValueError(f"is a mask of {width:,}x{height:,} pixels in an image of {size[0]:,}x{size[1]:,}")
    try:
        runs = [int(run) for run in (shape.get("rle") or "").split(",")]
    except ValueError:
        raise ValueError(f"rle is {short(shape.get('rle'))}, expected whole numbers") from None
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"the runs of its mask add up to {sum(runs):,}, expected {width * height:,}")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return {"segmentation": placed(mask, left, top, size)}


_FIGURES: dict[str, Callable[[Element, tuple[int, int]], dict]] = {
    "polygon": _polygon,
    "ellipse": _ellipse,
    "box": _box,
    "mask": _mask,
}


def _pairs(shape: Element) -> np.ndarray:
    """(n, 2) of "x,y;x,y". Raises ValueError."""
    text = shape.get("points") or ""
    try:
        pairs = [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split(";"))]
        if not all(abs(x) <= MOST and abs(y) <= MOST for x, y in pairs):
            raise ValueError
    except ValueError:
        raise ValueError(f"points are {short(text)}, expected x,y;x,y;...") from None
    return np.array(pairs, np.float64)


def _number(shape: Element, key: str, default: float | None = None) -> float:
    text = shape.get(key)
    if text is None and default is not None:
        return default
    try:
        number = float(text or "")
        if not abs(number) <= MOST:
            raise ValueError
    except ValueError:
        raise ValueError(f"{key} is {short(text)}, expected a number") from None
    return number


def _whole(shape: Element, key: str, least: int) -> int:
    number = _number(shape, key)
    if number % 1 or number < least:
        raise ValueError(f"{key} is {short(shape.get(key))}, expected a whole number from {least} on")
    return int(number)


def write(document: Document, out: Path) -> None:
    """Writes the XML file ``out`` that a task of the same images and labels imports: keypoints as skeletons, RLE as
    masks, polygons and boxes as they are; what is one object has one group.

    A category with keypoints is a skeleton there, and what else is drawn of it has the label "<category> shape". CVAT
    has no place for scores. Raises BadInput for an image without a size and for what XML cannot hold.
    """
    problems = [Problem(str(out), f"{what}", "name it otherwise, or give the image") for what in _unfit(document)]
    if problems:
        raise BadInput(problems)
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    categories = {entry["id"]: entry for entry in document.categories}
    for entry in document.categories:
        _add_labels(labels, entry)
    of_image: dict[Any, list[dict]] = defaultdict(list)
    for entry in document.annotations:
        of_image[entry["image_id"]].append(entry)
    for number, image in enumerate(document.images):
        width, height = image["width"], image["height"]
        about = {"id": number, "name": image["file_name"], "width": width, "height": height}
        below = SubElement(root, "image", {key: str(value) for key, value in about.items()})
        groups: dict[str, str] = {}
        for entry in of_image[image["id"]]:
            shapes = list(_shapes(entry, categories[entry["category_id"]], (width, height)))
            name = entry.get("group") or (f"annotation {entry['id']}" if len(shapes) > 1 else "")
            group = groups.setdefault(name, str(len(groups) + 1)) if name else ""
            for shape in shapes:
                shape.attrib |= {"group_id": group} if group else {}
                below.append(shape)
    indent(root)
    write_whole(out, tostring(root, "utf-8", xml_declaration=True))


def _unfit(document: Document) -> Iterator[str]:
    names = [entry["file_name"] for entry in document.images]
    for entry in document.categories:
        names += [entry["name"], *entry.get("keypoints", ())]
    yield from (f"the name {abridged(name)} cannot be written in XML" for name in names if _NO_XML.search(name))
    for entry in document.images:
        if not (entry.get("width") and entry.get("height")):
            yield f"the size of image {abridged(entry['file_name'], 200)} is not known"


def _add_labels(labels: Element, category: dict) -> None:
    names = category.get("keypoints", ())
    told = [(_figure_of(category), "any", "")]
    told += [(category["name"], "skeleton", "")] if names else []
    for name, kind, parent in (*told, *((name, "points", category["name"]) for name in names)):
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "type").text = kind
        SubElement(label, "attributes")
        if parent:
            SubElement(label, "parent").text = parent


def _figure_of(category: dict) -> str:
    return f"{category['name']} shape" if category.get("keypoints") else category["name"]


def _shapes(entry: dict, category: dict, size: tuple[int, int]) -> Iterator[Element]:
    """The shapes of an annotation. Raises BadInput where its mask is broken."""
    source = {"source": "auto" if "score" in entry else "manual", "z_order": str(entry.get("layer", 0))}
    figure = {"label": _figure_of(category), "occluded": "0"} | source
    if any(entry.get("keypoints") or ()):
        skeleton = Element("skeleton", {"label": category["name"]} | source)
        numbers = np.array(entry["keypoints"], np.float64).reshape(-1, 3)
        for name, (x, y, visibility) in zip(category["keypoints"], numbers.tolist(), strict=True):
            state = {"outside": str(int(visibility == 0)), "occluded": str(int(visibility == 1))}
            SubElement(skeleton, "points", {"label": name, "points": f"{x:.10g},{y:.10g}"} | state)
        yield skeleton
    outline = entry.get("segmentation")
    if isinstance(outline, dict):
        mask, left, top = cut_out(outline, size)
        place = {"left": left, "top": top, "width": mask.shape[1], "height": mask.shape[0]}
        runs = {"rle": ", ".join(map(str, _runs_of(mask.ravel())))}
        yield Element("mask", figure | runs | {key: str(value) for key, value in place.items()})
    for polygon in outline if isinstance(outline, list) else ():
        points = ";".join(f"{x:.10g},{y:.10g}" for x, y in zip(polygon[::2], polygon[1::2], strict=True))
        yield Element("polygon", figure | {"points": points})
    if entry.get("bbox"):
        x, y, width, height = entry["bbox"]
        sides = {"xtl": x, "ytl": y, "xbr": x + width, "ybr": y + height}
        yield Element("box", figure | {key: f"{value:.10g}" for key, value in sides.items()})


def _runs_of(values: np.ndarray) -> list[int]:
    """The lengths of the runs of False and True in turn, beginning with False."""
    ends = np.flatnonzero(values[1:] != values[:-1]) + 1
    runs = np.diff(np.concatenate([[0], ends, [len(values)]])).tolist()
    return [0, *runs] if values[0] else runs
