"""Masks in colours that nothing names: which colours there are, and what a source is to say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from coarseparts.data.formats.smoothed import areas
from coarseparts.data.images import opened_mask
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import listed

MOST = 40
"""Colours of a folder of part masks; more of them are objects told apart, or smoothed outlines."""

VOID = (224, 224, 192)
"""How PASCAL VOC colours what is not labelled, at the objects' borders."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The colours of some masks: that of the ``background``, which fills their borders; of what is not labelled, where
    there is any; those of ``parts``, the largest first, with their shares of all that is not background, 0..1."""

    background: Colour
    ignored: Colour | None
    parts: tuple[tuple[Colour, float], ...]


@dataclass(frozen=True)
class Colours:
    """What a source says under ``colours``: the ``names`` of parts by their colours; the other two as in Palette."""

    names: tuple[tuple[Colour, str], ...]
    background: Colour
    ignored: Colour | None

    def keys(self) -> dict[str, str]:
        """As a dataset file has it; black is the background without being named."""
        found = {name: written(colour) for colour, name in self.names}
        found |= {"background": written(self.background)} if self.background != (0, 0, 0) else {}
        return found | ({"ignore": written(self.ignored)} if self.ignored else {})


def named(palettes: Sequence[Palette], where: str, given: Sequence[str]) -> tuple[tuple[Colour, str], ...]:
    """The names of all colours of some palettes, the largest first: as ``given`` (head=#ff0000), else after the colours
    themselves. Raises BadInput where one is not given, others being so; ``where``: the masks."""
    shares = shares_of(palettes)
    names, by_colour = named_colours(given)
    if not names:
        return tuple((colour, f"part {written(colour)}") for colour in shares)
    if len(names) == len(shares) == 1 and not by_colour:
        by_colour = dict.fromkeys(shares, names[0])
    if any(colour not in by_colour for colour in shares):
        message = f"has masks in the colours {told(shares)}, and nothing says which part each is"
        raise BadInput(Problem(where, message, f"say it: --parts '{asked(shares)}'"))
    return tuple((colour, by_colour[colour]) for colour in shares)


def shares_of(palettes: Sequence[Palette]) -> dict[Colour, float]:
    """The share of each part's colour of all that is not background, the largest first."""
    found = Counter[Colour]()
    for palette in palettes:
        found.update(dict(palette.parts))
    return {colour: share / len(palettes) for colour, share in found.most_common()}


def told(shares: Mapping[Colour, float]) -> str:
    """Colours with their shares in words."""
    return listed(f"{written(colour)} ({100 * share:.1f} %)" for colour, share in shares.items())


def asked(shares: Mapping[Colour, float]) -> str:
    """What to give as the parts' names."""
    return ",".join(f"NAME={written(colour)}" for colour in shares)


def palette_of(files: Sequence[Path]) -> Palette | None:
    """The colours of masks; None where they are too many for parts."""
    found, border = Counter[Colour](), Counter[Colour]()
    for file in files:
        try:
            with opened_mask(file) as image:
                whole = _without_blends(image.convert("RGBA"))
        except BadInput:
            continue  # told by check
        width, height = whole.size
        sides = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
        for side in sides:
            border.update(_counted(whole.crop(side)))
        found.update(_counted(whole))
        if len(found) > MOST:
            return None
    background = (0, 0, 0) if border[0, 0, 0] * 2 > border.total() else max(border, key=lambda one: border[one])
    parts = Counter({colour: count for colour, count in found.items() if colour not in (background, VOID)})
    shares = tuple((colour, count / parts.total()) for colour, count in parts.most_common())
    return Palette(background, VOID if found[VOID] else None, shares) if parts else None


def _without_blends(image: Image.Image) -> Image.Image:
    """An RGBA image without the colours between others that smoothed outlines have, if it is opaque."""
    pixels = np.asarray(image)
    found = areas(pixels[..., :3], MOST) if (pixels[..., 3] == 255).all() else None
    return image if found is None else Image.fromarray(found).convert("RGBA")


def _counted(image: Image.Image) -> Counter[Colour]:
    """How many pixels of an RGBA image have each colour; what is transparent is black."""
    found = Counter[Colour]()
    for count, (red, green, blue, alpha) in image.getcolors(image.size[0] * image.size[1]) or ():  # type: ignore[misc]
        found[(red, green, blue) if alpha else (0, 0, 0)] += count
    return found


def written(colour: Colour) -> str:
    """A colour as "#ff0000"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def named_colours(parts: Sequence[str]) -> tuple[tuple[str, ...], dict[Colour, str]]:
    """Parts' names, some of them with a colour (head=#ff0000), without; and the names by their colours. Raises BadInput
    for one that is none."""
    names, colours = [], dict[Colour, str]()
    for part in parts:
        name, equals, value = part.rpartition("=")
        if not equals:
            names.append(part)
            continue
        names.append(name)
        try:
            colours[ImageColor.getrgb(value)[:3]] = name  # type: ignore[index]
        except ValueError:
            came = f"{part} names no colour"
            raise BadInput(Problem("--parts", came, "write NAME=#ff0000, or NAME alone")) from None
    return tuple(names), colours
