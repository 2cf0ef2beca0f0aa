"""Masks told by how tools call their files: those of several kinds in one folder, and those that say too little."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

_OF_BOXES = (
    "Open Images' (photograph, class, box): one for each object, of other sizes than photographs; the classes "
    "stand in a table elsewhere",
    "scale and unite those of a part, and call them PHOTOGRAPH_PART.png; or convert them to COCO",
)

_FOREIGN = (
    (
        re.compile(r"(^|/)task-\d+-annotation-\d+-by-.*-\d+$"),
        "Label Studio's PNGs or arrays of brush masks, which name no photograph",
        "export them as JSON, and name that by `labels`",
    ),
    (
        re.compile(r"(^|/)[0-9a-f]{16}_[mg][0-9a-z_]+_[0-9a-f]{8}$"),
        *_OF_BOXES,
    ),
)
"""Stems of masks that cannot be read by themselves, what they are, and the remedy."""

_IDS = re.compile(r"_label(Train)?Ids$|_semantic$")
"""How index masks end beside which others lie: Cityscapes' and Segments.ai's."""


_PICTURE = re.compile(r"_(pseudo|cutout)$")
"""How EISeg's pictures of a mask end: in its colours, and what it cuts out of the photograph."""


def pictures(files: Collection[Path], stems: Collection[str] = ()) -> list[Path]:
    """Those among files that are pictures of masks, of which the masks themselves are there; what is cut out of
    photographs also where the masks in colours or, of these ``stems``, other files are."""
    every = {file.stem for file in files}

    def is_picture(name: str) -> bool:
        bare = _PICTURE.sub("", name)
        return bare != name and (
            bare in every or (name.endswith("_cutout") and (f"{bare}_pseudo" in every or bare in stems))
        )

    return [file for file in files if is_picture(file.stem)]


def labelme_s(names: Collection[str]) -> bool:
    """Whether the files of a folder are what labelme makes of one of its own: photograph, mask, names and a picture."""
    return {"img.png", "label.png"} <= {*names}


def of_boxes(ends: Collection[str]) -> tuple[str, str] | None:
    """As ``foreign``, of what masks have behind the photographs' names: classes and boxes, or else None."""
    return _OF_BOXES if ends and all(re.search(r"[_-][0-9a-f]{8}$", end) for end in ends) else None


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
