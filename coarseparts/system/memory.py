"""Memory of the process, which commands own: large pages, and what is freed is kept from step to step."""

from __future__ import annotations

import ctypes
import math
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_OWN_ALLOCATOR = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt's parameters, malloc.h


def keep_freed_memory() -> bool:
    """The process keeps large blocks that it frees, for the next step's tensors, instead of asking the system anew.

    For commands, which own their process. Tensors above 32 MiB otherwise come as pages that the system fills with
    zeros first, which is a tenth to a fifth of a CPU's step at 256 px (docs/performance.md). Returns whether it was
    done: not where the allocator is not glibc's, nor where the environment says something about it.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is None or any(os.environ.get(name) for name in _OWN_ALLOCATOR):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 2**31 - 1) and mallopt(_TRIM_THRESHOLD, -1))


def use_huge_pages() -> None:
    """Large tensors lie on huge pages, where the system lends them: fresh ones cost less.

    For commands, too: it stands in the environment, which torch reads when it first allocates one.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def give_back_memory() -> None:
    """Returns to the system what ``keep_freed_memory`` kept, so that a peak measured from here on is one's own."""
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)


class PeakMemory:
    """``with PeakMemory(device) as peak: ...; peak.mib``: most memory that was held meanwhile, MiB.

    Of the GPU where ``device`` is one, else of the whole process, other data included; nan where the system does not
    let the highest mark be set back (only Linux does).
    """

    def __init__(self, device: str = "cpu"):
        self.device, self.mib, self._known = device, math.nan, False

    def __enter__(self) -> PeakMemory:
        if self.device.startswith("cuda"):
            import torch  # here: commands ask for huge pages before torch is imported

            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            give_back_memory()
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
                self._known = True
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.startswith("cuda"):
            import torch

            self.mib = torch.cuda.max_memory_allocated(self.device) / 2**20
        elif self._known:
            with suppress(OSError):
                lines = Path("/proc/self/status").read_text().splitlines()
                self.mib = next((int(w.split()[1]) / 1024 for w in lines if w.startswith("VmHWM:")), math.nan)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no such thing
        return None
