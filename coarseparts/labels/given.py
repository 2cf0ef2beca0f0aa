"""A coarse label before it is a label: what a file or a caller gives, and the image that it is read for.

Coordinates are pixels of the upright image; what is wrong is told as a ``Problem`` of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from coarseparts.labels.schema import Schema
from coarseparts.system.problems import Problem, Severity

AS_STORED = "if labels are right without turning, take the mark out of the photographs (exiftool -Orientation= FOLDER)"
"""What to do where photographs were labelled as they are stored, and not as EXIF turns them."""

TOLERANCE = 1.5
"""Pixels that a keypoint or a box may lie outside the image: rounding in annotation tools, not a mistake."""


class Points(NamedTuple):
    """Keypoints ``xyv`` (k, 3) float32, v in 0, 1, 2 as in COCO, and their ``names``."""

    names: tuple[str, ...]
    xyv: np.ndarray


@dataclass(frozen=True)
class OfPart:
    """What is said of the part of an ``index`` 1..P (0: of the background); ``where`` it stands in the file."""

    index: int
    value: Any
    where: str


class Drawn(Protocol):
    """A map of the image that is not decoded yet."""

    def grey(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W) uint8, 0..255 soft, for an image of ``size`` (width, height). Raises BadInput."""

    def indices(self, size: tuple[int, int]) -> np.ndarray:
        """Likewise, every pixel's own value."""


@dataclass(frozen=True)
class Decoded:
    """A map that is there: (H, W) uint8 of the image's size."""

    values: np.ndarray

    def grey(self, size: tuple[int, int]) -> np.ndarray:
        """Itself."""
        return self.values

    def indices(self, size: tuple[int, int]) -> np.ndarray:
        """Itself."""
        return self.values


@dataclass(frozen=True)
class Given:
    """A label as a file gives it, not yet checked against the image: ``value`` as its style reads it. ``file`` and
    ``where`` say where it stands, ``size`` (width, height) of the image as the file states it. ``of``: the size on
    which its coordinates are, where they are to be scaled from it to the image's."""

    value: Any
    file: str
    where: str
    size: tuple[int, int] | None = None
    of: tuple[int, int] | None = None


@dataclass
class Canvas:
    """The image that labels are read for: ``image`` names it, ``size`` (width, height). ``problems`` collects what is
    wrong with its labels. ``unlabelled_unknown``: keypoints of visibility 0 are unknown, not absent;
    those of ``visible`` and more are visible.

    ``orientation``: the EXIF orientation, 1..8, by which the stored image was turned. ``region``: where in an image of
    several objects this one is, (H, W) bool, where that is known; labels of the image as a whole
    (``LabelStyle.of_image``) are this object's there.
    """

    image: Path | str
    size: tuple[int, int]
    schema: Schema
    problems: list[Problem] = field(default_factory=list)
    unlabelled_unknown: bool = False
    visible: int = 2
    orientation: int = 1
    region: np.ndarray | None = None
    _told: set[tuple[str, str]] = field(default_factory=set)

    def in_region(self, x: float, y: float) -> bool:
        """Whether a point lies within the box around this object's ``region``."""
        assert self.region is not None
        columns, rows = np.flatnonzero(self.region.any(0)), np.flatnonzero(self.region.any(1))
        return bool(len(columns) and columns[0] <= x <= columns[-1] + 1 and rows[0] <= y <= rows[-1] + 1)

    def add_problem(
        self, given: Given, message: str, remedy: str = "", severity: Severity = "error", where: str | None = None
    ) -> None:
        """A problem of ``given``, or of the place ``where`` in its file."""
        place = given.where if where is None else where
        self.problems.append(Problem(given.file, f"{place}: {message}" if place else message, remedy, severity))

    def fits(self, given: Given) -> bool:
        """Whether a label was made on an image of this size; told once of each object of a file."""
        if given.size is None or given.size == self.size:
            return True
        if (given.file, given.where) not in self._told:
            self._told.add((given.file, given.where))
            message = f"{given.where} was made on {given.size[0]}x{given.size[1]} pixels, {self.image} has "
            message += f"{self.size[0]}x{self.size[1]} when upright"
            remedy = "put back the image that was annotated, or export again"
            if given.size[0] * self.size[1] == given.size[1] * self.size[0]:
                remedy += "; or write `coordinates: stated` in this source to scale the labels"
            if self.orientation >= 5 and given.size == self.size[::-1]:
                stored = f"that is its size before EXIF orientation {self.orientation} turns it upright"
                remedy = f"{stored}: export again with the upright size and coordinates, or, {AS_STORED}"
            self.problems.append(Problem(given.file, message, remedy))
        return False

    def box(self, box: np.ndarray, given: Given, where: str | None = None) -> np.ndarray | None:
        """What of a box (x0, y0, x1, y1) lies in the image, (4,) float32; None, and told, if nothing does."""
        width, height = self.size
        inside = np.clip(box, 0, [*self.size, *self.size]).astype(np.float32)
        came = f"box {', '.join(f'{v:g}' for v in box)} (x0, y0, x1, y1)"
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            message = f"{came} lies outside the image of {width}x{height} pixels"
            self.add_problem(given, message, "draw it again or remove it", where=where)
            return None
        if np.abs(inside - box).max() > TOLERANCE:
            message = f"{came} reaches beyond the image of {width}x{height} pixels, cut off there"
            self.add_problem(given, message, severity="repaired", where=where)
        return inside

    def point(
        self,
        what: str,
        x: float,
        y: float,
        given: Given,
        remedy: str = "move it or remove it",
        where: str | None = None,
    ) -> tuple[float, float] | None:
        """A point in the image, moved to its border where it lies a little outside; None, and told with ``remedy``,
        where it lies farther out. ``what``: its name in messages."""
        width, height = self.size
        came = f"{what} at ({x:g}, {y:g})"
        if max(-x, -y, x - width, y - height) > TOLERANCE:
            self.add_problem(given, f"{came} lies outside the image of {width}x{height} pixels", remedy, where=where)
            return None
        if 0 <= x < width and 0 <= y < height:
            return x, y
        self.add_problem(given, f"{came} moved to the border of the image", severity="repaired", where=where)
        return min(max(x, 0.5), width - 0.5), min(max(y, 0.5), height - 0.5)


_PLAIN = frozenset((float, int, str, bool, type(None)))


LATER = "later"
"""In the metadata of a dataclass's field: it came later, and says nothing where it has its default, so that what was
made before it is still what it was."""


def fingerprint(value: Any) -> str:
    """A text that changes with what a label says, or with the files that say it."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if isinstance(value, list | tuple):  # first, for most of what is said is lists of numbers
        return f"[{','.join(map(repr, value) if _PLAIN.issuperset(map(type, value)) else _each(value))}]"
    if kind is np.ndarray:
        return f"{value.dtype}{value.shape}{value.tobytes().hex()}"
    if isinstance(value, Path):
        whole = value if value.is_absolute() else value.absolute()
        try:
            stat = value.stat()
            return f"{whole!r}|{stat.st_size}|{stat.st_mtime_ns}"
        except OSError:
            return f"{whole!r}|not there"  # found when it is loaded
    if (fields := getattr(value, "__dataclass_fields__", None)) is not None:
        said = (
            each
            for name, one in fields.items()
            if (each := getattr(value, name)) is not one.default or LATER not in one.metadata
        )
        return f"({','.join(_each(said))})"
    if isinstance(value, Mapping):
        keys = sorted(value)
        pairs = zip(keys, _each([value[key] for key in keys]), strict=True)
        return f"{{{','.join([f'{key!r}:{said}' for key, said in pairs])}}}"
    return os.fspath(value) if isinstance(value, os.PathLike) else repr(value)


def _each(values: Iterable[Any]) -> list[str]:
    """The fingerprints of several values."""
    return [repr(one) if type(one) in _PLAIN else fingerprint(one) for one in values]
