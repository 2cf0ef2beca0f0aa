"""Where the images of each source went: used, or left out for a reason. What is said about them adds up.

A sample is an object of an image; an image of several objects is used if one of them is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.roles import Rows
from coarseparts.labels.schema import Schema
from coarseparts.system.problems import Problem
from coarseparts.system.text import listed

NO_LABELS = "without labels that can be used"
NOT_LISTED = "not in `only`"
SAME_STEM = "of the same stem as another"
BEYOND_LIMIT = "beyond `limit`"
NONE_USED = "with none of the labels that are used"
OTHER_PARTS = "of a world with other parts"
ELSEWHERE = "in samples of another source"
UNREADABLE = "unreadable or with labels that do not fit"
"""Why an image is left out, or an object of one: how many go before it. ``in_split`` is one more."""


def in_split(split: str) -> str:
    """The reason why an image is left out that stands in a split that keeps it."""
    return f"also in split {split}"


@dataclass
class Account:
    """The images of one source, each counted once: as used if an object of it is, else under the reason of the object
    that got farthest.

    ``fates``: for each image, "" or a reason for every object, a reason alone where its objects do not matter, the one
    that counts first; ``absent``: images that labels name and that are not there, so none of ``images``.
    """

    name: str
    fates: dict[Hashable, list[str]] = field(default_factory=dict, repr=False)
    absent: int = 0

    def add(self, image: Hashable, reason: str = "") -> None:
        """One more object of an image, used or left out; or an image that is left out."""
        self.fates.setdefault(image, []).append(reason)

    def take_out(self, image: Hashable, reason: str) -> None:
        """An object that was used is left out after all."""
        fate = self.fates[image]
        fate.remove("")
        fate.insert(0, reason)

    @property
    def images(self) -> int:
        """How many images were found."""
        return len(self.fates)

    @property
    def used(self) -> int:
        """How many of them are used."""
        return sum("" in fate for fate in self.fates.values())

    @property
    def samples(self) -> int:
        """How many objects are used."""
        return sum(fate.count("") for fate in self.fates.values())

    @property
    def left_out(self) -> Counter[str]:
        """Images that are left out, by reason."""
        return Counter(fate[0] for fate in self.fates.values() if "" not in fate)

    @property
    def objects_left_out(self) -> Counter[str]:
        """Objects that are left out of images that are used, by reason."""
        return Counter(reason for fate in self.fates.values() if "" in fate for reason in fate if reason)

    def facts(self) -> dict[str, Any]:
        """All these numbers, for JSON."""
        names = ("images", "used", "samples", "left_out", "objects_left_out", "absent")
        return {name: dict(v) if isinstance(v := getattr(self, name), Counter) else v for name in names}

    def __str__(self) -> str:
        return _line(self.name, self.facts())


def lines(accounts: Iterable[Account]) -> list[str]:
    """A line for each source, and one of all where there are several; a photograph that `only` gives to one source
    and keeps from another is one image there."""
    accounts = list(accounts)
    whole = Account("all sources", absent=sum(account.absent for account in accounts))
    for number, account in enumerate(accounts):
        for image, fate in account.fates.items():
            key = image if isinstance(image, Path) else (number, image)
            told = [*whole.fates.get(key, []), *fate]
            whole.fates[key] = [reason for reason in told if reason != NOT_LISTED] or [NOT_LISTED]
    return [*map(str, accounts), str(whole)] if len(accounts) > 1 else [*map(str, accounts)]


def notes(dataset: DatasetFile, accounts: Iterable[Account]) -> list[Problem]:
    """``lines`` as notes about the dataset file."""
    return [Problem(str(dataset.path), line, severity="note") for line in lines(accounts)]


def _line(name: str, facts: Mapping[str, Any]) -> str:
    """ "sources[1] train: 407 images = 400 used (412 samples) + 7 left out (3 beyond `limit`, 4 unreadable ...)"."""
    used, left = facts["used"], sum(facts["left_out"].values())
    said = f"{name}: {counted(facts['images'], 'image')}"
    if facts["images"]:
        said += f" = {used} used" + (f" ({counted(facts['samples'], 'sample')})" if facts["samples"] != used else "")
    if left:
        said += f" + {left} left out ({_reasons(facts['left_out'])})"
    if facts["objects_left_out"]:
        objects = counted(sum(facts["objects_left_out"].values()), "object")
        said += f"; of the images used, {objects} left out ({_reasons(facts['objects_left_out'])})"
    if facts["absent"]:
        said += f"; {counted(facts['absent'], 'more image')} with labels not found"
    return said


def counted(number: int, what: str) -> str:
    """ "1 image", "2 images"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _reasons(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in numbers.items() if number)


def in_training(rows: Rows, styles: Iterable[str]) -> str:
    """What each sample of a store is for, in a line: the numbers add up to the first one."""
    unused = sum(rows.unused.values())
    total = len(rows.part) + len(rows.coarse) + len(rows.val) + unused
    labels = ", ".join(styles) or "no labels"
    hidden = f"; the part masks of {len(rows.hidden)} not shown" if len(rows.hidden) else ""
    said = f"{counted(total, 'sample')} = {len(rows.part)} with part masks + {len(rows.coarse)} coarse"
    said += f" ({labels}{hidden})" if len(rows.coarse) else ""
    said += f" + {len(rows.val)} for validation{', held out from those with part masks' if rows.held_out else ''}"
    return said + (f" + {unused} not trained on ({_reasons(rows.unused)})" if unused else "")


def empty_splits(dataset: DatasetFile, samples: Mapping[str, int], masks: Mapping[str, int]) -> list[Problem]:
    """Notes on the splits that nothing is left of, or no part mask though their sources are meant to have some.
    ``samples``, ``masks``: how many are used, and how many of them have a part mask, by split."""
    told = []
    for split in dict.fromkeys(source.split for source in dataset.sources):
        meant = any(source.has_parts for source in dataset.sources if source.split == split)
        if samples.get(split) and (masks.get(split) or not meant):
            continue
        what = "has a part mask that can be used" if samples.get(split) else "can be used"
        remedy = {
            "train": "nothing can be learned from it",
            "val": "the best epoch is chosen by every fifth part-labelled training image",
            "test": "nothing can be measured on it",
        }[split]
        told.append(Problem(str(dataset.path), f"split {split}: none of its images {what}", remedy, "note"))
    return told


def unseen_keypoints(dataset: DatasetFile, schema: Schema, seen: np.ndarray) -> list[Problem]:
    """A note on the keypoints that no image shows. ``seen``: (K,) bool; of sources that do not use keypoints nothing is
    expected."""
    unseen = [name for name, there in zip(schema.keypoints, seen, strict=True) if not there]
    if not unseen or not any(source.use is None or "keypoints" in source.use for source in dataset.sources):
        return []
    message = f"keypoints never labelled: {listed(unseen)}"
    return [Problem(str(dataset.path), message, "label them in some images, or take them out of `keypoints`", "note")]
