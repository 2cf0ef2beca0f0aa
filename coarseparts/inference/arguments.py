"""What ``Model.predict`` is given: photographs and coarse labels in any of several forms, as samples.

What does not fit is told by the argument's name, with what came and what was expected (WrongArgument, or BadInput of a
file that cannot be read).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.data.dataset_file import Crop, nearest
from coarseparts.data.images import decode, opened, pixels, refuse_large
from coarseparts.data.loading import cut_off, object_crop, on_image
from coarseparts.data.problems import Problem
from coarseparts.data.sample import Sample
from coarseparts.labels.schema import Schema
from coarseparts.system.errors import WrongArgument
from coarseparts.system.files import path_of
from coarseparts.system.text import listed, short

Photograph = str | os.PathLike[str] | Image.Image | np.ndarray
"""A path, a PIL image, or (H, W, 3) uint8 RGB."""

Keypoints = Mapping[str, Sequence[float]]
"""(x, y) or (x, y, v) by name, in pixels; v as in COCO: 2 visible (the default), 1 hidden, 0 known not to be seen."""

Mask = str | os.PathLike[str] | Image.Image | np.ndarray
"""The figure-ground mask: a path, a PIL image, (H, W) bool, or (H, W) uint8, 0..255 soft (0 and 1 alone: as bool)."""

Box = Sequence[float] | np.ndarray
"""(x0, y0, x1, y1), pixels."""

PartBoxes = Mapping[str, Box]
"""A box by the part's name; of the other parts it says that they cannot be seen."""

Notes = list[Problem]


def each_of(image: Any, labels: Mapping[str, Any]) -> list[tuple[Any, dict[str, Any], str]]:
    """(image, its labels by argument, what stands behind an argument's name) of each photograph.

    A list of images takes lists of labels, None where one has none. Raises WrongArgument where they differ in length.
    """
    if not isinstance(image, list | tuple):
        return [(image, dict(labels), "")]
    for argument, values in labels.items():
        if values is not None and (not isinstance(values, list | tuple) or len(values) != len(image)):
            came = f"{len(values)} of them" if isinstance(values, list | tuple) else f"one {type(values).__name__}"
            raise WrongArgument(f"{argument}: {came} for a list of {len(image)} images; give a list of as many")
    return [
        (one, {argument: values and values[i] for argument, values in labels.items()}, f"[{i}]")
        for i, one in enumerate(image)
    ]


def sample_of(
    schema: Schema, crop: Crop, styles: Sequence[str], image: Any, labels: Mapping[str, Any], which: str = ""
) -> tuple[Sample, Notes]:
    """One photograph with its labels, and notes of what was converted or moved.

    ``styles``: the label styles that can be used, none of a model without posterior. ``labels``: by argument, None or
    empty for those that are not given. ``which`` stands behind an argument's name in messages.
    """
    array, notes = _image(image, f"image{which}")
    size = (array.shape[1], array.shape[0])
    found: dict[str, np.ndarray] = {}
    for style, read in _READ.items():
        given, argument = labels.get(style), f"{style}{which}"
        if given is None or (isinstance(given, Mapping) and not given):
            continue
        if style not in styles:
            knows = f"it uses {listed(styles)}" if styles else "it has no posterior and sees the image alone"
            raise WrongArgument(f"{argument}: this model was trained without such labels, {knows}; leave them out")
        if (label := read(given, argument, schema, size, notes)) is not None:
            found[style] = label
    region = object_crop(size, crop.margin, **found) if crop.to == "object" else None
    return Sample("photograph", array, None, found, region), notes


def _image(given: Any, argument: str) -> tuple[np.ndarray, Notes]:
    """(H, W, 3) uint8, a copy."""
    if isinstance(given, Image.Image):
        return pixels(given, argument)
    if not isinstance(given, np.ndarray):
        return decode(_file(given, argument))
    if given.ndim != 3 or given.shape[2] != 3 or given.dtype != np.uint8 or not given.size:
        remedy = "several images are given as a list, grey-scale ones as a PIL image"
        raise WrongArgument(f"{argument}: {_described(given)}, expected (H, W, 3) uint8 RGB; {remedy}")
    refuse_large(argument, (given.shape[1], given.shape[0]))
    return np.array(given), []


def _keypoints(given: Any, argument: str, schema: Schema, size: tuple[int, int], notes: Notes) -> np.ndarray | None:
    """(K, 3); points that are not named are unknown, v = -1. None where none is there."""
    points = np.zeros((len(schema.keypoints), 3), np.float32)
    points[:, 2] = -1
    for name, value in _named(given, argument, "keypoint", schema.keypoints).items():
        where = f"{argument}[{short(name)}]"
        x, y, *more = _numbers(value, where, "(x, y) or (x, y, v)", (2, 3)).tolist()
        v = more[0] if more else 2.0
        if v not in (0, 1, 2):
            raise WrongArgument(f"{where}: visibility {v:g}, expected 2 visible, 1 hidden, or 0 known not to be seen")
        place = on_image((x, y), size) if v else (0.0, 0.0)
        if place is None:
            raise WrongArgument(f"{where}: ({x:g}, {y:g}) lies outside the image of {size[0]}x{size[1]} pixels")
        if v and place != (x, y):
            notes.append(Problem(where, f"({x:g}, {y:g}) moved to the border of the image", severity="repaired"))
        points[schema.keypoints.index(name)] = *place, v
    return points if (points[:, 2] > 0).any() else None


def _mask(given: Any, argument: str, schema: Schema, size: tuple[int, int], notes: Notes) -> np.ndarray:
    """(H, W) uint8, 0..255."""
    if isinstance(given, np.ndarray):
        values = given
    elif isinstance(given, Image.Image):
        values = _grey(given, argument)
    else:
        path = _file(given, argument)
        with opened(path) as picture:
            values = _grey(picture, f"{argument} ({path})")
    if values.dtype not in (np.bool_, np.uint8) or values.shape != size[::-1]:
        expected = f"({size[1]}, {size[0]}) bool or uint8, as high and wide as the image"
        raise WrongArgument(f"{argument}: {_described(values)}, expected {expected}")
    if not values.any():
        raise WrongArgument(f"{argument}: is empty, expected a pixel of the object at least; leave it out")
    if 1 < (highest := int(values.max())) < 128:
        raise WrongArgument(f"{argument}: its highest value is {highest}, expected 255 on the object; give mask > 0")
    return np.array(values, np.uint8) * (255 if highest == 1 else 1)


def _file(given: Any, argument: str) -> Path:
    if not isinstance(given, str | os.PathLike):
        raise WrongArgument(f"{argument}: is of type {type(given).__name__}, expected a path, a PIL image or an array")
    return path_of(argument, given)


def _grey(picture: Image.Image, what: str) -> np.ndarray:
    """(H, W) bool or uint8; of a palette image where it is not of the first colour."""
    if picture.mode not in ("1", "L", "P"):
        raise WrongArgument(f"{what}: an image of mode {picture.mode}, expected a grey-scale one, mode L")
    return np.asarray(picture) != 0 if picture.mode == "P" else np.asarray(picture)


def _box(given: Any, argument: str, schema: Schema, size: tuple[int, int], notes: Notes) -> np.ndarray:
    """(4,) float32, cut off at the image's border."""
    came = _numbers(given, argument, "(x0, y0, x1, y1)", (4,)).astype(np.float32)
    told = f"({', '.join(f'{v:g}' for v in came)})"
    if came[0] >= came[2] or came[1] >= came[3]:
        raise WrongArgument(f"{argument}: {told} has no area, expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1")
    box, beyond = cut_off(came, size)
    if box is None:
        raise WrongArgument(f"{argument}: {told} lies outside the image of {size[0]}x{size[1]} pixels")
    if beyond:
        message = f"{told} reaches beyond the image of {size[0]}x{size[1]} pixels, cut off there"
        notes.append(Problem(argument, message, severity="repaired"))
    return box


def _part_boxes(given: Any, argument: str, schema: Schema, size: tuple[int, int], notes: Notes) -> np.ndarray:
    """(P, 4), zeros for parts without one."""
    boxes = np.zeros((len(schema.parts), 4), np.float32)
    for name, value in _named(given, argument, "part", schema.parts).items():
        boxes[schema.parts.index(name)] = _box(value, f"{argument}[{short(name)}]", schema, size, notes)
    return boxes


_READ = {"keypoints": _keypoints, "mask": _mask, "box": _box, "part_boxes": _part_boxes}
"""What reads the argument of each label style."""


def _named(given: Any, argument: str, what: str, known: Sequence[str]) -> Mapping[str, Any]:
    """A mapping whose keys are known names."""
    if not isinstance(given, Mapping):
        raise WrongArgument(f"{argument}: is of type {type(given).__name__}, expected a dict by name of the {what}")
    for name in given:
        if name not in known:
            raise WrongArgument(f"{argument}: {short(name)} is no {what} of this model; {nearest(str(name), known)}")
    return given


def _numbers(given: Any, argument: str, expected: str, lengths: tuple[int, ...]) -> np.ndarray:
    """(n,) float64, n one of ``lengths``, all finite."""
    try:
        numbers = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.zeros(0)
    if numbers.ndim != 1 or len(numbers) not in lengths or not all(map(math.isfinite, numbers)):
        raise WrongArgument(f"{argument}: is {short(given)}, expected {expected}, numbers of pixels")
    return numbers


def _described(array: np.ndarray) -> str:
    return f"an array of shape {array.shape} and type {array.dtype}"
