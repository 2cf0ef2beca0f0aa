"""Labels whose coordinates are not the photograph's pixels: shares of its sides, or pixels of another size of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.formats.annotation import Annotation, PartSegment
from coarseparts.data.formats.drawing import RESIZED, Outline
from coarseparts.data.formats.units import Coordinates
from coarseparts.data.images import probe
from coarseparts.labels.given import Canvas, Given, OfPart, Points
from coarseparts.system.problems import BadInput, Problem

SHARES = (1000, 1000)
"""The size on which shares of the sides are placed, so that what is counted in pixels still means something."""

_FACTORS = {"relative": 1000.0, "percent": 10.0}

SHAPE = 0.02
"""By how much the shapes of two images may differ that are the same picture, of their ratio of width to height."""

LEAST, LOOKED_AT, CORNER, BEYOND = 4, 40, 0.55, 1.25
"""Photographs that are needed, and that are looked at, to see whether all labels lie in the upper left, or beyond; and
the shares of the sides up to which, and from which on that is."""


def placed(one: Annotation, coordinates: Coordinates) -> Annotation:
    """An annotation as a file has it, its labels knowing on which size they are, where that is not the photograph's."""
    if coordinates is None or coordinates == "pixels":
        return one

    def place(said: Any, value: Any) -> Any:
        if isinstance(coordinates, str) and coordinates in _FACTORS:
            factor = _FACTORS[coordinates]
            return of(said, times(value, (factor, factor)), SHARES)
        return of(said, value, said.size if coordinates == "stated" else coordinates)

    def of(said: Any, value: Any, size: Any) -> Any:
        return replace(said, of=size, **{"segmentation" if isinstance(said, PartSegment) else "value": value})

    labels = {style: place(given, given.value) for style, given in one.labels.items()}
    segments = tuple(place(segment, segment.segmentation) for segment in one.part_segments)
    return replace(one, labels=labels, part_segments=segments)


def times(value: Any, factor: tuple[float, float]) -> Any:
    """A label's value with its x and y multiplied; masks that are pixels stay as they are."""
    xy = np.array(factor, np.float64)
    if isinstance(value, Points):
        return Points(value.names, (value.xyv * np.array([*factor, 1])).astype(np.float32))
    if isinstance(value, np.ndarray):  # a box, or the points of a line
        return (value * np.tile(xy, 2) if value.ndim == 1 else value * xy).astype(value.dtype)
    if isinstance(value, Outline):
        return replace(value, segmentation=times(value.segmentation, factor))
    if isinstance(value, tuple) and all(isinstance(one, OfPart) for one in value):
        return tuple(replace(one, value=times(one.value, factor)) for one in value)
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [times(line, factor) for line in value]
    if isinstance(value, list):
        return [(np.array(polygon, np.float64).reshape(-1, 2) * xy).ravel().tolist() for polygon in value]
    return value


def fitted(said: Given, canvas: Canvas, native: tuple[int, int]) -> Given | None:
    """A label on the size of ``canvas``, to which a photograph of ``native`` size (width, height) was read; None, and
    told, where it was made on another image."""
    if said.of is None:
        if native == canvas.size or said.size not in (None, native):
            return said if canvas.fits(said) else None
        return replace(said, value=_resized(said.value, native, canvas.size))
    if said.of == canvas.size:
        return said
    if said.of != SHARES:
        if not _alike(said.of, canvas.size):
            message = f"was made on {_x(said.of)} pixels, and the photograph of {_x(native)} has another shape"
            canvas.add_problem(
                said, message, "name the size on which the labels were made: `coordinates: [width, height]`"
            )
            return None
        message = f"{said.where}: was made on {_x(said.of)} pixels, scaled to {_x(canvas.size)}"
        told = Problem(said.file, message, severity="repaired")
        if told not in canvas.problems:  # of every label of an object
            canvas.problems.append(told)
    return replace(said, value=_resized(said.value, said.of, canvas.size))


def fitted_parts(segments: Sequence[PartSegment], canvas: Canvas, native: tuple[int, int]) -> list[PartSegment]:
    """Likewise the regions of parts; those that are told are left out."""
    found = []
    for one in segments:
        given = fitted(Given(one.segmentation, one.file, one.where, one.size, one.of), canvas, native)
        if given is not None:
            found.append(replace(one, segmentation=given.value))
    return found


def _resized(value: Any, old: tuple[int, int], new: tuple[int, int]) -> Any:
    """A value that was made on one size, on another; masks that are pixels of the first are drawn on the second."""
    if isinstance(value, Outline):
        return replace(value, segmentation=_resized(value.segmentation, old, new))
    if isinstance(value, dict):
        return value | {RESIZED: True} if value["size"] == [old[1], old[0]] else value
    return times(value, (new[0] / old[0], new[1] / old[1]))


def _alike(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1) < SHAPE


def _x(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def doubts(labels: Iterable[Mapping[str, Collection[Annotation]]], photographs: Mapping[str, Path]) -> list[Problem]:
    """An error for each file that states no sizes of its images, and all of whose ``labels`` (by image) lie in the
    upper left of every photograph, as those do that were made on smaller ones, or are percent; or reach beyond every
    one, as those do that were made on larger ones."""
    of_file: dict[str, dict[str, list[Annotation]]] = defaultdict(lambda: defaultdict(list))
    for by_image in labels:
        for name, own in by_image.items():
            for one in own:
                of_file[one.file][name].append(one)
    return [problem for file, own in of_file.items() for problem in _doubts_of(file, own, photographs)]


def _doubts_of(file: str, by_image: Mapping[str, list[Annotation]], photographs: Mapping[str, Path]) -> list[Problem]:
    reaches: list[np.ndarray] = []
    furthest = 0.0
    for name, own in by_image.items():
        points = [one for each in own if (one := _reach(each)) is not None]
        if name not in photographs or not points:
            continue
        try:
            size = probe(photographs[name])
        except (BadInput, OSError):
            continue  # told when it is decoded
        most = np.max(points, axis=0)
        furthest = max(furthest, float(most.max()))
        reaches.append(most / size)
        if CORNER < reaches[-1].max() <= BEYOND:
            return []
        if len(reaches) >= LOOKED_AT:
            break
    share, least = (
        (100 * float(chosen(reach.max() for reach in reaches)) for chosen in (max, min)) if reaches else (0, 0)
    )
    if len(reaches) < LEAST or share > 100 * CORNER >= least:
        return []
    where = f"lie in the upper left {share:.0f} % of the photographs"
    if least > 100 * CORNER:
        where = f"reach beyond the photographs, to {least:.0f} % of their sides and more"
    of_percent = "`coordinates: percent` if they are percent, " if furthest <= 100 else ""
    remedy = (
        f"write into this source {of_percent}`coordinates: [width, height]` of the images on which they were made, "
    )
    message = f"states no sizes of its images, and all labels {where}"
    return [Problem(file, message, remedy + "or `coordinates: pixels` if they are right")]


def _reach(one: Annotation) -> np.ndarray | None:
    """(2,) the largest x and y of an annotation that knows no size; None where it has none."""
    found = []
    for given in one.labels.values():
        if given.size is not None or given.of is not None:
            return None
        value = given.value
        if isinstance(value, Points):
            found.append(value.xyv[value.xyv[:, 2] > 0, :2].max(0))
        elif isinstance(value, np.ndarray) and value.shape == (4,):
            found.append(value[2:])
        elif isinstance(value, Outline) and (extent := value.extent) is not None:
            found.append(extent[2:])
    for segment in one.part_segments:
        if segment.size is not None or segment.of is not None:
            return None
        if isinstance(segment.segmentation, list):
            found += [np.array(polygon).reshape(-1, 2).max(0) for polygon in segment.segmentation]
    return np.max(found, axis=0) if found else None
