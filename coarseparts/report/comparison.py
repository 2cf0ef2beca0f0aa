"""Many methods under several conditions: tables as Table 2 and 3, and how many part masks a method is worth."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.evaluation.iou import iou, paired
from coarseparts.report.published import Table as Published
from coarseparts.report.tables import COLUMNS, csv_lines, duration, markdown, write_text
from coarseparts.system.text import csv_cell, from_csv_cell, markdown_cell

CONDITIONS = ("parts", "labels", "start")
"""What a cell of a benchmark is measured under: part masks, coarse labels, where the encoders begin."""

HEADER = (*CONDITIONS, "role", *COLUMNS, "peak_mib")

RIVALS = ("baseline", "opponent", "control")
"""Roles of the methods that ours has to beat."""


@dataclass(frozen=True)
class Result:
    """One method, seed and set of conditions. ``role``: ours, baseline, opponent, control or bound; percentages;
    ``peak_mib``: the process's peak memory while it trained, nan where unknown; ``counts`` (N, P + 1, P + 1) by image;
    ``names``: of the P parts, () where unknown.
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
    def conditions(self) -> tuple[int, str, str]:
        return self.parts, self.labels, self.start


def write_csv(path: str | Path, results: Iterable[Result]) -> Path:
    """One line a result, numbers to 4 decimals, nan as an empty cell; without the counts."""
    return _write(path, HEADER, ([getattr(result, name) for name in HEADER] for result in results))


def read_csv(path: str | Path) -> list[Result]:
    """The results of ``write_csv``, without counts. Raises ValueError naming the file where a column is missing or a
    cell is no number."""
    texts, whole = ("labels", "start", "role", "method"), ("parts", "seed")
    found = []
    for line, cells in csv_lines(path, HEADER):
        try:
            values: dict[str, Any] = {n: float(cells[n] or "nan") for n in HEADER if n not in texts}
            values |= {n: from_csv_cell(cells[n]) for n in texts} | {n: int(cells[n]) for n in whole}
            found.append(Result(**values))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {line}: {error}; correct or remove the line") from None
    return found


def by_conditions(results: Iterable[Result]) -> dict[tuple[int, str, str], dict[str, list[Result]]]:
    """conditions -> method -> its results, seeds in order; conditions and methods in the order they come in."""
    table: dict[tuple[int, str, str], dict[str, list[Result]]] = {}
    for result in results:
        table.setdefault(result.conditions, {}).setdefault(result.method, []).append(result)
    for methods in table.values():
        for runs in methods.values():
            runs.sort(key=lambda r: r.seed)
    return table


def best_rivals(methods: Mapping[str, Sequence[Result]]) -> list[str]:
    """The baseline, opponent or control with the highest mean part mIoU and, where that is a control, the best of the
    others; none where there is no rival."""
    means = {name: _mean(runs, "part_miou") for name, runs in methods.items() if runs[0].role in RIVALS}
    others = {name: mean for name, mean in means.items() if methods[name][0].role != "control"}
    return list(dict.fromkeys(max(found, key=lambda name: found[name]) for found in (means, others) if found))


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


@dataclass(frozen=True)
class Margin:
    """A method's paired difference to a best rival under the same conditions, in points, with its interval."""

    parts: int
    labels: str
    start: str
    method: str
    rival: str
    difference: float
    low: float
    high: float


MARGINS = tuple(Margin.__dataclass_fields__)


def margins(results: Iterable[Result]) -> list[Margin]:
    """Those of all methods but the best rivals themselves; none where there is no rival."""
    found = []
    for conditions, methods in by_conditions(results).items():
        for best in best_rivals(methods):
            found += [Margin(*conditions, name, best, *margin(methods, name, best)) for name in methods if name != best]
    return found


def write_margins(path: str | Path, found: Iterable[Margin]) -> Path:
    """One line a margin: what needs the counts of every image, kept for tables that are made again from the files."""
    return _write(path, MARGINS, ([getattr(m, name) for name in MARGINS] for m in found))


def read_margins(path: str | Path) -> list[Margin]:
    """What ``write_margins`` wrote. Raises ValueError naming the file where it is damaged."""
    found = []
    for line, row in csv_lines(path, MARGINS):
        try:
            values: dict[str, Any] = {name: from_csv_cell(row[name]) for name in MARGINS[1:5]}
            values |= {name: float(row[name] or "nan") for name in MARGINS[5:]}
            found.append(Margin(int(row["parts"]), **values))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: is damaged ({error} in line {line}); make it again") from None
    return found


def _write(path: str | Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Path:
    """CSV: numbers to 4 decimals, nan as an empty cell, texts as ``csv_cell`` writes them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(_cell, row) for row in rows)
    return write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    return csv_cell(value) if isinstance(value, str) else str(value)


def condition_tables(
    results: Iterable[Result], known: Iterable[Margin] | None = None, published: Published | None = None
) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, headings, rows of texts) for each set of conditions: Table 2's columns with spread, margin and cost.

    ``known``: the margins, where they were worked out before (results read from a file have no counts).
    ``published``: the paper's numbers, a column of their own under conditions that it has any for.
    """
    results = list(results)
    told = margins(results) if known is None else known
    by_rival = {(m.parts, m.labels, m.start, m.method, m.rival): m for m in told}
    tables = []
    for conditions, methods in by_conditions(results).items():
        rivals = best_rivals(methods)
        heads = ["Method", "Role", "Part mIoU, %", "95 % interval", "With background, %"]
        paper = {m: value for (*where, m), value in (published or {}).items() if tuple(where) == conditions[1:]}
        heads += ["Paper, %"] * bool(paper)
        heads += [*(f"Over {best}, points" for best in rivals), "Seeds", "Time", "Memory"]
        body = []
        for name, runs in methods.items():
            low, high = _mean(runs, "ci95_low"), _mean(runs, "ci95_high")
            row = [name, runs[0].role, _spread(runs, "part_miou")]
            row += ["-" if math.isnan(low) else f"{low:.1f} to {high:.1f}", _spread(runs, "miou")]
            if paper:
                row.append(f"{paper[name]:.1f}" if name in paper else "-")
            for best in rivals:
                own = by_rival.get((*conditions, name, best))
                row.append("-" if own is None else _points(own.difference, own.low, own.high))
            peak = _mean(runs, "peak_mib")
            row += [str(len(runs)), duration(_mean(runs, "seconds"))]
            body.append([*row, "-" if math.isnan(peak) else f"{peak / 1024:.1f} GiB"])
        tables.append((title(conditions), heads, body))
    return tables


ByPart = dict[tuple[int, str, str], dict[str, dict[str, float]]]
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


def part_tables(found: ByPart) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, headings, rows of texts) for each set of conditions: methods down, parts across, IoU in percent."""
    return [
        (
            title(conditions),
            ["Method", *next(iter(methods.values()))],
            [[m, *("-" if math.isnan(v) else f"{v:.1f}" for v in parts.values())] for m, parts in methods.items()],
        )
        for conditions, methods in found.items()
    ]


def write_parts(path: str | Path, found: ByPart) -> Path:
    """A line for each set of conditions, method and part; nan is an empty cell."""
    rows = (
        (*conditions, name, part, value)
        for conditions, methods in found.items()
        for name, parts in methods.items()
        for part, value in parts.items()
    )
    return _write(path, PARTS, rows)


def read_parts(path: str | Path) -> ByPart:
    """What ``write_parts`` wrote. Raises ValueError naming the file where it is damaged."""
    found: ByPart = {}
    for line, row in csv_lines(path, PARTS):
        try:
            labels, start, method, part = (from_csv_cell(row[name]) for name in PARTS[1:-1])
            methods = found.setdefault((int(row["parts"]), labels, start), {})
            methods.setdefault(method, {})[part] = float(row["iou"] or "nan")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: is damaged ({error} in line {line}); make it again") from None
    return found


def overview(results: Iterable[Result]) -> tuple[list[str], list[list[str]]]:
    """Methods down, conditions across, mean part mIoU: the shape of Table 2 (starts) and Table 3 (labels)."""
    table = by_conditions(results)
    methods = list(dict.fromkeys(name for found in table.values() for name in found))
    body = [[m, *(_spread(found[m], "part_miou") if m in found else "-" for found in table.values())] for m in methods]
    return ["Method", *(title(c) for c in table)], body


def title(conditions: tuple[int, str, str]) -> str:
    """ "30 part masks, keypoints + mask, from weights"."""
    parts, labels, start = conditions
    return f"{parts} part masks, {labels.replace('+', ' + ')}, from {start}"


def label_curves(results: Iterable[Result]) -> dict[tuple[str, str], dict[str, list[tuple[float, ...]]]]:
    """(labels, start) -> method -> [(part masks, mean part mIoU, low, high)] by growing number of part masks.

    Only where there are at least two numbers. Low and high are the means of the seeds' bootstrap intervals. A method
    that looks at no coarse label was run under one set of labels and stands under each of them.
    """
    results = list(results)
    curves: dict[tuple[str, str], dict[str, list[tuple[float, ...]]]] = {}
    for (parts, labels, start), methods in by_conditions(results).items():
        for name, runs in methods.items():
            point = (parts, *(_mean(runs, k) for k in ("part_miou", "ci95_low", "ci95_high")))
            curves.setdefault((labels, start), {}).setdefault(name, []).append(point)
    for lines in curves.values():
        for points in lines.values():
            points.sort()
    kept = {k: {n: p for n, p in lines.items() if len(p) > 1} for k, lines in curves.items()}
    return {k: lines for k, lines in kept.items() if lines}


def multiplier(reference: Sequence[tuple[float, ...]], parts: float, reached: float) -> tuple[float, bool]:
    """How many times ``parts`` part masks the reference needs to reach ``reached`` percent, and whether it does.

    ``reference``: (part masks, part mIoU, ...) points; between them the curve is a straight line over the logarithm of
    the number. (x, True): the reference reaches it at x times ``parts``. (x, False): it does not with x times as many,
    the most that were tried; or it is above it already with the fewest, x times ``parts``.
    """
    points = sorted((p[0], p[1]) for p in reference)
    if reached <= points[0][1]:
        return points[0][0] / parts, False
    for (x0, y0), (x1, y1) in pairwise(points):
        if y0 < reached <= y1:
            share = (reached - y0) / (y1 - y0)
            return math.exp(math.log(x0) + share * (math.log(x1) - math.log(x0))) / parts, True
    return points[-1][0] / parts, False


def multiplier_sentence(lines: Mapping[str, Sequence[tuple[float, ...]]], ours: str, reference: str) -> list[str]:
    """What the curves say in words, a sentence for each number of part masks; none where a curve is missing."""
    if ours not in lines or reference not in lines:
        return []
    most = max(p[0] for p in lines[reference])
    sentences = []
    for parts, reached, *_ in lines[ours]:
        times, found = multiplier(lines[reference], parts, reached)
        if found:
            sentences.append(
                f"{ours} with {parts:.0f} part masks is worth {reference} with {times * parts:.0f}: x{times:.1f}"
            )
        elif parts < most and times > 1:
            sentences.append(
                f"{ours} with {parts:.0f} part masks is above {reference} with {most:.0f}: more than x{times:.1f}"
            )
    return sentences


def to_markdown(
    results: Iterable[Result],
    heading: str = "",
    known: Iterable[Margin] | None = None,
    published: Published | None = None,
) -> str:
    """All tables, and the label multiplier where several numbers of part masks were tried, as Markdown."""
    results = list(results)
    blocks = [f"# {markdown_cell(heading)}"] if heading else []
    tables = condition_tables(results, known, published)
    if len(tables) == 1 and not heading:
        return markdown(*tables[0][1:]) + "\n"
    if len(tables) > 1:
        blocks.append(markdown(*overview(results)))
    blocks += [f"## {markdown_cell(name)}\n\n{markdown(heads, body)}" for name, heads, body in tables]
    for lines in label_curves(results).values():
        blocks += [f"{markdown_cell(sentence)}." for sentence in multiplier_sentence(lines, "em", "fine-tuning")]
    return "\n\n".join(blocks) + "\n"


def _mean(runs: Sequence[Result], name: str) -> float:
    values = [v for r in runs if not math.isnan(v := float(getattr(r, name)))]
    return statistics.fmean(values) if values else math.nan


def _spread(runs: Sequence[Result], name: str) -> str:
    values = [float(getattr(r, name)) for r in runs]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def _points(difference: float, low: float, high: float) -> str:
    if math.isnan(difference):
        return "-"
    return f"{difference:+.1f}" + ("" if math.isnan(low) else f" ({low:+.1f} to {high:+.1f})")


def plain(result: Result) -> dict[str, Any]:
    """A result as JSON takes it, without its counts."""
    return {name: getattr(result, name) for name in HEADER}
