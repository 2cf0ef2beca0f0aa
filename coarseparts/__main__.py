"""``python -m coarseparts``, which is also what torchrun starts: ``torchrun --nproc-per-node 4 -m coarseparts ...``."""

from coarseparts.cli import main

if __name__ == "__main__":
    main()
