"""What was measured: the values of each object with their intervals and flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from coarseparts.system.problems import Problem


@dataclass(frozen=True)
class Measured:
    """One object of an image, ``number`` 1, 2, ... in the order of the labels: ``values`` by name (``head.length``) in
    the unit of the table, nan where nothing shows; ``intervals`` (low, high) that hold the true value in 90 % of
    images; ``flags`` by part."""

    image: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    flags: dict[str, list[str]]
    number: int = 1


@dataclass(frozen=True)
class Measurements:
    """A table of the objects of images, and ``units`` by the name of a value. ``parts``: their names. ``pictures``:
    (H, W, 3) uint8 of some objects with their parts, by image and number."""

    parts: tuple[str, ...]
    names: tuple[str, ...]
    units: dict[str, str]
    images: list[Measured]
    problems: list[Problem] = field(default_factory=list, repr=False)
    pictures: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict, repr=False)
