"""The loop that every command shares: methods trained one after the other in one run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from coarseparts.data.accounts import in_training
from coarseparts.report.results import Result, title
from coarseparts.report.tables import Table
from coarseparts.system import parallel
from coarseparts.system.locks import Tell, silent
from coarseparts.training import methods
from coarseparts.training.experiment import Experiment
from coarseparts.training.run_folder import PeakMemory
from coarseparts.training.settings import Settings
from coarseparts.updates import TrainingDiverged

STARTS = {
    "random": {"weights": "random", "start": "weights"},
    "keypoints": {"weights": "random", "start": "keypoints"},
    "weights": {"start": "weights"},
    "weights+keypoints": {"start": "keypoints"},
}
"""Where encoders begin (Table 2's rows), and the settings that say so; "weights" are those of --weights."""


def start_of(settings: Settings) -> str:
    """Which of ``STARTS`` some settings are."""
    if settings.weights == "random":
        return "keypoints" if settings.start == "keypoints" else "random"
    return "weights+keypoints" if settings.start == "keypoints" else "weights"


@dataclass(frozen=True)
class Conditions:
    """``parts``: number of part masks, None for all there are; ``labels``: coarse styles, joined by "+", or "all";
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


Open = Callable[[Cell, Path], Experiment]
"""A cell and a run folder -> the experiment, of all cells that differ in nothing but the method."""


class Outcome(NamedTuple):
    """What a command comes to: the results, the tables that they stand in, and what did not come to an end, and why."""

    results: list[Result]
    tables: list[Table]
    failed: list[str]


def trained(
    cells: Sequence[Cell], folder: Path, open_experiment: Open, failed: list[str], tell: Tell = silent
) -> Iterator[tuple[Cell, Experiment, list[Result]]]:
    """Trains cells that share a run folder; each with its experiment, whose networks are as the method left them, and
    its results, the method's own last (before it, for EM, its posterior's).

    A method whose training diverges is told in ``failed``, and the others go on. Raises ValueError, before anything is
    trained, where the data do not allow a method, and TrainingDiverged where several processes train together.
    """
    first = open_experiment(cells[0], folder)
    methods.check(first, [cell.method for cell in cells])
    tell(_about(first))
    usable: Experiment | None = first
    for cell in cells:
        experiment = usable or open_experiment(cell, folder)
        usable = None  # where it diverges its numbers may not be finite: the next method has networks of its own
        tell(str(cell))
        try:
            with PeakMemory(experiment.device) as peak:
                rows = methods.train(experiment, cell.method)
        except TrainingDiverged as error:
            if parallel.count() > 1:
                raise
            failed.append(f"{cell}: {error}")
            tell(f"failed: {failed[-1]}")
            continue
        usable = experiment
        yield cell, experiment, [_result(cell.conditions, experiment, row, peak.mib) for row in rows]


def _about(experiment: Experiment) -> str:
    """What is trained on and measured on, in a line."""
    processes = f", {parallel.count()} processes" if parallel.count() > 1 else ""
    return (
        f"{in_training(experiment.rows, experiment.styles)}; {experiment.settings.encoder}, {experiment.size} px, "
        f"{experiment.device}, seed {experiment.seed}{processes}"
    )


def _result(c: Conditions, experiment: Experiment, row: dict[str, Any], peak: float) -> Result:
    method, rows = methods.METHODS.get(row["method"]), experiment.rows
    usable = len(rows.part) + len(rows.val) * rows.held_out
    return Result(
        parts=len(rows.part) if c.parts is None else min(c.parts, usable),
        labels=c.labels,
        start=c.start,
        seed=c.seed,
        role=method.role if method else "posterior",
        peak_mib=peak,
        names=tuple(experiment.schema.parts),
        **{key: value for key, value in row.items() if key not in ("seed", "iou")},
    )
