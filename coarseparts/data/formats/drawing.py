"""Polygons and run-length codes (RLE) of COCO, drawn as masks.

pycocotools only fills polygons that have been checked here: it trusts its input, and would ask for any memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from coarseparts.data.formats.annotation import PartSegment
from coarseparts.labels.part_maps import PartMaps
from coarseparts.system.problems import BadInput, Problem

MOST_OUTLINE = 2_000_000
"""Pixels along the outline of an annotation's polygons: pycocotools asks for some 100 bytes for each."""


RESIZED = "resized"
"""Key of an RLE that is of another size of the same picture, and drawn on the one that is asked for."""


def draw_parts(segments: Iterable[PartSegment], size: tuple[int, int], maps: PartMaps) -> np.ndarray:
    """(H, W) uint8 part map of an image of ``size`` (width, height), segments of a higher layer over the others. Raises
    BadInput."""
    layers: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)
    problems = []
    for segment in segments:
        try:
            layers[segment.layer].append((segment.index, draw(segment.segmentation, size)))
        except ValueError as error:
            problems.append(Problem(segment.file, f"{segment.where}: {error}", "draw the part again"))
    if problems:
        raise BadInput(problems)
    first, *others = [maps.drawn(layers[layer], size) for layer in sorted(layers)] or [maps.drawn((), size)]
    return reduce(maps.joined, others, first)


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

    @cached_property
    def extent(self) -> np.ndarray | None:
        """(x0, y0, x1, y1) around the polygons, or the pixels of RLE; None where that is broken or empty."""
        points = self.points
        if points is None:
            return _extent(self.segmentation)
        return np.concatenate([points.min(0), points.max(0)])

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
        if segmentation.get(RESIZED):
            own = draw({key: value for key, value in segmentation.items() if key != RESIZED}, (columns, rows))
            mask = np.asarray(Image.fromarray(own).resize(size, Image.Resampling.NEAREST))
            if not mask.any():
                raise ValueError("the mask is empty at the size of the image")
            return mask
        if (columns, rows) != (width, height):
            raise ValueError(f"the RLE mask is {columns}x{rows} pixels, the image is {width}x{height}")
        runs = _runs_of(segmentation)
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


def _extent(rle: dict[str, Any]) -> np.ndarray | None:
    """(x0, y0, x1, y1) around the pixels of RLE, which no image needs be held for; None where it is broken or empty."""
    rows, columns = rle["size"]
    try:
        runs = np.array(_runs_of(rle), np.int64)
    except (ValueError, OverflowError):
        return None
    ends = np.cumsum(runs)
    first, last = (ends - runs)[1::2], ends[1::2] - 1  # of the runs of ones, down the columns
    there = last >= first
    if (runs < 0).any() or not there.any() or ends[-1] != rows * columns:
        return None
    (x0, y0), (x1, y1) = divmod(first[there], rows), divmod(last[there], rows)
    whole = bool((x0 < x1).any())  # a run that goes on in the next column touches top and bottom
    return np.array([x0[0], 0 if whole else y0.min(), x1[-1] + 1, rows if whole else y1.max() + 1], np.float64)


def _runs_of(rle: dict[str, Any]) -> list[int]:
    counts = rle["counts"]
    return _runs(counts) if isinstance(counts, str) else list(counts)


def _runs(text: str) -> list[int]:
    """Lengths of the runs of a compressed RLE: 5 bits per character, low ones first, with a continuation bit and a
    sign, each from the fourth on as the difference to the one two before. Raises ValueError."""
    if (quickly := _plain_runs(text)) is not None:
        return quickly
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


def _plain_runs(text: str) -> list[int] | None:
    """The same for a text that is not broken, of runs below 2**31, some ten times as fast; None for others."""
    codes = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 6:
        return None
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & 31) << shifts, starts)
    values -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    runs: list[int] = values.tolist()
    return runs
