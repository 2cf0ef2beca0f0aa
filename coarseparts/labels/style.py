"""The contract of a coarse label style: how y_k is drawn, how it follows from the parts, how likely it is.

Section 3: p(y, y1..yn | x) = p(y|x) prod_k p(yk|y). One style is one factor p(yk|y). ``log_y`` below is always
the log-probability of the parts' states, (B, S, H, W) as in ``labels.parts``: log q(y) in the E-step, that of certain
parts in exact use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class LabelStyle(nn.Module, ABC):
    """One style of coarse label. Final classes implement the abstract members and add nothing public.

    ``name`` is the style's name in dataset files; ``channels`` the number of channels that ``draw`` returns;
    ``scale`` the (S,) scales of its likelihood, fitted by maximum likelihood on held-out images (``fit``).
    """

    name: str
    channels: int
    scale: Tensor

    @abstractmethod
    def draw(self, label: Tensor, size: int) -> Tensor:
        """The label as the posterior sees it: (B, channels, size, size), 0..1. Coordinates are pixels of ``size``."""

    def draw_into(self, out: Tensor, label: Tensor, seen: Tensor) -> None:
        """Writes ``draw`` times ``seen`` (B,) 0 or 1 into ``out`` (B, channels, size, size), an uninitialised slice."""
        torch.mul(self.draw(label, out.shape[-1]), seen[:, None, None, None], out=out)

    @abstractmethod
    def predict(self, log_y: Tensor) -> Tensor:
        """mu_k = f(yk | y), what this label is expected to be where the parts are ``log_y`` (B, S, H, W)."""

    @abstractmethod
    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        """(B,) misfit between a label and its prediction, the l_k of Algorithm 1, averaged over its elements."""

    @abstractmethod
    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        """(B,) -log p(yk | y) with the fitted ``scale``, in nats, averaged as ``loss`` is."""

    @abstractmethod
    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        """(S,) maximum-likelihood scale of ``label`` (N, ...) around ``mean`` (N, ...)."""

    @abstractmethod
    def mirror(self, label: Tensor, size: int) -> Tensor:
        """The label of the image mirrored left to right."""

    @abstractmethod
    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        """log of p(y) p(yk|y), normalised at each pixel, where that has a closed form; else ``log_y`` itself."""

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Takes over a fitted scale (S,); it is a buffer, saved with the model."""
        self.scale.copy_(scale)

    @property
    def learned(self) -> bool:
        """Whether p(yk|y) has parameters (theta_k) that training moves."""
        return any(True for _ in self.parameters())

    @property
    def bounds(self) -> bool:
        """Whether the label says where the object ends."""
        return not self.learned
