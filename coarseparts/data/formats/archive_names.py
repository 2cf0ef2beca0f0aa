"""What the files in a zip archive are called: their names are in UTF-8 where it says so, else in the code of a machine,
and it does not say which one; Windows may part folders by backslashes."""

from __future__ import annotations

import json
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import quote

from coarseparts.data.suffixes import IMAGES
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged

UTF_8 = 1 << 11
"""The flag of an entry whose name is in UTF-8."""

CODES = ("gb18030", "cp932", "cp949", "big5", "cp1251", "cp866", "cp1252", "cp850", "cp437")
"""What else names are written in: China's, Japan's, Korea's, Taiwan's, Russia's and western machines'."""

LABELS = (".xml", ".json", ".csv", ".tsv", ".txt", ".yaml", ".yml")
"""How files end that may name photographs."""

MOST_BYTES = 100_000_000
"""Bytes of such files that are looked at."""

_PATH = 0x7075
"""The field of an entry that holds its name in UTF-8, beside the one in the machine's code."""


def name_entries(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Gives entries of an archive their names, with forward slashes. The code of names that do not say theirs is UTF-8
    where all are in it, else the one in which the archive's own labels name its images, else that of MS-DOS where it
    gives letters. Raises BadInput where an image's name is in none of these: labels would miss it."""
    unsaid = {}
    for entry in entries:
        entry.filename = _said(entry)
        if not entry.flag_bits & UTF_8 and not entry.filename.isascii() and entry.filename == entry.orig_filename:
            unsaid[entry.filename] = entry.filename.encode("cp437")
    if unsaid:
        code = _code(archive, entries, unsaid)
        for entry in entries:
            if entry.filename in unsaid:
                entry.filename = unsaid[entry.filename].decode(code)
    for entry in entries:
        entry.filename = entry.filename.replace("\\", "/")


def _said(entry: zipfile.ZipInfo) -> str:
    """An entry's name as its own field in UTF-8 has it, else as zipfile reads it."""
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == _PATH and 5 < size <= len(extra) - 4:
            return extra[9 : 4 + size].decode()
        extra = extra[4 + size :]
    return entry.orig_filename.partition("\0")[0]


def _code(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], names: dict[str, bytes]) -> str:
    """The code in which the entries' names are. Raises BadInput."""
    fits = {code: found for code in ("utf-8", *CODES) if (found := _decoded(names, code))}
    images = [name for name in names if name.lower().endswith(IMAGES)]
    if "utf-8" in fits:
        return "utf-8"
    told = list(_texts(archive, entries)) if images else []
    count = {code: sum(_stands(own[name], told) for name in images) for code, own in fits.items()}
    best = max(count, key=lambda code: count[code])
    if count[best]:
        return best
    if images and not all(map(_is_latin, names)):
        came = f"does not say in which code the names of its files are ({abridged(images[0], 200)}, ...)"
        remedy = "unpack it with a program that knows it (`unzip -O GBK`, for instance), and name the folder"
        raise BadInput(Problem(str(archive.filename), came, remedy))
    return "cp437"


def _decoded(names: dict[str, bytes], code: str) -> dict[str, str]:
    try:
        return {name: raw.decode(code) for name, raw in names.items()}
    except UnicodeDecodeError:
        return {}


def _texts(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> Iterator[bytes]:
    """The bytes of files of labels, as far as they are whole and not too large."""
    left = MOST_BYTES
    for entry in entries:
        if entry.filename.lower().endswith(LABELS) and entry.file_size <= left:
            left -= entry.file_size
            with suppress(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
                yield archive.read(entry)


def _stands(name: str, told: Sequence[bytes]) -> bool:
    return any(one in raw for one in _written(name) for raw in told)


def _written(name: str) -> tuple[bytes, ...]:
    """How labels may write an image's name without its suffix: in UTF-8, as JSON escapes it, and as addresses do."""
    plain = PurePosixPath(name.replace("\\", "/")).stem
    return plain.encode(), json.dumps(plain)[1:-1].encode(), quote(plain).encode()


def _is_latin(name: str) -> bool:
    return all(one.isascii() or unicodedata.name(one, "").startswith("LATIN") for one in name)
