"""Augmented batches of a store, in an order that the seed and the epoch fix: nothing to save for an exact resume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from coarseparts.data.sample import Batch, joined
from coarseparts.data.store import Store
from coarseparts.data.transforms import Augmentation, Preprocess, augment, to_input
from coarseparts.data.variants import exchanged, lenders, recoloured
from coarseparts.system import parallel
from coarseparts.system.device import moved


@dataclass
class Feed:
    """Batches of some rows of a store.

    ``rows`` positions in the store, which lend each other their backgrounds (``Augmentation.background``); ``size`` of
    a batch; ``seed`` of order and augmentation; ``salt`` keeps two feeds of one run apart. ``resident``: whether its
    images lie on ``device`` as they are stored, so that nothing is copied there while it trains; None: where the device
    is a GPU and they take at most a quarter of what is free.
    """

    store: Store
    rows: np.ndarray
    size: int
    seed: int
    salt: int = 0
    device: torch.device | str = "cpu"
    augmentation: Augmentation = field(default_factory=Augmentation)
    preprocess: Preprocess = field(default_factory=Preprocess)
    resident: bool | None = None
    _there: Batch | None = field(default=None, init=False, repr=False)
    _own: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise ValueError("a feed has no images; check the dataset file's sources")
        self._own = np.unique(self.rows)

    def __len__(self) -> int:
        """Batches in one pass, the last one filled up from the start of the next."""
        return max(1, -(-len(self.rows) // self.size))

    def epoch(self, epoch: int, steps: int | None = None) -> Iterator[Batch]:
        """``steps`` batches (default: one pass). Every image is seen once before any is seen again, and moved the more
        often, the more often it was seen (``Augmentation.ramp``): as in epochs before that had as many ``steps``.

        Where several processes train together (``parallel``) each gets its share of every batch.
        """
        steps = len(self) if steps is None else steps
        random = np.random.default_rng([self.seed, self.salt, epoch])
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        need = steps * self.size
        rounds = -(-need // len(self.rows))
        order = np.concatenate([random.permutation(self.rows) for _ in range(rounds)])[:need]
        lent = self._lent(random, need)
        recolours = self.augmentation.part_colours > 0 and self.store.present["parts"][self._own].any()
        share = parallel.share(self.size)
        for step in range(steps):
            now = slice(step * self.size, (step + 1) * self.size)
            chance = self.augmentation.chance((epoch * steps + step) * self.size / len(self.rows))
            batch = self._augmented(order[now][share], generator, chance)
            if len(lent):
                lender = self._augmented(lent[now][share], generator, chance)
                batch = exchanged(batch, lender, self.store.schema, self.augmentation.background, generator)
            if recolours:
                batch = recoloured(batch, self.augmentation.part_colours, generator)
            yield batch

    def _augmented(self, rows: np.ndarray, generator: torch.Generator, chance: float) -> Batch:
        return augment(self._raw(rows), self.store.schema, generator, self.augmentation, self.preprocess, chance)

    def _lent(self, random: np.random.Generator, count: int) -> np.ndarray:
        """The rows whose backgrounds are lent to ``count`` images, in their order; none where none are exchanged."""
        there = lenders(self.store, self._own) if self.augmentation.background else self._own[:0]
        return random.choice(there, count) if len(there) else there

    def _raw(self, rows: np.ndarray) -> Batch:
        if self.resident is None:
            self.resident = self._fits()
        if not self.resident:
            return self.store.batch(rows, self.device)
        if self._there is None:
            own = self._own
            pieces = [self.store.batch(own[i : i + 1024], self.device) for i in range(0, len(own), 1024)]
            self._there = joined(pieces)
        places = np.searchsorted(self._own, rows)
        return self._there[moved(torch.from_numpy(places), self.device)]

    def _fits(self) -> bool:
        if torch.device(self.device).type != "cuda":
            return False
        one = self.store.batch(self.rows[:1])
        bytes_each = sum(t.nbytes for t in (one.image, one.parts, *one.labels.values()))
        return len(self._own) * bytes_each < torch.cuda.mem_get_info(self.device)[0] / 4

    def plain(self, limit: int | None = None, mine: bool = False) -> Iterator[Batch]:
        """Every image once, in order, without augmentation; ``mine``: the batches that ``parallel.shard`` gives."""
        rows = self.rows[:limit]
        starts = range(0, len(rows), self.size)
        for start in parallel.shard(starts) if mine else starts:
            raw = self._raw(rows[start : start + self.size])
            batch = to_input(raw, self.preprocess)
            batch.image = batch.image.contiguous(memory_format=torch.channels_last)
            yield batch
