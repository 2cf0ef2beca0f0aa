"""Segment the parts of objects from a few part masks and many coarse labels."""

import os

# Large tensors on huge pages, where the system lends them: a fresh tensor costs a third (benchmarks/data.log). torch
# reads this when it first allocates one, so it has to be said before.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
