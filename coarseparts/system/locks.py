"""One process at a time in a folder: who holds it, since when, and what the next one does.

A lock is the system's own (``filelock``), so that one of a process that died, however it died, is free at once. Where a
disk refuses such locks, a file that names process and machine stands in; a dead process's file is taken over on the
same machine, and told of on another.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.errors import Busy
from coarseparts.system.files import write_whole
from coarseparts.system.text import readable

_REFUSED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTSUP)
"""What a disk answers that knows no locks: some network disks."""

LONGEST_WAIT = 3600.0
"""Seconds to wait for a process that reads images for both."""

Tell = Callable[[str], None]


def silent(_: str) -> None:
    """Tells nobody."""


@contextmanager
def hold(file: Path, wait: float = 0.0, tell: Tell = silent) -> Iterator[None]:
    """Inside, no other process holds ``file``, which is made if need be and stays; beside it ``<file>.json`` says who
    holds it. ``wait``: seconds to wait for another process, told of at once through ``tell``; so is a disk without
    locks.

    Raises Busy, naming the process, its machine, its command and since when, where another one holds it (still, after
    ``wait`` seconds); OSError where the file cannot be made.
    """
    lock = _acquired(file, wait, tell)
    card = file.with_name(f"{file.name}.json")
    try:
        with suppress(OSError):  # who holds it is for the message of the next one: the lock is the lock
            write_whole(card, json.dumps(_self()).encode())
        yield
    finally:
        with suppress(OSError):
            card.unlink(missing_ok=True)
        with suppress(OSError):
            lock.release()


def holder(file: Path) -> str:
    """Who holds ``file``, in words, if another process does; "" if nobody does."""
    try:
        with hold(file):
            return ""
    except Busy:
        return _described(file)
    except OSError:
        return ""


def _acquired(file: Path, wait: float, tell: Tell) -> BaseFileLock:
    until = time.monotonic() + wait
    lock: BaseFileLock = FileLock(file, fallback_to_soft=False)
    for attempt in range(2):
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if wait:
                    tell(f"{_described(file)}; waiting for it")
                lock.acquire(timeout=max(0.0, until - time.monotonic()), poll_interval=0.2)
        except Timeout:
            waited = f" still, after {wait:.0f} s" if wait else ""
            soft = f", or delete {lock.lock_file} if it is no more" if isinstance(lock, SoftFileLock) else ""
            raise Busy(f"{_described(file)}{waited}; wait for it, or take another folder{soft}") from None
        except OSError as error:
            if attempt or error.errno not in _REFUSED:
                raise
            lock = SoftFileLock(file.with_name(f"{file.name}.by"))
            continue
        if isinstance(lock, SoftFileLock):
            tell(f"{file.parent}: this disk knows no locks; {lock.lock_file} stands in for one")
        return lock
    raise AssertionError("a lock is held or refused")


def _self() -> dict[str, object]:
    words = [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else []
    return {
        "process": os.getpid(),
        "machine": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": shlex.join(words)[:500],
    }


def _described(file: Path) -> str:
    """ "FOLDER: process 12 on ant (coarseparts train ...) is at work here since 2026-05-01 10:00:00"."""
    try:
        card = load_json(file.with_name(f"{file.name}.json"))
        by = f"process {int(card['process'])} on {card['machine']} ({card['command']})"
        since = f" since {card['since']}"
    except (OSError, DocumentError, KeyError, TypeError, ValueError, OverflowError):  # it has not said yet
        by, since = "another process", ""
    return readable(f"{file.parent}: {by} is at work here{since}")
