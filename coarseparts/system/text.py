"""What a user gives is data: names of files, parts, keypoints and categories, made visible text for each target.

One function a target, used wherever such a text goes there: ``readable`` for terminals, logs, pages (whose template
escapes markup besides) and pictures, ``csv_cell`` for tables that a spreadsheet opens, ``markdown_cell`` for Markdown.
And of names that are not known, the nearest known one.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any

_FORMULA = " *['=+\\-@\uff1d\uff0b\uff0d\uff20]"
"""How a cell begins that a spreadsheet would compute, in wide signs, too; or the mark that keeps it from that."""

_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Lone surrogates, which JSON can hold, but for those with which Python writes a byte that is not UTF-8."""


def readable(text: str | os.PathLike[str]) -> str:
    """``text`` as one printable line: bytes of a name that are not UTF-8, control characters, terminals' commands and
    marks that turn the direction of writing become escapes such as \\x1b."""
    text = os.fspath(text)
    if text.isascii() and text.isprintable():
        return text
    text = _NO_BYTE.sub(lambda found: _escaped(found[0]), text)
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else _escaped(c) for c in decoded)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def csv_cell(text: str) -> str:
    """A text as a cell of a table: one printable line that no spreadsheet takes for a formula ("=cmd" -> "'=cmd"), nor
    what follows a semicolon, which parts cells in many countries."""
    return re.sub(f"(^|;)(?={_FORMULA})", r"\1'", readable(text))


def from_csv_cell(cell: str) -> str:
    """The readable text that ``csv_cell`` made a cell of."""
    return re.sub(f"(^|;)'(?={_FORMULA})", r"\1", cell)


def markdown_cell(text: str) -> str:
    """A text for Markdown, in a table or not: what would be markup is escaped; "_" within a word is none."""
    return re.sub(r"[\\`*\[\]<>|#&~$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", readable(text))


def abridged(text: str | os.PathLike[str], most: int = 60) -> str:
    """``readable``, with an ellipsis in the middle where it is longer than ``most`` characters: names tend to differ at
    their ends."""
    text = readable(text)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - most // 2 - 1) :]}"


def short(value: Any, most: int = 40) -> str:
    """A value of any kind, size and depth as Python writes it, cut to about ``most`` characters."""
    limited = reprlib.Repr()
    limited.maxlevel, limited.maxstring, limited.maxother = 3, most, most
    try:
        said = readable(limited.repr(value))
    except ValueError:  # an integer of more digits than Python prints
        return f"a {type(value).__name__} of many digits"
    return said if len(said) <= most else f"{said[: most - 3]}..."


def reason(error: BaseException, most: int = 300) -> str:
    """What an exception says, in one line of at most ``most`` characters; its kind where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def brief(error: BaseException) -> str:
    """An exception's first sentence on one line (torch's and huggingface_hub's fill a screen), else its kind."""
    text = " ".join(str(error).split()).split(". ")[0]
    return f"{text[:200]}..." if len(text) > 200 else text if " " in text else type(error).__name__


def listed(names: Iterable[str], most: int = 12) -> str:
    """ "a, b, c"; of more than ``most`` names the first ones and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


TOLD = 12
"""Unknown names that are told one by one."""

COMPARED, BEGINNING = 500, 60
"""Known names that an unknown one is compared with, and characters of each."""


def close_to(name: str, known: Iterable[str]) -> str | None:
    """The name among the first ``COMPARED`` known ones that one was probably meant to be; None where none is similar.
    Beginnings are compared, which takes no longer for longer names."""
    import difflib  # here: every command imports this file

    beginnings = {other[:BEGINNING]: other for other in islice(known, COMPARED)}
    close = difflib.get_close_matches(name[:BEGINNING], beginnings, n=1)
    return beginnings[close[0]] if close else None


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` when something similar is known, else the list of what is known, or its beginning."""
    known = list(known)
    close = close_to(name, known)
    if close:
        return f"did you mean {short(close, 60)}?"
    return f"expected one of {listed(map(abridged, known))}" if known else "none are known"


def strangers(names: Collection[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Those of ``names`` that are not among the known ones, as a message names them, and a remedy each; the last one
    stands for all beyond ``TOLD``."""
    there = set(known)
    unknown = [name for name in names if name not in there]
    for name in unknown[: TOLD - 1]:
        yield short(name, 60), nearest(name, known)
    if left := unknown[TOLD - 1 :]:
        more = f" and {len(left) - 1:,} more, each" if len(left) > 1 else ""
        yield short(left[0], 60) + more, nearest(left[0], known)
