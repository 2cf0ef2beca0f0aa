"""``coarseparts``, and ``python -m coarseparts``, which torchrun starts (``torchrun --nproc-per-node 4 -m ...``)."""

from coarseparts.cli.__main__ import main

if __name__ == "__main__":
    main()
