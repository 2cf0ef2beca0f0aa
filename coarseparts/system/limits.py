"""What the machine refuses, in words: files, memory, disk, threads; never blamed on a file of the user's."""

from __future__ import annotations

import errno
import os
import re
import sys

_FILES = (errno.EMFILE, errno.ENFILE)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MEMORY = re.compile(r"can't allocate memory|out of memory|bad.?alloc|not enough memory|failed to allocate", re.I)
LOWER = "lower --set batch=..., part_batch=... and labelled_batch=..., or the dataset file's size"
"""What to do where memory runs out in training."""


def is_machines(error: BaseException) -> bool:
    """Whether the machine refuses (open files, disk, memory for the whole process) and no single file is to blame."""
    return isinstance(error, OSError) and error.errno in (*_FILES, *_DISK, errno.ENOMEM)


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, in whatever words the libraries say so."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | ImportError | ValueError) and bool(_MEMORY.search(str(error)))


def in_words(error: BaseException) -> str:
    """What was refused, with the number and the limit where they are known, and the remedy; "" for other errors."""
    code = getattr(error, "errno", None) if isinstance(error, OSError) else None
    if code in _FILES:
        limit = _limit("RLIMIT_NOFILE")
        allowed = f" than the {limit} that may be open at a time" if limit else " than may be open at a time"
        return f"more files are needed{allowed} (ulimit -n); allow more: ulimit -n 1024"
    if code in _DISK:
        filename = getattr(error, "filename", None)
        named = f"{os.fsdecode(filename)}: " if isinstance(filename, str | bytes) else ""
        return f"{named}the disk is full; free some space and run the same command again, it goes on"
    if is_memory(error):
        asked = re.search(r"allocate (\d+) bytes|allocate ([\d.]+ [KMGT]iB)", str(error))
        more = f" for {_gib(int(asked[1])) if asked[1] else asked[2]} more" if asked else ""
        limit = _limit("RLIMIT_AS")
        allowed = f", with {_gib(limit)} allowed (ulimit -v)" if limit else ""
        return f"there is not enough memory{more}{allowed}; {LOWER}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        limit = _limit("RLIMIT_AS")
        allowed = f" within {_gib(limit)} (ulimit -v)" if limit else ""
        return f"no more threads can be started{allowed}; allow more memory (ulimit -v) or processes (ulimit -u)"
    return ""


def _limit(name: str) -> int | None:
    """The process's limit of a kind; None where there is none or the system knows no such thing."""
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft in (resource.RLIM_INFINITY, -1) else int(soft)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**28 else f"{size / 2**20:,.1f} MiB"
