"""Ctrl-C and SIGTERM, for commands: once ends with what is done kept, twice ends at once, and never a traceback.

The first signal is a KeyboardInterrupt where the program is, so that files are closed and locks given back; the second
one leaves without any of that. What is being written is whole or not there in either case (``files.write_whole``).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from coarseparts.system import files

STATUS = 130
"""The exit status of a command that was stopped."""

GOES_ON = "stopped; the same command goes on where it was"
EARLY = "stopped before anything was done"


class Interrupts:
    """The handler of both signals. ``says``: the one line; ``count``: how often they came while it ran."""

    def __init__(self) -> None:
        self.says, self.count, self.ended = EARLY, 0, False
        self._running, self._again, self._told = False, False, False
        self._status, self._number = STATUS, int(signal.SIGINT)

    def install(self) -> None:
        """From here on a signal ends the process with one line: nothing has been done yet. A signal that whoever
        started us has switched off (a shell, for what it starts in the background) stays so."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        sys.unraisablehook = self._unraisable

    def running(self) -> None:
        """From here on the first signal is a KeyboardInterrupt."""
        self.says, self._running, self.count, self.ended, self._told = GOES_ON, True, 0, False, False

    def finishing(self, status: int) -> None:
        """From here on all is done and said: a signal ends the process with ``status``."""
        self.ended, self._status = True, status

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again, self._again, self._number = self._again, False, number
        self.count += not again
        if self._running and not self.ended and (self.count == 1 or again):
            raise KeyboardInterrupt
        files.abandon()
        if not self.ended or self._status == STATUS:
            self.say()
        os._exit(self._status)

    def say(self) -> None:
        """The one line, past all buffers: whatever was interrupted may hold them."""
        if self._told:
            return
        self.ended = self._told = True
        try:
            os.write(2, f"{self.says}\n".encode())
        except OSError:
            pass

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python drops an exception in a destructor: an interruption is made once more, others are not for users."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt) and not self.ended:
            threading.Thread(target=self._repeat, daemon=True).start()
        elif self.on_other is not None:
            self.on_other(unraisable.exc_value)

    def _repeat(self) -> None:
        time.sleep(0.02)  # until the hook, in which it would be dropped again, has been left
        self._again = True
        os.kill(os.getpid(), self._number)  # a signal proper, which wakes whatever sleeps

    on_other: Callable[[BaseException | None], object] | None = None


INTERRUPTS = Interrupts()
"""Of this process, where it is a command."""


def in_threads(log: Callable[[BaseException | None], object]) -> None:
    """What fails in a thread that nobody waits for goes to ``log``, not to the terminal; likewise in destructors."""
    threading.excepthook = lambda args: log(args.exc_value)
    INTERRUPTS.on_other = log
