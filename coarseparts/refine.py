"""q of each image by itself, in place of what the posterior network says at once (section 3.2): steps down the free
energy, hard EM's, or Langevin's with noise, which draws from q. Slower, and nothing is learned for the next image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from coarseparts.labels import Parts
from coarseparts.system import parallel


def descended(
    energy: Callable[[Tensor], Tensor],
    log_q: Tensor,
    y: Parts,
    steps: int,
    rate: float,
    noise: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """log_q (B, S, H, W) after ``steps`` from where it is; no gradient flows through it.

    ``energy``: log_q -> a scalar, the mean over images and pixels of what is to fall, nats; ``rate``: of a step, per
    pixel; ``noise``: of variance 2 * ``rate`` at every step, after which log_q is a draw and not the best one.
    """
    weights = log_q.detach()
    pixels = weights[:, 0].numel()
    for _ in range(steps):
        weights = weights.requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(energy(y.normalised(weights)), weights)
        weights = weights.detach() - rate * pixels * gradient
        if noise:
            uniform = parallel.rand(tuple(weights.shape), generator, weights.device)
            weights = weights + (2 * rate) ** 0.5 * torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))
    return y.normalised(weights.detach())
