"""Methods and seeds on the same data, in one folder and one table: what train, compare and demo do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from coarseparts.experiments import exhibits
from coarseparts.experiments.cells import Cell, Conditions, Outcome, start_of, trained
from coarseparts.experiments.data import Data
from coarseparts.inference.model import Model
from coarseparts.report.csv_files import read_csv
from coarseparts.report.pages import Page, write_folder
from coarseparts.report.results import Result, main_method
from coarseparts.system import parallel
from coarseparts.system.errors import RunError
from coarseparts.system.locks import Tell, silent
from coarseparts.system.text import from_csv_cell
from coarseparts.training.claims import claimed
from coarseparts.training.experiment import Experiment
from coarseparts.training.methods import METHODS
from coarseparts.training.settings import Settings


def compare(
    open_data: Callable[[], Data],
    settings: Settings,
    methods: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    *,
    title: str,
    device: str = "cpu",
    labels: str = "all",
    parts: int | None = None,
    seed_folders: bool | None = None,
    tell: Tell = silent,
    console: Console | None = None,
    **config: str,
) -> Outcome:
    """Trains ``methods`` with each of ``seeds``, and writes tables, report and EM's model (else the last method's).

    ``settings`` resolved (``networks.resolve``) for ``device``; ``labels``: coarse styles joined by "+", or "all";
    ``parts``: only the first so many part masks, the others count as coarse images. ``seed_folders``: whether a seed's
    run has a folder of its own, by default where there are several. ``config`` stands in each run's config.yaml, too.
    What goes on is told by line through ``tell``, and epoch by epoch on ``console``, where there is one. What was
    trained by an earlier call is not trained again, what was begun is gone on with.

    Methods that diverge are in ``Outcome.failed``; the others' results are kept. Of several processes that train
    together all get the results, and the first one writes. Raises RunError where the folder is another's or holds
    results that would be lost, else what ``Data.experiment`` and ``cells.trained`` raise.
    """
    exported = main_method(methods)
    results: list[Result] = []
    failed: list[str] = []
    shown: Experiment | None = None
    with claimed(folder, tell):
        _nothing_dropped(folder, methods, seeds)
        with parallel.main_first():
            data = open_data()
        for problem in data.problems:
            tell(str(problem))

        def opened(cell: Cell, place: Path) -> Experiment:
            return data.experiment(cell.conditions, place, settings, device, console, **config)

        for seed in seeds:
            own = folder / f"seed{seed}" if seed_folders or (seed_folders is None and len(seeds) > 1) else folder
            conditions, before = Conditions(parts, labels, start_of(settings), seed), len(failed)
            cells = [Cell(conditions, method) for method in methods]
            for cell, experiment, found in trained(cells, own, opened, failed, tell):
                results += found
                if cell.method == exported:
                    Model.of(experiment, METHODS[exported].posterior).save(own / "model")
            if len(failed) == before:
                shown = experiment
        if shown and exported == "em":
            shown.restore("em")  # the pictures are EM's, whichever method was trained last
        if not parallel.is_main() or not results:
            return Outcome(results, [], failed)
        problems = [*failed, *map(str, data.problems)]
        page = Page(title, problems=problems)
        if shown:
            page = exhibits.page(shown, results, title, problems, tell)
        return Outcome(results, write_folder(folder, results, page), failed)


def _nothing_dropped(folder: Path, methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Raises RunError where ``folder`` has results of methods or seeds that the table of these would not have."""

    def of(cells: dict[str, str]) -> tuple[str, int]:
        return from_csv_cell(cells["method"]), int(cells["seed"])

    try:
        there = read_csv(folder / "results.csv", ("method", "seed"), of)
    except (OSError, ValueError):  # none, or damaged: it is written anew
        return
    rows = [(name, seed) for name, seed in dict.fromkeys(there) if name in METHODS]
    lost = [f"{name} (seed {seed})" for name, seed in rows if name not in methods or seed not in seeds]
    if lost:
        raise RunError(
            f"{folder}: holds the results of {', '.join(lost)}, too, which this command would take out of its table; "
            f"`compare` takes several --methods and --seeds at once, or take another --out"
        )
