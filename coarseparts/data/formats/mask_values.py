"""What the numbers in a folder of index masks seem to mean, from a look at some: names that are shifted by one, and
grey levels instead of indices, show in many masks and can hide in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coarseparts.data.formats.colours import written
from coarseparts.data.formats.labelmap import Colours
from coarseparts.data.formats.part_files import PartFiles
from coarseparts.data.formats.part_masks import numbers_of, part_in
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import listed, short

LOOKED_AT = 8
"""Masks of a folder that are looked at."""

SEVERAL, NEAR = 3, 3
"""Masks of several parts, in none of which two are so many pixels apart or less, that may be of objects."""

FILLS = 0.95
"""Share of the border of an image from which on a part fills it."""

MOSTLY = 0.5
"""Share of the border that a number fills which is taken for the background's."""


@dataclass
class _Seen:
    """What some masks hold: ``values``, in how many masks each; ``border``: their pixels at the masks' borders;
    ``several``: how many have several parts, and ``touching``: in how many of these two touch."""

    values: Counter[int] = field(default_factory=Counter)
    border: Counter[int] = field(default_factory=Counter)
    several: int = 0
    touching: int = 0


def doubts(folder: Path, files: Sequence[Path], parts: tuple[str, ...]) -> tuple[Colours, list[Problem]]:
    """The meaning of the numbers in index masks where it is another than 0 = background, 1 = the first part and so on,
    and there is no doubt; and what is to be told: an error where it could be another."""
    seen = _look(files)
    if not seen.values:
        return (), []
    if told := _shifted(seen, parts) or _from_1(seen, parts):
        return (), [Problem(str(folder), *told)]
    stray = {value for value in seen.values if not 0 <= value <= len(parts)}
    if len(stray) > 1 and not any(value in seen.values for value in range(1, len(parts) + 1)):
        return _levels(folder, sorted(seen.values), parts)
    if 0 not in seen.values and seen.border[IGNORE] > MOSTLY * seen.border.total():
        as_background = written({"background": IGNORE} | {part: i for i, part in enumerate(parts, 1)})
        message = f"no pixel of some masks is background (0), and {IGNORE}, not labelled, fills their borders"
        remedy = f"if {IGNORE} is the background, write {as_background} in this source"
        return (), [Problem(str(folder), message, remedy, "note")]
    if seen.several >= SEVERAL and not seen.touching:
        message = f"no two parts touch each other in {seen.several} of its masks: are the numbers those of objects?"
        return (), [Problem(str(folder), message, "if so, they are no part masks: leave them out", "note")]
    return (), []


def inverted(folder: Path, files: Sequence[PartFiles]) -> list[Problem]:
    """An error where two parts or more fill the border of each of the images that are looked at, of files that hold a
    part each: the parts seem to be 0, and all else white."""
    several = [own for own in files if len(own) > 1]
    counts = []
    for own in several[:: max(1, len(several) // LOOKED_AT)][:LOOKED_AT]:
        filled = 0
        for _, path in own:
            try:
                mask = part_in(path)
            except BadInput:
                continue  # told when it is loaded
            edges = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
            filled += bool(edges.mean() > FILLS)
        counts.append(filled)
    if not counts or min(counts) < 2:
        return []
    message = "the masks of several parts fill the borders of the images: are they black on white?"
    return [Problem(str(folder), message, "if so, invert them, so that 0 is where the part is not")]


def _look(files: Sequence[Path]) -> _Seen:
    seen = _Seen()
    for i in range(min(len(files), LOOKED_AT)):
        try:
            values = numbers_of(files[i * len(files) // min(len(files), LOOKED_AT)])
        except BadInput:
            continue  # told when it is loaded
        if values is not None:
            seen.values.update(np.unique(values).tolist())
            edges = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
            numbers, counts = np.unique(edges, return_counts=True)
            seen.border.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
            seen.several += len(set(np.unique(values).tolist()) - {0, IGNORE}) > 1
            seen.touching += _touch(values)
    return seen


def _touch(values: np.ndarray) -> bool:
    """Whether pixels of two numbers, neither of the background nor unlabelled, are ``NEAR`` each other."""
    part = np.where((values == 0) | (values == IGNORE), 0, values)
    for distance in range(1, NEAR + 1):
        for one, other in ((part[distance:], part[:-distance]), (part[:, distance:], part[:, :-distance])):
            if ((one != other) & (one > 0) & (other > 0)).any():
                return True
    return False


def _shifted(seen: _Seen, parts: tuple[str, ...]) -> tuple[str, str] | None:
    """What is to be told where the background seems to be the last index, or 255, and parts begin at 0."""
    total, last = seen.border.total(), len(parts)
    if not seen.values[0] or seen.border[0] > total * (1 - MOSTLY) / 2:
        return None
    if seen.border[IGNORE] > MOSTLY * total and last not in seen.values:
        background, fills, asked = IGNORE, f"{IGNORE}, not labelled,", str(IGNORE)
    elif seen.border[last] > MOSTLY * total:
        background, fills, asked = last, f"part {short(parts[-1], 60)}", "the last index"
    else:
        return None
    shifted = written({part: i for i, part in enumerate(parts)} | {"background": background})
    as_is = written({"background": 0} | {part: i for i, part in enumerate(parts, 1)})
    message = f"{fills} fills the borders of its masks, and 0 lies inside the objects: is the background {asked}?"
    return message, f"if so, write {shifted} in this source; if the masks are right as they are, {as_is}"


def _from_1(seen: _Seen, parts: tuple[str, ...]) -> tuple[str, str] | None:
    """What is to be told where no mask has a 0, and 1 fills the borders: as ilastik writes them, whose first class is
    the background."""
    others = sorted(value for value in seen.values if value not in (1, IGNORE))
    if min(seen.values) != 1 or not others or seen.border[1] <= MOSTLY * seen.border.total():
        return None
    message = "1 fills the borders of its masks, and nothing is 0: is the background 1?"
    shifted = written({"background": 1} | dict(zip(parts, others, strict=False)))
    as_is = written({"background": 0} | {part: i for i, part in enumerate(parts, 1)})
    if len(others) > len(parts):
        return message, f"if so, `parts` lacks names: {len(others)} other numbers are there"
    if others[-1] > len(parts):
        named = written({"background": 0, "NAME": 1} | dict(zip(parts, others, strict=False)))
        return message, f"if so, write {shifted} in this source; if it is a part, name it first in `parts`, and {named}"
    return message, f"if so, write {shifted} in this source; if the masks are right as they are, {as_is}"


def _levels(folder: Path, values: Sequence[int], parts: tuple[str, ...]) -> tuple[Colours, list[Problem]]:
    """Masks that hold no index, but few other numbers: grey levels that are spread evenly over 0..255 are the parts in
    their order where all of them are there; others are an error that says how to name them."""
    steps = [round(value * len(parts) / 255) for value in values]
    even = all(abs(255 * step / len(parts) - value) <= 1 for step, value in zip(steps, values, strict=True))
    if even and steps == list(range(len(parts) + 1)) and len(parts) > 2:
        message = f"its masks hold the grey levels {listed(map(str, values))} for 0 to {len(parts)}, and are read so"
        return tuple((step, (value,)) for step, value in zip(steps, values, strict=True)), [
            Problem(str(folder), message, "name them by `colours` if they are others", "note")
        ]
    if len(values) > len(parts) + 2:
        return (), []  # each file says which of them
    named = dict(zip(parts, (value for value in values if value), strict=False))
    message = f"its masks hold the numbers {listed(map(str, values))}, which are no indices 0..{len(parts)}"
    remedy = f"which is which part? Write it in this source, such as {written({'background': 0} | named)}"
    return (), [Problem(str(folder), message, remedy)]
