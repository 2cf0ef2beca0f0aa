"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import uuid
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path

from coarseparts.system.errors import WrongArgument


def path_of(argument: str, value: object) -> Path:
    """An argument that is to be a path. Raises WrongArgument, naming it, for anything but a text or a path."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return Path(value)
    raise WrongArgument(
        f"{argument}: is of type {type(value).__name__}, expected a path; give a text or a pathlib.Path"
    )


_OF_SEVERAL = re.compile(r"\.[0-9a-f]{32}\.part")

_UNFINISHED: set[Path] = set()
"""What is being written beside its place, by any thread of this process."""


def abandon() -> None:
    """Takes away what is half written, before the process leaves without ado."""
    for part in list(_UNFINISHED):
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(
    path: Path, content: bytes | Callable[[io.BufferedWriter], object], several: bool = False, sync: bool = False
) -> None:
    """Writes a file beside its place first and moves it there; folders on the way are made.

    ``content``: the bytes, or a function that writes them. ``several``: other processes may be writing it, too; the
    last one wins, and ``remove_unfinished`` takes away what one that was killed has left. ``sync``: returns when it is
    on the disk. A link stays one: what it leads to is written.

    Raises OSError when it cannot be written, and where the place is taken by a folder, a device or a pipe, which the
    move would destroy. What was there before stays then, and nothing is left beside it.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is a device or a pipe and would be replaced by a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex if several else path.name
    if len(name) > 60:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    part = path.with_name(f".{name}.part")
    _UNFINISHED.add(part)
    try:
        with open(part, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    finally:
        _UNFINISHED.discard(part)


def remove_unfinished(folder: Path, others: Container[str] = ()) -> None:
    """Takes away what processes that were killed have left half written in a folder, which nobody writes into now, and
    in those below it, but for those of the names ``others``."""
    for parent, folders, files in os.walk(folder):
        for name in files:
            if _OF_SEVERAL.fullmatch(name):
                with suppress(OSError):
                    Path(parent, name).unlink()
        folders[:] = [name for name in folders if name not in others]
