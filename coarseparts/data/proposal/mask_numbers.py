"""The numbers in index masks: which there are, and what a source is to say of those that begin at 1 with the
background, or have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from coarseparts.data.images import opened_mask
from coarseparts.data.proposal.mask_kinds import some
from coarseparts.data.proposal.masks import Masks, Numbers
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput

LOOKED_AT = 300
"""Files of a folder from which its part indices are told."""


def numbers_in(files: Sequence[Path]) -> tuple[set[int], tuple[int, ...]]:
    """The part indices in some masks, and 0, without what is not labelled; and all of their numbers where none is 0 and
    1 fills their borders."""
    found, border = set[int](), Counter[int]()
    for file in some(files, LOOKED_AT):
        try:
            with opened_mask(file) as image:
                values = np.asarray(image)
        except BadInput:
            continue  # told by check
        found.update(np.unique(values[values < IGNORE]).astype(int).tolist())
        edges = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
        numbers, counts = np.unique(edges, return_counts=True)
        border.update(dict(zip(numbers.astype(int).tolist(), counts.tolist(), strict=True)))
    from_1 = min(found, default=0) == 1 and len(found) > 1 and border[1] * 2 > border.total()
    return found | {0}, tuple(sorted(found)) if from_1 else ()


def with_numbers(masks: Sequence[Masks], given: Sequence[str], drawn: Collection[str], said: list[str]) -> list[Masks]:
    """The masks, those in which nothing is 0 and 1 fills the borders with what their numbers mean: all of them parts
    where so many names are ``given``, else 1 the background, which is ``said``; as they are where the names are of
    another number, or other labels name parts (``drawn``)."""
    numbers = max((one.numbers for one in masks), key=len, default=())
    first, names = 2, tuple(given)
    if len(given) == len(numbers):
        first = 1
    elif not given and not drawn:
        names = tuple(f"part {number}" for number in numbers[1:])
    if not numbers or len(names) != len(numbers[first - 1 :]):
        return list(masks)
    meaning = Numbers(first - 1, tuple(zip(names, numbers[first - 1 :], strict=True)))
    for one in (one for one in masks if one.numbers):
        taken = "1 is taken for the background" if first == 2 else "all of it is parts, 1 the first of them"
        other = len(numbers) if first == 2 else len(numbers) - 1
        way = "if it is a part" if first == 2 else "if 1 is the background"
        said.append(
            f"{one.folder}: nothing is 0 and 1 fills the borders, so {taken}; {way}, give --parts with {other} names"
        )
    return [replace(one, parts=names, indices=0, colours=meaning) if one.numbers else one for one in masks]
