"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import uuid
from collections.abc import Callable
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
    last one wins. ``sync``: returns when it is on the disk. A link stays one: what it leads to is written.

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
    part = path.with_name(f".{uuid.uuid4().hex}.part" if several or len(path.name) > 60 else f".{path.name}.part")
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
