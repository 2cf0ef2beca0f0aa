"""What is found of a folder of masks, and what the numbers in them mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coarseparts.data.proposal.mask_colours import Colours, Palette


@dataclass(frozen=True)
class Numbers:
    """What a source says under ``colours``: the number of the ``background``, and of each part by its name."""

    background: int
    names: tuple[tuple[str, int], ...]

    def keys(self) -> dict[str, int]:
        """As a dataset file has it."""
        return {"background": self.background} | dict(self.names)


@dataclass(frozen=True)
class Masks:
    """A folder of masks. ``images``: the folder of their photographs; ``key``: of a source; ``parts``: the parts' names
    as the folder tells them; ``indices``: the largest part index, of masks whose parts have no names; ``suffix`` as in
    a source; ``palette``: of masks in colours that nothing names, and ``colours``, when they are named; ``numbers``: of
    masks in which nothing is 0 and 1 fills the borders."""

    folder: Path
    images: Path
    key: Literal["part_masks", "masks"]
    parts: tuple[str, ...] = ()
    indices: int = 0
    suffix: str = ""
    palette: Palette | None = None
    colours: Colours | Numbers | None = None
    numbers: tuple[int, ...] = ()
