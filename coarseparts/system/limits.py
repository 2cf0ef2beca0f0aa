"""What the machine refuses, in words: files, memory, disk, threads; never blamed on a file of the user's."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

from coarseparts.system.errors import Failed

_FILES = (errno.EMFILE, errno.ENFILE)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MEMORY = re.compile(
    r"(can't|cannot) allocate memory|out of memory|bad.?alloc|not enough memory|failed to allocate"
    r"|failed to map segment|could not create a (primitive|memory)",
    re.IGNORECASE,
)
LOWER = "lower --set batch=..., part_batch=... and labelled_batch=..., or the dataset file's size"
"""What to do where memory runs out in training."""

SMALLER = "allow more, or take smaller or fewer files"
"""What to do where it runs out elsewhere."""


def is_machines(error: BaseException) -> bool:
    """Whether the machine refuses (open files, disk, memory for the whole process) and no single file is to blame."""
    return isinstance(error, OSError) and error.errno in (*_FILES, *_DISK, errno.ENOMEM)


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, in whatever words the libraries say so."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | ImportError | ValueError) and bool(_MEMORY.search(str(error)))


def in_words(error: BaseException, remedy: str = SMALLER) -> str:
    """What was refused, with the number and the limit where they are known, and what to do (``remedy`` where memory
    ran out); "" for other errors."""
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
        remedy = "allow more: ulimit -v unlimited" if isinstance(error, ImportError) else remedy
        asked = re.search(r"allocate (\d+) bytes|allocate ([\d.]+ [KMGT]iB)", str(error))
        more = f" for {_gib(int(asked[1])) if asked[1] else asked[2]} more" if asked else ""
        limit = _limit("RLIMIT_AS")
        allowed = f", with {_gib(limit)} allowed (ulimit -v)" if limit else ""
        return f"there is not enough memory{more}{allowed}; {remedy}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        limit = _limit("RLIMIT_AS")
        allowed = f" within {_gib(limit)} (ulimit -v)" if limit else ""
        return f"no more threads can be started{allowed}; allow more memory (ulimit -v) or processes (ulimit -u)"
    return ""


LEAST = 2**29
"""Bytes beyond what the libraries take that the smallest training or prediction needs (measured: 0.5 to 0.7 GiB)."""


def room_for_networks() -> None:
    """Raises Failed, with the numbers, where the process may not take the memory that any work with networks needs: to
    be asked once torch is loaded, for later it would end in whatever words a library has for it."""
    limit = _limit("RLIMIT_AS")
    if limit is None:
        return
    try:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return
    if limit - taken < LEAST:
        need = f"{_gib(taken + LEAST)} of memory are needed at least, {_gib(limit)} are allowed (ulimit -v)"
        raise Failed(f"{need}; allow more: ulimit -v unlimited; where that is not enough to train, {LOWER}")


def _limit(name: str) -> int | None:
    """The process's limit of a kind; None where there is none or the system knows no such thing."""
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft in (resource.RLIM_INFINITY, -1) else int(soft)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**28 else f"{size / 2**20:,.1f} MiB"
