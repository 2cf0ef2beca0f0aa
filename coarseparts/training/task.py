"""What a run learns from and is measured on: images by role, settings, seed. Nothing of it changes while it trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from coarseparts.baselines import point_sup
from coarseparts.data.batches import Feed
from coarseparts.data.roles import Rows, split_rows
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.system import parallel
from coarseparts.training.settings import Settings


@dataclass(frozen=True)
class Task:
    """``store``: what may be seen, the labels of ``styles`` and the part masks of the rows that are to have them;
    ``full``: with all that there is. Epochs are chosen on ``rows.val``, results are measured on the rows ``measured``.
    ``crop``: the dataset file's; ``keypoint_parts``: for point-sup, the part of each keypoint, 0 for none, where the
    data set says it; ``labels_each``: how many coarse labels each coarse image has kept, None for all. Everything
    random follows from ``seed``.
    """

    store: Store
    full: Store
    rows: Rows
    measured: np.ndarray
    styles: list[str]
    settings: Settings
    seed: int
    device: str
    crop: dict[str, Any]
    keypoint_parts: list[int] | None = None
    labels_each: int | None = None

    @classmethod
    def of(
        cls,
        store: Store,
        settings: Settings,
        seed: int = 0,
        device: str = "cpu",
        styles: Iterable[str] | None = None,
        part_limit: int | None = None,
        crop: dict[str, Any] | None = None,
        measure: str = "val",
        keypoint_parts: dict[str, str | None] | None = None,
        drop_rest: bool = False,
        labels_each: int | None = None,
    ) -> Task:
        """The task of a ``store`` of the training size with resolved ``settings`` (``networks.resolve``).

        ``styles``: the coarse labels to use (default: all that any training image has); ``part_limit`` and
        ``drop_rest`` as in ``roles.split_rows``; ``measure``: the split that results are measured on;
        ``keypoint_parts``: by name; ``labels_each``: so many of its coarse labels each coarse image keeps at most, at
        random. Raises ValueError where roles are empty, names unknown, or batches do not divide
        among several processes.
        """
        for key in ("part_batch", "batch", "labelled_batch"):
            parallel.share(getattr(settings, key), f"--set {key}: a batch")
        schema, rows = store.schema, split_rows(store, part_limit, drop_rest)
        train = np.concatenate([rows.part, rows.coarse])
        present = [s for s in STYLES if store.present[s][train].any() and (s != "keypoints" or schema.keypoints)]
        used = present if styles is None else [s for s in present if s in set(styles)]
        seen = store.labels_limited(used).without_parts(rows.hidden)
        if labels_each is not None:
            seen = seen.labels_sampled(rows.coarse, labels_each, seed)
        measured = rows.val if measure == "val" else seen.rows(measure, has="parts")
        if not len(measured):
            remedy = f"add a source with split: {measure} and part masks to the dataset file, or take --split val"
            raise ValueError(f"no part-labelled images in split {measure} to measure on; {remedy}")
        assigned = None
        if keypoint_parts is not None:
            assigned = point_sup.from_names(keypoint_parts, schema.keypoints, schema.parts)
        where = crop or {"to": "none", "margin": 0.0}
        shown = settings.shown(store.size)
        return cls(seen, store, rows, measured, used, shown, seed, device, where, assigned, labels_each)

    @property
    def schema(self) -> Schema:
        return self.store.schema

    @property
    def size(self) -> int:
        """Of the images, pixels."""
        return self.store.size

    @cached_property
    def subsets(self) -> torch.Tensor | None:
        """(N, K) bool: which of ``styles`` each coarse image has; None where all have all, or there are none."""
        each = [self.store.present[style][self.rows.coarse] for style in self.styles]
        there = torch.from_numpy(np.stack(each, 1)) if each else torch.ones(0, 0, dtype=torch.bool)
        return None if there.all() else there

    @cached_property
    def part_feed(self) -> Feed:
        """The part-labelled images, for the stages that see nothing else."""
        return self.feed(self.rows.part, self.settings.part_batch, 1)

    @cached_property
    def coarse_feed(self) -> Feed:
        return self.feed(self.rows.coarse, self.settings.batch, 2)

    @cached_property
    def labelled_feed(self) -> Feed:
        """The part-labelled images, as they stand beside the coarse ones."""
        return self.feed(self.rows.part, self.settings.labelled_batch, 3)

    @cached_property
    def val_feed(self) -> Feed:
        return self.feed(self.rows.val, 32, 0)

    @cached_property
    def measured_feed(self) -> Feed:
        return self.feed(self.measured, 32, 0)

    @property
    def part_steps(self) -> int:
        """Optimizer steps an epoch of the stages that see part-labelled images alone."""
        return max(len(self.part_feed), self.settings.epoch_steps)

    @property
    def em_steps(self) -> int:
        """Optimizer steps an epoch of EM and of the baselines; 0 without coarse images."""
        return max(len(self.coarse_feed), self.settings.em_epoch_steps) if len(self.rows.coarse) else 0

    def feed(self, rows: np.ndarray, size: int, salt: int, store: Store | None = None) -> Feed:
        """Batches of ``size`` of some rows (of another ``store``); ``salt`` keeps the orders of two feeds apart."""
        s = self.settings
        return Feed(store or self.store, rows, size, self.seed, salt, self.device, s.augmentation, s.preprocess)

    def pairs(self, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """(part-labelled, coarse) batches of one epoch of EM or of a baseline."""
        steps = self.em_steps
        return zip(self.labelled_feed.epoch(epoch, steps), self.coarse_feed.epoch(epoch, steps), strict=True)

    def with_labels_shuffled(self) -> Task:
        """The same, but each coarse image has another one's coarse labels."""
        return replace(self, store=self.store.labels_swapped(self.rows.coarse, self.seed))
