"""Results: a row for each method, seed and set of conditions, what follows from them, and all of it as CSV.

Every command that trains writes these rows; every table, curve and page is made of them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.evaluation.iou import iou, paired
from coarseparts.report.csv_files import read_csv, write_csv
from coarseparts.system.text import from_csv_cell

Conditions = tuple[int, str, str]
"""(part masks, coarse labels, where the encoders begin), as the columns ``CONDITIONS``."""

CONDITIONS = ("parts", "labels", "start")
_MEASURES = ("part_miou", "miou", "ci95_low", "ci95_high", "seconds", "peak_mib")
COLUMNS = (*CONDITIONS, "role", "method", "seed", *_MEASURES)
"""Of results.csv."""

RIVALS = ("baseline", "opponent", "control")
"""Roles of the methods that ours has to beat."""


@dataclass(frozen=True)
class Result:
    """One method with one seed under one set of conditions.

    ``parts``: number of part masks; ``labels``: coarse styles joined by "+", or "all"; ``start``: where encoders begin.
    ``role``: ours, baseline, opponent, control, bound, or posterior, which sees the labels of the images that it is
    measured on. ``part_miou``, ``miou`` (with background) and the interval of the first: percent. ``seconds`` of
    training; ``peak_mib``: the process's peak memory meanwhile, nan where unknown. ``counts`` (N, P + 1, P + 1): each
    image's confusion (``PartMaps.confusion``), and ``names`` of the P parts; neither is in the CSV file.
    """

    parts: int
    labels: str
    start: str
    role: str
    method: str
    seed: int
    part_miou: float
    miou: float
    ci95_low: float
    ci95_high: float
    seconds: float
    peak_mib: float = math.nan
    counts: np.ndarray | None = field(default=None, repr=False, compare=False)
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def conditions(self) -> Conditions:
        return self.parts, self.labels, self.start


def write_results(path: str | Path, results: Iterable[Result]) -> Path:
    """results.csv: the columns ``COLUMNS``, measures to 4 decimals, nan as an empty cell. Returns the path."""
    return write_csv(path, COLUMNS, ([_short(getattr(r, name)) for name in COLUMNS] for r in results))


def read_results(path: str | Path) -> list[Result]:
    """What ``write_results`` wrote, without counts. Raises as ``csv_files.read_csv`` does."""
    return [Result(**values) for values in _read(path, COLUMNS)]


def by_conditions(results: Iterable[Result]) -> dict[Conditions, dict[str, list[Result]]]:
    """conditions -> method -> its results, seeds in order; conditions and methods in the order they come in.

    Raises ValueError if a method has a seed twice under the same conditions.
    """
    table: dict[Conditions, dict[str, list[Result]]] = {}
    for result in results:
        table.setdefault(result.conditions, {}).setdefault(result.method, []).append(result)
    for methods in table.values():
        for name, runs in methods.items():
            runs.sort(key=lambda r: r.seed)
            twice = [a.seed for a, b in pairwise(runs) if a.seed == b.seed]
            if twice:
                raise ValueError(f"method {name!r} has seed {twice[0]} twice; keep one of the two rows")
    return table


def title(conditions: Conditions) -> str:
    """ "30 part masks, keypoints + mask, from weights"; of other labels "all labels", "one label each", "two of box +
    mask each"."""
    parts, labels, start = conditions
    each, of, styles = labels.rpartition("-of-")
    if styles == "all":
        told = f"{each} label{'s' * (each != 'one')} each" if of else "all labels"
    else:
        told = f"{each} of {styles} each" if of else styles
    return f"{parts} part masks, {told.replace('+', ' + ')}, from {start}"


def main_method(methods: Iterable[str]) -> str:
    """Whose result comes first: em where it is there, else the last one; "" of none."""
    names = list(methods)
    return "em" if "em" in names else next(reversed(names), "")


def mean(runs: Sequence[Result], name: str) -> float:
    """Of a measure over results, nan left out; nan where nothing else is there."""
    values = finite(runs, name)
    return statistics.fmean(values) if values else math.nan


def finite(runs: Sequence[Result], name: str) -> list[float]:
    """The values of a measure that are not nan."""
    return [value for run in runs if not math.isnan(value := float(getattr(run, name)))]


# ---- margins over the best rival ------------------------------------------------------------------------------------


def best_rivals(methods: Mapping[str, Sequence[Result]]) -> list[str]:
    """The baseline, opponent or control with the highest mean part mIoU and, where that is a control, the best of the
    others; none where there is no rival."""
    means = {name: mean(runs, "part_miou") for name, runs in methods.items() if runs[0].role in RIVALS}
    means = {name: value for name, value in means.items() if not math.isnan(value)}
    others = {name: value for name, value in means.items() if methods[name][0].role != "control"}
    return list(dict.fromkeys(max(found, key=lambda name: found[name]) for found in (means, others) if found))


@dataclass(frozen=True)
class Margin:
    """A method's paired difference to a best rival under the same conditions, in points, with its 95 % interval."""

    parts: int
    labels: str
    start: str
    method: str
    rival: str
    difference: float
    low: float
    high: float


MARGINS = tuple(Margin.__dataclass_fields__)


def margin(methods: Mapping[str, Sequence[Result]], ours: str, theirs: str) -> tuple[float, float, float]:
    """(difference, low, high) of part mIoU in points, ours minus theirs, over the seeds that both have.

    The interval is the paired bootstrap over images (``iou.paired``); without counts it is nan.
    """
    mine, other = ({r.seed: r for r in methods[name]} for name in (ours, theirs))
    seeds = sorted(set(mine) & set(other))
    if not seeds:
        return math.nan, math.nan, math.nan
    sides = [[c for seed in seeds if (c := runs[seed].counts) is not None] for runs in (mine, other)]
    if all(len(side) == len(seeds) for side in sides):
        return paired(sides[0], sides[1])
    return statistics.fmean(mine[s].part_miou - other[s].part_miou for s in seeds), math.nan, math.nan


def margins(results: Iterable[Result]) -> list[Margin]:
    """Those of all methods but the best rivals themselves; none where there is no rival."""
    found = []
    for conditions, methods in by_conditions(results).items():
        for best in best_rivals(methods):
            found += [Margin(*conditions, name, best, *margin(methods, name, best)) for name in methods if name != best]
    return found


def write_margins(path: str | Path, found: Iterable[Margin]) -> Path:
    """margins.csv: what needs the counts of every image, kept for tables that are made again from the files."""
    return write_csv(path, MARGINS, ([_short(getattr(m, name)) for name in MARGINS] for m in found))


def read_margins(path: str | Path) -> list[Margin]:
    """What ``write_margins`` wrote. Raises as ``csv_files.read_csv`` does."""
    return [Margin(**values) for values in _read(path, MARGINS)]


# ---- each part ------------------------------------------------------------------------------------------------------

ByPart = dict[Conditions, dict[str, dict[str, float]]]
"""conditions -> method -> part -> IoU in percent."""

PARTS = (*CONDITIONS, "method", "part", "iou")


def by_part(results: Iterable[Result]) -> ByPart:
    """IoU of each part, the mean over the seeds (nan: no pixel is of the part or said to be). Only of methods whose
    results have counts and names."""
    table: ByPart = {}
    for conditions, methods in by_conditions(results).items():
        for name, runs in methods.items():
            values = [100 * iou(r.counts)[1:] for r in runs if r.counts is not None and r.names]
            if len(values) == len(runs):
                means = np.stack(values).mean(0).tolist()
                table.setdefault(conditions, {})[name] = dict(zip(runs[0].names, means, strict=True))
    return table


def write_parts(path: str | Path, found: ByPart) -> Path:
    """by_part.csv: a line for each set of conditions, method and part; nan is an empty cell."""
    rows = (
        (*conditions, name, part, _short(value))
        for conditions, methods in found.items()
        for name, parts in methods.items()
        for part, value in parts.items()
    )
    return write_csv(path, PARTS, rows)


def read_parts(path: str | Path) -> ByPart:
    """What ``write_parts`` wrote. Raises as ``csv_files.read_csv`` does."""
    found: ByPart = {}
    for parts, labels, start, method, part, value in map(dict.values, _read(path, PARTS)):
        found.setdefault((parts, labels, start), {}).setdefault(method, {})[part] = value
    return found


_INTEGERS, _TEXTS = ("parts", "seed"), ("labels", "start", "role", "method", "rival", "part")


def _read(path: str | Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The values of each line by column: whole numbers, texts as they were, all else numbers, nan of an empty cell."""

    def value(name: str, cell: str) -> Any:
        if name in _INTEGERS:
            return int(cell)
        return from_csv_cell(cell) if name in _TEXTS else float(cell or "nan")

    return read_csv(path, columns, lambda cells: {name: value(name, cells[name]) for name in columns})


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
