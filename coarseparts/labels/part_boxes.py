"""A box around each visible part, as detectors are trained on: box-level annotations (section 3.2, remark 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from coarseparts.labels.box import inside, misfit, noise
from coarseparts.labels.parts import Parts
from coarseparts.labels.style import LabelStyle


class PartBoxes(LabelStyle):
    """Labels are (B, P, 4): x0, y0, x1, y1 in pixels, zeros for a part that cannot be seen.

    Deterministic given y, each box as the object's (``Box``): the part is nowhere outside of its box and somewhere in
    every row and column that the box covers. ``scale`` (two numbers) is how often each is wrong on held-out images.
    ``y`` says what the parts are; ``flip`` which of the P each becomes in a mirror, counted from 0.
    """

    name = "part_boxes"

    def __init__(self, y: Parts, flip: list[int]) -> None:
        super().__init__()
        if len(flip) != y.count:
            raise ValueError(f"flip names {len(flip)} parts, expected {y.count}, one a part")
        self.y, self.channels, self.flip = y, y.count, flip
        self.register_buffer("scale", torch.full((2,), 1e-3))

    def draw(self, label: Tensor, size: int) -> Tensor:
        return self._within(label, size).float()

    def predict(self, log_y: Tensor) -> Tensor:
        """log p(the part is not there) of every part and pixel, (B, P, H, W)."""
        return self.y.absent(log_y)

    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        return self._each(label, mean, torch.zeros_like(self.scale))

    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        return self._each(label, mean, self.scale)

    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        return noise(label.flatten(0, 1), mean.flatten(0, 1))

    def mirror(self, label: Tensor, size: int) -> Tensor:
        x0, y0, x1, y1 = label[:, self.flip].unbind(-1)
        return torch.where((x1 > x0)[..., None], torch.stack([size - x1, y0, size - x0, y1], dim=-1), 0.0)

    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        # "Not outside of its box" is a statement about single pixels; the projections are not.
        penalty = self.scale[0].clamp(1e-4, 0.4999).log() * ~self._within(label, log_y.shape[-1])
        return self.y.given(log_y, penalty)

    def _within(self, label: Tensor, size: int) -> Tensor:
        """(B, P, size, size) bool: whose centre lies in the part's box."""
        inside_x, inside_y = inside(label.flatten(0, 1), size)
        return (inside_y[:, :, None] & inside_x[:, None, :]).unflatten(0, label.shape[:2])

    def _each(self, label: Tensor, log_not: Tensor, wrong: Tensor) -> Tensor:
        each = misfit(label.flatten(0, 1), log_not.flatten(0, 1), wrong)
        return each.unflatten(0, label.shape[:2]).sum(1)
