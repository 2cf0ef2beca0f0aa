"""What is labelled: the names of parts and keypoints, and which of them swap when an image is mirrored.

The schema is declared once per data set and travels with every store, run folder and model.
"""

from __future__ import annotations

import re
from collections import Counter

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from coarseparts.labels.part_maps import IGNORE as IGNORE
from coarseparts.labels.part_maps import PartMaps, maps_of
from coarseparts.system.text import listed, short

MOST_PARTS, MOST_KEYPOINTS = 254, 1000
"""Parts are values of a byte, 0 and 255 being taken; keypoints cost memory in every network and sample."""

LONGEST = 1000
"""Characters of a name, at most."""

MOST = 7
"""Parts that may overlap, at most: a bit each of a byte, of which 255 means IGNORE."""


class Schema(BaseModel):
    """Names and mirror pairs of one data set's parts and keypoints (DESIGN.md's dataset file).

    Part index 0 is the background, implicit; ``parts[i]`` has index ``i + 1``. Raises pydantic's
    ``ValidationError`` when a name is repeated or a mirror pair names something unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[str, ...] = Field(min_length=1, max_length=MOST_PARTS, description="part names, index 1..P")
    overlapping: bool = Field(
        False,
        description=f"true: a pixel may belong to several parts, bit p of its value is part p + 1; {MOST} at most",
    )
    mirror: tuple[tuple[str, str], ...] = Field((), description="pairs of part names that swap on a flip")
    keypoints: tuple[str, ...] = Field(
        (), max_length=MOST_KEYPOINTS, description="keypoint names, the union over the sources"
    )
    keypoint_mirror: tuple[tuple[str, str], ...] = Field((), description="pairs of keypoint names that swap on a flip")

    @field_validator("parts", "keypoints")
    @classmethod
    def _unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        repeated = [short(name) for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise ValueError(f"names must differ, but {listed(repeated)} stand more than once; rename or remove them")
        for name in names:
            if why := unfit(name):
                raise ValueError(f"a name {why}; give every part and keypoint a name")
        return names

    @model_validator(mode="after")
    def _bits_are_enough(self) -> Schema:
        if not self.overlapping:
            return self
        if len(self.parts) > MOST:
            raise ValueError(
                f"parts: {len(self.parts)} that overlap, expected {MOST} at most; make two data sets of them"
            )
        odd = [name for name in self.parts if not _names_a_folder(name)]
        if odd:
            raise ValueError(
                f"parts: {short(odd[0])} cannot name a folder, which each part that overlaps has; leave out / \\ and "
                "characters that are not shown, do not begin with a dot or end with .png, 100 letters at most"
            )
        if len({name.casefold() for name in self.parts}) < len(self.parts):
            raise ValueError("parts: two names differ in case alone, and each names a folder; rename one of them")
        return self

    @model_validator(mode="after")
    def _mirrors_name_what_exists(self) -> Schema:
        for field, pairs, names in (
            ("mirror", self.mirror, self.parts),
            ("keypoint_mirror", self.keypoint_mirror, self.keypoints),
        ):
            seen: set[str] = set()
            for pair in pairs:
                for name in pair:
                    if name not in names:
                        known = listed(map(short, names))
                        raise ValueError(f"{field}: {short(name)} is not among {known}; spell it as it is there")
                    if name in seen:
                        raise ValueError(f"{field}: {short(name)} stands in two pairs; a name swaps with one other")
                    seen.add(name)
        return self

    @property
    def channels(self) -> int:
        """The parts and the background, P + 1."""
        return len(self.parts) + 1

    @property
    def maps(self) -> PartMaps:
        """What part maps of these parts say."""
        return maps_of(self.overlapping, len(self.parts))

    def part_flip(self) -> list[int]:
        """Where each of the P + 1 part indices goes when the image is mirrored (its own inverse)."""
        return _permutation(("", *self.parts), self.mirror)

    def value_flip(self) -> list[int]:
        """What each of the 256 values of a part map becomes when the image is mirrored (its own inverse)."""
        return self.maps.flip(self.part_flip())

    def keypoint_flip(self) -> list[int]:
        """Where each of the K keypoints goes when the image is mirrored (its own inverse)."""
        return _permutation(self.keypoints, self.keypoint_mirror)


def unfit(name: str) -> str:
    """What keeps a text from being the name of a part, a keypoint or a category; "" where nothing does."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST:
        return f"has {len(name):,} characters, expected at most {LONGEST:,}"
    if re.search("[\0\ud800-\udfff]", name):
        return f"holds a NUL or half of a character: {short(name)}"
    return ""


def _names_a_folder(name: str) -> bool:
    """Whether a name is one plain component of a path on every system."""
    plain = name.isprintable() and not set(name) & set('/\\:*?"<>|') and name == name.strip()
    return plain and len(name) <= 100 and not name.startswith(".") and not name.lower().endswith(".png")


def _permutation(names: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> list[int]:
    order = list(range(len(names)))
    for a, b in pairs:
        i, j = names.index(a), names.index(b)
        order[i], order[j] = j, i
    return order
