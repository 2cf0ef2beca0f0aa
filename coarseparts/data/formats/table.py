"""Tables (CSV) as tools and spreadsheets write them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from coarseparts.system.documents import encoding_of, separator_of
from coarseparts.system.problems import BadInput, Problem, unreadable

MOST_BYTES = 500_000_000
"""Of a table."""


def rows_of(file: Path, remedy: str, decimal_comma: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(number from 1, cells) of the rows that are not empty, in UTF-8 or UTF-16, parted by commas, semicolons or tabs,
    whichever comes first; ``decimal_comma``: where semicolons part cells, commas in them become points. Raises BadInput
    for what is too large, no text or no table."""
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise BadInput(Problem(str(file), f"has {size:,} bytes, expected at most {MOST_BYTES:,}", remedy))
        with open(file, encoding=encoding_of(file), newline="") as lines:
            first = lines.readline()
            lines.seek(0)
            separator = separator_of(first)
            points = decimal_comma and separator == ";"
            csv.field_size_limit(max(csv.field_size_limit(), MOST_BYTES))  # a cell may hold all regions of an image
            for number, row in enumerate(csv.reader(lines, delimiter=separator), 1):
                if any(cell.strip() for cell in row):
                    yield number, [cell.replace(",", ".") for cell in row] if points else row
    except OSError as error:
        raise BadInput(unreadable(file, error, remedy)) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(file), "is no text in UTF-8, expected a table (CSV)", remedy)) from None
    except csv.Error as error:
        raise BadInput(Problem(str(file), f"is no table (CSV): {error}", remedy)) from None
