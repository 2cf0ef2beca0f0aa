"""y itself: the part labels, when every pixel belongs to exactly one part or to the background."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE = 255


class ExclusiveParts:
    """Softmax over P + 1 classes (section 3, birds). All functions take logits (B, P + 1, H, W).

    Stateless; every loss is a mean over pixels (and images), in nats.
    """

    @staticmethod
    def log_probability(logits: Tensor) -> Tensor:
        """log p(y = c) at each pixel, (B, P + 1, H, W), <= 0."""
        return F.log_softmax(logits.float(), dim=1)

    @staticmethod
    def mode(logits: Tensor) -> Tensor:
        """The most probable part of each pixel, (B, H, W) int64."""
        return logits.argmax(dim=1)

    @staticmethod
    def supervised(logits: Tensor, parts: Tensor) -> Tensor:
        """l(y, mu): cross entropy with labelled parts (B, H, W); pixels marked 255 count for nothing. Scalar.

        A batch without one labelled pixel costs 0 and has a zero gradient, not NaN.
        """
        total = F.cross_entropy(logits.float(), parts.long(), ignore_index=IGNORE, reduction="sum")
        return total / (parts != IGNORE).sum().clamp_min(1)

    @staticmethod
    def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
        """(B,) mean over pixels of -sum_c target_c log p_c, the target being probabilities (B, P + 1, H, W)."""
        return -(target * F.log_softmax(logits.float(), dim=1)).sum(dim=1).mean(dim=(1, 2))

    @staticmethod
    def overlap(logits: Tensor, target: Tensor) -> Tensor:
        """1 - soft Dice of each part over the whole batch, a mean over the parts that ``target`` shows; 0..1, scalar.

        ``target``: parts (B, H, W) int, pixels marked 255 counting for nothing, or probabilities (B, P + 1, H, W).
        Cross entropy hardly hears of a part of ten pixels; here every part has the same say. The product of the usual
        form is replaced by |p - q|, which for soft targets is least at p = q (Wang et al. 2023, Dice semimetric).
        """
        p = F.softmax(logits.float(), dim=1)[:, 1:]
        if target.dim() == 3:
            known = target != IGNORE
            hot = F.one_hot(torch.where(known, target, 0).long(), logits.shape[1]).movedim(-1, 1)[:, 1:]
            p, q = p * known[:, None], hot.to(p.dtype)
        else:
            q = target[:, 1:]
        there = q.sum(dim=(0, 2, 3))
        apart = (p - q).abs().sum(dim=(0, 2, 3)) / (p.sum(dim=(0, 2, 3)) + there).clamp_min(1e-6)
        shown = (there >= 1).to(p.dtype)  # at least a pixel's worth
        return (apart * shown).sum() / shown.sum().clamp_min(1)

    @staticmethod
    def negative_entropy(log_q: Tensor) -> Tensor:
        """l_q = -H(q) as a mean over pixels, (B,), <= 0: adding it to a loss raises the entropy (Eq. 2)."""
        return (log_q.exp() * log_q).sum(dim=1).mean(dim=(1, 2))

    @staticmethod
    def sample(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw from each pixel's distribution, (B, H, W) int64 (Gumbel maximum)."""
        uniform = torch.rand(logits.shape, generator=generator).clamp_(1e-9, 1 - 1e-7).to(logits.device)
        return (logits.float() - (-uniform.log()).log()).argmax(dim=1)
