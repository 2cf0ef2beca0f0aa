"""Running the command line: as a fork of a worker that has imported it, or as a process of its own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fuzzing import world

HANG = 20.0
"""Seconds after which a command that trains nothing hangs; a training has ``TRAINING``."""

TRAINING = 180.0
TRAINS = ("train", "compare", "benchmark", "sweep", "demo")


@dataclass
class Outcome:
    """How a command ended: ``status`` negative for a signal, what it said, how long it took, of the processor, too."""

    command: tuple[str, ...]
    status: int
    out: str
    err: str
    seconds: float
    hung: bool = False
    processor: float = 0.0


def limit_of(command: Sequence[str]) -> float:
    """Seconds that a command may take; more where other work keeps the machine busy."""
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    return busy * (TRAINING if command and command[0] in TRAINS else HANG)


class Forks:
    """Runs commands as forks of this process, which never computes anything itself: a thread would not survive."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        os.environ.update(world.environment())
        import coarseparts.__main__

        self._main = coarseparts.__main__

    def run(self, command: Sequence[str], place: Path, extra: dict[str, str] | None = None) -> Outcome:
        """One command in ``place``, its output in files beside it. The first of a verb has longer: it imports."""
        logs = place.with_name(f"{place.name}.said")
        logs.mkdir(exist_ok=True)
        verb = command[0] if command else ""
        modules = logs / "modules" if verb not in self._known else None
        since = time.monotonic()
        child = os.fork()
        if not child:
            self._child(command, place, logs, extra or {}, modules)
        hung = not _ends(child, limit_of(command) * (3 if modules else 1))
        if hung:
            os.killpg(child, signal.SIGKILL)
        _, ended, usage = os.wait4(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it started and left
        if modules is not None and modules.exists():
            self._learn(modules)
            self._known.add(verb)
        return Outcome(
            tuple(command),
            os.waitstatus_to_exitcode(ended),
            *(_text((logs / name).read_bytes()) for name in ("out", "err")),
            time.monotonic() - since,
            hung,
            usage.ru_utime + usage.ru_stime,
        )

    def _learn(self, modules: Path) -> None:
        """Imports what a command needed, so that the next one finds it there, unless that starts a thread."""
        for name in modules.read_text().split("\n"):
            if name not in sys.modules and not name.startswith("__"):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        if len(os.listdir("/proc/self/task")) > 1:
            raise RuntimeError("a module of the command line starts a thread when it is imported")
        gc.collect()
        gc.freeze()  # a fork's collections leave these objects, and so their pages, shared

    def _child(
        self, command: Sequence[str], place: Path, logs: Path, extra: dict[str, str], modules: Path | None
    ) -> None:
        status = 1
        try:
            os.setpgid(0, 0)
            for name, number in (("out", 1), ("err", 2)):
                os.dup2(os.open(logs / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(place)
            os.environ.update({"TMPDIR": str(logs), **extra})
            tempfile.tempdir = None
            sys.argv = ["coarseparts", *command]
            if modules is not None:
                _note_at_the_end(modules)
            status = _status_of(self._main.main)
            threading._shutdown()  # type: ignore[attr-defined]  # as Python does on its way out
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _note_at_the_end(modules: Path) -> None:
    """Lets this process write the names of its modules when it ends, which the command line does by ``os._exit``."""
    leave = os._exit

    def noted(status: int) -> NoReturn:
        modules.write_text("\n".join(sys.modules))
        leave(status)

    os._exit = noted


@functools.cache
def forks() -> Forks:
    """The one of this process."""
    return Forks()


def _status_of(main: object) -> int:
    """What Python itself makes of the end of a program."""
    try:
        main()  # type: ignore[operator]
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _ends(child: int, limit: float) -> bool:
    handle = os.pidfd_open(child)
    try:
        return bool(select.select([handle], [], [], limit)[0])
    finally:
        os.close(handle)


def _text(raw: bytes) -> str:
    """Output as text; a byte that is no UTF-8 stays visible to the judge as a lone surrogate."""
    return raw.decode("utf-8", "surrogateescape")


class Real:
    """A process of its own, in a group of its own, which can be signalled while it runs."""

    def __init__(
        self, command: Sequence[str], place: Path, extra: dict[str, str] | None = None, shell: str = ""
    ) -> None:
        self.command, self._since = tuple(command), time.monotonic()
        self._logs = place.with_name(f"{place.name}.said")
        self._logs.mkdir(exist_ok=True)
        start = [sys.executable, "-m", "coarseparts", *command]
        if shell:  # limits and redirections before the command, which is "$@"
            start = ["bash", "-c", shell, "bash", *start]
        number = len(list(self._logs.glob("out*"))) + 1  # of several processes in a place all stay
        self._said = [self._logs / f"{name}{number}" for name in ("out", "err")]
        with open(self._said[0], "wb") as out, open(self._said[1], "wb") as err:
            self._process = subprocess.Popen(
                start,
                cwd=place,
                env=world.environment({"TMPDIR": str(self._logs), **(extra or {})}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def caught(self) -> bool:
        """Whether the program has a handler for SIGTERM: before that it is Python's start, none of ours."""
        try:
            said = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return True
        masks = [line.split()[1] for line in said.split("\n") if line.startswith("SigCgt")]
        return not masks or bool(int(masks[0], 16) >> (signal.SIGTERM - 1) & 1)

    def send(self, number: int) -> bool:
        """Whether a signal reached it, and all that it started."""
        if self._process.poll() is not None:
            return False
        os.killpg(self._process.pid, number)
        return True

    def wait(self, limit: float) -> Outcome:
        """Its end; after ``limit`` seconds it is killed and counts as hung."""
        hung = not _ends(self._process.pid, limit) if self._process.returncode is None else False
        if hung:
            os.killpg(self._process.pid, signal.SIGKILL)
        processor = 0.0
        status = self._process.returncode
        if status is None:
            _, ended, usage = os.wait4(self._process.pid, 0)
            status, processor = os.waitstatus_to_exitcode(ended), usage.ru_utime + usage.ru_stime
            self._process.returncode = status
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        said = (_text(file.read_bytes()) for file in self._said)
        return Outcome(self.command, status, *said, time.monotonic() - self._since, hung, processor)
