"""Masks told by how tools call their files: those of several kinds in one folder, and those that say too little."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

_FOREIGN = (
    (
        re.compile(r"(^|/)task-\d+-annotation-\d+-by-.*-tag-"),
        "Label Studio's PNGs of brush masks, which name no photograph",
        "export them as JSON, and name that by `labels`",
    ),
    (
        re.compile(r"(^|/)[0-9a-f]{16}_[mg][0-9a-z_]+_[0-9a-f]{8}$"),
        "Open Images' (photograph, class, box): one for each object, of other sizes than photographs; the classes "
        "stand in a table elsewhere",
        "scale and unite those of a part, and call them PHOTOGRAPH_PART.png; or convert them to COCO",
    ),
)
"""Stems of masks that cannot be read by themselves, what they are, and the remedy."""

_IDS = re.compile(r"_label(Train)?Ids$|_semantic$")
"""How index masks end beside which others lie: Cityscapes' and Segments.ai's."""


def labelme_s(names: Collection[str]) -> bool:
    """Whether the files of a folder are what labelme makes of one of its own: photograph, mask, names and a picture."""
    return {"img.png", "label.png"} <= {*names}


def foreign(stems: Collection[str]) -> tuple[str, str] | None:
    """What masks are that say too little, and the remedy; None where one of the stems, or all, are none of those."""
    return next(
        ((told, remedy) for name, told, remedy in _FOREIGN if stems and all(name.search(stem) for stem in stems)), None
    )


def index_masks(files: Sequence[Path]) -> list[Path]:
    """The index masks among files that such tools write of each photograph; all files where these are none."""
    ends = [found[0] for file in files if (found := _IDS.search(file.stem))]
    first = min(ends, default="")
    return [file for file in files if file.stem.endswith(first)]


def without_part(name: str, part: str) -> str:
    """A mask's stem without the part's name behind it, as in ``head/photo_head.png``."""
    rest = name[: -len(part)]
    return rest[:-1] if name.lower().endswith(part.lower()) and len(rest) > 1 and rest[-1] in "_-. " else name
