"""What is trained and measured on: a built-in world or a dataset file, opened the same way for every command."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import DatasetFile, load_dataset_file
from coarseparts.data.roles import Rows, split_rows
from coarseparts.data.store import Store
from coarseparts.experiments.cells import Conditions, read_labels
from coarseparts.experiments.worlds import WORLDS
from coarseparts.labels import STYLES
from coarseparts.system import parallel
from coarseparts.system.locks import Tell, silent
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import nearest
from coarseparts.training import methods
from coarseparts.training.claims import in_turn
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import Settings
from coarseparts.training.task import Task

Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Data:
    """Data by seed (``store``), measured on the split ``measure``.

    ``name`` stands in a run's config.yaml; ``default_parts``: the customary number of part masks, None for all there
    are; with ``drop_rest`` part-labelled images beyond the part limit are not used at all; ``crop``,
    ``keypoint_parts``: of the dataset file; ``key`` of a store that was built from files; ``problems``: what is wrong
    with the data.
    """

    name: str
    store: Callable[[int], Store]
    measure: str
    default_parts: int | None = None
    drop_rest: bool = False
    crop: dict[str, Any] | None = None
    keypoint_parts: dict[str, str | None] | None = None
    key: str = ""
    problems: tuple[Problem, ...] = ()

    @cached_property
    def rows(self) -> Rows:
        """Which images are for what, of the first seed, with the customary number of part masks."""
        return split_rows(self.store(0), self.default_parts)

    @cached_property
    def styles(self) -> list[str]:
        """The label styles that the training images have."""
        present, train = self.store(0).present, np.concatenate([self.rows.part, self.rows.coarse])
        return [s for s in STYLES if present[s][train].any()]

    @property
    def overlapping(self) -> bool:
        """Whether the parts may overlap."""
        return self.store(0).schema.overlapping

    def check(self, limits: list[int]) -> None:
        """Raises ValueError where more part masks are asked for than there are."""
        hidden = len(self.rows.hidden)
        most = len(self.rows.part) + hidden - bool(hidden)
        for n in limits:
            if n > most:
                there = f"there are {most} images with part masks to train on"
                raise ValueError(f"--parts {n}: {there}; ask for that many at most")

    def possible_methods(self) -> list[str]:
        """The names of all methods that these data allow."""

        def fits(asks: tuple[str, ...]) -> bool:
            return not any(methods.lack(self.rows, self.styles, ask, self.overlapping) for ask in asks)

        return [name for name, method in methods.METHODS.items() if fits(method.asks)]

    def task(self, conditions: Conditions, settings: Settings, device: str = "cpu") -> Task:
        """The task of some conditions. Raises ValueError for labels that the data have not."""
        wanted, each = read_labels(conditions.labels)
        lacking = [style for style in wanted or () if style not in self.styles]
        if lacking:
            there = f"they have {', '.join(self.styles)}" if self.styles else "they have no coarse labels"
            what = f"no training image has {', '.join(lacking)}; {there}"
            raise ValueError(f"--labels {conditions.labels}: {what}")
        return Task.of(
            self.store(conditions.seed),
            settings,
            conditions.seed,
            device,
            wanted,
            conditions.parts,
            self.crop,
            self.measure,
            self.keypoint_parts,
            self.drop_rest,
            each,
        )

    def open_task(
        self,
        conditions: Conditions,
        folder: Path,
        settings: Settings,
        device: str = "cpu",
        console: Console | None = None,
        **config: str,
    ) -> tuple[Task, RunFolder]:
        """The task of some conditions and its run in a folder, whose config.yaml holds ``config``, too; without a
        ``console`` it is silent. Raises ValueError as ``task`` does."""
        task = self.task(conditions, settings, device)
        return task, RunFolder.of(folder, task, console, data=self.name, **config)


def built_in(world: str, place: Callable[[int], Path], measure: str = "test", name: str = "") -> Data:
    """A built-in world (of ``WORLDS``), other things for every seed, each kept in its ``place``."""

    def store(seed: int) -> Store:
        with parallel.main_first(), in_turn(place(seed).parent):
            return WORLDS[world].store(place(seed), seed)

    return Data(name or world, store, measure, WORLDS[world].part)


def from_file(
    dataset: DatasetFile,
    file: Path,
    cache: Path,
    measure: str = "val",
    skip_bad: bool = False,
    drop_rest: bool = False,
    progress: Progress = None,
    tell: Tell = silent,
) -> Data:
    """The data of a dataset file, their crops kept in ``cache``. Raises BadInput naming every image or label that is
    no good."""
    store, problems = build_store(dataset, cache, skip_bad, progress, for_training=True, tell=tell)
    return Data(
        os.path.realpath(file),
        lambda seed: store,
        measure,
        drop_rest=drop_rest,
        crop=dataset.crop.model_dump(),
        keypoint_parts=dataset.keypoint_parts,
        key=store.key,
        problems=tuple(problems),
    )


def open_data(
    data: str, cache: Path, measure: str = "", skip_bad: bool = False, progress: Progress = None, tell: Tell = silent
) -> Data:
    """A built-in world by its name, or a dataset file, for a benchmark or a sweep: with fewer part masks than there are
    the other part-labelled images of a dataset file are not used at all. ``measure``: val or test, by default val;
    built-in worlds: test."""
    if data in WORLDS:
        return built_in(data, lambda seed: cache / f"seed{seed}", measure or "test")
    if data.startswith("synthetic") and not Path(data).exists():
        raise BadInput(Problem(data, "is neither a built-in world nor a file", nearest(data, WORLDS)))
    return from_file(load_dataset_file(data), Path(data), cache, measure or "val", skip_bad, True, progress, tell)
