"""Segment the parts of objects from a few part masks and many coarse labels."""

import os

# Large tensors on huge pages, where the system lends them: fresh tensors cost less. torch reads this when it first
# allocates one, so it has to be said before.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
