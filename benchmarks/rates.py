"""What a machine can do at most, measured in the same run as what is held against it; CPU and CUDA alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from coarseparts.networks import fastest


def waited(device: str) -> None:
    """Until everything that was asked of ``device`` is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: str = "cpu", repetitions: int = 5, untimed: int = 1) -> float:
    """Median time of ``work`` on the clock."""
    took = []
    for repetition in range(untimed + repetitions):
        waited(device)
        start = time.perf_counter()
        work()
        waited(device)
        if repetition >= untimed:
            took.append(time.perf_counter() - start)
    return statistics.median(took)


def list_operators(work: Callable[[], object], rows: int) -> None:
    """Prints where ``work`` spends its time on the CPU, by operator, the costliest ``rows`` of them."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as record:
        work()
    print(record.key_averages().table(sort_by="self_cpu_time_total", row_limit=rows, max_name_column_width=40))


def matrix_rate(device: str, dtype: torch.dtype, size: int = 0) -> float:
    """FLOP/s of a product of two square matrices; small ones in a format that the device does not multiply natively."""
    native = dtype == torch.float32 or fastest(device) == "bfloat16"
    size = size or (8192 if device.startswith("cuda") else 2048 if native else 128)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device, 5, 2)


def copy_rate(device: str, mib: int = 256) -> float:
    """Bytes per second that a copy reads and writes."""
    a = torch.empty(mib * 2**20, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() / seconds(lambda: b.copy_(a), device, 5, 2)


def processor() -> str:
    """The processor's name, or its kind."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine(device: str) -> str:
    """What the figures were measured on, its own largest rates included."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    rates = ", ".join(f"{matrix_rate(device, dtype) / 1e9:.0f} GFLOP/s {kind}" for kind, dtype in kinds.items())
    return (
        f"{name}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
        f"matrix product {rates}; copy {copy_rate(device) / 1e9:.1f} GB/s"
    )
