"""``python -m coarseparts.cli`` is ``coarseparts``: signals first, then the libraries, which take their time."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

from coarseparts.system.interrupts import INTERRUPTS
from coarseparts.system.memory import use_huge_pages


def main() -> None:
    """Entry point of the command. A signal ends it with one line from its first moment on."""
    INTERRUPTS.install()
    use_huge_pages()
    try:
        from coarseparts.cli.main import main as run
    except (ImportError, OSError, MemoryError, SystemError) as error:  # libraries that cannot be loaded
        from coarseparts.system import limits

        sys.exit(limits.in_words(error) or f"cannot start ({error}); install it again: `make setup`")
    try:
        run()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 1)


def _leave(status: int) -> None:
    """Ends the process here: on its way out Python gives signals back to the system, which would end it by them."""
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
