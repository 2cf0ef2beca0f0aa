"""One picture of many samples with all of their labels drawn on them, for a person to look at.

Drawn is what training sees, after crop and resize, so that a shift, a flip or a swapped name shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from coarseparts.data.crops import crop_and_resize
from coarseparts.data.sample import Sample
from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import colours, fitting, font
from coarseparts.system.files import write_whole
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged

_CAPTION, _GAP = 16, 6  # pixels: height of a line of text, space between tiles
_MASK, _BOX, _DOT, _BACKGROUND = (255, 255, 255), (255, 0, 200), (0, 230, 255), (0, 0, 0)
_PAPER, _INK = (250, 250, 250), (20, 20, 20)


def contact_sheet(
    samples: Sequence[Sample], schema: Schema, file: str | Path, size: int = 256, columns: int = 6
) -> Path:
    """Draw the samples as tiles of ``size`` pixels into ``file``, a PNG, and return its path.

    A tile shows the parts in colour, the figure-ground mask's outline in white (where it passes one half), the box
    in magenta, strokes of the background in black, keypoints by number (filled: visible, hollow: hidden); the legend
    below names colours and numbers.
    Raises ValueError if there are no samples or a crop is impossible (``crops.square_crop``), BadInput if the file
    cannot be written.
    """
    if not samples:
        raise ValueError("no samples to draw on the contact sheet; give at least one")
    columns = min(columns, len(samples))
    legend = _legend(schema, columns * (size + _GAP) - _GAP)
    rows = -(-len(samples) // columns)
    step = size + _CAPTION + _GAP
    sheet = Image.new("RGB", (legend.width + 2 * _GAP, rows * step + legend.height + 2 * _GAP), _PAPER)
    for i, sample in enumerate(samples):
        x, y = _GAP + (i % columns) * (size + _GAP), _GAP + (i // columns) * step
        sheet.paste(_tile(sample, schema, size), (x, y))
    sheet.paste(legend, (_GAP, _GAP + rows * step))
    _write(sheet, Path(file))
    return Path(file)


def _write(sheet: Image.Image, file: Path) -> None:
    ours = PngInfo()
    ours.add_text("Software", "coarseparts check")
    try:
        write_whole(file, lambda out: sheet.save(out, format="PNG", pnginfo=ours), several=True)
    except OSError as error:
        message = f"the contact sheet cannot be written there: {error.strerror or error}"
        raise BadInput(Problem(str(file), message, "name another PNG file with --sheet")) from error


def _tile(sample: Sample, schema: Schema, size: int) -> Image.Image:
    shown = crop_and_resize(sample, size, schema.maps)
    pixels = shown["image"]
    assert pixels is not None
    if shown["parts"] is not None:
        pixels = overlay(pixels, shown["parts"], colours(len(schema.parts)), schema.maps, 0.45, outline=False)
    tile = Image.new("RGB", (size, size + _CAPTION), _PAPER)
    tile.paste(Image.fromarray(pixels), (0, 0))
    pen = _Pen(tile, colours(len(schema.parts)))
    for name, style in reversed(STYLES.items()):  # keypoints on top
        if (label := shown[name]) is not None:
            style.sketch(label, pen)
    draw = ImageDraw.Draw(tile)
    draw.text((1, size + 1), fitting(sample.name, size, 12), fill=_INK, font=font(12))
    return tile


class _Pen:
    """``labels.style.Pen`` on a tile; ``palette`` (P, 3)."""

    def __init__(self, tile: Image.Image, palette: np.ndarray) -> None:
        self.tile, self.draw, self.palette = tile, ImageDraw.Draw(tile), palette

    def outline(self, inside: np.ndarray) -> None:
        self._stamp(_outline(inside), _MASK)

    def box(self, box: np.ndarray, part: int = 0) -> None:
        x0, y0, x1, y1 = box.tolist()
        colour = self._colour(part, _BOX)
        self.draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour)

    def point(self, x: float, y: float, number: int = 0, filled: bool = True, part: int = 0) -> None:
        x, y = x - 0.5, y - 0.5  # PIL counts from the centre of the first pixel
        colour = self._colour(part, _DOT)
        self.draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour if filled else None, outline=(0, 0, 0), width=1)
        if not filled:
            self.draw.ellipse((x - 2, y - 2, x + 2, y + 2), outline=colour, width=1)
        white, black = (255, 255, 255), (0, 0, 0)
        if number:
            self.draw.text((x + 4, y - 7), str(number), fill=white, font=font(11), stroke_width=1, stroke_fill=black)

    def fill(self, region: np.ndarray, part: int) -> None:
        self._stamp(region, self._colour(part, _BACKGROUND))

    def _colour(self, part: int, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.palette[part - 1].tolist()) if part else otherwise

    def _stamp(self, region: np.ndarray, colour: tuple[int, ...]) -> None:
        self.tile.paste(colour, (0, 0), Image.fromarray(region.astype(np.uint8) * 255))


def _outline(inside: np.ndarray) -> np.ndarray:
    """Pixels of a mask that have a neighbour outside of it."""
    padded = np.pad(inside, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~inner


def _legend(schema: Schema, width: int) -> Image.Image:
    hues = colours(len(schema.parts))
    entries: list[tuple[str, tuple[int, ...] | None]]
    entries = [(f"{i} {abridged(name)}", tuple(hues[i - 1].tolist())) for i, name in enumerate(schema.parts, 1)]
    entries += [("mask", _MASK), ("box", _BOX), ("stroke on the background", _BACKGROUND)]
    entries += [(f"{i} = {abridged(name)}", None) for i, name in enumerate(schema.keypoints, 1)]
    places: list[tuple[int, int, str, tuple[int, ...] | None]] = []
    x, y = 0, 2
    for text, colour in entries:
        length = int(font(12).getlength(text)) + (18 if colour else 0)
        if (x and x + length > width) or (colour is None and places and places[-1][3] is not None):
            x, y = 0, y + _CAPTION
        places.append((x, y, text, colour))
        x += length + 12
    width = max([width, *(x + int(font(12).getlength(text)) + 18 for x, _, text, _ in places)])
    legend = Image.new("RGB", (width, y + _CAPTION), _PAPER)
    draw = ImageDraw.Draw(legend)
    for x, y, text, colour in places:
        if colour is not None:
            draw.rectangle((x, y + 1, x + 12, y + 12), fill=colour, outline=_INK)
        draw.text((x + (16 if colour else 0), y), text, fill=_INK, font=font(12))
    return legend
