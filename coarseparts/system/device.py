"""What lets a GPU run ahead of the host: copies and constants that nobody waits for, checks that are read later.

On a CPU all of that does the plain thing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from coarseparts.system.errors import WrongArgument
from coarseparts.system.text import short


def machine() -> str:
    """The machine that a number was measured on: processor kind, cores, torch, GPU if any."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {os.cpu_count()} cores, {gpu}, torch {torch.__version__}"


def resolve(name: str) -> str:
    """ "auto" is the GPU where torch sees one, else the CPU; "cpu", "cuda" and "cuda:1" stay as they are. Raises
    WrongArgument for another name, and for a GPU that torch does not see."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = str(name).partition(":")
    if not (name == "cpu" or (kind == "cuda" and (number.isdecimal() or name == "cuda"))):
        raise WrongArgument(f"device: is {short(name)}; choose one of auto, cpu, cuda, or cuda:0 and so on")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise WrongArgument(f"device: is {name}, but torch sees {torch.cuda.device_count() or 'no'} GPU; take cpu")
    return str(name)


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on ``device``; from the host to a GPU through pinned memory, so that the host goes on at once."""
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@lru_cache(maxsize=512)
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers (a tuple, nested as the tensor is to be) on ``device``, copied there once. Not to be changed."""
    return torch.tensor(values, dtype=dtype, device=device)


def unwatched(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step can be left out on the device itself, without the host's asking: a fused optimizer on a GPU."""
    groups = optimizer.param_groups
    return all(group.get("fused") and all(p.is_cuda for p in group["params"]) for group in groups)


def leave_out_where(wrong: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """The next step does nothing where ``wrong`` (a bool on the device) says so, and is counted as left out."""
    state: Any = optimizer  # the attribute by which fused optimizers are told, as gradient scalers do
    state.found_inf = wrong.float()  # no dimensions, as the optimizer's own count of steps
    state.left_out = getattr(optimizer, "left_out", 0) + state.found_inf


def left_out(optimizers: Iterable[torch.optim.Optimizer]) -> int:
    """How many steps were left out; waits for the device."""
    return int(sum(float(getattr(o, "left_out", 0)) for o in optimizers))


def finite(module: nn.Module) -> bool:
    """Whether all its weights and running statistics are numbers; waits for the device."""
    tensors = [t for t in module.state_dict().values() if t.is_floating_point()]
    return all(bool(torch.isfinite(t).all()) for t in tensors)


def compile_networks(modules: Iterable[nn.Module], graphs: bool = False) -> None:
    """Compiles each module's forward pass when it is first called, its weights and their names staying as they are.

    ``graphs``: on a GPU each pass, forward or backward, is recorded as a CUDA graph and launched as one, as
    torch.compile's "reduce-overhead" does; what it returns is copied, for the next pass computes in the same memory.
    What cannot be compiled (no compiler, an operation that is not known) runs as it is, with a warning.
    """
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = 64  # networks of one class, in train() and eval(), of several batch sizes
    for module in modules:
        module.compile(mode="reduce-overhead" if graphs else None)
        if graphs:
            assert module._compiled_call_impl is not None
            module._compiled_call_impl = _copied(module._compiled_call_impl)


def _copied(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **named: Any) -> Any:
        return tree_map_only(Tensor, Tensor.clone, call(*args, **named))

    return run
