"""Archives as tools download them: unpacked beside everything else, or refused before a byte is written."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from coarseparts.data.formats.archive_names import name_entries
from coarseparts.system import limits
from coarseparts.system.problems import BadInput, Problem, capped
from coarseparts.system.text import abridged, reason

MOST_FILES = 200_000
"""Files of an archive."""

MOST_BYTES = 4 * 2**30
"""Bytes of all files of an archive together."""

MOST_RATIO = 200
"""How many bytes a byte of an archive of more than ``LARGE`` may stand for; exports stand for less."""

LARGE = 100_000_000
"""Bytes of all files together, from which on an archive's ratio is looked at."""

_NO_FILE = ("__MACOSX",)


def is_archive(path: Path) -> bool:
    """Whether a path is a zip file, whatever it is called."""
    return path.is_file() and zipfile.is_zipfile(path)


def files_in(path: Path) -> dict[str, int]:
    """The bytes of each file of a zip archive. Raises OSError, zipfile.BadZipFile and BadInput."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {entry.filename: entry.file_size for entry in _entries(archive)}
    except UnicodeError as error:
        raise zipfile.BadZipFile(str(error)) from None


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in an archive, under their names; without what macOS puts beside them. Raises BadInput."""
    entries = _as_stored(archive)
    name_entries(archive, entries)
    return [entry for entry in entries if not entry.filename.startswith(_NO_FILE)]


def _as_stored(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [entry for entry in archive.infolist() if not entry.filename.endswith(("/", "\\"))]


@contextmanager
def unpacked(path: Path, within: Path | None = None) -> Iterator[Path]:
    """A folder, ``within`` another one or that for temporary files, with the files of a zip archive; gone afterwards,
    unless it was moved. Raises BadInput with everything in it that leads out of that folder, is a link, encrypted or
    damaged, and where it is too large."""
    made = tempfile.TemporaryDirectory(prefix="coarseparts-", dir=within, ignore_cleanup_errors=True)
    try:
        with made as folder, zipfile.ZipFile(path) as archive:
            if problems := _problems(path, _as_stored(archive)) or _problems(path, entries := _entries(archive)):
                raise BadInput(capped(problems))
            for entry in entries:
                target = Path(folder, entry.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, open(target, "wb") as file:
                    shutil.copyfileobj(packed, file, 2**20)
            yield Path(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeError, OSError) as error:
        if limits.is_machines(error):
            raise
        message = f"cannot be unpacked ({reason(error, 100)})"
        raise BadInput(Problem(str(path), message, "download it again")) from None


def _problems(path: Path, entries: list[zipfile.ZipInfo]) -> list[Problem]:
    """What keeps an archive from being unpacked, as far as its list of files tells."""
    size, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    remedy = "unpack it yourself and name the folder, if that is right"
    if len(entries) > MOST_FILES or size > MOST_BYTES:
        came = f"holds {len(entries):,} files of {size:,} bytes, expected at most {MOST_FILES:,} of {MOST_BYTES:,}"
        return [Problem(str(path), came, remedy)]
    if size > LARGE and size > MOST_RATIO * max(packed, 1):
        return [Problem(str(path), f"holds {size:,} bytes in {packed:,}, as no export does", remedy)]
    problems = []
    twice = Counter(str(PurePosixPath(entry.filename)).casefold() for entry in entries)
    for entry in entries:
        name = entry.filename
        windows = PureWindowsPath(name)
        if name.startswith("/") or windows.anchor or ".." in (*PurePosixPath(name).parts, *windows.parts):
            came = "leads out of the archive"
        elif stat.S_ISLNK(entry.external_attr >> 16):
            came = "is a link"
        elif entry.flag_bits & 1:
            came = "is encrypted"
        elif twice[str(PurePosixPath(name)).casefold()] > 1:
            came = "stands twice in it"
        else:
            continue
        problems.append(Problem(str(path), f"{abridged(name, 200)} {came}", "download it again"))
    return problems
