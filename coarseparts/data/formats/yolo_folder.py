"""YOLO folders written: data.yaml and a text file of labels for each image, whose images are to be put beside them."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.outlines import bridged, rings
from coarseparts.data.images import stem
from coarseparts.system.documents import dump_yaml
from coarseparts.system.problems import BadInput, Problem

DIGITS = 10
"""Digits of a share of the image: to a millionth of a pixel."""


def label_file(image: PurePath) -> PurePosixPath:
    """Where the labels of an image stand: beside it, or under labels instead of the last folder called images."""
    parts = list(PurePosixPath(image.as_posix()).with_suffix(".txt").parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return PurePosixPath(*parts)


def write(document: Document, out: Path) -> None:
    """Writes the folder ``out``; the images are to be put into its folder images, under the names that they have.

    Keypoints with their boxes, outlines, and boxes alone are three kinds of data set: where there are several, each
    gets a folder of its own in ``out``, pose, segment and detect. Pieces and holes of an outline become one polygon,
    along lines that enclose nothing. An object without a box gets that around its outline or keypoints in pose.
    Groups, scores and, where an outline has one, boxes are not written: YOLO has no place for them.

    Raises BadInput where the folder has something in it, two images would share a file of labels, or the size of an
    image with annotations is not known; then nothing is written.
    """
    if (out.is_dir() and any(out.iterdir())) or (out.exists() and not out.is_dir()):
        raise BadInput(Problem(str(out), "is there already, expected a new or empty folder", "name another one"))
    problems = _problems(document, out)
    kinds: dict[str, list[dict]] = {kind: [] for kind in _OBJECTS}
    for entry in document.annotations:
        if any(entry.get("keypoints") or ()):
            kinds["pose"].append(entry)
        if entry.get("segmentation"):
            kinds["segment"].append(entry)
        elif entry.get("bbox") and not any(entry.get("keypoints") or ()):
            kinds["detect"].append(entry)
    there = [kind for kind, entries in kinds.items() if entries] or ["detect"]
    files: dict[str, str] = {}
    for kind in there:
        prefix = f"{kind}/" if len(there) > 1 else ""
        try:
            files |= {prefix + name: text for name, text in _files(document, kind, kinds[kind])}
        except ValueError as error:
            problems.append(Problem(str(out), str(error), "give the images of the labels"))
    if problems:
        raise BadInput(problems)
    _write_all(files, out)


def _write_all(files: dict[str, str], out: Path) -> None:
    """Writes a folder beside its place first and moves it there."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name, text in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_text(text, encoding="utf-8")
        os.replace(part, out)  # which an empty folder gives way to
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _problems(document: Document, out: Path) -> list[Problem]:
    stems = Counter(stem(image["file_name"]) for image in document.images)
    twice = [name for name, number in stems.items() if number > 1]
    return [Problem(str(out), f"{name}: two images would have one file of labels", "rename one") for name in twice]


def _files(document: Document, kind: str, entries: list[dict]) -> Iterator[tuple[str, str]]:
    """(relative path, text) of a data set's files. Raises ValueError."""
    categories = {entry["id"]: i for i, entry in enumerate(document.categories)}
    named = [tuple(entry.get("keypoints", ())) for entry in document.categories]
    names = list(dict.fromkeys(name for each in named for name in each))
    config: dict[str, Any] = {"train": "./images", "val": "./images"}
    config["names"] = {i: entry["name"] for i, entry in enumerate(document.categories)}
    if kind == "pose":
        swapped = dict(document.mirror) | {b: a for a, b in document.mirror}
        config["kpt_shape"] = [len(names), 3]
        config["flip_idx"] = [names.index(swapped[n]) if swapped.get(n) in names else i for i, n in enumerate(names)]
        config["kpt_names"] = {i: names for i in config["names"]}
    if kind == "segment":
        config["task"] = "segment"  # without it outlines that are rectangles are read as boxes
    yield "data.yaml", dump_yaml(config)
    all_inside = all("images" in PurePosixPath(image["file_name"]).parts[:-1] for image in document.images)
    by_image: dict[int, list[dict]] = defaultdict(list)
    for entry in entries:
        by_image[entry["image_id"]].append(entry)
    for image in document.images:
        size = image.get("width") or 0, image.get("height") or 0
        if by_image[image["id"]] and not all(size):
            raise ValueError(f"image {image['file_name']}: its size is not known")
        lines = []
        for entry in by_image[image["id"]]:
            own = document.categories[categories[entry["category_id"]]].get("keypoints", ())
            numbers = _OBJECTS[kind](entry, size, own, names)
            shares = " ".join(np.format_float_positional(n, DIGITS, trim="-") for n in numbers)
            lines.append(f"{categories[entry['category_id']]} {shares}\n")
        at = PurePosixPath(image["file_name"])
        yield str(label_file(at if all_inside else "images" / at)), "".join(lines)


def _box(entry: dict, size: tuple[int, int], own: list[str], names: list[str]) -> list[float]:
    x, y, width, height = entry.get("bbox") or _around(entry, size)
    return [(x + width / 2) / size[0], (y + height / 2) / size[1], width / size[0], height / size[1]]


def _around(entry: dict, size: tuple[int, int]) -> list[float]:
    """The box around an object's outline or, where it has none, its keypoints; a pixel wide and high at least."""
    if entry.get("segmentation"):
        pixels = np.argwhere(draw(entry["segmentation"], size))[:, ::-1].astype(np.float64)
        low, high = pixels.min(0), pixels.max(0) + 1
    else:
        points = np.array(entry["keypoints"], np.float64).reshape(-1, 3)
        points = points[points[:, 2] > 0, :2]
        low, high = points.min(0), points.max(0)
        low, high = np.minimum(low, (low + high - 1) / 2), np.maximum(high, (low + high + 1) / 2)
    return [*low.tolist(), *(high - low).tolist()]


def _pose(entry: dict, size: tuple[int, int], own: list[str], names: list[str]) -> list[float]:
    points = dict(zip(own, np.array(entry["keypoints"], np.float64).reshape(-1, 3).tolist(), strict=False))
    numbers = _box(entry, size, own, names)
    for name in names:
        x, y, visibility = points.get(name, (0, 0, 0))
        numbers += [x / size[0], y / size[1], visibility] if visibility else [0, 0, 0]
    return numbers


def _segment(entry: dict, size: tuple[int, int], own: list[str], names: list[str]) -> list[float]:
    """One polygon of all of an outline: as it was drawn, where it is a single one or pieces that are apart; else along
    the edges of the pixels."""
    outline = entry["segmentation"]
    polygons = outline if isinstance(outline, list) else []
    pieces = [list(zip(polygon[0::2], polygon[1::2], strict=True)) for polygon in polygons]
    path = bridged(pieces) if pieces else []
    if len(pieces) != 1:
        mask = draw(outline, size)
        if not pieces or (draw([[float(n) for point in path for n in point]], size) != mask).any():
            path = bridged(rings(mask))
    return (np.array(path) / size).ravel().tolist()


_OBJECTS: dict[str, Callable[[dict, tuple[int, int], list[str], list[str]], list[float]]] = {
    "pose": _pose,
    "segment": _segment,
    "detect": _box,
}
"""What a line of each kind of data set says behind the class."""
