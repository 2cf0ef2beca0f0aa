"""y itself: what a part label of a pixel is, for parts that exclude each other and for parts that may overlap.

Both kinds answer the same questions, so that Algorithm 1 and the baselines are written once. ``log_y``, the form in
which distributions over y travel, is the log-probability of every state at each pixel, (B, S, H, W): parts and
background where they exclude each other (S = P + 1); every part there, then every part not there, where they overlap
(S = 2 P). Certain labels are maps of bytes: an index per pixel, or a bit per part; 255 says "not labelled here".
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE = 255


class Parts(ABC):
    """The questions. Stateless; every loss is a mean over pixels (and images), in nats, over parts a sum."""

    @staticmethod
    @abstractmethod
    def outputs(parts: int) -> int:
        """Channels of the networks' logits for P parts."""

    @staticmethod
    @abstractmethod
    def states(parts: int) -> int:
        """S, channels of ``log_y``, for P parts."""

    @staticmethod
    @abstractmethod
    def log_probability(logits: Tensor) -> Tensor:
        """log p of every state at each pixel, (B, S, H, W), <= 0."""

    @staticmethod
    @abstractmethod
    def probability(logits: Tensor) -> Tensor:
        """The same as probabilities, (B, S, H, W), 0..1."""

    @staticmethod
    @abstractmethod
    def mode(log_y: Tensor) -> Tensor:
        """The most probable labels of each pixel, (B, H, W) int64. Of exclusive parts logits will do, too."""

    @staticmethod
    @abstractmethod
    def sample(log_y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw from each pixel's distribution, (B, H, W) int64."""

    @staticmethod
    @abstractmethod
    def sureness(log_y: Tensor) -> Tensor:
        """Probability of the mode at each pixel, (B, H, W); of several parts, that of the most doubtful one."""

    @staticmethod
    @abstractmethod
    def certain(parts: Tensor, states: int) -> Tensor:
        """Probabilities 0 and 1 of labels (B, H, W) as (B, S, H, W) float; meaningless where they are 255."""

    @classmethod
    def log_certain(cls, parts: Tensor, elsewhere: Tensor, smoothing: float = 1e-4) -> Tensor:
        """``log_y`` of certain labels (B, H, W); pixels marked 255 take the values of ``elsewhere`` (B, S, H, W)."""
        hot = cls.certain(parts, elsewhere.shape[1]).to(elsewhere.dtype)
        share = smoothing / cls._alternatives(elsewhere.shape[1])
        return torch.where((parts != IGNORE)[:, None], (hot * (1 - smoothing) + share).log(), elsewhere)

    @staticmethod
    @abstractmethod
    def _alternatives(states: int) -> int:
        """Number of states that exclude each other."""

    @staticmethod
    @abstractmethod
    def supervised(logits: Tensor, parts: Tensor) -> Tensor:
        """l(y, mu): cross entropy with labels (B, H, W); pixels marked 255 count for nothing. Scalar.

        A batch without one labelled pixel costs 0 and has a zero gradient, not NaN.
        """

    @staticmethod
    @abstractmethod
    def at_points(logits: Tensor, parts: Tensor) -> Tensor:
        """Mean of -log p that the part of index ``parts`` (B, H, W) is there, where it is not 255. Scalar."""

    @classmethod
    def cross_entropy(cls, target: Tensor, logits: Tensor) -> Tensor:
        """(B,) mean over pixels of -sum_s target_s log p_s, the target being probabilities (B, S, H, W)."""
        return -(target * cls.log_probability(logits)).sum(dim=1).mean(dim=(1, 2))

    @classmethod
    def overlap(cls, logits: Tensor, target: Tensor) -> Tensor:
        """1 - soft Dice, 0..1, of each part over the whole batch, of the parts that ``target`` shows: a mean over them
        where parts exclude each other; where each has its own cross entropy, too, a sum. Scalar.

        ``target``: labels (B, H, W) int, pixels marked 255 counting for nothing, or probabilities (B, S, H, W).
        Cross entropy hardly hears of a part of ten pixels; here every part has the same say. The product of the usual
        form is replaced by |p - q|, which for soft targets is least at p = q (Wang et al. 2023, Dice semimetric).
        """
        probabilities = cls.probability(logits)
        p = cls.there(probabilities)
        if target.dim() == 3:
            known = (target != IGNORE)[:, None]
            p, q = p * known, cls.there(cls.certain(target, probabilities.shape[1])).to(p.dtype) * known
        else:
            q = cls.there(target)
        there = q.sum(dim=(0, 2, 3))
        apart = (p - q).abs().sum(dim=(0, 2, 3)) / (p.sum(dim=(0, 2, 3)) + there).clamp_min(1e-6)
        shown = (there >= 1).to(p.dtype)  # at least a pixel's worth
        return cls._joined((apart * shown).sum(), shown.sum())

    @staticmethod
    @abstractmethod
    def _joined(total: Tensor, count: Tensor) -> Tensor:
        """The loss of several parts: of their sum and their number."""

    @staticmethod
    @abstractmethod
    def there(states: Tensor) -> Tensor:
        """The channels of (B, S, H, W) that say "this part is there", (B, P, H, W)."""

    @staticmethod
    def negative_entropy(log_q: Tensor) -> Tensor:
        """l_q = -H(q) as a mean over pixels, (B,), <= 0: adding it to a loss raises the entropy (Eq. 2)."""
        return (log_q.exp() * log_q).sum(dim=1).mean(dim=(1, 2))


class ExclusiveParts(Parts):
    """Every pixel belongs to one part or to the background: softmax over P + 1 classes (section 3, birds)."""

    @staticmethod
    def outputs(parts: int) -> int:
        return parts + 1

    @staticmethod
    def states(parts: int) -> int:
        return parts + 1

    @staticmethod
    def log_probability(logits: Tensor) -> Tensor:
        return F.log_softmax(logits.float(), dim=1)

    @staticmethod
    def probability(logits: Tensor) -> Tensor:
        return F.softmax(logits.float(), dim=1)

    @staticmethod
    def mode(log_y: Tensor) -> Tensor:
        return log_y.argmax(dim=1)

    @staticmethod
    def sample(log_y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        # The maximum of Gumbel variables.
        uniform = torch.rand(log_y.shape, generator=generator).clamp_(1e-9, 1 - 1e-7).to(log_y.device)
        return (log_y.float() - (-uniform.log()).log()).argmax(dim=1)

    @staticmethod
    def sureness(log_y: Tensor) -> Tensor:
        return log_y.amax(dim=1).exp()

    @staticmethod
    def certain(parts: Tensor, states: int) -> Tensor:
        index = torch.where(parts < states, parts, 0).long()
        return F.one_hot(index, states).movedim(-1, 1).float()

    @staticmethod
    def _alternatives(states: int) -> int:
        return states

    @staticmethod
    def supervised(logits: Tensor, parts: Tensor) -> Tensor:
        total = F.cross_entropy(logits.float(), parts.long(), ignore_index=IGNORE, reduction="sum")
        return total / (parts != IGNORE).sum().clamp_min(1)

    @staticmethod
    def at_points(logits: Tensor, parts: Tensor) -> Tensor:
        return ExclusiveParts.supervised(logits, parts)

    @staticmethod
    def _joined(total: Tensor, count: Tensor) -> Tensor:
        return total / count.clamp_min(1)

    @staticmethod
    def there(states: Tensor) -> Tensor:
        return states[:, 1:]


class OverlappingParts(Parts):
    """Every part is there or not, whatever the others: a sigmoid each (section 5.1, aircraft). Labels are bit fields.

    Bit p of a label's byte says whether part p + 1 covers the pixel; bit 7 is never set but in 255.
    """

    @staticmethod
    def outputs(parts: int) -> int:
        return parts

    @staticmethod
    def states(parts: int) -> int:
        return 2 * parts

    @staticmethod
    def log_probability(logits: Tensor) -> Tensor:
        logits = logits.float()
        return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)

    @staticmethod
    def probability(logits: Tensor) -> Tensor:
        there = logits.float().sigmoid()
        return torch.cat([there, 1 - there], dim=1)

    @staticmethod
    def mode(log_y: Tensor) -> Tensor:
        there, not_there = log_y.chunk(2, dim=1)
        return pack(there > not_there)

    @staticmethod
    def sample(log_y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        there = log_y.chunk(2, dim=1)[0].exp()
        return pack(torch.rand(there.shape, generator=generator).to(there.device) < there)

    @staticmethod
    def sureness(log_y: Tensor) -> Tensor:
        return torch.maximum(*log_y.chunk(2, dim=1)).exp().amin(dim=1)

    @staticmethod
    def certain(parts: Tensor, states: int) -> Tensor:
        there = unpack(parts, states // 2).float()
        return torch.cat([there, 1 - there], dim=1)

    @staticmethod
    def _alternatives(states: int) -> int:
        return 2

    @staticmethod
    def supervised(logits: Tensor, parts: Tensor) -> Tensor:
        there = unpack(parts, logits.shape[1]).float()
        each = F.binary_cross_entropy_with_logits(logits.float(), there, reduction="none").sum(dim=1)
        known = parts != IGNORE
        return (each * known).sum() / known.sum().clamp_min(1)

    @staticmethod
    def at_points(logits: Tensor, parts: Tensor) -> Tensor:
        known = parts != IGNORE
        chosen = torch.where(known, parts - 1, 0).clamp_min(0).long()
        log_p = F.logsigmoid(logits.float()).gather(1, chosen[:, None])[:, 0]
        return -(log_p * known).sum() / known.sum().clamp_min(1)

    @staticmethod
    def _joined(total: Tensor, count: Tensor) -> Tensor:
        return total

    @staticmethod
    def there(states: Tensor) -> Tensor:
        return states.chunk(2, dim=1)[0]


def pack(there: Tensor) -> Tensor:
    """(B, P, H, W) bool -> (B, H, W) int64 bit fields."""
    bits = torch.arange(there.shape[1], device=there.device)
    return (there.long() << bits[:, None, None]).sum(dim=1)


def unpack(parts: Tensor, count: int) -> Tensor:
    """(B, H, W) bit fields -> (B, P, H, W) bool; all true where they are 255."""
    bits = torch.arange(count, device=parts.device)
    return (parts[:, None].long() >> bits[:, None, None]) & 1 == 1


def parts_of(overlapping: bool) -> type[Parts]:
    """The kind of y that a schema's ``overlapping`` asks for."""
    return OverlappingParts if overlapping else ExclusiveParts
