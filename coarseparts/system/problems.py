"""What is wrong with somebody's data, one line each: the file, what came, what was expected, what to do."""

from __future__ import annotations

import errno
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coarseparts.system import limits
from coarseparts.system.errors import CoarsepartsError
from coarseparts.system.text import readable

SHOWN = 12
"""Images or names that one message lists; of more it says how many there are."""

Severity = Literal["error", "repaired", "note"]


@dataclass(frozen=True)
class Problem:
    """One finding. ``error``: this sample or file cannot be used; ``repaired``: used after the change that
    ``message`` describes; ``note``: worth knowing, nothing was changed. ``more``: how many like it this one stands for
    (``capped``). ``str()`` is one printable line."""

    file: str
    message: str
    remedy: str = ""
    severity: Severity = "error"
    more: int = 0

    def __str__(self) -> str:
        return readable(f"{self.file}: {self.message}{'; ' if self.remedy else ''}{self.remedy}")


class BadInput(CoarsepartsError, ValueError):
    """Input that cannot be used. ``problems`` lists everything that was found, ``str()`` has one problem a line."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]):
        self.problems: list[Problem] = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[BadInput], tuple[list[Problem]]]:
        return BadInput, (self.problems,)  # so that it survives the way back from a worker process


def unreadable(file: str | Path, error: OSError, remedy: str) -> Problem:
    """The problem of a file that the system refuses to read. Raises the error itself where the machine is to blame, of
    which no file can tell: too many open files, say."""
    if limits.is_machines(error):
        raise error
    return Problem(str(file), f"cannot be read: {error.strerror or error}", remedy)


def unwritable(folder: Path, error: OSError, another: str, what: str = "") -> BadInput:
    """What to say and do where a folder, or ``what`` in it, cannot be written; ``another``: what to do instead. Raises
    the error itself where neither folder nor disk is to blame."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message, remedy = "the disk is full", "free some space"
    elif limits.is_machines(error):
        raise error
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        message, remedy = "cannot be written to", "give yourself permission to write there"
    else:
        message, remedy = f"{what} cannot be written ({error})".lstrip(), "check that folder"
    return BadInput(Problem(str(folder), message, f"{remedy}, or {another}"))


def require_room(folder: Path, need: int, what: str) -> None:
    """Raises BadInput where fewer bytes are free than are needed for ``what``, a text with its verb."""
    free = shutil.disk_usage(folder).free
    if free < need:
        message = f"{free / 1e6:,.0f} MB are free, {what} {need / 1e6:,.0f} MB"
        raise BadInput(Problem(str(folder), message, "free some space, or name a folder on another disk"))


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Only those that keep something from being used."""
    return [p for p in problems if p.severity == "error"]


def capped(problems: Iterable[Problem], most: int = 20) -> list[Problem]:
    """At most ``most`` problems with the same remedy, then one line that counts the others.
    Problems of a kind come together, kinds in order of appearance.

    A remedy is the same text for all problems of a kind, so a thousand missing images make 21 lines. What was capped
    before may be capped again: the line that counts (``Problem.more``) goes on counting.
    """
    kinds: dict[tuple[Severity, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.severity, problem.remedy].append(problem)
    kept: list[Problem] = []
    for (severity, remedy), alike in kinds.items():
        named = [p for p in alike if not p.more]
        left = len(named[most:]) + sum(p.more for p in alike)
        kept += named[:most]
        if left:
            last = [*named[most:], *(p for p in alike if p.more)][0]
            kept.append(Problem(last.file, f"and {left} more like those above", remedy, severity, left))
    return kept


def counted(problems: Iterable[Problem]) -> int:
    """How many there are, those included that ``capped`` only counts."""
    return sum(p.more or 1 for p in problems)
