"""``coarseparts benchmark``: methods x beginnings x labels x part masks x seeds, a resumable table (Tables 2 and 3).

A cell is one method under one set of conditions with one seed. Its result is kept as soon as it is known, so a
benchmark that was stopped goes on with the next cell, and several processes share the work under torchrun. Cells of
the same conditions share a run folder and with it the stages that methods have in common.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.experiments import kept
from coarseparts.experiments.cells import Cell, Conditions, Open, trained
from coarseparts.experiments.data import Data
from coarseparts.experiments.worlds import WORLDS
from coarseparts.report.pages import Page
from coarseparts.report.published import PUBLISHED
from coarseparts.report.results import Result
from coarseparts.report.tables import duration
from coarseparts.system.device import machine
from coarseparts.system.locks import Tell, silent
from coarseparts.training import methods
from coarseparts.training.claims import claimed, same_as_before


def facts(data: str, opened: Data, given: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """What all results in a folder have in common, as ``same_as_before`` compares it."""
    source = data if data in WORLDS else os.path.realpath(data)
    common = {"data": source, "data_hash": opened.key, **others}
    return common | {"set": {key: str(value) for key, value in given.items()}}


def claim(folder: Path, common: Mapping[str, Any]) -> None:
    """Writes down in ``folder`` what all cells have in common. Raises RunError where those that are there have not."""
    begun = any(folder.glob("*/seed*/stages/*/state.pt")) or any(folder.glob("*/seed*/results/*.json"))
    same_as_before(folder / "benchmark.yaml", common, "benchmark", begun)


def plan(
    names: Sequence[str],
    parts: Sequence[int],
    labels: Sequence[str],
    starts: Sequence[str],
    seeds: Sequence[int],
    preset: Callable[[str, str], str] = lambda method, start: "",
) -> list[Cell]:
    """All cells, seed by seed. A method that looks at no coarse label is done under the first ``labels`` only.

    ``preset`` (method, start) gives each cell's own.
    """
    return [
        Cell(Conditions(n, style, start, seed), name, preset(name, start))
        for seed in seeds
        for n in parts
        for start in starts
        for style in labels
        for name in names
        if style == labels[0] or methods.METHODS[name].labels
    ]


def run(cells: Sequence[Cell], folder: Path, open_task: Open, failed: list[str], tell: Tell = silent) -> list[Result]:
    """Does what is left of ``cells``, and returns all their results. Under torchrun this process does its share.

    A cell whose training diverges is left out and told in ``failed``, and the others go on. Raises ValueError, before
    anything is trained, where the data do not allow a method, and DamagedRun naming the file where a kept result is
    damaged.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    by_folder: dict[str, list[Cell]] = {}
    for cell in cells:
        by_folder.setdefault(cell.folder, []).append(cell)
    for place, together in list(by_folder.items())[rank::world]:
        left = [cell for cell in together if not kept.is_kept(folder, cell)]
        if left:
            with claimed(folder / place, tell):
                for done in trained(left, folder / place, open_task, failed, tell):
                    kept.keep(folder, done)
    return collect(cells, folder)


def collect(cells: Sequence[Cell], folder: Path) -> list[Result]:
    """The results that are there, in the cells' order; those without coarse labels again under every other labels."""
    found: list[Result] = []
    styles = list(dict.fromkeys(cell.conditions.labels for cell in cells))
    runs = list(dict.fromkeys((cell.conditions.seed, cell.conditions.start) for cell in cells))
    names = list(dict.fromkeys(cell.method for cell in cells))
    for cell in cells:
        if kept.is_kept(folder, cell):
            result = kept.read(folder, cell)
            found.append(result)
            if not methods.METHODS[cell.method].labels:
                found += [replace(result, labels=style) for style in styles if style != result.labels]
    return sorted(
        found,
        key=lambda r: (r.parts, styles.index(r.labels), runs.index((r.seed, r.start)), names.index(r.method)),
    )


def page(
    cells: Sequence[Cell],
    folder: Path,
    data: str,
    split: str,
    problems: Sequence[str] = (),
    **about: str,
) -> Page:
    """The report's page of the cells that are done: pictures of theirs, the paper's numbers where the data are the
    paper's; ``about``: facts that stand in it."""
    conditions = len({(c.conditions.parts, c.conditions.labels, c.conditions.start) for c in cells})
    seeds = ", ".join(map(str, sorted({c.conditions.seed for c in cells})))
    return Page(
        Path(data).stem,
        f"{len({c.method for c in cells})} methods, {conditions} set{'s' * (conditions != 1)} of conditions, "
        f"seeds {seeds}",
        published=PUBLISHED.get((Path(data).stem, split)),
        galleries=kept.galleries(cells, folder),
        facts={"machine": machine(), "data": data, "measured on": split, **about},
        problems=problems,
    )


def estimate(
    cells: Sequence[Cell], folder: Path, probe: Callable[[Cell], float] | None = None
) -> list[tuple[Cell, str, float]]:
    """(cell, "done" or "open", seconds) of each; open ones take as long as that method took elsewhere.

    A method of which no cell is done takes its usual share (``Method.cost``) of EM's time, which follows from the cells
    that are done, or else from ``probe``: a cell -> seconds of EM. Without either, seconds are nan.
    """
    done = {cell: kept.read(folder, cell).seconds for cell in cells if kept.is_kept(folder, cell)}
    of_em = [seconds / methods.METHODS[cell.method].cost for cell, seconds in done.items()]
    if not of_em and probe is not None and cells:
        of_em = [probe(cells[0])]
    rows = []
    for cell in cells:
        alike = [s for c, s in done.items() if c.method == cell.method]
        usual = float(np.mean(of_em)) * methods.METHODS[cell.method].cost if of_em else math.nan
        seconds = done.get(cell, float(np.mean(alike)) if alike else usual)
        rows.append((cell, "done" if cell in done else "open", seconds))
    return rows


def in_words(rows: Sequence[tuple[Cell, str, float]]) -> list[str]:
    """Lines: the cells with their state, and the time that is left where it can be told."""
    lines = []
    for cell, state, seconds in rows:
        lines.append(f"{state:5s} {cell}{'' if math.isnan(seconds) else f', {duration(seconds)}'}")
    left = [seconds for _, state, seconds in rows if state == "open"]
    known = [s for s in left if not math.isnan(s)]
    time = "how long they take is not known" if left else "nothing"
    if known:
        time = f"about {duration(sum(known))} on a machine with nothing else to do"
    return [*lines, f"{len(rows)} cells, {len(left)} to do: {time}"]
