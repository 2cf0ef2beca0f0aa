"""Results as rows, one per method and seed: kept as CSV, compared over seeds, shown as a table."""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coarseparts.system.files import write_whole
from coarseparts.system.text import csv_cell, from_csv_cell, markdown_cell, readable

Row = Mapping[str, Any]
"""One run: method (str), seed (int), part_miou, miou, ci95_low, ci95_high (percent), seconds (of training)."""

COLUMNS = ("method", "seed", "part_miou", "miou", "ci95_low", "ci95_high", "seconds")
_NUMBERS = COLUMNS[2:]


def write_text(path: str | Path, text: str) -> Path:
    """Write a whole file or nothing: into a temporary file beside it, then in its place. Returns the path.

    UTF-8; what UTF-8 cannot hold (a file name that was no text) becomes a question mark. Raises ValueError naming the
    file when it cannot be written: a folder in its place, a full disk, no permission.
    """
    path = Path(path)
    try:
        write_whole(path, text.encode("utf-8", "replace"), several=True)
    except OSError as error:
        remedy = "free some space, give yourself permission, or remove what is in its place"
        raise ValueError(f"{path}: cannot be written ({error.strerror or error}); {remedy}") from error
    return path


def write_results_csv(path: str | Path, rows: Iterable[Row]) -> Path:
    """Write the rows with the columns ``COLUMNS``; numbers to 4 decimals, nan and None as an empty cell.

    Raises ValueError if a row lacks a column or has one more.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        if set(row) != set(COLUMNS):
            raise ValueError(f"{path}: a row has the columns {sorted(row)}; expected {list(COLUMNS)}")
        numbers = (_number(row[name]) for name in _NUMBERS)
        cells = ("" if math.isnan(n) else f"{n:.4f}".rstrip("0").rstrip(".") for n in numbers)
        writer.writerow([csv_cell(str(row["method"])), int(row["seed"]), *cells])
    return write_text(path, text.getvalue())


def read_results_csv(path: str | Path) -> list[dict[str, Any]]:
    """The rows of ``write_results_csv``; empty cells are nan, columns of other names are left out.

    Raises ValueError, naming file and line, if a column is missing or a cell is no number.
    """
    rows = []
    for line, cells in csv_lines(path, COLUMNS):
        try:
            row: dict[str, Any] = {"method": from_csv_cell(cells["method"]), "seed": int(cells["seed"])}
            row |= {name: float(cells[name]) if cells[name] else math.nan for name in _NUMBERS}
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {line}: {error}; correct or remove the line") from None
        rows.append(row)
    return rows


def csv_lines(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, cells by column) of each line of a CSV file, as they stand there; a cell that a line lacks is None.

    Raises ValueError naming the file if it is no CSV or lacks one of ``columns``.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{path}: is damaged: the columns {missing} are missing; expected {','.join(columns)}")
            yield from ((reader.line_num, cells) for cells in reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}: is damaged ({error}); make it again") from None


def method_table(rows: Iterable[Row], reference: str | None = "fine-tuning") -> list[dict[str, Any]]:
    """One dict per method, in the rows' order, with means over its seeds.

    Keys: method; seeds (how many); part_miou, miou, ci95_low, ci95_high, seconds (means); part_miou_std, miou_std
    (of a sample, n - 1; nan with one seed); difference, difference_std (of part_miou to the method ``reference``,
    paired: over the seeds that both have), difference_seeds (how many), better_seeds (in how many it is positive).
    Missing numbers are nan and enter no mean; difference is nan for the reference itself, and everywhere if no
    method has that name (spelling of case, hyphens and spaces apart). Raises ValueError if a method has one seed
    twice.
    """
    by_method: dict[str, dict[int, Row]] = {}
    for row in rows:
        runs = by_method.setdefault(str(row["method"]), {})
        if row["seed"] in runs:
            raise ValueError(f"method {row['method']!r} has seed {row['seed']} twice; keep one of the two rows")
        runs[row["seed"]] = row
    base = by_method.get(find_method(by_method, reference) or "", {})
    table = []
    for method, runs in by_method.items():
        line: dict[str, Any] = {"method": method, "seeds": len(runs)}
        line |= {name: _mean(_number(run.get(name)) for run in runs.values()) for name in _NUMBERS}
        line |= {f"{n}_std": _std(_number(run.get(n)) for run in runs.values()) for n in ("part_miou", "miou")}
        paired = [
            _number(run["part_miou"]) - _number(base[seed]["part_miou"])
            for seed, run in runs.items()
            if seed in base and runs is not base
        ]
        paired = [d for d in paired if not math.isnan(d)]
        line |= {"difference": _mean(paired), "difference_std": _std(paired)}
        line |= {"difference_seeds": len(paired), "better_seeds": sum(d > 0 for d in paired)}
        table.append(line)
    return table


def find_method(methods: Iterable[str], name: str | None) -> str | None:
    """The method of that name, else one that differs in case, hyphens, underscores and spaces only, else None."""
    methods = list(methods)
    if name is None or name in methods:
        return name
    return next((m for m in methods if _plain(m) == _plain(name)), None)


def main_method(methods: Iterable[str], name: str | None = None) -> str | None:
    """Whose result a report puts first: ``name`` if it is there, else the first that is called EM, else the last."""
    methods = list(methods)
    called_em = (m for m in methods if re.match(r"em\b", m, re.IGNORECASE))
    return find_method(methods, name) or next(called_em, methods[-1] if methods else None)


def headline(rows: Iterable[Row], main: str | None = None, reference: str | None = "fine-tuning") -> str:
    """The result in a sentence, such as "em: 41.3 % part mIoU, 9.8 points above fine-tuning (3 seeds, ...)"; ""
    where there is none."""
    table = method_table(rows, reference)
    methods = [line["method"] for line in table]
    line = next((t for t in table if t["method"] == main_method(methods, main)), None)
    if line is None or math.isnan(line["part_miou"]):
        return ""
    runs = [_counted(line["seeds"], "seed")]
    sentence = f"{line['method']}: {line['part_miou']:.1f} % part mIoU"
    if line["difference_seeds"]:
        points = line["difference"]
        side = "above" if points >= 0 else "below"
        sentence += f", {abs(points):.1f} points {side} {find_method(methods, reference)}"
        if line["difference_seeds"] > 1:
            runs.append(f"above it in {line['better_seeds']} of {line['difference_seeds']}")
    if line["seeds"] == 1 and not math.isnan(line["ci95_low"]):
        runs.append(f"95 % interval over images {line['ci95_low']:.1f} to {line['ci95_high']:.1f}")
    return f"{sentence} ({', '.join(runs)})"


def cells(rows: Iterable[Row], reference: str | None = "fine-tuning") -> tuple[list[str], list[list[str]]]:
    """Headings and rows of texts of ``method_table``, as every form of the table shows them."""
    table = method_table(rows, reference)
    base = find_method([line["method"] for line in table], reference)
    heads = ["Method", "Part mIoU, %", "95 % interval", "mIoU with background, %"]
    heads += [f"Over {base}, points"] * (base is not None) + ["Seeds", "Time per run"]
    body = []
    for line in table:
        row = [line["method"], _spread(line["part_miou"], line["part_miou_std"])]
        low, high = line["ci95_low"], line["ci95_high"]
        row.append("-" if math.isnan(low) or math.isnan(high) else f"{low:.1f} to {high:.1f}")
        row.append(_spread(line["miou"], line["miou_std"]))
        if base is not None:
            better = f" ({line['better_seeds']} of {line['difference_seeds']})" * (line["difference_seeds"] > 1)
            row.append(_spread(line["difference"], line["difference_std"], sign="+") + better)
        body.append([*row, str(line["seeds"]), duration(line["seconds"])])
    return heads, body


def to_markdown(rows: Iterable[Row], reference: str | None = "fine-tuning") -> str:
    """The table as Markdown, ending in a line break."""
    return markdown(*cells(rows, reference)) + "\n"


def markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, first column to the left and the others to the right; without a last line break."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    lines = [[markdown_cell(cell) for cell in line] for line in (heads, *body)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def print_table(
    rows: Iterable[Row], console: Console, reference: str | None = "fine-tuning", title: str | None = None
) -> None:
    """Print the table on a rich console."""
    heads, body = cells(rows, reference)
    table = Table(title=Text(readable(title)) if title else None, title_justify="left")
    for i, head in enumerate(heads):
        table.add_column(Text(readable(head)), justify="left" if i == 0 else "right", no_wrap=i == 1)
    for row in body:
        table.add_row(*(Text(readable(cell)) for cell in row))
    console.print(table)


def duration(seconds: float) -> str:
    """As a person says it: 9 s, 4 min 12 s, 2 h 05 min; "-" for nan."""
    if math.isnan(seconds):
        return "-"
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60:02d} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60:02d} min"


def _spread(mean: float, std: float, sign: str = "") -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:{sign}.1f}" + ("" if math.isnan(std) else f" ± {std:.1f}")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" + "s" * (n != 1)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _mean(values: Iterable[float]) -> float:
    there = _there(values)
    return statistics.fmean(there) if there else math.nan


def _std(values: Iterable[float]) -> float:
    there = _there(values)
    return statistics.stdev(there) if len(there) > 1 else math.nan


def _there(values: Iterable[float]) -> Sequence[float]:
    return [v for v in values if not math.isnan(v)]
