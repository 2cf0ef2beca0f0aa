"""OID Aircraft: photographs of aeroplanes with outlines and four kinds of parts (Vedaldi et al., CVPR 2014).

The archive ``oid-aircraft-beta-1`` is read as its authors publish it: ``data/images/aeroplane/*.jpg`` and
``data/annotations/anno.mat``, one MATLAB structure ``anno`` (version 5 format) with

- ``image``: ``id``, ``name``, ``size`` (2 x N: height, width), ``set`` (1 train, 2 val, 3 test);
- ``aeroplane``: ``id``, ``parentId`` (an image's), ``polygon`` (the outline, 2 x n: x, y);
- ``nose``, ``wing``, ``wheel``, ``verticalStabilizer``: the same, ``parentId`` an aeroplane's; several per aeroplane.

MATLAB counts pixels from 1, at their centres: half a pixel is taken off to get to ours, +0.5.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.formats.annotation import inside
from coarseparts.data.prepare.mat import read_mat
from coarseparts.system.problems import BadInput, Problem, unreadable

IMAGES, ANNOTATIONS = Path("data/images/aeroplane"), Path("data/annotations/anno.mat")
"""Where photographs and annotations are in the archive's folder."""

PARTS = {"nose": "nose", "wings": "wing", "wheels": "wheel", "vertical stabilizer": "verticalStabilizer"}
"""The parts by the names of the paper (section 4.2), and what they are called in the annotations."""

SPLITS = ("train", "val", "test")
"""What the numbers 1, 2 and 3 of ``anno.image.set`` mean."""

_OBJECTS = ("aeroplane", *PARTS.values())
_FIELDS = {"image": ("id", "name", "size", "set")} | {name: ("id", "parentId", "polygon") for name in _OBJECTS}
_RESTORE = "restore it from oid-aircraft-beta-1.tar.gz"
_FARTHEST = 1e5  # pixels: no photograph is that large


@dataclass(frozen=True)
class OidImage:
    """A photograph and what is drawn on it. ``name``: path below ``IMAGES``; ``size`` (width, height); ``outlines``:
    a polygon (n, 2) per aeroplane, x and y in pixels; ``parts``: polygons by part's name, of all its aeroplanes;
    ``complete``: none of its polygons had to be left out."""

    name: str
    split: str
    size: tuple[int, int]
    outlines: tuple[np.ndarray, ...]
    parts: dict[str, tuple[np.ndarray, ...]]
    complete: bool


def read_oid_aircraft(folder: Path) -> tuple[list[OidImage], list[Problem]]:
    """All photographs that have an aeroplane's outline, by name, and what is wrong with the annotations.

    A polygon that encloses nothing is left out (a problem of severity "repaired"), photographs without an outline are,
    too (a note). Raises BadInput when the annotations cannot be read or lack a field.
    """
    path = folder / ANNOTATIONS
    anno = _load(path)
    problems: list[Problem] = []
    ids = _numbers(anno["image"]["id"])
    names, sets = _cells(anno["image"]["name"]), _numbers(anno["image"]["set"])
    shape = getattr(anno["image"]["size"], "shape", None)
    if shape != (2, len(ids)) or not len(ids) == len(names) == len(sets):
        message = f"anno.image: {len(ids)} ids, {len(names)} names, {len(sets)} sets and sizes of shape {shape}"
        raise BadInput(Problem(str(path), f"{message} do not fit together", _RESTORE))
    sizes = np.array(_numbers(anno["image"]["size"])).reshape(shape)  # height, width

    image_of: dict[int, int] = {number: number for number in ids}  # an object's id -> its image's
    polygons: dict[int, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    broken: set[int] = set()
    for kind in _OBJECTS:
        numbers, parents = _numbers(anno[kind]["id"]), _numbers(anno[kind]["parentId"])
        drawn = _cells(anno[kind]["polygon"])
        if not len(numbers) == len(parents) == len(drawn):
            message = f"anno.{kind}: {len(numbers)} ids, {len(parents)} parentIds and {len(drawn)} polygons"
            raise BadInput(Problem(str(path), f"{message} do not fit together", _RESTORE))
        lost = [number for number, parent in zip(numbers, parents, strict=True) if parent not in image_of]
        if lost:
            what = "image" if kind == "aeroplane" else "aeroplane"
            message = f"anno.{kind}: {len(lost)} belong to no listed {what}, {lost[0]} is the first"
            problems.append(Problem(str(path), message, _RESTORE))
        found: dict[int, int] = {}
        for number, parent, polygon in zip(numbers, parents, drawn, strict=True):
            if parent not in image_of:
                continue
            image = found[number] = image_of[parent]
            try:
                polygons[image][kind].append(_polygon(polygon))
            except ValueError as error:
                broken.add(image)
                message = f"anno.{kind} {number}: the polygon {error}; left out"
                problems.append(Problem(str(path), message, "", "repaired"))
        if kind == "aeroplane":
            image_of = found

    images: dict[str, OidImage] = {}
    without = 0
    for row, number in enumerate(ids):
        try:
            name = inside(names[row])
            if name in images:
                raise ValueError(f"file name {name!r} stands twice")
            if sets[row] not in range(1, len(SPLITS) + 1):
                raise ValueError(f"set {sets[row]}, expected 1 (train), 2 (val) or 3 (test)")
            height, width = sizes[:, row].tolist()
            if height < 1 or width < 1:
                raise ValueError(f"size {height} x {width}, expected height and width in pixels")
        except ValueError as error:
            problems.append(Problem(str(path), f"anno.image {number}: {error}", _RESTORE))
            continue
        objects = polygons[number]
        if not objects["aeroplane"]:
            without += 1
            continue
        parts = {part: tuple(objects[kind]) for part, kind in PARTS.items()}
        split, outlines = SPLITS[sets[row] - 1], tuple(objects["aeroplane"])
        images[name] = OidImage(name, split, (width, height), outlines, parts, number not in broken)
    if without:
        message = f"{without} of {len(ids)} photographs have no aeroplane's outline and are left out"
        problems.append(Problem(str(path), message, "", "note"))
    return [images[name] for name in sorted(images)], problems


def _load(path: Path) -> dict[str, dict[str, Any]]:
    """The fields that are needed of ``anno``. Raises BadInput with all that are not there."""
    try:
        with path.open("rb") as file:
            hdf5 = file.read(10) == b"MATLAB 7.3"
        content = {} if hdf5 else read_mat(path)
    except FileNotFoundError:
        remedy = "name the folder oid-aircraft-beta-1 that the archive unpacks to"
        raise BadInput(Problem(str(path), "does not exist", remedy)) from None
    except OSError as error:
        raise BadInput(unreadable(path, error, _RESTORE)) from None
    except ValueError as error:
        raise BadInput(Problem(str(path), f"is no readable MATLAB file: {error}", _RESTORE)) from None
    if hdf5:
        remedy = "restore the original, which is of version 5, or save it with MATLAB's -v7"
        raise BadInput(Problem(str(path), "is a MATLAB file of version 7.3, expected version 5 to 7", remedy))
    anno = _struct(content.get("anno"))
    found = {kind: _struct(anno.get(kind)) for kind in _FIELDS}
    lacking = [f"anno.{kind}.{name}" for kind, names in _FIELDS.items() for name in names if name not in found[kind]]
    if lacking:
        raise BadInput(Problem(str(path), f"has no {', '.join(lacking)}", _RESTORE))
    return found


def _struct(value: Any) -> dict[str, Any]:
    """A 1 x 1 MATLAB structure's fields; empty for anything else."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else {}


def _cells(value: Any) -> list[Any]:
    """A cell array's values."""
    return value if isinstance(value, list) else []


def _numbers(value: Any) -> list[int]:
    """Whole numbers in order; -1 for what is none."""
    numbers = []
    for number in value.ravel().tolist() if isinstance(value, np.ndarray) else ():
        whole = isinstance(number, int | float) and float(number).is_integer()
        numbers.append(int(number) if whole else -1)
    return numbers


def _polygon(value: Any) -> np.ndarray:
    """(n, 2) x, y in pixels, centres at +0.5. Raises ValueError when it encloses nothing."""
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.shape[0] != 2:
        raise ValueError("is not of two rows of numbers, x and y")
    points = value.T.astype(np.float64) - 0.5
    if len(points) < 3:
        raise ValueError(f"has {len(points)} points")
    if not np.isfinite(points).all() or np.abs(points).max() > _FARTHEST:
        raise ValueError("has points that are no places in an image")
    if (np.ptp(points, axis=0) == 0).any():
        raise ValueError("encloses nothing")
    return points
