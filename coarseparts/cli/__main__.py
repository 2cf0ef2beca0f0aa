"""``python -m coarseparts.cli`` is ``coarseparts``: signals first, then the libraries, which take their time."""

from __future__ import annotations

import sys

from coarseparts.system.interrupts import INTERRUPTS


def main() -> None:
    """Entry point of the command. A signal ends it with one line from its first moment on."""
    INTERRUPTS.install()
    try:
        from coarseparts.cli.main import main as run
    except (ImportError, OSError, MemoryError, SystemError) as error:  # libraries that cannot be loaded
        from coarseparts.system import limits

        sys.exit(limits.in_words(error) or f"cannot start ({error}); install it again: `make setup`")
    run()


if __name__ == "__main__":
    main()
