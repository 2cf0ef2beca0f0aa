"""The key ``colours`` of a source: which colour, or which number of a grey or palette image, is which part."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageColor

from coarseparts.data.formats.labelmap import BACKGROUND, BLACK, IGNORED, Colours
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import listed, nearest, short

_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[^\W\d][\w -]*\w|[^\W\dynYN]", re.IGNORECASE)
"""Names that YAML takes for texts."""

EXPECTED = "expected '#ff0000' (in quotes), [red, green, blue] of 0..255, or the number that the pixels hold"


def declared(given: Mapping[str, Any], parts: tuple[str, ...]) -> tuple[Colours, list[str]]:
    """The colours that a source gives to ``parts``, "background" and "ignore", and what is wrong with them. Where all
    are whole numbers they are those that the pixels hold, a tuple of one each; beside colours a number is a grey."""
    wrong = []
    found: list[tuple[int, tuple[int, ...]]] = []
    numbers = all(type(value) is int for value in given.values())
    for name, value in given.items():
        index = parts.index(name) + 1 if name in parts else _named(name)
        colour = _colour(value, numbers)
        if index is None:
            wrong.append(f"{short(name, 60)} is not among `parts`; {nearest(name, (*parts, 'background', 'ignore'))}")
        elif colour is None:
            wrong.append(f"{short(name, 60)}: got {short(value, 60)}, {EXPECTED}")
        else:
            found.append((index, colour))
    twice = [colour for colour, count in Counter(colour for _, colour in found).items() if count > 1]
    wrong += [f"{listed(map(str, colour))} stands for two names; give each its own" for colour in twice]
    if not any(index not in (0, IGNORE) for index, _ in found) and not wrong:
        wrong.append("names no part; write a colour for each part that the masks show")
    nothing = (0,) if numbers else BLACK
    if not wrong and not any(index == 0 for index, _ in found):
        if any(colour == nothing for _, colour in found):
            wrong.append("names no background, and 0 is a part; add `background:` with what its pixels hold")
        found.append((0, nothing))
    return tuple(found), wrong


def _named(name: str) -> int | None:
    """The index of what is no part."""
    return 0 if name.lower() in BACKGROUND else IGNORE if name.lower() in (*IGNORED, "ignored") else None


def _colour(value: Any, number: bool) -> tuple[int, ...] | None:
    """A colour's three numbers, or one that pixels hold; None where it is neither."""
    if type(value) is int and 0 <= value <= (0xFFFF if number else 255):
        return (value,) if number else (value,) * 3
    if isinstance(value, list | tuple) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        return tuple(value)
    if not isinstance(value, str) or len(value) > 40:
        return None
    for text in (value, f"#{value}"):
        try:
            return ImageColor.getrgb(text.strip())[:3]
        except ValueError:
            continue
    return None


def are_numbers(colours: Colours) -> bool:
    """Whether these are numbers that pixels hold, and no colours."""
    return bool(colours) and len(colours[0][1]) == 1


def by_number(values: np.ndarray, colours: Colours, path: Path) -> np.ndarray:
    """(H, W) int64 part indices of numbers (H, W); 255 is not labelled unless it is said to be something else. Raises
    BadInput naming numbers that are not among ``colours``."""
    known = {IGNORE: IGNORE} | {colour[0]: index for index, colour in colours}
    there = np.unique(values)
    odd = [value for value in there.tolist() if value not in known]
    if odd:
        message = f"holds the numbers {listed(map(str, odd), 8)}, which `colours` does not name"
        raise BadInput(Problem(str(path), message, "add them there, or correct the mask"))
    return np.array([known[value] for value in there.tolist()], np.int64)[np.searchsorted(there, values)]


def written(colours: Mapping[str, int]) -> str:
    """What to write into a source for parts and their numbers, their names in quotes where YAML needs them."""
    told = (
        f"{name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)}: {n}"
        for name, n in colours.items()
    )
    return f"`colours: {{{listed(told, 300)}}}`"
