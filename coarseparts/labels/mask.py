"""Figure-ground mask: the sum of the parts' probabilities at each pixel, nothing to learn (section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from coarseparts.labels.style import LabelStyle


class Mask(LabelStyle):
    """Labels are (B, 1, H, W) in 0..1, soft where annotators disagreed.

    p(ymask|y) is a Bernoulli per pixel around the foreground probability, seen through a symmetric label noise
    ``scale`` (one number, 0..0.5): the share of pixels at which a held-out mask contradicts the parts. Without noise
    a single pixel of a coarse outline could outweigh all else.
    """

    name = "mask"
    channels = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.zeros(1))

    def draw(self, label: Tensor, size: int) -> Tensor:
        if label.shape[-1] == size:
            return label
        return F.interpolate(label, size=(size, size), mode="bilinear", antialias=True)

    def predict(self, log_y: Tensor) -> Tensor:
        """The logit of "foreground", (B, 1, H, W), by log-sum-exp over the parts: no second softmax."""
        return log_y[:, 1:].logsumexp(dim=1, keepdim=True) - log_y[:, :1]

    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(mean, label, reduction="none").mean(dim=(1, 2, 3))

    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        noise = self.scale.clamp(1e-4, 0.4999)
        log_in, log_out = F.logsigmoid(mean), F.logsigmoid(-mean)
        keep, swap = (1 - noise).log(), noise.log()
        said_in = torch.logaddexp(keep + log_in, swap + log_out)
        said_out = torch.logaddexp(swap + log_in, keep + log_out)
        return -(label * said_in + (1 - label) * said_out).mean(dim=(1, 2, 3))

    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        # The maximum-likelihood flip rate where the foreground is known: how often the mask says otherwise.
        return (label - (mean > 0).float()).abs().mean().clamp(1e-3, 0.4).reshape(1)

    def mirror(self, label: Tensor, size: int) -> Tensor:
        return label.flip(-1)

    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        noise = self.scale.clamp(1e-4, 0.4999)
        belief = label * (1 - noise) + (1 - label) * noise  # p(this mask value | the pixel is foreground)
        # A mask is soft in its own right where annotators disagreed, and the noise bounds its certainty.
        likelihood = torch.cat([(1 - belief).log(), belief.log().expand(-1, log_y.shape[1] - 1, -1, -1)], dim=1)
        return F.log_softmax(log_y + likelihood, dim=1)
