"""Tables as CSV files: written whole, read back line by line, nothing in them a formula."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from coarseparts.system.files import write_whole
from coarseparts.system.text import csv_cell

Row = TypeVar("Row")


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


def write_csv(
    path: str | Path, columns: Sequence[str], rows: Iterable[Iterable[Any]], decimal_comma: bool = False
) -> Path:
    """A line a row: texts as ``csv_cell`` writes them, numbers as they are, nan as an empty cell. Returns the path.
    With ``decimal_comma`` as spreadsheets read it where people write 0,5: cells apart by semicolons, and a mark in
    front that says UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", delimiter=";" if decimal_comma else ",")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([_cell(value, decimal_comma) for value in row] for row in rows)
    return write_text(path, ("\ufeff" if decimal_comma else "") + text.getvalue())


def read_csv(path: str | Path, columns: Sequence[str], row: Callable[[dict[str, str]], Row]) -> list[Row]:
    """What ``row`` makes of each line's cells, as they stand there, by column; other columns than ``columns`` are
    there, too.

    Raises ValueError naming the file if it is no CSV, lacks a column or has a line that is cut off or that ``row``
    refuses with a ValueError; OSError if it cannot be opened.
    """
    found = []
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{path}: is damaged: the columns {missing} are missing; expected {','.join(columns)}")
            lines = [(reader.line_num, cells) for cells in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}: is damaged ({error}); make it again") from None
    for number, cells in lines:
        try:
            if any(cells[name] is None for name in columns):
                raise ValueError("it is cut off")
            found.append(row(cells))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: is damaged ({error}); correct or remove the line") from None
    return found


def _cell(value: Any, decimal_comma: bool) -> str:
    if isinstance(value, str):
        return csv_cell(value)
    if not isinstance(value, float):
        return str(value)
    said = "" if math.isnan(value) else str(value)
    return said.replace(".", ",") if decimal_comma else said
