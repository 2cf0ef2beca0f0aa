"""Several processes that train one model, started by torchrun; with one process every function here is a no-op.

A batch of the settings is divided among the processes, gradients are averaged before each update, and each epoch is
measured in shares. So the number of processes changes the time and not the schedule: a run begun by one process goes
on in four, and back. Process 0 alone writes files and prints.

Why not DistributedDataParallel: Algorithm 1 asks for the gradients of one network at a time, of a forward pass that two
updates share (``updates.update``), and DistributedDataParallel only hears of ``backward()``. What it would do is one
all-reduce of 85 MB a step for a ResNet-34, which ``averaged`` does.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from coarseparts.system.device import moved
from coarseparts.system.errors import CoarsepartsError

Item = TypeVar("Item")


class ProcessLost(CoarsepartsError, RuntimeError):
    """Another process of this run has ended; the message says what to do."""

    exit_code = 1


def count() -> int:
    """Number of processes that train together; 1 without ``process_group``."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This one's number, 0..count-1."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


def world_size() -> int:
    """Number of processes that torchrun started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def process_group(device: str, minutes: float = 60) -> Iterator[str]:
    """Inside, the processes that torchrun started know each other; gives the device of this one.

    ``device`` "cpu" (gloo) or "cuda" (NCCL, a GPU each). ``minutes``: how long a process waits for the slowest, who may
    be reading the images. Raises ProcessLost when one of them ends meanwhile, ValueError when GPUs are too few.
    """
    if world_size() == 1 or dist.is_initialized():
        yield device
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"torchrun started {local + 1} processes or more on a machine of {torch.cuda.device_count()} GPUs; "
                "take --nproc-per-node as many as there are, or --device cpu"
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=datetime.timedelta(minutes=minutes))
    try:
        yield device
    except (dist.DistError, RuntimeError) as error:
        if isinstance(error, dist.DistError) or "onnection" in str(error) or "gloo" in str(error):
            raise ProcessLost(
                f"process {rank()} of {count()}: another process of this run has ended or hangs "
                f"({str(error).split('] ')[-1].split('.')[0]}); what it said is above. "
                "The same command goes on where it was"
            ) from error
        raise
    finally:
        dist.destroy_process_group()


@contextmanager
def main_first() -> Iterator[None]:
    """What is inside is done by process 0, then by the others, who find what it wrote.

    Raises ProcessLost in the others when it failed there.
    """
    if count() == 1:
        yield
    elif is_main():
        failed: list[Any] = [True]
        try:
            yield
            failed = [False]
        finally:
            dist.broadcast_object_list(failed, 0)
    else:
        failed = [None]
        dist.broadcast_object_list(failed, 0)
        if failed[0]:
            raise ProcessLost("process 0 failed; see what it said")
        yield


def wait() -> None:
    """Until every process is here."""
    if count() > 1:
        dist.barrier()


def share(size: int, what: str = "a batch") -> slice:
    """This process's part of ``size`` things. Raises ValueError when they cannot be divided evenly."""
    each, rest = divmod(size, count())
    if rest:
        raise ValueError(f"{what} of {size} images cannot be divided among {count()} processes; take a multiple of it")
    return slice(rank() * each, (rank() + 1) * each)


def shard(items: Sequence[Item]) -> Sequence[Item]:
    """Every ``count``-th item, from this process's number on; ``gathered`` puts them back into order."""
    return items[rank() :: count()]


def gathered(items: list[Item]) -> list[Item]:
    """What all processes made of ``shard``, in the order of the whole."""
    if count() == 1:
        return items
    all_of: list[Any] = [None] * count()
    dist.all_gather_object(all_of, items)
    return [all_of[i % count()][i // count()] for i in range(sum(len(each) for each in all_of))]


def rand(
    shape: int | tuple[int, ...], generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Uniform numbers on ``device``, drawn on the CPU so that a seed gives the same ones everywhere: this process's
    rows of ``count()`` times as many, which all draw alike."""
    rows, *rest = (shape,) if isinstance(shape, int) else shape
    drawn = torch.rand(rows * count(), *rest, generator=generator)[rank() * rows : (rank() + 1) * rows]
    return moved(drawn, device)


def averaged(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """The mean over processes of each parameter's gradient; one that no process has stays None."""
    if count() == 1:
        return gradients
    there = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
    known = torch.tensor([float(g is not None) for g in gradients], device=there[0].device)
    flat = torch.cat([known, *(g.reshape(-1).to(known.dtype) for g in there)])
    dist.all_reduce(flat)
    known, *parts = flat.split([len(there), *(g.numel() for g in there)])
    means = [(part / count()).view_as(g).to(g.dtype) for part, g in zip(parts, there, strict=True)]
    return [mean if share else None for mean, share in zip(means, known.tolist(), strict=True)]


def means(values: Mapping[str, float]) -> dict[str, float]:
    """The mean over processes of each value."""
    if count() == 1:
        return dict(values)
    each: list[Any] = [None] * count()
    dist.all_gather_object(each, dict(values))
    names = dict.fromkeys(name for found in each for name in found)
    return {name: math.fsum(found.get(name, 0.0) for found in each) / count() for name in names}


def same_buffers(module: nn.Module) -> None:
    """Gives every process the running statistics of process 0."""
    if count() > 1:
        for buffer in module.buffers():
            if buffer.is_floating_point():
                dist.broadcast(buffer, 0)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of all processes' shares, on CPUs too, which torch's own refuses."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or count() == 1:
            return super().forward(input)
        x = input.float()
        size = torch.tensor([float(x.numel() // x.shape[1])], device=x.device)
        dist.all_reduce(size)
        mean = all_reduce(x.sum((0, 2, 3))) / size
        centred = x - mean[:, None, None]
        var = all_reduce(centred.square().sum((0, 2, 3))) / size
        with torch.no_grad():
            if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
                rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean, rate)
                self.running_var.lerp_(var * size / (size - 1), rate)
        y = centred * torch.rsqrt(var + self.eps)[:, None, None]
        if self.affine:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(input.dtype)


def share_batch_norm(module: nn.Module) -> None:
    """Turns every ``BatchNorm2d`` into a ``SyncBatchNorm2d``, in place; weights and their names stay."""
    for each in module.modules():
        if type(each) is nn.BatchNorm2d:
            each.__class__ = SyncBatchNorm2d
