"""labelme: a JSON file beside each photograph, with polygons, rectangles, circles, points and masks."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.data.formats.annotation import leads_out
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import (
    HEAD,
    DocumentBuilder,
    finite,
    head,
    json_of,
    plain_path,
    write_json,
)
from coarseparts.data.formats.shapes import LoosePoint, add_points, cut_out, ellipse, placed
from coarseparts.data.formats.visibility import is_hidden, says_hidden
from coarseparts.data.images import MAX_PIXELS, pixels, stem
from coarseparts.data.suffixes import IMAGES
from coarseparts.labels.schema import unfit
from coarseparts.system.documents import in_utf_8
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, reason, short

NAME = "labelme"

REMEDY = "save it in labelme again"

_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_OF_LABELME = re.compile(rb'"(shape_type|imagePath|imageData)"\s*:')
_SUFFIXES = tuple(each for suffix in IMAGES for each in (suffix, suffix.upper()))

HIDDEN = "hidden"
"""The flag that is written to a point that cannot be seen."""


ORIENTATION = 0x0112
"""The tag of a photograph that says how to turn it."""


def recognises(path: Path) -> bool:
    """Whether a file, or one of the JSON files in a folder or below it, begins as labelme's do."""
    return any(_begins(head(file)) for file, _ in _files(path))


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """The file, or the JSON files in a folder and below it; and the folder of each relative to the whole one."""
    if not path.is_dir():
        yield path, "."
        return
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        below = Path(parent)
        folder = below.relative_to(path).as_posix()
        for name in sorted(files):
            if name.lower().endswith(".json") and not name.startswith("."):
                yield below / name, folder


def _begins(begin: bytes) -> bool:
    """Whether a file that begins so is labelme's."""
    begin = begin.lstrip()
    return begin.startswith(b"{") and bool(_SHAPES.search(begin) and _OF_LABELME.search(begin))


def _read(file: Path) -> bytes | None:
    """The bytes of a file of labelme's; None of another one. Raises OSError."""
    with open(file, "rb") as opened:
        begin = opened.read(HEAD)
        return begin + opened.read() if _begins(in_utf_8(begin)) else None


def read(path: Path) -> Document:
    """What people drew; shapes of one image and ``group_id`` are one object, points are keypoints of their label, and
    hidden where they have a flag that says so. Images are named relative to the folder, by ``imagePath`` as far as it
    does not lead out of it. Raises BadInput where there is no file of labelme."""
    builder = DocumentBuilder(path)
    seen: set[int] = set()
    found = False
    for file, folder in _files(path):
        if (raw := _read(file)) is None:
            continue
        found = True
        try:
            whole = json_of(file, REMEDY, raw)
            if not isinstance(whole, dict) or not isinstance(whole.get("shapes"), list):
                raise BadInput(Problem(str(file), "has no list of shapes", REMEDY))
        except BadInput as bad:
            for problem in bad.problems:
                builder.say(problem.message, problem.remedy, file=file)
            continue
        _add_file(file, whole, folder, builder, seen)
    if not found:
        raise BadInput(Problem(str(path), "holds no JSON file of labelme's, with shapes and imagePath", REMEDY))
    return builder.document()


def photographs_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each photograph that a file, or those of a folder, hold themselves, as ``read`` names
    them; without those that are there. Raises BadInput."""
    for file, folder in _files(path):
        if (raw := _read(file)) is None:
            continue
        whole = json_of(file, REMEDY, raw)
        written, data = (whole.get(key) if isinstance(whole, dict) else None for key in ("imagePath", "imageData"))
        if not isinstance(written, str) or not written.strip() or not isinstance(data, str) or not data:
            continue
        name = _near(written, folder)
        if not leads_out(name) and not ((path if path.is_dir() else path.parent) / name).exists():
            try:
                yield name, base64.b64decode(data, validate=True)
            except binascii.Error:
                raise BadInput(Problem(str(file), "imageData is no base64", REMEDY)) from None


def _add_file(file: Path, whole: dict, folder: str, builder: DocumentBuilder, seen: set[int]) -> None:
    path = whole.get("imagePath")
    size = tuple(value for key in ("imageWidth", "imageHeight") if type(value := whole.get(key)) is int and value > 0)
    size = size if len(size) == 2 else _size_within(whole.get("imageData"))
    if not isinstance(path, str) or not path.strip():
        builder.say(f"imagePath is {short(path)}, expected a file's name", REMEDY, file=file)
        return
    name = _beside(file, _near(path, folder), folder, builder)
    image = builder.image(name, (size[0], size[1]) if len(size) == 2 else None)
    if image is None:
        return
    if image in seen:
        builder.say(f"is a second file of the image {abridged(name, 200)}", "keep one of them", file=file)
        return
    seen.add(image)
    points: list[LoosePoint] = []
    for number, shape in enumerate(whole["shapes"], start=1):
        try:
            _add_shape(shape, image, size, points, builder)
        except ValueError as error:
            builder.say(f"shape {number}: {error}", REMEDY, file=file)
    add_points(builder, image, name, points)


def _size_within(data: Any) -> tuple[int, ...]:
    """(width, height) of the photograph that a file holds, which says nothing else of it before labelme 4; () where it
    holds none that is upright."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(data or "")), formats=("JPEG", "PNG", "BMP", "TIFF")) as picture:
            return picture.size if picture.getexif().get(ORIENTATION, 1) == 1 else ()
    except (OSError, TypeError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ()


def _near(path: str, folder: str) -> str:
    """The name of an image relative to the whole folder; of another machine's path, and of one that leads to the side,
    what can be found below: the file's name, or what follows ".."."""
    plain, elsewhere = plain_path(path)
    parts = plain.split("/")
    if elsewhere:
        return parts[-1] if folder == "." else f"{folder}/{parts[-1]}"
    if ".." in parts:
        return "/".join(parts[len(parts) - parts[::-1].index("..") :]) or plain
    return plain if folder == "." else f"{folder}/{plain}"


def _beside(file: Path, name: str, folder: str, builder: DocumentBuilder) -> str:
    """The name of an image or, where it is not there, that of the one beside the file that is called as the file is:
    both were renamed. Where both are there the file's own word counts, which a note says."""
    root = builder.file if builder.file.is_dir() else file.parent
    if stem(name).rpartition("/")[2] == file.stem:
        return name
    own = [suffix for suffix in _SUFFIXES if file.with_suffix(suffix).is_file()]
    if not own:
        return name
    if (root / name).is_file():
        what = "files name another image than the one beside them that is called as they are: imagePath counts"
        builder.pass_over(what, "correct imagePath where the other one is meant")
        return name
    builder.pass_over("files name an image that is not there: the one beside each that is called as it is, is meant")
    return f"{file.stem}{own[0]}" if folder == "." else f"{folder}/{file.stem}{own[0]}"


def _add_shape(
    shape: Any, image: int, size: tuple[int, ...], points: list[LoosePoint], builder: DocumentBuilder
) -> None:
    """Adds a shape to the document, a point to ``points``. Raises ValueError."""
    if not isinstance(shape, dict):
        raise ValueError(f"is {short(shape)}, expected an object")
    label, kind, group = shape.get("label"), shape.get("shape_type") or "polygon", shape.get("group_id")
    if not isinstance(label, str) or unfit(label):
        raise ValueError(f"label is {short(label)}, expected a name")
    group = int(group) if type(group) is float and group % 1 == 0 else group
    if type(group) not in (int, str, type(None)):
        raise ValueError(f"group_id is {short(group)}, expected a whole number or null")
    group = "" if group is None else str(group)
    if kind == "point":
        points.append((label, (*_corners(shape, 1)[0].tolist(), 1 if _is_hidden(shape) else 2), group))
    elif isinstance(kind, str) and kind in _FIGURES:
        builder.add(image, label, group=group or None, **_FIGURES[kind](shape, size))
    else:
        builder.pass_over(f"shapes of the kind {abridged(str(kind))} are passed over")


def _is_hidden(shape: dict) -> bool:
    """Whether a point cannot be seen: a flag, an attribute or its description says so, or it is marked as difficult,
    which is how X-AnyLabeling says it."""
    said = [each for name in ("flags", "attributes") if isinstance(each := shape.get(name), dict)]
    told = any(says_hidden(str(key), [value]) for each in said for key, value in each.items())
    return told or is_hidden(shape.get("description")) or shape.get("difficult") is True


def _polygon(shape: dict, size: tuple[int, ...]) -> dict:
    return {"segmentation": [_corners(shape, 3).ravel().tolist()]}


def _circle(shape: dict, size: tuple[int, ...]) -> dict:
    centre, edge = _corners(shape, 2)[:2]
    radius = float(np.hypot(*(edge - centre)))
    if not radius:
        raise ValueError("is a circle without an area")
    return {"segmentation": [ellipse(float(centre[0]), float(centre[1]), radius, radius)]}


def _rectangle(shape: dict, size: tuple[int, ...]) -> dict:
    corners = _corners(shape, 2)
    low, high = corners.min(0), corners.max(0)
    if (high <= low).any():
        raise ValueError("is a box without an area")
    return {"bbox": [*low.tolist(), *(high - low).tolist()]}


def _mask(shape: dict, size: tuple[int, ...]) -> dict:
    """A picture in base64, whose upper left pixel is the first point."""
    corners = _corners(shape, 1)
    left, top = np.round(corners[0]).astype(int).tolist()
    if len(size) != 2:
        raise ValueError("is a mask, of an image without imageWidth and imageHeight")
    try:
        raw = base64.b64decode(shape.get("mask") or "", validate=True)
        with Image.open(io.BytesIO(raw), formats=("PNG",)) as picture:
            if picture.size[0] * picture.size[1] > MAX_PIXELS:
                raise ValueError("more than 100 megapixels")
            plain = picture.mode in ("1", "L")  # as labelme writes it
            mask = np.asarray(picture) > 0 if plain else pixels(picture, "mask")[0].max(-1) > 0
    except (binascii.Error, OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"its mask cannot be read ({reason(error, 100)})") from None
    box = np.round(corners.max(0) - corners.min(0)).astype(int).tolist()
    if len(corners) == 2 and max(abs(own - side) for own, side in zip(mask.shape[::-1], box, strict=True)) > 2:
        raise ValueError(f"its mask has {mask.shape[1]}x{mask.shape[0]} pixels, and its box {box[0]}x{box[1]}")
    return {"segmentation": placed(mask, left, top, (size[0], size[1]))}


_FIGURES: dict[str, Callable[[dict, tuple[int, ...]], dict]] = {
    "polygon": _polygon,
    "rotation": _polygon,
    "oriented_rectangle": _polygon,
    "circle": _circle,
    "rectangle": _rectangle,
    "mask": _mask,
}


def _corners(shape: dict, least: int) -> np.ndarray:
    """(n, 2) float64, n of at least ``least``. Raises ValueError."""
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise ValueError(f"points are {short(points, 60)}, expected [[x, y], ...]")
    numbers = [finite(value) for point in points for value in point]
    if None in numbers or len(points) < least:
        raise ValueError(f"points are {short(points, 60)}, expected {least} or more of finite numbers")
    return np.array(numbers, np.float64).reshape(-1, 2)


def write(document: Document, out: Path) -> None:
    """Writes a file for each image into the folder ``out``, under the image's name. An image's entry may say with
    ``path`` where it lies, and imagePath then leads there; else the files belong beside the images.

    RLE is written as a mask, a score beside its shape. Raises BadInput where the folder has something in it, or two
    images would share a file; then nothing is written.
    """
    if (out.is_dir() and any(out.iterdir())) or (out.exists() and not out.is_dir()):
        raise BadInput(Problem(str(out), "is there already, expected a new or empty folder", "name another one"))
    files: dict[Path, dict] = {}
    of_image: dict[Any, list[dict]] = defaultdict(list)
    for entry in document.annotations:
        of_image[entry["image_id"]].append(entry)
    categories = {entry["id"]: entry for entry in document.categories}
    for image in document.images:
        file = out / f"{stem(image['file_name'])}.json"
        if file in files:
            message = f"two images would share the file {abridged(file, 200)}"
            raise BadInput(Problem(str(out), message, "give the images different names"))
        files[file] = _file_of(image, of_image[image["id"]], categories, file)
    for file, content in files.items():
        write_json(content, file)


def _file_of(image: dict, annotations: list[dict], categories: dict[Any, dict], file: Path) -> dict:
    path = image.get("path")
    leads = os.path.relpath(path, file.parent) if path else os.path.basename(image["file_name"])
    shapes: list[dict] = []
    groups: dict[str, int] = {}
    for entry in annotations:
        own = list(_shapes_of(entry, categories[entry["category_id"]], (image["width"], image["height"])))
        name = entry.get("group") or (f"annotation {entry['id']}" if len(own) > 1 else "")
        group = groups.setdefault(name, len(groups) + 1) if name else None
        more = {"score": entry["score"]} if "score" in entry else {}
        shapes += [{"label": "", "group_id": group, "description": "", "flags": {}} | shape | more for shape in own]
    about: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": leads, "imageData": None}
    return about | {"imageHeight": image["height"], "imageWidth": image["width"]}


def _shapes_of(entry: dict, category: dict, size: tuple[int, int]) -> Iterator[dict]:
    numbers = np.array(entry.get("keypoints") or [], np.float64).reshape(-1, 3)
    for name, (x, y, visibility) in zip(category.get("keypoints", ()), numbers.tolist(), strict=False):
        if visibility:
            hidden = {"flags": {HIDDEN: True}} if visibility == 1 else {}
            yield {"label": name, "shape_type": "point", "points": [[x, y]]} | hidden
    label, outline = category["name"], entry.get("segmentation")
    if isinstance(outline, dict):
        mask, left, top = cut_out(outline, size)
        corners = [[left, top], [left + mask.shape[1] - 1, top + mask.shape[0] - 1]]
        yield {"label": label, "shape_type": "mask", "points": corners, "mask": _encoded(mask)}
    for polygon in outline if isinstance(outline, list) else ():
        points = np.array(polygon, np.float64).reshape(-1, 2).tolist()
        yield {"label": label, "shape_type": "polygon", "points": points}
    if entry.get("bbox"):
        x, y, width, height = entry["bbox"]
        yield {"label": label, "shape_type": "rectangle", "points": [[x, y], [x + width, y + height]]}


def _encoded(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
