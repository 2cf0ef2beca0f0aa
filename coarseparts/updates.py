"""What every training here shares: one optimizer step, learning rates, the loop over epochs, the moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from coarseparts.system import device, parallel
from coarseparts.system.errors import CoarsepartsError

Terms = dict[str, Tensor]
"""A loss as named, weighted scalars."""

Data = TypeVar("Data")
OnEpoch = Callable[[int, dict[str, float]], None]
"""Gets an epoch's number, from 1, and the mean of each of its terms; evaluates, saves, re-estimates."""


class TrainingDiverged(CoarsepartsError, RuntimeError):
    """A loss is no longer finite."""

    exit_code = 1


def update(optimizer: torch.optim.Optimizer, terms: Mapping[str, Tensor], clip: float = math.inf) -> None:
    """Moves what ``optimizer`` holds down the sum of ``terms``, and nothing else; leaves no gradient behind.

    Raises TrainingDiverged, naming the terms, when one is not finite; the weights are then as they were. On a GPU such
    a step is left out without a word, so that the host need not wait, and ``epoch_means`` raises.
    """
    loss = torch.stack(list(terms.values())).sum()
    unwatched = device.unwatched(optimizer)
    if not unwatched and not torch.isfinite(loss):
        raise _diverged(name for name, value in terms.items() if not torch.isfinite(value))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, parallel.averaged(gradients, parameters), strict=True):
        parameter.grad = gradient
    norm = nn.utils.clip_grad_norm_(parameters, clip)
    if unwatched:
        device.leave_out_where(~torch.isfinite(loss + norm), optimizer)
    elif not torch.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise TrainingDiverged(f"the gradient is not finite (terms: {', '.join(terms)}); lower the learning rate")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Epochs(Generic[Data]):
    """How long a training lasts and what it is fed: ``count`` epochs of ``steps`` steps, from epoch ``start`` on.

    ``batches``: an epoch's number, from 0 -> its batches, the same ones whenever it is asked; ``on_end`` hears of each
    epoch's end, ``on_step`` of each step's; ``ended``: whether no further epoch is wanted; what is random in a step
    follows from ``seed`` and the epoch; ``decay``: of ``set_rate``.
    """

    batches: Callable[[int], Iterable[Data]]
    count: int
    steps: int
    on_end: OnEpoch
    seed: int = 0
    start: int = 0
    on_step: Callable[[], None] = lambda: None
    ended: Callable[[], bool] = lambda: False
    decay: float = 0.0


def train_epochs(
    step: Callable[[Data, torch.Generator], Mapping[str, Tensor]],
    modules: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    epochs: Epochs[Data],
) -> None:
    """``epochs``, with learning rates that fall to 0; modules are in train() mode.

    ``step`` takes one of the batches and a generator, moves the modules and returns its loss's named terms. Raises
    TrainingDiverged at the first loss that is not finite.
    """
    for epoch in range(epochs.start, epochs.count):
        if epochs.ended():
            break
        generator = torch.Generator().manual_seed(epochs.seed * 100_003 + epoch)
        for module in modules:
            module.train()
        sums: Terms = {}
        for number, batch in enumerate(epochs.batches(epoch)):
            for optimizer in optimizers:
                set_rate(optimizer, (epoch + number / epochs.steps) / epochs.count, epochs.decay)
            for name, value in step(batch, generator).items():
                sums[name] = sums.get(name, torch.zeros(())).to(value.device) + value.detach()
            epochs.on_step()
        epochs.on_end(epoch + 1, epoch_means(sums, epochs.steps, optimizers))


def fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Data, torch.Generator], Terms],
    epochs: Epochs[Data],
    clip: float = 1.0,
) -> None:
    """Moves ``network`` down ``loss``, gradients clipped; everything else as in ``train_epochs``."""

    def step(batch: Data, generator: torch.Generator) -> Terms:
        terms = loss(batch, generator)
        update(optimizer, terms, clip)
        return terms

    train_epochs(step, [network], [optimizer], epochs)


def epoch_means(
    sums: Mapping[str, Tensor], steps: int, optimizers: Iterable[torch.optim.Optimizer]
) -> dict[str, float]:
    """The mean of each term over an epoch. Raises TrainingDiverged where a step of it was left out."""
    means = {name: float(value) / steps for name, value in sums.items()}
    if number := device.left_out(optimizers):
        raise _diverged((name for name, value in means.items() if not math.isfinite(value)), number)
    return means


def _diverged(terms: Iterable[str], steps: int = 1) -> TrainingDiverged:
    return TrainingDiverged(
        f"the loss is not finite (terms: {', '.join(terms) or 'their sum'}{f'; {steps} steps' if steps > 1 else ''}); "
        "lower the learning rate (part_lr, em_part_lr, ... of `coarseparts settings`) in a new run folder"
    )


def set_rate(optimizer: torch.optim.Optimizer, progress: float, decay: float = 0.0) -> None:
    """Sets each group's rate to a share of its base rate; ``progress`` runs from 0 to 1.

    All of it until the last ``decay`` (0..1) of the way, on which it falls to 0 in a straight line (a trapezoid, or
    "warmup-stable-decay" without the first); 0: half a cosine over the whole way.
    """
    done = min(progress, 1.0)
    share = min(1.0, (1 - done) / decay) if decay else 0.5 + 0.5 * math.cos(math.pi * done)
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("base_lr", group["lr"]) * share


def moving_average(network: nn.Module, keep: Callable[[int], float]) -> AveragedModel:
    """A copy in eval() mode whose weights and running statistics follow ``network``'s by ``update_parameters``.

    ``keep``: number of updates so far -> share, 0..1, of itself that the copy keeps in the next one.
    """

    def step(own: Sequence[Tensor], new: Sequence[Tensor], _: Tensor | int) -> None:
        if own[0].is_floating_point():
            updates = int(average.n_averaged) - 1  # it lies on the CPU: nobody waits for a GPU
            torch._foreach_lerp_(list(own), list(new), 1 - keep(updates))
        else:  # counters
            torch._foreach_copy_(list(own), list(new))

    average = AveragedModel(network, multi_avg_fn=step, use_buffers=True)
    average.n_averaged.fill_(1)  # at 0 torch would take the network's weights over as they are
    return average.requires_grad_(False).eval()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradients to a module's weights inside; what flows through it to its input still does."""
    wanted = [p for p in module.parameters() if p.requires_grad]
    for p in wanted:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in wanted:
            p.requires_grad_(True)


def on_both(network: nn.Module, a: tuple[Tensor, ...], b: tuple[Tensor, ...], joint: bool) -> tuple[Tensor, Tensor]:
    """A network's outputs on two batches, in one forward pass (shared batch-norm statistics) or in two."""
    if not joint:
        return network(*a), network(*b)
    out = network(*(torch.cat(pair) for pair in zip(a, b, strict=True)))
    return out[: len(a[0])], out[len(a[0]) :]
