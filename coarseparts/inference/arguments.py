"""What ``Model.predict`` is given: photographs and coarse labels in any of several forms, as samples.

What does not fit is told by the argument's name, with what came and what was expected (WrongArgument, or BadInput of a
file that cannot be read).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.data.images import decode, opened, pixels, refuse_large
from coarseparts.data.loading import object_crop
from coarseparts.data.sample import Sample
from coarseparts.data.source_keys import Crop
from coarseparts.labels import STYLES
from coarseparts.labels.given import Canvas, Given
from coarseparts.labels.schema import Schema
from coarseparts.system.errors import WrongArgument
from coarseparts.system.files import path_of
from coarseparts.system.problems import Problem, errors
from coarseparts.system.text import listed

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
    canvas = Canvas("the image", size, schema, notes)
    found: dict[str, np.ndarray] = {}
    for style, reader in STYLES.items():
        value, argument = labels.get(style), f"{style}{which}"
        if value is None or (isinstance(value, Mapping) and not value):
            continue
        if style not in styles:
            knows = f"it uses {listed(styles)}" if styles else "it has no posterior and sees the image alone"
            raise WrongArgument(f"{argument}: this model was trained without such labels, {knows}; leave them out")
        if reader.folder and isinstance(value, str | os.PathLike):
            with opened(path_of(argument, value)) as picture:
                picture.load()
                value = picture
        given = reader.argument(value, canvas, argument)
        label = None if given is None else reader.read(Given(given, argument, ""), canvas)
        if label is not None:
            found[style] = label
    if wrong := errors(canvas.problems):
        raise WrongArgument("\n".join(map(str, wrong)))
    region = object_crop(size, crop.margin, **found) if crop.to == "object" else None
    return Sample("photograph", array, None, found, region), canvas.problems


def _image(given: Any, argument: str) -> tuple[np.ndarray, Notes]:
    """(H, W, 3) uint8, a copy."""
    if isinstance(given, Image.Image):
        return pixels(given, argument)
    if not isinstance(given, np.ndarray):
        return decode(_file(given, argument))
    if given.ndim != 3 or given.shape[2] != 3 or given.dtype != np.uint8 or not given.size:
        raise WrongArgument(f"{argument}: {_described(given)}, expected (H, W, 3) uint8 RGB; {_converted(given)}")
    refuse_large(argument, (given.shape[1], given.shape[0]))
    return np.array(given), []


def _file(given: Any, argument: str) -> Path:
    if not isinstance(given, str | os.PathLike):
        remedy = "what a file or bytes hold is opened by PIL.Image.open"
        if hasattr(given, "numpy"):
            remedy = "of a tensor give tensor.cpu().numpy(), (H, W, 3) uint8"
        came = f"{argument}: is of type {type(given).__name__}"
        raise WrongArgument(f"{came}, expected a path, a PIL image or an array; {remedy}")
    return path_of(argument, given)


def _converted(array: np.ndarray) -> str:
    """How such an array becomes one that is taken."""
    if not array.size or array.ndim not in (2, 3, 4):
        return "give an array with pixels"
    if array.ndim == 4:
        return "several images are given as a list: list(array)"
    if array.dtype != np.uint8:
        shares = array.dtype.kind == "f" and array.max() <= 1
        return "convert it: (255 * array).round().astype('uint8')" if shares else "bring its values to 0..255, as uint8"
    if array.ndim == 2 or array.shape[2] == 1:
        return "grey-scale ones are given as PIL.Image.fromarray(array.squeeze())"
    if array.shape[0] == 3:
        return "channels come last: array.transpose(1, 2, 0)"
    return "leave out what is not red, green and blue: array[..., :3]"


def _described(array: np.ndarray) -> str:
    return f"an array of shape {array.shape} and type {array.dtype}"
