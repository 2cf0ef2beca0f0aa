"""What several label styles check of an argument of ``Model.predict``; all raise WrongArgument naming it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coarseparts.system.errors import WrongArgument
from coarseparts.system.text import nearest, short


def named(given: Any, name: str, what: str, known: Sequence[str]) -> Mapping[str, Any]:
    """A mapping whose keys are known names."""
    if not isinstance(given, Mapping):
        raise WrongArgument(f"{name}: is of type {type(given).__name__}, expected a dict by name of the {what}")
    for key in given:
        if key not in known:
            raise WrongArgument(f"{name}: {short(key)} is no {what} of this model; {nearest(str(key), known)}")
    return given


def numbers(given: Any, name: str, expected: str, lengths: tuple[int, ...]) -> np.ndarray:
    """(n,) float64, n one of ``lengths``, all finite."""
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.zeros(0)
    if values.ndim != 1 or len(values) not in lengths or not all(map(math.isfinite, values)):
        raise WrongArgument(f"{name}: is {short(given)}, expected {expected}, numbers of pixels")
    return values


def box(given: Any, name: str) -> np.ndarray:
    """(4,) float32 (x0, y0, x1, y1) that has an area, not yet cut off at the image's border."""
    came = numbers(given, name, "(x0, y0, x1, y1)", (4,)).astype(np.float32)
    if came[0] >= came[2] or came[1] >= came[3]:
        told = f"({', '.join(f'{v:g}' for v in came)})"
        raise WrongArgument(f"{name}: {told} has no area, expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1")
    refuse_shares(came, name)
    return came


def refuse_shares(coordinates: np.ndarray, name: str) -> None:
    """Raises WrongArgument where all ``coordinates`` lie in the first pixel: they are shares of the image's sides."""
    if coordinates.min() >= 0 and coordinates.max() <= 1:
        remedy = "multiply x by the image's width and y by its height"
        raise WrongArgument(f"{name}: all of it lies in 0..1, the first pixel, expected pixels; {remedy}")


def plane(given: Any, name: str, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool or uint8 of an image of ``size`` (width, height)."""
    if given.dtype not in (np.bool_, np.uint8) or given.shape != size[::-1]:
        expected = f"({size[1]}, {size[0]}) bool or uint8, as high and wide as the image"
        raise WrongArgument(f"{name}: an array of shape {given.shape} and type {given.dtype}, expected {expected}")
    return np.asarray(given)
