"""What a user gives is data: names of files, parts, keypoints and categories, made visible text for each target.

One function a target, used wherever such a text goes there: ``readable`` for terminals, logs, pages (whose template
escapes markup besides) and pictures, ``csv_cell`` for tables that a spreadsheet opens, ``markdown_cell`` for Markdown.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterable
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""How a cell begins that a spreadsheet would compute; and the mark that keeps it from that."""


def readable(text: str | os.PathLike[str]) -> str:
    """``text`` as one printable line: bytes of a name that are not UTF-8, control characters, terminals' commands and
    marks that turn the direction of writing become escapes such as \\x1b."""
    text = os.fspath(text)
    if text.isascii() and text.isprintable():
        return text
    try:
        decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte: JSON can hold one
        decoded = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in decoded)


def csv_cell(text: str) -> str:
    """A text as a cell of a table: one printable line that no spreadsheet takes for a formula ("=cmd" -> "'=cmd")."""
    text = readable(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def from_csv_cell(cell: str) -> str:
    """The text that ``csv_cell`` made a cell of."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def markdown_cell(text: str) -> str:
    """A text for Markdown, in a table or not: what would be markup is escaped."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", readable(text))


def short(value: Any, most: int = 40) -> str:
    """A value of any kind, size and depth as Python writes it, cut to about ``most`` characters."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother = 3, most, most
    try:
        said = readable(brief.repr(value))
    except ValueError:  # an integer of more digits than Python prints
        return f"a {type(value).__name__} of many digits"
    return said if len(said) <= most else f"{said[: most - 3]}..."


def listed(names: Iterable[str], most: int = 12) -> str:
    """ "a, b, c"; of more than ``most`` names the first ones and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
