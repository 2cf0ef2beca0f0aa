"""One EM step as this package takes it, beside a plain transcription of Algorithm 1: the same losses, and the time.

    python benchmarks/em_step.py

Both sides, in turn in one process, take steps on the same images (synthetic birds) from the same weights, with the
``paper`` preset: its networks (ResNet-34; nothing is downloaded: random weights and a few steps on part labels), its
optimizers and the hyper-parameters of Appendix C, with keypoints and mask. Both compute the same functions and end a
step with the same weights, up to rounding. The transcription, ``plain_step``, is what one writes down from the page:

- tensors lie in PyTorch's default memory order (NCHW);
- the decoder works in the order that Fig. 6 prints: upsampling, then the next 1x1 convolution, on 4 times the pixels;
- lines 8 and 17 are two forward passes of the part model on the same images, with the same weights;
- every update is ``loss.backward()`` and one optimizer's step: line 12 computes the part model's and the keypoint
  model's gradients, too, and line 18 the posterior's, which nobody uses;
- heat maps are drawn at full size, one at a time.

``--precision bfloat16`` lets this package's networks convolve in bfloat16, as ``--set precision=auto``
does on machines that multiply it natively; the losses then differ in the third digit (allow ``--tolerance 0.05``).
``--keep-memory`` gives both sides the allocator's setting that this package's commands run with (``device.py``);
without it both have the system's.
``--careful`` takes the last but one away by hand (``detach``, ``no_grad``, frozen weights), for a stricter comparison.
Exit status 1 when a loss differs by more than ``--tolerance`` (relative) in the first two steps.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from memory import MIB, PeakMemory
from rates import list_operators, machine
from torch import Tensor, nn
from torch.nn import functional as F

from coarseparts import em, initialise, updates
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.data.transforms import to_input
from coarseparts.joint import JointModel
from coarseparts.labels import Keypoints
from coarseparts.networks import LabelModel, PartModel, Posterior
from coarseparts.networks.decoder import PaperDecoder
from coarseparts.system.memory import keep_freed_memory, use_huge_pages
from coarseparts.training.networks import build
from coarseparts.training.settings import Settings, settings

COMPARED = 2
"""Steps whose losses are compared; after them rounding has moved the weights apart."""


# ---- the plain side: Algorithm 1 from the page -----------------------------------------------------------------------


class PrintedDecoder(nn.Module):
    """Fig. 6, right column, operation by operation as printed, with the weights of a ``PaperDecoder``."""

    def __init__(self, decoder: PaperDecoder):
        super().__init__()
        self.blocks, self.head = decoder.blocks, decoder.head

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for block in self.blocks:
            x = F.interpolate(block(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(x)


@dataclass
class Plain:
    """f(y|x), f(y|x, ymask, ykp) and f(ykp|y) with their optimizers; ``sigma`` is a share of the image's width."""

    part_model: nn.Module
    posterior: nn.Module
    keypoint_model: nn.Module
    theta: torch.optim.Optimizer
    theta_q: torch.optim.Optimizer
    theta_kp: torch.optim.Optimizer
    sigma: float
    o: em.Options
    careful: bool = False


def heat_map(x: float, y: float, size: int, sigma: float) -> Tensor:
    """(size, size): a Gaussian of height 1 around a point in pixels."""
    at = torch.arange(size) + 0.5
    squared = (at[None, :] - x) ** 2 + (at[:, None] - y) ** 2
    return torch.exp(-squared / (2 * sigma**2))


def drawn_keypoints(batch: Batch, sigma: float) -> tuple[Tensor, Tensor]:
    """Keypoints as the posterior sees them and as the loss wants them, (B, K, H, W) each, a map at a time."""
    size = batch.image.shape[-1]
    shown, wanted = [], []
    for points in batch.labels["keypoints"].tolist():
        for x, y, v in points:
            map_ = heat_map(x, y, size, sigma * size) if v > 0 else torch.zeros(size, size)
            shown.append(map_ * (1.0 if v == 2 else 0.5))
            wanted.append(map_ if v == 2 else torch.zeros(size, size))
    shape = (len(batch), -1, size, size)
    return torch.stack(shown).view(shape), torch.stack(wanted).view(shape)


def plain_step(n: Plain, batch: Batch, labelled: Batch) -> dict[str, Tensor]:
    """Lines 5-18 of Algorithm 1, each term weighted as in Appendix C and named as ``em.em_step`` names it."""
    o, x, xp, yp = n.o, batch.image, labelled.image, labelled.parts
    lambdas = o.lambdas
    keypoints, y_kp = drawn_keypoints(batch, n.sigma)  #                                                     5
    y_mask = batch.labels["mask"]
    there = torch.ones_like(y_mask)  # both labels are there: the posterior's presence channels
    labels = torch.cat([keypoints, y_mask, there, there], 1)
    visibility = batch.labels["keypoints"][..., 2]
    counted = ((visibility == 0) | (visibility == 2)).float()

    def l_kp(mu_kp: Tensor) -> Tensor:
        distance = (y_kp - mu_kp).abs().mean((2, 3))
        return ((distance * counted).sum(1) / counted.sum(1)).mean()

    # E step
    mu_q = n.posterior(x, labels).softmax(1)  #                                                              7
    mu = n.part_model(x).softmax(1)  #                                                                       8
    if n.careful:
        mu = mu.detach()
        n.keypoint_model.requires_grad_(False)
    mu_kp = n.keypoint_model(mu_q).sigmoid()  #                                                              9
    mu_mask = mu_q[:, 1:].sum(1, keepdim=True).clamp(0, 1)  #                                               10
    terms = {
        "e/agreement": -o.alpha * (mu_q * mu.log()).sum(1).mean(),
        "e/keypoints": lambdas["keypoints"] * l_kp(mu_kp),
        "e/mask": lambdas["mask"] * F.binary_cross_entropy(mu_mask, y_mask),
        "e/entropy": o.gamma * (mu_q * mu_q.log()).sum(1).mean(),
    }
    gradient_update(n, sum(terms.values(), torch.zeros(())), n.theta_q)  #                               11, 12

    # M step
    n.keypoint_model.requires_grad_(True)
    with torch.set_grad_enabled(not n.careful):
        mu_q = n.posterior(x, labels).softmax(1)  #                                                         14
    mode = mu_q.argmax(1)
    mu_p = n.part_model(xp)  #                                                                              15
    mu_kp = n.keypoint_model(mu_q).sigmoid()  #                                                             16
    terms |= {
        "m/labelled": o.delta1 * F.cross_entropy(mu_p, yp),
        "m/coarse": o.delta2 * F.cross_entropy(n.part_model(x), mode),
        "l/keypoints": l_kp(mu_kp),
    }
    gradient_update(n, terms["m/labelled"] + terms["m/coarse"], n.theta)  #                                 17
    gradient_update(n, terms["l/keypoints"], n.theta_kp)  #                                                 18
    return {name: value.detach() for name, value in terms.items()}


def gradient_update(n: Plain, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Backward through whatever the loss hangs on, then one optimizer's step."""
    for each in (n.theta, n.theta_q, n.theta_kp):
        each.zero_grad()
    loss.backward()
    optimizer.step()


# ---- both sides ------------------------------------------------------------------------------------------------------


def sgd(network: nn.Module, rate: float, chosen: Settings) -> torch.optim.Optimizer:
    """The preset's optimizer."""
    return torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, weight_decay=chosen.weight_decay)


def warm_up(networks: JointModel, labelled: Batch, steps: int) -> None:
    """Section 5.2 in a few steps, so that part model and posterior favour a part at each pixel: were all equally
    likely, rounding would decide the mode of line 17."""
    generator = torch.Generator().manual_seed(0)
    for network, loss in (
        (networks.part_model, initialise.part_model_loss(networks.part_model, networks.y)),
        (networks.posterior, initialise.posterior_loss(networks, 0.0)),
    ):
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(steps):
            updates.update(optimizer, loss(labelled, generator))


def sides(
    chosen: Settings, labelled: Batch, seed: int = 0, warm_up_steps: int = 4, careful: bool = False
) -> tuple[tuple[JointModel, em.Optimizers], Plain]:
    """The package's networks and optimizers as the preset says, and the plain side with the same weights."""
    torch.manual_seed(seed)
    ours = build(birds.SCHEMA, chosen, ["keypoints", "mask"])
    for network in (ours.part_model, ours.posterior, ours.theta_k):
        network.train()
    warm_up(ours, labelled, warm_up_steps)

    keypoint_model = cast(Keypoints, ours.styles["keypoints"]).model
    part_model, posterior, keypoint_model = copy.deepcopy((ours.part_model, ours.posterior, keypoint_model))
    for network in (part_model, posterior, keypoint_model):
        network.decoder = PrintedDecoder(cast(PaperDecoder, network.decoder))
        network.to(memory_format=torch.contiguous_format)
    rates = chosen.em_part_lr, chosen.em_posterior_lr, chosen.em_label_lr
    optimizers = em.Optimizers(
        *(sgd(n, r, chosen) for n, r in zip((ours.part_model, ours.posterior, ours.theta_k), rates, strict=True))
    )
    theta, theta_q, theta_kp = (
        sgd(n, r, chosen) for n, r in zip((part_model, posterior, keypoint_model), rates, strict=True)
    )
    plain = Plain(
        part_model, posterior, keypoint_model, theta, theta_q, theta_kp, chosen.sigma, chosen.em, careful=careful
    )
    return (ours, optimizers), plain


def images(count: int, size: int, first: int = 0) -> Batch:
    """A batch of synthetic birds with every label, as network input in the default memory order."""
    made: dict[str, Any] = birds.render(count, size=size, first=first)
    store = Store.from_arrays(birds.SCHEMA, **made)
    return to_input(store.batch(range(count)))


def channels_last(batch: Batch) -> Batch:
    """As ``data.batches.Feed`` hands batches out."""
    batch = batch[:]
    batch.image = batch.image.contiguous(memory_format=torch.channels_last)
    return batch


Step = Callable[[], dict[str, Tensor]]


def prepare(chosen: Settings, size: int, careful: bool = False, precision: str = "float32") -> dict[str, Step]:
    """One function a side, each taking a step from where its last one ended; ``precision`` is this package's side's."""
    batch, labelled = images(chosen.batch, size), images(chosen.labelled_batch, size, first=chosen.batch)
    last, last_labelled = channels_last(batch), channels_last(labelled)
    (ours, optimizers), plain = sides(chosen, last_labelled, careful=careful)
    for network in (*ours.part_model.modules(), *ours.posterior.modules(), *ours.theta_k.modules()):
        if isinstance(network, (PartModel, Posterior, LabelModel)):
            network.precision = precision
    return {
        "plain": lambda: plain_step(plain, batch, labelled),
        "coarseparts": lambda: em.em_step(ours, optimizers, last, last_labelled, chosen.em),
    }


@dataclass
class Measured:
    """What one side did: seconds of each step, losses of each step, peak of its anonymous memory in bytes."""

    seconds: list[float]
    losses: list[dict[str, float]]
    peak: int = 0


def measure(steps: dict[str, Step], repetitions: int, untimed: int = 1) -> dict[str, Measured]:
    """Alternates the sides; the first ``untimed`` steps of each are not timed, but their losses count."""
    measured = {name: Measured([], []) for name in steps}
    for repetition in range(untimed + repetitions):
        for name, step in steps.items():
            with PeakMemory() as memory:
                start = time.perf_counter()
                terms = step()
                seconds = time.perf_counter() - start
            side = measured[name]
            side.losses.append({term: float(value) for term, value in terms.items()})
            if repetition >= untimed:
                side.seconds.append(seconds)
                side.peak = max(side.peak, memory.peak)
    return measured


def largest_difference(measured: dict[str, Measured], steps: int = COMPARED) -> tuple[float, str]:
    """The largest relative difference between the sides' losses in the first ``steps`` steps, and where it is."""
    worst = (0.0, "nowhere")
    plain, ours = measured["plain"].losses, measured["coarseparts"].losses
    for step, (a, b) in enumerate(zip(plain[:steps], ours[:steps], strict=True), start=1):
        if a.keys() != b.keys():
            raise ValueError(f"the sides have different terms: {sorted(a)} and {sorted(b)}")
        for name in a:
            gap = abs(a[name] - b[name]) / max(abs(a[name]), 1e-12)
            worst = max(worst, (gap if math.isfinite(gap) else math.inf, f"{name} in step {step}"))
    return worst


def report(measured: dict[str, Measured], batch: int) -> float:
    """Prints losses, times and memory; returns how many times faster this package is."""
    plain, ours = measured["plain"], measured["coarseparts"]
    for step in range(min(COMPARED, len(plain.losses))):
        for name, value in plain.losses[step].items():
            print(f"step {step + 1}  {name:<14} plain {value:14.7f}  coarseparts {ours.losses[step][name]:14.7f}")
    print(f"{'':12} {'ms per step':>12} {'range':>15} {'coarse images/s':>16} {'peak memory MiB':>16}")
    middle = {}
    for name, side in measured.items():
        middle[name] = statistics.median(side.seconds)
        spread = f"{1e3 * min(side.seconds):.0f}-{1e3 * max(side.seconds):.0f}"
        rate = batch / middle[name]
        print(f"{name:12} {1e3 * middle[name]:12.0f} {spread:>15} {rate:16.3f} {side.peak / MIB:16.0f}")
    return middle["plain"] / middle["coarseparts"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="b, coarse images a step (the paper's 32 need 4x memory)")
    parser.add_argument("--labelled", type=int, default=4, help="bp, part-labelled images a step")
    parser.add_argument("--size", type=int, default=256, help="width and height of the images, pixels")
    parser.add_argument("--encoder", default="resnet34", help="the three networks' encoder")
    parser.add_argument("--careful", action="store_true", help="the plain side computes no gradient in vain")
    parser.add_argument("--repetitions", type=int, default=5, help="timed steps of each side")
    parser.add_argument("--precision", default="float32", help="of this package's networks")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative difference of losses that is allowed")
    parser.add_argument("--keep-memory", action="store_true", help="both sides keep freed memory, as our commands do")
    parser.add_argument("--profile", type=int, default=0, metavar="ROWS", help="operators to list for each side")
    a = parser.parse_args(arguments)
    use_huge_pages()  # as commands do
    if a.keep_memory:
        keep_freed_memory()
    changes = {"weights": "random", "encoder": a.encoder, "batch": a.batch, "labelled_batch": a.labelled}
    chosen = settings("paper", changes)

    print(f"python benchmarks/em_step.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(machine("cpu"))
    print(f"preset paper, {a.encoder}, {a.size}x{a.size}, b = {a.batch}, bp = {a.labelled}")
    steps = prepare(chosen, a.size, a.careful, a.precision)
    measured = measure(steps, a.repetitions)
    ratio = report(measured, a.batch)
    gap, where = largest_difference(measured)
    print(f"coarseparts is {ratio:.2f} times as fast; losses differ by {gap:.1e} at most ({where})")
    if a.profile:
        for name, step in steps.items():
            print(name)
            list_operators(step, a.profile)
    return int(gap > a.tolerance)


if __name__ == "__main__":
    sys.exit(main())
