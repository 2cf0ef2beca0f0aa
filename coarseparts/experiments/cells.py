"""The loop that every command shares: methods trained one after the other in one run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from coarseparts.data.accounts import in_training
from coarseparts.joint import JointModel
from coarseparts.report.results import Result, title
from coarseparts.report.tables import Table
from coarseparts.system import parallel
from coarseparts.system.locks import Tell, silent
from coarseparts.system.memory import PeakMemory
from coarseparts.training import methods
from coarseparts.training.measure import part_maps
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import Settings
from coarseparts.training.task import Task
from coarseparts.updates import TrainingDiverged

STARTS = {
    "random": {"weights": "random", "start": "weights"},
    "keypoints": {"weights": "random", "start": "keypoints"},
    "weights": {"start": "weights"},
    "weights+keypoints": {"start": "keypoints"},
}
"""Where encoders begin (Table 2's rows), and the settings that say so; "weights" are those of --weights."""


def start_of(settings: Settings, asked: str = "") -> str:
    """Which of ``STARTS`` some settings are; with ``asked``, one of them, which it comes to under these settings: from
    weights that are random."""
    chosen = settings if not asked else settings.model_copy(update=STARTS[asked])
    if chosen.weights == "random":
        return "keypoints" if chosen.start == "keypoints" else "random"
    return "weights+keypoints" if chosen.start == "keypoints" else "weights"


@dataclass(frozen=True)
class Conditions:
    """``parts``: number of part masks, None for all there are; ``labels``: coarse styles, joined by "+", or "all", and
    before it "one-of-" or "two-of-" where each coarse image has that many of them;
    ``start``: of STARTS."""

    parts: int | None
    labels: str
    start: str
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.parts}-{self.labels}-{self.start}/seed{self.seed}"

    def __str__(self) -> str:
        told = "" if self.parts is None else f"{title((self.parts, self.labels, self.start))}, "
        return f"{told}seed {self.seed}"


@dataclass(frozen=True)
class Cell:
    """One method under some conditions. ``preset``: its own, where cells differ in it (``settings.published``)."""

    conditions: Conditions
    method: str
    preset: str = ""

    @property
    def folder(self) -> str:
        return f"{self.conditions.folder}/{self.preset}" if self.preset else self.conditions.folder

    def __str__(self) -> str:
        return f"{self.method} ({self.conditions})"


EACH = {"one": 1, "two": 2, "all": None}
"""How many of its labels each coarse image keeps, by the name that ``--labels-each`` gives it."""


def labels_of(styles: str, each: str) -> str:
    """``Conditions.labels`` of styles joined by "+", or "all", of which each image has ``each`` (of EACH)."""
    return styles if EACH[each] is None else f"{each}-of-{styles}"


def read_labels(labels: str) -> tuple[list[str] | None, int | None]:
    """Of ``Conditions.labels``: the styles, and how many of them each coarse image keeps, None for all of either."""
    each, of, styles = labels.rpartition("-of-")
    return (None if styles == "all" else styles.split("+")), (EACH[each] if of else None)


Open = Callable[[Cell, Path], tuple[Task, RunFolder]]
"""A cell and a folder -> the task, of all cells that differ in nothing but the method, and the run in that folder."""


class Done(NamedTuple):
    """A cell that has been trained: the networks that came of it and its results, the method's own last (before it, of
    EM, its posterior's)."""

    cell: Cell
    task: Task
    run: RunFolder
    joint: JointModel
    results: list[Result]

    def maps(self, rows: np.ndarray, model: str = "part") -> np.ndarray:
        """(N, S, S) uint8: what the part model, or the "posterior", says of some rows of the task's store."""
        return part_maps(self.task, self.joint, model, rows)


class Outcome(NamedTuple):
    """What a command comes to: the results, the tables that they stand in, and what did not come to an end, and why."""

    results: list[Result]
    tables: list[Table]
    failed: list[str]


def trained(
    cells: Sequence[Cell], folder: Path, open_task: Open, failed: list[str], tell: Tell = silent
) -> Iterator[Done]:
    """Trains cells that share a run folder.

    A method whose training diverges is told in ``failed``, and the others go on. Raises ValueError, before anything is
    trained, where the data do not allow a method, and TrainingDiverged where several processes train together.
    """
    task, run = open_task(cells[0], folder)
    methods.check(task, [cell.method for cell in cells])
    tell(describe_task(task))
    for cell in cells:
        tell(str(cell))
        try:
            with PeakMemory(task.device) as peak:
                joint, rows = methods.train(task, run, cell.method)
        except TrainingDiverged as error:
            if parallel.count() > 1:
                raise
            failed.append(f"{cell}: {error}")
            tell(f"failed: {failed[-1]}")
            continue
        yield Done(cell, task, run, joint, [_result(cell.conditions, task, row, peak.mib) for row in rows])


def describe_task(task: Task) -> str:
    """What is trained on and measured on, in a line."""
    processes = f", {parallel.count()} processes" if parallel.count() > 1 else ""
    return (
        f"{in_training(task.rows, task.styles)}; {task.settings.encoder}, {task.size} px, "
        f"{task.device}, seed {task.seed}{processes}"
    )


def _result(c: Conditions, task: Task, row: dict[str, Any], peak: float) -> Result:
    method, rows = methods.METHODS.get(row["method"]), task.rows
    usable = len(rows.part) + len(rows.val) * rows.held_out
    return Result(
        parts=len(rows.part) if c.parts is None else min(c.parts, usable),
        labels=c.labels,
        start=c.start,
        seed=c.seed,
        role=method.role if method else "posterior",
        peak_mib=peak,
        names=tuple(task.schema.parts),
        **{key: value for key, value in row.items() if key not in ("seed", "iou")},
    )
