"""Part maps laid over photographs, and sheets of such tiles with captions and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from coarseparts.labels.part_maps import IGNORE, PartMaps
from coarseparts.report.palette import fitting, font
from coarseparts.system.text import abridged

_GAP, _LINE = 8, 18  # pixels of a sheet: space between tiles, height of a line of text
_PAPER, _INK = (255, 255, 255), (28, 30, 34)


def overlay(
    image: np.ndarray,
    parts: np.ndarray,
    colours: np.ndarray,
    maps: PartMaps,
    alpha: float = 0.55,
    outline: bool = True,
) -> np.ndarray:
    """``image`` (H, W, 3) uint8 with the part map (H, W) of integers, one of ``maps``, laid over it: (H, W, 3) uint8, a
    new array.

    Part i is tinted with ``colours[i - 1]`` by ``alpha`` (0 nothing, 1 opaque), more thinly where it may overlap the
    parts before it; with ``outline`` the pixels at its edge are opaque, so that a part of a few pixels, an eye, is
    seen. Background stays as it is, 255 is hatched in grey. Raises ValueError if the shapes do not fit or an index has
    no colour.
    """
    image, parts, colours = np.array(image), np.asarray(parts), np.asarray(colours, np.uint8).reshape(-1, 3)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or parts.shape != image.shape[:2]:
        raise ValueError(
            f"image is {image.shape} {image.dtype} and parts {parts.shape}; expected (H, W, 3) uint8 and (H, W)"
        )
    if (stray := parts[maps.stray(parts)]).size:
        came = f"parts holds {np.unique(stray)[:8].tolist()}, expected 0..{maps.largest} or {IGNORE}"
        raise ValueError(f"{came}; do the part map and the part names belong together?")

    layers = []  # each part with what is around it, for photographs are large: image, mask, colour
    for index, colour in enumerate(colours, 1):
        there = maps.shows(parts, index)
        rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
        if len(rows):
            near = slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)
            layers.append((image[near], there[near].copy(), colour))
    for view, there, colour in layers:
        _tint(view, there, colour, maps.opacity * alpha)
    for view, there, colour in layers:
        view[_edge(there) & outline] = colour
    hatched = np.add.outer(*map(np.arange, parts.shape)) % 6 < 3
    _tint(image, (parts == IGNORE) & hatched, 128, 0.7)
    return image


def _tint(image: np.ndarray, where: np.ndarray, colour: np.ndarray | int, weight: float) -> None:
    image[where] = np.rint(image[where] * (1 - weight) + colour * weight)


def _edge(there: np.ndarray) -> np.ndarray:
    """Pixels of a mask with one of four neighbours outside of it; the picture's border is no edge."""
    near = np.pad(there, 1, "edge")
    return there & ~(near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:])


def sheet(
    rows: Sequence[Sequence[np.ndarray | None]],
    captions: Sequence[Sequence[str]] | None = None,
    legend: Mapping[str, Sequence[int]] | None = None,
    headings: Sequence[str] | None = None,
    title: str = "",
    tile: int = 160,
) -> Image.Image:
    """A grid of tiles as one RGB picture.

    ``rows``: tiles (H, W, 3) uint8, shown in squares of ``tile`` pixels at their own proportions (enlarged without
    smoothing); None leaves a place empty; rows may differ in length. ``captions``: a text under each tile, same
    nesting. ``legend``: colour (r, g, b) by name, written below, as many lines as it takes. ``headings``: a text
    above each column. Texts too long for their place lose their beginning, since file names differ at the end.
    Raises ValueError if there is no tile or the captions do not fit.
    """
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        raise ValueError("no tiles to put on the sheet; give at least one")
    if captions is not None and [len(c) for c in captions] != [len(r) for r in rows]:
        raise ValueError(
            f"captions are {[len(c) for c in captions]} a row, tiles {[len(r) for r in rows]}; give one to each tile"
        )
    width = columns * (tile + _GAP) + _GAP
    step = tile + _GAP + (_LINE if captions else 0)
    top = _GAP + (_LINE + 6 if title else 0) + (_LINE if headings else 0)
    places = _flow(legend or {}, width - 2 * _GAP)
    lines = 1 + max((line for _, line, _ in places), default=-1)
    picture = Image.new("RGB", (width, top + len(rows) * step + lines * _LINE + (_GAP if lines else 0)), _PAPER)
    draw = ImageDraw.Draw(picture)
    if title:
        draw.text((_GAP, _GAP - 2), fitting(title, width - 2 * _GAP, 16), fill=_INK, font=font(16))
    for c, text in enumerate((headings or ())[:columns]):
        draw.text((_GAP + c * (tile + _GAP), top - _LINE), fitting(text, tile, 13), fill=_INK, font=font(13))
    for r, row in enumerate(rows):
        for c, pixels in enumerate(row):
            x, y = _GAP + c * (tile + _GAP), top + r * step
            if pixels is not None:
                small = _scaled(pixels, tile)
                picture.paste(small, (x + (tile - small.width) // 2, y + (tile - small.height) // 2))
            if captions:
                draw.text((x, y + tile + 1), fitting(captions[r][c], tile, 13), fill=_INK, font=font(13))
    for x, line, name in places:
        y = top + len(rows) * step + line * _LINE
        draw.rectangle((_GAP + x, y + 2, _GAP + x + 12, y + 14), fill=tuple((legend or {})[name]))
        draw.text((_GAP + x + 17, y), fitting(abridged(name), width - 2 * _GAP - 17, 13), fill=_INK, font=font(13))
    return picture


def _flow(legend: Mapping[str, Sequence[int]], width: int) -> list[tuple[int, int, str]]:
    """(x, line, name) of each entry, wrapped at ``width`` pixels."""
    places, x, line = [], 0, 0
    for name in legend:
        length = 17 + int(font(13).getlength(abridged(name))) + 14
        if x and x + length > width:
            x, line = 0, line + 1
        places.append((x, line, name))
        x += length
    return places


def _scaled(pixels: np.ndarray, tile: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(pixels, np.uint8))
    factor = tile / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX)
