"""CUB-200-2011: 11,788 bird photographs with 15 keypoints, a box and, separately, figure-ground masks.

The folder is read as its authors publish it: ``images.txt`` (number and path), ``train_test_split.txt`` (1 = train),
``bounding_boxes.txt`` (x, y, width, height), ``parts/parts.txt`` (number and name), ``parts/part_locs.txt`` (image,
part, x, y, visible). Coordinates are taken as they stand; a keypoint that is not visible becomes (0, 0, 0).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from coarseparts.data.images import opened
from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.readers.annotation import Annotation, inside

_FILES: dict[str, int | None] = {  # numbers per line; None: a number and a name
    "images.txt": None,
    "train_test_split.txt": 2,
    "bounding_boxes.txt": 5,
    "parts/parts.txt": None,
    "parts/part_locs.txt": 5,
}
_RESTORE = "restore it from CUB_200_2011.tgz"


@dataclass(frozen=True)
class _Tables:
    """The files' content, a row per image: ``boxes`` (N, 4) x0, y0, x1, y1 (nan: none), ``train`` (N,) 1, 0 or -1 for
    unknown, ``keypoints`` (N, K, 3) with v = 2 or all zeros."""

    numbers: list[str]
    images: list[str]
    names: tuple[str, ...]
    keypoints: np.ndarray
    boxes: np.ndarray
    train: np.ndarray


def read_cub(
    folder: Path, split: str | None, segmentations: Path | None = None
) -> tuple[list[Annotation], list[Problem]]:
    """One annotation per image of the official split ("train"; "val" and "test" both give the official test images),
    or of all images (None).

    ``segmentations``: folder with a PNG per image, grey = share of the annotators who said "bird"; images without one
    have no mask. Numbers of images and parts need not be consecutive. An empty list and problems when a file is
    missing or malformed.
    """
    tables, problems = _read_tables(folder)
    annotations: list[Annotation] = []
    for row in range(len(tables.images) if tables else 0):
        assert tables is not None
        where = f"image {tables.numbers[row]}"
        try:
            image = inside(tables.images[row])
        except ValueError as error:
            problems.append(Problem(str(folder / "images.txt"), f"{where}: {error}", "correct the path"))
            continue
        if split is not None and tables.train[row] not in (0, 1):
            message = f"{where}: no 0 or 1 for it, so its split is unknown"
            problems.append(Problem(str(folder / "train_test_split.txt"), message, "add the line"))
            continue
        if split is not None and (tables.train[row] == 1) != (split == "train"):
            continue
        box: np.ndarray | None = tables.boxes[row]
        if not (tables.boxes[row, 2:] > tables.boxes[row, :2]).all():  # nan included
            message = f"{where}: no box with an area; used without a box"
            problems.append(Problem(str(folder / "bounding_boxes.txt"), message, "correct the line", "repaired"))
            box = None
        keypoints = tables.keypoints[row]
        mask = segmentations / PurePosixPath(image).with_suffix(".png") if segmentations is not None else None
        annotations.append(
            Annotation(
                file=str(folder),
                where=where,
                image=image,
                object_id=tables.numbers[row],
                keypoints=keypoints if keypoints.any() else None,
                keypoint_names=tables.names,
                box=box,
                soft_mask=mask if mask is not None and mask.is_file() else None,
            )
        )
    return annotations, problems


def _read_tables(folder: Path) -> tuple[_Tables | None, list[Problem]]:
    problems = []
    named: dict[str, list[list[str]]] = {}
    numbers: dict[str, np.ndarray] = {}
    for name, columns in _FILES.items():
        try:
            text = (folder / name).read_text(encoding="utf-8")
            if columns is None:
                named[name] = _names(text)
            else:
                numbers[name] = _numbers(text, columns)
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            problems.append(Problem(str(folder / name), message, _RESTORE))
        except ValueError as error:  # bytes that are no UTF-8 among them
            problems.append(Problem(str(folder / name), str(error), _RESTORE))
    if problems:
        return None, problems

    rows = {int(number): row for row, (number, _) in enumerate(named["images.txt"])}
    columns_ = {int(number): column for column, (number, _) in enumerate(named["parts/parts.txt"])}

    def places(name: str, column: int, of: dict[int, int], what: str) -> tuple[np.ndarray, np.ndarray]:
        """Which lines of a file speak of something listed, and where that stands."""
        place = _positions(numbers[name][:, column], of)
        unknown = place < 0
        if unknown.any():
            message = f"{int(unknown.sum())} lines of {what} not listed, the first is line {int(unknown.argmax()) + 1}"
            problems.append(Problem(str(folder / name), message, "take all files from the same CUB_200_2011.tgz"))
        return ~unknown, place

    boxes = np.full((len(rows), 4), np.nan, np.float32)
    known, row = places("bounding_boxes.txt", 0, rows, "images")
    boxes[row[known]] = numbers["bounding_boxes.txt"][known, 1:]
    boxes[:, 2:] += boxes[:, :2]
    train = np.full(len(rows), -1)
    known, row = places("train_test_split.txt", 0, rows, "images")
    train[row[known]] = numbers["train_test_split.txt"][known, 1]
    keypoints = np.zeros((len(rows), len(columns_), 3), np.float32)
    known, row = places("parts/part_locs.txt", 0, rows, "images")
    known_part, column = places("parts/part_locs.txt", 1, columns_, "parts")
    table = numbers["parts/part_locs.txt"]
    visible = known & known_part & (table[:, 4] > 0)
    keypoints[row[visible], column[visible], :2] = table[visible, 2:4]
    keypoints[row[visible], column[visible], 2] = 2
    names = tuple(name for _, name in named["parts/parts.txt"])
    ids, images = ([line[i] for line in named["images.txt"]] for i in (0, 1))
    return _Tables(ids, images, names, keypoints, boxes, train), problems


def read_soft_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 soft figure-ground mask 0..255 of an image of ``size`` (width, height). Raises BadInput."""
    with opened(path) as image:
        if image.mode not in ("L", "LA", "1", "P"):
            remedy = "save it as a grey-scale PNG, 255 = object"
            raise BadInput(Problem(str(path), f"is of mode {image.mode}, expected grey-scale", remedy))
        values = np.array(image.convert("L"))
    if values.shape != size[::-1]:
        message = f"is {values.shape[1]}x{values.shape[0]} pixels, its image is {size[0]}x{size[1]}"
        raise BadInput(Problem(str(path), message, "export it at the size of the image"))
    if not values.any():
        raise BadInput(Problem(str(path), "is empty: all of it is background", "draw the object or remove the file"))
    return values


def _names(text: str) -> list[list[str]]:
    """Lines "number name"; the name may hold spaces. Raises ValueError naming the first bad line."""
    lines = []
    seen = set()
    for i, line in enumerate(text.splitlines()):
        fields = line.split(maxsplit=1)
        if not fields:
            continue
        if len(fields) != 2 or not fields[0].isdecimal():
            raise ValueError(f"line {i + 1} is {line[:60]!r}, expected a number and a name")
        if int(fields[0]) in seen:
            raise ValueError(f"line {i + 1}: number {fields[0]} stands twice")
        seen.add(int(fields[0]))
        lines.append([fields[0], fields[1].strip()])
    return lines


def _numbers(text: str, columns: int) -> np.ndarray:
    """(lines, columns) float64, all finite. Raises ValueError naming the first bad line."""
    try:
        table = np.loadtxt(io.StringIO(text), np.float64, comments=None, ndmin=2) if text.strip() else None
        if table is not None and table.shape[1] == columns and np.isfinite(table).all():
            return table
    except ValueError:
        pass  # rows of different lengths, or no numbers: look for the line
    for i, row in enumerate(line.split() for line in text.splitlines()):
        try:
            if row and not (len(row) == columns and np.isfinite([float(field) for field in row]).all()):
                raise ValueError
        except ValueError:
            raise ValueError(f"line {i + 1} is {' '.join(row)[:60]!r}, expected {columns} finite numbers") from None
    raise ValueError(f"holds nothing, expected {columns} numbers in every line")


def _positions(ids: np.ndarray, places: dict[int, int]) -> np.ndarray:
    """Where each id stands, -1 for an unknown one."""
    unique, inverse = np.unique(ids, return_inverse=True)
    return np.array([places.get(int(i), -1) for i in unique], np.int64)[inverse]
