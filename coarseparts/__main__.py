"""``coarseparts``, and ``python -m coarseparts``, which torchrun starts (``torchrun --nproc-per-node 4 -m ...``)."""

import sys


def main() -> None:
    """Entry point of the command. Ctrl-C ends it with one line while its libraries are still being read, too."""
    try:
        from coarseparts import cli
    except KeyboardInterrupt:
        sys.exit("stopped before anything was done")
    cli.main()


if __name__ == "__main__":
    main()
