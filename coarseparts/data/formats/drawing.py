"""Polygons and run-length codes (RLE) of COCO, drawn as masks.

pycocotools only fills polygons that have been checked here: it trusts its input, and would ask for any memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from coarseparts.data.formats.annotation import PartSegment
from coarseparts.labels.part_maps import PartMaps
from coarseparts.system.problems import BadInput, Problem

MOST_OUTLINE = 2_000_000
"""Pixels along the outline of an annotation's polygons: pycocotools asks for some 100 bytes for each."""


def draw_parts(segments: Iterable[PartSegment], size: tuple[int, int], maps: PartMaps) -> np.ndarray:
    """(H, W) uint8 part map of an image of ``size`` (width, height). Raises BadInput."""
    drawn, problems = [], []
    for segment in segments:
        try:
            drawn.append((segment.index, draw(segment.segmentation, size)))
        except ValueError as error:
            problems.append(Problem(segment.file, f"{segment.where}: {error}", "draw the part again"))
    if problems:
        raise BadInput(problems)
    return maps.drawn(drawn, size)


@dataclass(frozen=True)
class Outline:
    """A figure-ground mask as COCO polygons or RLE, not yet drawn; ``file`` and ``where`` say where it stands."""

    segmentation: Any
    file: str
    where: str

    @property
    def points(self) -> np.ndarray | None:
        """(n, 2) the corners of all polygons; None for RLE."""
        if not isinstance(self.segmentation, list):
            return None
        return np.concatenate([np.array(polygon, np.float64).reshape(-1, 2) for polygon in self.segmentation])

    @property
    def extent(self) -> np.ndarray | None:
        """(x0, y0, x1, y1) around the polygons or the pixels of an RLE; None where that is empty or broken."""
        points = self.points
        return _extent(self.segmentation) if points is None else np.concatenate([points.min(0), points.max(0)])

    def grey(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W) uint8, 0 or 255, of an image of ``size`` (width, height). Raises BadInput."""
        try:
            return draw(self.segmentation, size).astype(np.uint8) * 255
        except ValueError as error:
            remedy = "draw the object again or remove its mask"
            raise BadInput(Problem(self.file, f"{self.where}: {error}", remedy)) from error


def draw(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of COCO polygons or RLE (compressed or not) in an image of ``size`` (width, height).

    Raises ValueError for a mask of another size, runs that do not add up, polygons far outside the image, and for a
    mask without a pixel.
    """
    width, height = size
    if isinstance(segmentation, dict):
        rows, columns = segmentation["size"]
        if (columns, rows) != (width, height):
            raise ValueError(f"the RLE mask is {columns}x{rows} pixels, the image is {width}x{height}")
        counts = segmentation["counts"]
        runs = _runs(counts) if isinstance(counts, str) else list(counts)
        if any(run < 0 for run in runs) or sum(runs) != width * height:
            raise ValueError(f"the RLE mask is broken: its runs add up to {sum(runs)} of {width * height} pixels")
    else:
        outline = 0.0
        for polygon in segmentation:
            # A little outside is usual. Far outside pycocotools would ask for memory by the polygon's length.
            x, y = np.array(polygon[0::2]), np.array(polygon[1::2])
            if min(x.min() / width, y.min() / height) < -1 or max(x.max() / width, y.max() / height) > 2:
                came = f"{x.min():g}..{x.max():g}, {y.min():g}..{y.max():g}"
                raise ValueError(f"a polygon lies far outside the image: {came} of {width}x{height}")
            # So it would for an outline that goes to and fro in an image.
            outline += float(np.maximum(np.abs(x - np.roll(x, 1)), np.abs(y - np.roll(y, 1))).sum())
        if outline > MOST_OUTLINE:
            raise ValueError(f"the outline is {outline:,.0f} pixels long, expected at most {MOST_OUTLINE:,}")
        encoded = coco_mask.frPyObjects([[float(v) for v in polygon] for polygon in segmentation], height, width)
        runs = _runs(coco_mask.merge(encoded)["counts"].decode())
    values = np.arange(len(runs)) % 2 == 1
    mask = np.repeat(values, runs).reshape(width, height).T  # runs go down the columns
    if not mask.any():
        raise ValueError("the mask is empty: it holds no pixel")
    return mask


def _extent(code: dict) -> np.ndarray | None:
    """(x0, y0, x1, y1) of an RLE, without drawing it."""
    height, counts = code["size"][0], code["counts"]
    try:
        ends = np.cumsum(_runs(counts) if isinstance(counts, str) else counts)
    except (ValueError, OverflowError):
        return None
    first, last = ends[:-1:2], ends[1::2] - 1  # of the runs of pixels that are in it
    first, last = first[last >= first], last[last >= first]
    if not len(first):
        return None
    whole = (first // height != last // height).any()  # a run that goes on in the next column reaches both edges
    low, high = (0, height) if whole else ((first % height).min(), (last % height).max() + 1)
    return np.array([first.min() // height, low, last.max() // height + 1, high], np.float64)


def _runs(text: str) -> list[int]:
    """Lengths of the runs of a compressed RLE: 5 bits per character, low ones first, with a continuation bit and a
    sign, each from the third on as the difference to the one two before. Raises ValueError."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"the RLE mask is broken: {character!r} cannot stand at run {len(runs)}")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the RLE mask is broken: it ends inside a run")
    return runs
