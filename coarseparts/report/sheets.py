"""Tables that people fill in, as a spreadsheet of any country saves them as CSV."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coarseparts.system.documents import encoding_of, separator_of
from coarseparts.system.problems import BadInput, Problem, capped, unreadable
from coarseparts.system.text import listed

_GROUPED = re.compile(r"[1-9]\d{0,2}([.,]\d{3})+")
"""A whole number as some write it, 1.234 or 1,234 for 1234; others mean a little more than 1 by it."""


@dataclass(frozen=True)
class Sheet:
    """``columns``, the number and the cells of each line that is not empty, and the ``separator`` of cells, of
    ``documents.SEPARATORS``."""

    columns: list[str]
    lines: list[tuple[int, dict[str, str]]]
    separator: str

    def decimal(self, column: str) -> str:
        """The decimal sign of a column's numbers: a comma where semicolons or tabs part the cells, unless they have
        points."""
        numbers = self._numbers(column)
        with_points = any("." in number for number in numbers) and not any("," in number for number in numbers)
        return "." if self.separator == "," or with_points else ","

    def ambiguous(self, column: str) -> tuple[str, str] | None:
        """What is wrong, and the remedy, where a number's sign may be a decimal one or stand for thousands and no other
        number tells which: a point beside semicolons, either beside tabs."""
        sign = self.decimal(column)
        signed = [number for number in self._numbers(column) if sign in number]
        told = self.separator == "," or (self.separator, sign) == (";", ",")
        if told or not signed or not all(map(_GROUPED.fullmatch, signed)):
            return None
        number = signed[0]
        one, more = re.split("[.,]", number)[0], re.sub("[.,]", "", number)
        message = f"has {number!r} and nothing that tells whether it is {more} or a little more than {one}"
        return message, f"write {more}, or {number}0"

    def _numbers(self, column: str) -> list[str]:
        return [cells[column].strip() for _, cells in self.lines]


def read_sheet(file: Path, columns: Sequence[str], named: str, remedy: str, most_bytes: int = 100_000_000) -> Sheet:
    """A table with a heading that has ``columns``.

    ``named``: what to do where there is no such file, ``remedy`` where it is no such table. Raises BadInput."""
    try:
        if (size := file.stat().st_size) > most_bytes:
            raise BadInput(Problem(str(file), f"has {size:,} bytes, expected at most {most_bytes:,}", remedy))
        lines = file.read_text(encoding_of(file)).splitlines()
    except OSError as error:
        raise BadInput(unreadable(file, error, named)) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(file), "is not text in UTF-8", "save it as CSV in UTF-8")) from None
    try:
        separator = separator_of(next(filter(str.strip, lines), ""), columns)
        reader = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
        rows = [(row, reader.line_num) for row in reader]
    except csv.Error as error:
        raise BadInput(Problem(str(file), f"is no CSV ({error})", remedy)) from None
    found = list(reader.fieldnames or ())
    if absent := [column for column in columns if column not in found]:
        raise BadInput(Problem(str(file), f"lacks the column{'s' * (len(absent) > 1)} {listed(absent)}", remedy))
    if long := [number for row, number in rows if any(cell.strip() for cell in row.get(None) or ())]:
        quotes = f"put a number or a name with a {'comma' if separator == ',' else repr(separator)} in it in quotes"
        raise BadInput(
            capped(Problem(str(file), f"line {number} has more cells than the heading", quotes) for number in long)
        )
    cells = [(number, {name: row.get(name) or "" for name in found}) for row, number in rows]
    return Sheet(found, [line for line in cells if any(line[1].values())], separator)


def number_of(text: str, decimal: str) -> float:
    """A number with a decimal sign (``Sheet.decimal``); nan of what is none, or not finite."""
    if decimal == ",":
        whole, comma, rest = text.partition(",")
        if "." in text and not _GROUPED.fullmatch(whole):
            return math.nan
        text = f"{whole.replace('.', '')}{comma and '.'}{rest}"
    try:
        value = math.nan if "_" in text else float(text)  # Python's own way of writing numbers, nobody else's
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
