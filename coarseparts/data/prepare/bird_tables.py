"""CUB-200-2011 and NABirds as their authors publish them: images, the official split, boxes and keypoints.

CUB-200-2011: 11,788 bird photographs with 15 keypoints, a box and, separately, figure-ground masks. NABirds (Van Horn
et al., CVPR 2015): 48,562 of 555 categories with 11 keypoints and a box. Both list them in the same text files:
``images.txt`` (id and path), ``train_test_split.txt`` (1 = train), ``bounding_boxes.txt`` (x, y, width, height),
``parts/parts.txt`` (number and name), ``parts/part_locs.txt`` (image, part, x, y, visible) and, in NABirds,
``sizes.txt`` (width, height). Coordinates are taken as they stand; a keypoint that is not visible becomes (0, 0, 0).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from coarseparts.data.formats.annotation import Annotation, inside
from coarseparts.data.formats.mask_folder import MapFile
from coarseparts.data.formats.units import MOST
from coarseparts.labels.given import Given, Points
from coarseparts.labels.schema import MOST_KEYPOINTS, unfit
from coarseparts.system.problems import Problem, unreadable
from coarseparts.system.text import abridged, short

_NAMES = ("images.txt", "parts/parts.txt")
_NUMBERS = {"train_test_split.txt": 1, "bounding_boxes.txt": 4, "parts/part_locs.txt": 4}


@dataclass(frozen=True)
class Layout:
    """What the archives differ in. ``archive``: the file to restore a damaged one from; ``id_name``: what an image's id
    is, ``id_pattern``: a regular expression for it; ``numbers``: how many follow the id in each line, by file."""

    archive: str
    id_name: str
    id_pattern: str
    numbers: Mapping[str, int]


CUB = Layout("CUB_200_2011.tgz", "number", "[0-9]+", _NUMBERS)
"""Ids of images are numbers, which need not be consecutive; nor need those of parts."""

NABIRDS = Layout("nabirds.tar.gz", "UUID", "[0-9A-Fa-f-]+", _NUMBERS | {"sizes.txt": 2})
"""Ids of images are hyphenated UUIDs, numbers of parts start at 0, and ``sizes.txt`` tells when an image is not the
annotated one."""

NABIRDS_KEYPOINTS = (
    *("bill", "crown", "nape", "left eye", "right eye", "belly", "breast", "back", "tail", "left wing", "right wing"),
)
"""The keypoints of NABirds' published archive, in its order."""


@dataclass(frozen=True)
class _Tables:
    """The files' content, a row per image: ``boxes`` (N, 4) x0, y0, x1, y1 (nan: none), ``train`` (N,) 1, 0 or -1 for
    unknown, ``keypoints`` (N, K, 3) with v = 2 or all zeros, ``sizes`` (N, 2) width, height (0: not stated)."""

    ids: list[str]
    images: list[str]
    names: tuple[str, ...]
    keypoints: np.ndarray
    boxes: np.ndarray
    train: np.ndarray
    sizes: np.ndarray


def read_annotations(
    layout: Layout, folder: Path, split: str | None, masks: Path | None = None
) -> tuple[list[Annotation], list[Problem]]:
    """One annotation per image of the official split ("train"; "val" and "test" both give the official test images),
    or of all images (None).

    Keypoints are (x, y, v) with v = 2, or zeros where they are not visible. ``masks``: folder with a PNG per image,
    grey = share of the annotators who said "bird"; images without one have no mask. An empty list and problems when a
    file is missing or malformed.
    """
    tables, problems = _read_tables(layout, folder)
    annotations: list[Annotation] = []
    if tables is None:
        return annotations, problems
    has_box = np.all(tables.boxes[:, 2:] > tables.boxes[:, :2], axis=1)  # nan: none
    has_keypoints = np.any(tables.keypoints, axis=(1, 2))
    has_size = np.all(tables.sizes > 0, axis=1)
    for row, (key, name, train) in enumerate(zip(tables.ids, tables.images, tables.train.tolist(), strict=True)):
        where = f"image {key}"
        try:
            image = inside(name)
        except ValueError as error:
            problems.append(Problem(str(folder / "images.txt"), f"{where}: {error}", "correct the path"))
            continue
        if split is not None and train not in (0, 1):
            message = f"{where}: no 0 or 1 for it, so its split is unknown"
            problems.append(Problem(str(folder / "train_test_split.txt"), message, "add the line"))
            continue
        if split is not None and (train == 1) != (split == "train"):
            continue
        width, height = tables.sizes[row].astype(int).tolist()
        given = partial(Given, file=str(folder), where=where, size=(width, height) if has_size[row] else None)
        labels = {}
        if has_keypoints[row]:
            labels["keypoints"] = given(Points(tables.names, tables.keypoints[row]))
        if has_box[row]:
            labels["box"] = given(tables.boxes[row])
        else:
            message = f"{where}: no box with an area; used without a box"
            problems.append(Problem(str(folder / "bounding_boxes.txt"), message, "correct the line", "repaired"))
        if masks is not None and (mask := masks / PurePosixPath(image).with_suffix(".png")).is_file():
            labels["mask"] = given(MapFile(mask), file=str(mask))
        annotations.append(Annotation(str(folder), where, image, key, True, tables.names, labels))
    return annotations, problems


def _read_tables(layout: Layout, folder: Path) -> tuple[_Tables | None, list[Problem]]:
    """All files of an archive's folder; None and problems when one is missing or malformed. Lines of images and parts
    that are not listed are problems, too, and left out."""
    problems = []
    named: dict[str, list[list[str]]] = {}
    numbers: dict[str, tuple[list[str], np.ndarray]] = {}
    restore = f"restore it from {layout.archive}"
    for name in (*_NAMES, *layout.numbers):
        try:
            text = (folder / name).read_text(encoding="utf-8-sig")
            if name in _NAMES:
                kind = (layout.id_name, layout.id_pattern) if name == "images.txt" else ("number", "[0-9]+")
                named[name] = _names(text, *kind)
                if name == "parts/parts.txt":
                    _check_keypoints([keypoint for _, keypoint in named[name]])
            else:
                numbers[name] = _numbers(text, layout.numbers[name], layout.id_name)
        except OSError as error:
            problems.append(unreadable(folder / name, error, restore))
        except ValueError as error:  # bytes that are no UTF-8 among them
            problems.append(Problem(str(folder / name), str(error), restore))
    if problems:
        return None, problems

    rows = {key: row for row, (key, _) in enumerate(named["images.txt"])}
    columns = {float(number): column for column, (number, _) in enumerate(named["parts/parts.txt"])}

    def known(name: str, place: np.ndarray, what: str) -> np.ndarray:
        """Which lines of a file speak of something that is listed."""
        unknown = place < 0
        if unknown.any():
            message = f"{int(unknown.sum())} lines of {what} not listed, the first is line {int(unknown.argmax()) + 1}"
            problems.append(Problem(str(folder / name), message, f"take all files from the same {layout.archive}"))
        return ~unknown

    def per_image(name: str, empty: float) -> np.ndarray:
        """(N, columns) of a file with a line per image, ``empty`` where it has none."""
        ids, values = numbers[name]
        table = np.full((len(rows), values.shape[1]), empty)
        row = np.array([rows.get(i, -1) for i in ids], np.int64)
        listed = known(name, row, "images")
        table[row[listed]] = values[listed]
        return table

    boxes = per_image("bounding_boxes.txt", np.nan).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    train = per_image("train_test_split.txt", -1)[:, 0].astype(np.int64)
    sizes = per_image("sizes.txt", 0) if "sizes.txt" in numbers else np.zeros((len(rows), 2))

    keypoints = np.zeros((len(rows), len(columns), 3), np.float32)
    ids, values = numbers["parts/part_locs.txt"]
    row = np.array([rows.get(i, -1) for i in ids], np.int64)
    column = np.array([columns.get(part, -1) for part in values[:, 0].tolist()], np.int64)
    listed = known("parts/part_locs.txt", row, "images") & known("parts/part_locs.txt", column, "parts")
    visible = listed & (values[:, 3] > 0)
    keypoints[row[visible], column[visible], :2] = values[visible, 1:3]
    keypoints[row[visible], column[visible], 2] = 2
    names = tuple(name for _, name in named["parts/parts.txt"])
    keys, images = ([line[i] for line in named["images.txt"]] for i in (0, 1))
    return _Tables(keys, images, names, keypoints, boxes, train, sizes), problems


def _names(text: str, id_name: str, id_pattern: str) -> list[list[str]]:
    """Lines "id name"; the name may hold spaces. Raises ValueError naming the first bad line."""
    lines = []
    seen = set()
    for i, line in enumerate(text.splitlines()):
        fields = line.split(maxsplit=1)
        if not fields:
            continue
        if len(fields) != 2 or not re.fullmatch(id_pattern, fields[0]):
            raise ValueError(f"line {i + 1} is {short(line, 60)}, expected a {id_name} and a name")
        if fields[0] in seen:
            raise ValueError(f"line {i + 1}: {id_name} {abridged(fields[0])} stands twice")
        seen.add(fields[0])
        lines.append([fields[0], fields[1].strip()])
    return lines


def _check_keypoints(names: list[str]) -> None:
    """Raises ValueError where they are no names for keypoints, or too many."""
    if len(names) > MOST_KEYPOINTS:
        raise ValueError(f"names {len(names):,} keypoints, expected at most {MOST_KEYPOINTS:,}")
    for name in names:
        if why := unfit(name):
            raise ValueError(f"a name {why}")


def _numbers(text: str, columns: int, id_name: str) -> tuple[list[str], np.ndarray]:
    """The lines' ids, and (lines, columns) float64, none beyond ``MOST``. Raises ValueError naming a bad line."""
    expected = f"{columns + 1} finite numbers" if id_name == "number" else f"a {id_name} and {columns} finite numbers"
    if not text.strip():
        raise ValueError(f"holds nothing, expected {expected} in every line")
    try:
        lines = np.loadtxt(io.StringIO(text), [("id", object), ("values", float, (columns,))], comments=None, ndmin=1)
        if (np.abs(lines["values"]) <= MOST).all():
            return lines["id"].tolist(), lines["values"]
    except ValueError:
        pass  # rows of different lengths, or no numbers: look for the line
    for i, line in enumerate(text.splitlines()):
        row = line.split()
        try:
            if row and not (len(row) == columns + 1 and all(abs(float(field)) <= MOST for field in row[1:])):
                raise ValueError
        except ValueError:
            raise ValueError(f"line {i + 1} is {short(' '.join(row), 60)}, expected {expected}") from None
    raise ValueError(f"is malformed, expected {expected} in every line")
