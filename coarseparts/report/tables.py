"""Results as tables of texts: for the terminal, as Markdown, and for the report's page."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

from coarseparts.report.label_curves import label_curves, multiplier_sentences
from coarseparts.report.published import Table as Published
from coarseparts.report.results import (
    ByPart,
    Margin,
    Result,
    best_rivals,
    by_conditions,
    finite,
    main_method,
    margins,
    mean,
    title,
)
from coarseparts.system.text import markdown_cell, readable


class Table(NamedTuple):
    """Headings and rows of texts; the first column names the row."""

    title: str
    heads: list[str]
    body: list[list[str]]


def result_tables(
    results: Sequence[Result], told: Iterable[Margin] | None = None, published: Published | None = None
) -> list[Table]:
    """A table for each set of conditions (``condition_tables``), before them an overview where there are several."""
    tables = condition_tables(results, told, published)
    return [overview(results), *tables] if len(tables) > 1 else tables


def condition_tables(
    results: Sequence[Result], told: Iterable[Margin] | None = None, published: Published | None = None
) -> list[Table]:
    """For each set of conditions: a row for each method, with the spread over seeds, margins and cost.

    ``told``: the margins, where they were worked out before (results read from a file have no counts).
    ``published``: the paper's numbers, a column of their own under conditions that it has any for.
    """
    of = {(m.parts, m.labels, m.start, m.method, m.rival): m for m in (margins(results) if told is None else told)}
    tables = []
    for conditions, methods in by_conditions(results).items():
        rivals = best_rivals(methods)
        paper = {m: value for (*where, m), value in (published or {}).items() if tuple(where) == conditions[1:]}
        heads = ["Method", "Role", "Part mIoU, %", "95 % interval", "With background, %", *["Paper, %"] * bool(paper)]
        memory = any(finite(runs, "peak_mib") for runs in methods.values())
        heads += [*(f"Over {best}, points" for best in rivals), "Seeds", "Time", *["Memory"] * memory]
        body = []
        for name, runs in methods.items():
            low, high, peak = (mean(runs, measure) for measure in ("ci95_low", "ci95_high", "peak_mib"))
            row = [name, runs[0].role, _spread(runs, "part_miou")]
            row += ["-" if math.isnan(low) else f"{low:.1f} to {high:.1f}", _spread(runs, "miou")]
            if paper:
                row.append(f"{paper[name]:.1f}" if name in paper else "-")
            row += [_points(of.get((*conditions, name, best))) for best in rivals]
            row += [str(len(runs)), duration(mean(runs, "seconds"))]
            row += ["-" if math.isnan(peak) else f"{peak / 1024:.1f} GiB"] * memory
            body.append(row)
        tables.append(Table(title(conditions), heads, body))
    return tables


def overview(results: Iterable[Result]) -> Table:
    """Methods down, conditions across, mean part mIoU: the shape of Table 2 (starts) and Table 3 (labels)."""
    table = by_conditions(results)
    methods = list(dict.fromkeys(name for found in table.values() for name in found))
    body = [[m, *(_spread(found[m], "part_miou") if m in found else "-" for found in table.values())] for m in methods]
    return Table("All conditions: part mIoU, %", ["Method", *(title(c) for c in table)], body)


def part_tables(found: ByPart) -> list[Table]:
    """For each set of conditions: methods down, parts across, IoU in percent."""
    return [
        Table(
            title(conditions),
            ["Method", *next(iter(methods.values()))],
            [[m, *("-" if math.isnan(v) else f"{v:.1f}" for v in parts.values())] for m, parts in methods.items()],
        )
        for conditions, methods in found.items()
    ]


def run_table(results: Iterable[Result]) -> Table:
    """A row for each result, with two decimals, conditions and all."""
    heads = ["Method", "Seed", "Conditions", "Part mIoU, %", "With background, %", "Interval from", "to", "Time"]
    body = []
    for r in results:
        numbers = (r.part_miou, r.miou, r.ci95_low, r.ci95_high)
        texts = ("-" if math.isnan(n) else f"{n:.2f}" for n in numbers)
        body.append([r.method, str(r.seed), title(r.conditions), *texts, duration(r.seconds)])
    return Table("Each run", heads, body)


def sentences(results: Sequence[Result], told: Iterable[Margin] | None = None) -> list[str]:
    """The results in words: of one set of conditions the main method's and its margins, such as "em: 41.3 % part mIoU,
    1.1 points above distillation (+0.6 to +1.5), 1 seed"; of several numbers of part masks, what they are worth.

    ``told`` as in ``condition_tables``.
    """
    table = by_conditions(results)
    found = []
    for methods in table.values() if len(table) == 1 else ():
        main = main_method(methods)
        if math.isnan(mean(methods[main], "part_miou")):
            continue
        own = [m for m in (margins(results) if told is None else told) if m.method == main]
        beside = [
            f"{abs(m.difference):.1f} points {'below' if m.difference < 0 else 'above'} {m.rival}{_interval(m)}"
            for m in own
            if not math.isnan(m.difference)
        ]
        seeds = len(methods[main])
        value = f"{main}: {_spread(methods[main], 'part_miou')} % part mIoU"
        found.append(", ".join([value, *beside, f"{seeds} seed{'s' * (seeds != 1)}"]))
    for lines in label_curves(results).values():
        found += multiplier_sentences(lines)
    return found


def to_markdown(
    results: Sequence[Result],
    heading: str = "",
    told: Iterable[Margin] | None = None,
    published: Published | None = None,
) -> str:
    """All tables, and what they say in words, under a heading; without one, of one set of conditions the bare table."""
    told = margins(results) if told is None else list(told)
    tables = result_tables(results, told, published)
    if len(tables) == 1 and not heading:
        return markdown(tables[0]) + "\n"
    blocks = [f"# {markdown_cell(heading)}"] if heading else []
    blocks += [f"## {markdown_cell(table.title)}\n\n{markdown(table)}" for table in tables]
    blocks += [f"{markdown_cell(sentence)}." for sentence in sentences(results, told)]
    return "\n\n".join(blocks) + "\n"


def markdown(table: Table) -> str:
    """A table in Markdown, first column to the left and the others to the right; without its title and a last line
    break."""
    rule = ["---", *["---:"] * (len(table.heads) - 1)]
    lines = [[markdown_cell(cell) for cell in line] for line in (table.heads, *table.body)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Prints them on a rich console."""
    for table in tables:
        drawn = Drawn(title=Text(readable(table.title)), title_justify="left")
        for i, head in enumerate(table.heads):
            drawn.add_column(Text(readable(head)), justify="left" if i == 0 else "right", no_wrap=i == 2)
        for row in table.body:
            drawn.add_row(*(Text(readable(cell)) for cell in row))
        console.print(drawn)


def duration(seconds: float) -> str:
    """As a person says it: 9 s, 4 min 12 s, 2 h 05 min; "-" for nan."""
    if math.isnan(seconds):
        return "-"
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60:02d} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60:02d} min"


def _spread(runs: Sequence[Result], name: str) -> str:
    values = finite(runs, name)
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def _points(own: Margin | None) -> str:
    return "-" if own is None or math.isnan(own.difference) else f"{own.difference:+.1f}{_interval(own)}"


def _interval(own: Margin) -> str:
    return "" if math.isnan(own.low) else f" ({own.low:+.1f} to {own.high:+.1f})"
