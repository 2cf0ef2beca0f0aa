"""Methods and seeds on the same data, in one folder and one table: what train, compare and demo do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from coarseparts.experiments import exhibits
from coarseparts.experiments.cells import Cell, Conditions, Done, Outcome, start_of, trained
from coarseparts.experiments.data import Data
from coarseparts.experiments.model_card import model_card
from coarseparts.inference.model import Model
from coarseparts.report import model_card as cards
from coarseparts.report.csv_files import read_csv
from coarseparts.report.pages import Page, write_folder
from coarseparts.report.results import Result, main_method
from coarseparts.system import parallel
from coarseparts.system.errors import RunError
from coarseparts.system.locks import Tell, silent
from coarseparts.system.text import from_csv_cell
from coarseparts.training import plan
from coarseparts.training.claims import claimed, read_config, write
from coarseparts.training.methods import METHODS
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import Settings
from coarseparts.training.task import Task


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
    seed_folders: bool = False,
    minutes: float | None = None,
    tell: Tell = silent,
    console: Console | None = None,
    **config: str,
) -> Outcome:
    """Trains ``methods`` with each of ``seeds``, and writes tables, report and EM's model (else the last method's).

    ``settings`` resolved (``networks.resolve``) for ``device``; ``labels``: coarse styles joined by "+", or "all";
    ``parts``: only the first so many part masks, the others count as coarse images. ``seed_folders``: whether a seed
    has a run folder of its own in ``folder``, else it is the folder itself; by default where there are several seeds.
    ``minutes``: how long the longest of the trainings may last, planned from measured steps (``training.plan``).
    ``config`` stands in each run's config.yaml, too. What goes on is told by line through ``tell``, and epoch by epoch
    on ``console``, where there is one. What was trained by an earlier call is not trained again, what was begun is
    gone on with.

    Methods that diverge are in ``Outcome.failed``; the others' results are kept. Of several processes that train
    together all get the results, and the first one writes. Raises RunError where the folder is another's or holds
    results that would be lost, else what ``Data.experiment`` and ``cells.trained`` raise.
    """
    exported = main_method(methods)
    results: list[Result] = []
    failed: list[str] = []
    shown: Done | None = None
    with claimed(folder, tell):
        earlier = _earlier(folder)
        _nothing_dropped(folder, earlier, methods, seeds)
        with parallel.main_first():
            data = open_data()
        for problem in data.problems:
            tell(str(problem))
        if parts is not None and parts > (most := len(data.rows.part) + len(data.rows.hidden)):
            tell(f"{parts} part masks are asked for, and there are {most} to train on: all of them are used")
            parts = most
        if minutes is not None:
            conditions = Conditions(parts, labels, start_of(settings), seeds[0])
            lengths = plan.within(minutes, folder, data.task(conditions, settings, device), tell)
            settings = settings.model_copy(update=lengths)

        def opened(cell: Cell, place: Path) -> tuple[Task, RunFolder]:
            return data.open_task(cell.conditions, place, settings, device, console, **config)

        for seed in seeds:
            several = (seed_folders or len(seeds) > 1) and not _is_run_of(folder, seed)
            own = folder / f"seed{seed}" if several else folder
            conditions, before = Conditions(parts, labels, start_of(settings), seed), len(failed)
            cells = [Cell(conditions, method) for method in methods]
            of_seed: dict[str, Done] = {}
            for done in trained(cells, own, opened, failed, tell):
                for result in done.results:
                    seconds, peak = earlier.get((result.method, result.seed), (math.nan, math.nan))
                    trained_then = seconds == result.seconds  # and nothing now: that call knows the memory it took
                    results.append(replace(result, peak_mib=peak) if trained_then else result)
                of_seed[done.cell.method] = done
                if done.cell.method == exported:
                    Model.of(done.task, done.joint, METHODS[exported].posterior).save(own / "model")
                    write(own / cards.FILE, model_card(done, title).to_markdown())
            if len(failed) == before:
                shown = of_seed[exported]
        if not parallel.is_main() or not results:
            return Outcome(results, [], failed)
        problems = [*failed, *map(str, data.problems)]
        page = Page(title, problems=problems)
        if shown:
            page = exhibits.page(shown, results, title, problems, tell)
        return Outcome(results, write_folder(folder, results, page), failed)


def _is_run_of(folder: Path, seed: int) -> bool:
    """Whether a folder is itself the run of a seed: of an earlier call with that seed alone."""
    file = folder / "config.yaml"
    return file.is_file() and read_config(file).get("seed") == seed


def _earlier(folder: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """(method, seed) -> (seconds, peak_mib) of an earlier call's results; empty where there are none, or damaged ones,
    which are written anew."""

    def one(cells: dict[str, str]) -> tuple[tuple[str, int], tuple[float, float]]:
        cost = float(cells["seconds"] or "nan"), float(cells.get("peak_mib") or "nan")  # not in those of old versions
        return (from_csv_cell(cells["method"]), int(cells["seed"])), cost

    try:
        return dict(read_csv(folder / "results.csv", ("method", "seed", "seconds"), one))
    except (OSError, ValueError):
        return {}


def _nothing_dropped(
    folder: Path, earlier: Iterable[tuple[str, int]], methods: Sequence[str], seeds: Sequence[int]
) -> None:
    """Raises RunError where there are results of methods or seeds that the table of these would not have."""
    rows = [(name, seed) for name, seed in earlier if name in METHODS]
    lost = [f"{name} (seed {seed})" for name, seed in rows if name not in methods or seed not in seeds]
    if lost:
        raise RunError(
            f"{folder}: holds the results of {', '.join(lost)}, too, which this command would take out of its table; "
            f"ask for them as well (`compare` takes several --methods and --seeds at once), or take another --out"
        )
