"""Which images of a store a method may learn from, and how; which ones choose the best epoch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from .store import Store


@dataclass
class Rows:
    """Which rows of the store play which role. ``held_out`` says that ``val`` was taken from the training part;
    ``unused``: how many play none of them, by reason."""

    part: np.ndarray
    coarse: np.ndarray
    val: np.ndarray
    hidden: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    held_out: bool = False
    unused: Counter[str] = field(default_factory=Counter)


def split_rows(store: Store, part_limit: int | None = None, drop_rest: bool = False) -> Rows:
    """Roles from the store's splits and labels.

    part: training rows with part masks (the first ``part_limit``); coarse: the other training rows; ``hidden``: those
    of the coarse rows that do have part masks, which only the upper bound may use; with ``drop_rest`` they play no
    role at all. Without validation images every fifth part-labelled one is held out. Raises ValueError when there is
    no part mask to train on.
    """
    train = store.rows("train")
    has_parts = store.present["parts"][train]
    part, coarse = train[has_parts], train[~has_parts]
    hidden = np.empty(0, np.int64)
    if part_limit is not None:
        hidden = part[part_limit:]
        part = part[:part_limit]
        if drop_rest:
            hidden = hidden[:0]
        coarse = np.sort(np.concatenate([coarse, hidden]))
    val = store.rows("val", has="parts")
    held_out = False
    if not len(val):
        held_out, val, part = True, part[::5], np.delete(part, np.s_[::5])
    if not len(part) or not len(val):
        raise ValueError(
            "no part-labelled images to train and validate on; add a source with `split: train` and `part_masks`"
        )
    return Rows(part, coarse, val, hidden, held_out, _unused(store, np.concatenate([part, coarse, val])))


def _unused(store: Store, used: np.ndarray) -> Counter[str]:
    """The rows that are not ``used``, counted by why."""
    reasons: Counter[str] = Counter()
    for row in np.setdiff1d(np.arange(len(store)), used).tolist():
        split = store.splits[row]
        bare = "" if store.present["parts"][row] else " without part mask"
        reasons["more part masks than asked for" if split == "train" else f"of split {split}{bare}"] += 1
    return reasons
