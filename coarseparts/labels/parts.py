"""y itself: what a part label of a pixel is, for parts that exclude each other and for parts that may overlap.

Both kinds answer the same questions, so that Algorithm 1 and the baselines are written once. ``log_y``, the form in
which distributions over y travel, is the log-probability of every state at each pixel, (B, S, H, W): parts and
background where they exclude each other (S = P + 1); every part there, then every part not there, where they overlap
(S = 2 P). Certain labels are maps of bytes: an index per pixel, or a bit per part; 255 says "not labelled here".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from coarseparts.labels.schema import IGNORE
from coarseparts.system.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch, F = Lazy("torch"), Lazy("torch.nn.functional")


@dataclass(frozen=True)
class Parts(ABC):
    """The questions, to one kind of y with ``count`` parts, P. Every loss is a mean over pixels (and images), in nats,
    over parts a sum.

    Which channel of ``log_y`` says what follows from the kind and P alone, never from a shape: one exclusive part and
    one that may overlap have two states each, and in another order. A tensor of other than S channels raises.
    """

    count: int
    exclusive: ClassVar[bool]
    """Whether each pixel is one part's or background; the object's mask is then the parts' union."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Channels of the networks' logits."""

    @property
    @abstractmethod
    def states(self) -> int:
        """S, channels of ``log_y``."""

    @abstractmethod
    def log_probability(self, logits: Tensor) -> Tensor:
        """log p of every state at each pixel, (B, S, H, W), <= 0."""

    @abstractmethod
    def probability(self, logits: Tensor) -> Tensor:
        """The same as probabilities, (B, S, H, W), 0..1."""

    @abstractmethod
    def output_probability(self, log_y: Tensor) -> Tensor:
        """What is told of log_y: the probability of the background and each part, (B, P + 1, H, W); of parts that
        overlap (B, P, H, W), of each by itself."""

    @abstractmethod
    def mode(self, log_y: Tensor) -> Tensor:
        """The most probable labels of each pixel, (B, H, W) int64. Of exclusive parts logits will do, too."""

    @abstractmethod
    def sample(self, log_y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw from each pixel's distribution, (B, H, W) int64."""

    @abstractmethod
    def confidence(self, log_y: Tensor) -> Tensor:
        """Probability of the mode at each pixel, (B, H, W); of several parts, that of the most doubtful one."""

    @abstractmethod
    def present(self, states: Tensor) -> Tensor:
        """The channels of (B, S, H, W) that say "this part is there", (B, P, H, W)."""

    @abstractmethod
    def absent(self, log_y: Tensor) -> Tensor:
        """log p(the part is not there) of every part and pixel, (B, P, H, W)."""

    @abstractmethod
    def background(self, log_y: Tensor) -> Tensor:
        """log p(no part is there) of every pixel, (B, H, W)."""

    @abstractmethod
    def mirrored(self, states: Tensor, part_flip: Sequence[int]) -> Tensor:
        """(B, S, H, W) of mirrored images as those of the images; ``part_flip``: where each part's index goes, the
        background's 0 first (``Schema.part_flip``)."""

    @abstractmethod
    def normalised(self, weights: Tensor) -> Tensor:
        """log_y of log-weights (B, S, H, W) of the states: those of the same pixel, and part, compete."""

    @abstractmethod
    def given(self, log_y: Tensor, if_there: Tensor, if_not: Tensor | float = 0.0) -> Tensor:
        """log of p(y) times a likelihood, normalised at each pixel: ``if_there``, (B, P or 1, H, W), is the log
        likelihood in the states that say "this part is there", ``if_not`` in the others."""

    @abstractmethod
    def certain(self, parts: Tensor) -> Tensor:
        """Probabilities 0 and 1 of labels (B, H, W) as (B, S, H, W) float; meaningless where they are 255."""

    def log_certain(self, parts: Tensor, elsewhere: Tensor, smoothing: float = 1e-4) -> Tensor:
        """``log_y`` of certain labels (B, H, W); pixels marked 255 take the values of ``elsewhere`` (B, S, H, W)."""
        hot = self.certain(parts).to(elsewhere.dtype)
        share = smoothing / self._alternatives
        return torch.where((parts != IGNORE)[:, None], (hot * (1 - smoothing) + share).log(), elsewhere)

    @property
    @abstractmethod
    def _alternatives(self) -> int:
        """Number of states that exclude each other."""

    @abstractmethod
    def supervised(self, logits: Tensor, parts: Tensor) -> Tensor:
        """l(y, mu): cross entropy with labels (B, H, W); pixels marked 255 count for nothing. Scalar.

        A batch without one labelled pixel costs 0 and has a zero gradient, not NaN.
        """

    @abstractmethod
    def at_points(self, logits: Tensor, parts: Tensor) -> Tensor:
        """Mean of -log p that the part of index ``parts`` (B, H, W) is there, where it is not 255. Scalar."""

    def cross_entropy(self, target: Tensor, logits: Tensor) -> Tensor:
        """(B,) mean over pixels of -sum_s target_s log p_s, the target being probabilities (B, S, H, W)."""
        return -(target * self.log_probability(logits)).sum(dim=1).mean(dim=(1, 2))

    def dice(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """1 - soft Dice, 0..1, of each part over the whole batch, of the parts that ``target`` shows: a mean over them
        where parts exclude each other; where each has its own cross entropy, too, a sum. Scalar.

        ``target``: labels (B, H, W) int, pixels marked 255 counting for nothing, or probabilities (B, S, H, W).
        ``weights`` (B,): of the images among each other; their mean is a factor of the loss.
        Cross entropy hardly hears of a part of ten pixels; here every part has the same say. The product of the usual
        form is replaced by |p - q|, which for soft targets is least at p = q (Wang et al. 2023, Dice semimetric).
        """
        p = self.present(self.probability(logits))
        if target.dim() == 3:
            known = (target != IGNORE)[:, None]
            p, q = p * known, self.present(self.certain(target)).to(p.dtype) * known
        else:
            q = self.present(target)
        if weights is not None:
            p, q = p * weights[:, None, None, None], q * weights[:, None, None, None]
        there = q.sum(dim=(0, 2, 3))
        apart = (p - q).abs().sum(dim=(0, 2, 3)) / (p.sum(dim=(0, 2, 3)) + there).clamp_min(1e-6)
        shown = (there >= 1).to(p.dtype)  # at least a pixel's worth
        loss = self._joined((apart * shown).sum(), shown.sum())
        return loss if weights is None else loss * weights.mean()

    @abstractmethod
    def _joined(self, total: Tensor, count: Tensor) -> Tensor:
        """The loss of several parts: of their sum and their number."""

    def negative_entropy(self, log_q: Tensor) -> Tensor:
        """l_q = -H(q) as a mean over pixels, (B,), <= 0: adding it to a loss raises the entropy (Eq. 2)."""
        return (log_q.exp() * log_q).sum(dim=1).mean(dim=(1, 2))


class ExclusiveParts(Parts):
    """Every pixel belongs to one part or to the background: softmax over P + 1 classes (section 3, birds)."""

    exclusive = True

    @property
    def outputs(self) -> int:
        return self.count + 1

    @property
    def states(self) -> int:
        return self.count + 1

    def log_probability(self, logits: Tensor) -> Tensor:
        return F.log_softmax(logits.float(), dim=1)

    def probability(self, logits: Tensor) -> Tensor:
        return F.softmax(logits.float(), dim=1)

    def output_probability(self, log_y: Tensor) -> Tensor:
        return log_y.exp()

    def mode(self, log_y: Tensor) -> Tensor:
        return log_y.max(dim=1).indices  # seven times as fast as argmax on a CPU

    def sample(self, log_y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        # The maximum of Gumbel variables.
        uniform = torch.rand(log_y.shape, generator=generator).clamp_(1e-9, 1 - 1e-7).to(log_y.device)
        return (log_y.float() - (-uniform.log()).log()).max(dim=1).indices

    def confidence(self, log_y: Tensor) -> Tensor:
        return log_y.amax(dim=1).exp()

    def present(self, states: Tensor) -> Tensor:
        return self._split(states)[1]

    def absent(self, log_y: Tensor) -> Tensor:
        return torch.log1p(-self.present(log_y).exp().clamp_max(1 - 1e-6))

    def background(self, log_y: Tensor) -> Tensor:
        return self._split(log_y)[0][:, 0]

    def mirrored(self, states: Tensor, part_flip: Sequence[int]) -> Tensor:
        return states[:, list(part_flip)].flip(-1)

    def normalised(self, weights: Tensor) -> Tensor:
        return F.log_softmax(weights, dim=1)

    def given(self, log_y: Tensor, if_there: Tensor, if_not: Tensor | float = 0.0) -> Tensor:
        background, there = self._split(log_y)
        return self.normalised(torch.cat([background + if_not, there + if_there], dim=1))

    def certain(self, parts: Tensor) -> Tensor:
        index = torch.where(parts < self.states, parts, 0).long()
        return F.one_hot(index, self.states).movedim(-1, 1).float()

    @property
    def _alternatives(self) -> int:
        return self.states

    def supervised(self, logits: Tensor, parts: Tensor) -> Tensor:
        total = F.cross_entropy(logits.float(), parts.long(), ignore_index=IGNORE, reduction="sum")
        return total / (parts != IGNORE).sum().clamp_min(1)

    def at_points(self, logits: Tensor, parts: Tensor) -> Tensor:
        return self.supervised(logits, parts)

    def _joined(self, total: Tensor, count: Tensor) -> Tensor:
        return total / count.clamp_min(1)

    def _split(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The background's channel and the parts', (B, 1, H, W) and (B, P, H, W)."""
        background, there = states.split([1, self.count], dim=1)
        return background, there


class OverlappingParts(Parts):
    """Every part is there or not, whatever the others: a sigmoid each (section 5.1, aircraft). Labels are bit fields.

    Bit p of a label's byte says whether part p + 1 covers the pixel; bit 7 is never set but in 255.
    """

    exclusive = False

    @property
    def outputs(self) -> int:
        return self.count

    @property
    def states(self) -> int:
        return 2 * self.count

    def log_probability(self, logits: Tensor) -> Tensor:
        logits = logits.float()
        return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)

    def probability(self, logits: Tensor) -> Tensor:
        there = logits.float().sigmoid()
        return torch.cat([there, 1 - there], dim=1)

    def output_probability(self, log_y: Tensor) -> Tensor:
        return self.present(log_y.exp())

    def mode(self, log_y: Tensor) -> Tensor:
        there, not_there = self._split(log_y)
        return pack(there > not_there)

    def sample(self, log_y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        there = self.present(log_y).exp()
        return pack(torch.rand(there.shape, generator=generator).to(there.device) < there)

    def confidence(self, log_y: Tensor) -> Tensor:
        return torch.maximum(*self._split(log_y)).exp().amin(dim=1)

    def present(self, states: Tensor) -> Tensor:
        return self._split(states)[0]

    def absent(self, log_y: Tensor) -> Tensor:
        return self._split(log_y)[1]

    def background(self, log_y: Tensor) -> Tensor:
        return self.absent(log_y).sum(dim=1)

    def mirrored(self, states: Tensor, part_flip: Sequence[int]) -> Tensor:
        order = [index - 1 for index in part_flip[1:]]
        return torch.cat([half[:, order] for half in self._split(states)], dim=1).flip(-1)

    def normalised(self, weights: Tensor) -> Tensor:
        there, not_there = self._split(weights)
        total = torch.logaddexp(there, not_there)
        return torch.cat([there - total, not_there - total], dim=1)

    def given(self, log_y: Tensor, if_there: Tensor, if_not: Tensor | float = 0.0) -> Tensor:
        there, not_there = self._split(log_y)
        return self.normalised(torch.cat([there + if_there, not_there + if_not], dim=1))

    def certain(self, parts: Tensor) -> Tensor:
        there = unpack(parts, self.count).float()
        return torch.cat([there, 1 - there], dim=1)

    @property
    def _alternatives(self) -> int:
        return 2

    def supervised(self, logits: Tensor, parts: Tensor) -> Tensor:
        there = unpack(parts, self.count).float()
        each = F.binary_cross_entropy_with_logits(logits.float(), there, reduction="none").sum(dim=1)
        known = parts != IGNORE
        return (each * known).sum() / known.sum().clamp_min(1)

    def at_points(self, logits: Tensor, parts: Tensor) -> Tensor:
        known = parts != IGNORE
        chosen = torch.where(known, parts - 1, 0).clamp_min(0).long()
        log_p = F.logsigmoid(logits.float()).gather(1, chosen[:, None])[:, 0]
        return -(log_p * known).sum() / known.sum().clamp_min(1)

    def _joined(self, total: Tensor, count: Tensor) -> Tensor:
        return total

    def _split(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The channels "this part is there" and "this part is not there", (B, P, H, W) each."""
        there, not_there = states.split([self.count, self.count], dim=1)
        return there, not_there


def pack(there: Tensor) -> Tensor:
    """(B, P, H, W) bool -> (B, H, W) int64 bit fields."""
    bits = torch.arange(there.shape[1], device=there.device)
    return (there.long() << bits[:, None, None]).sum(dim=1)


def unpack(parts: Tensor, count: int) -> Tensor:
    """(B, H, W) bit fields -> (B, P, H, W) bool; all true where they are 255."""
    bits = torch.arange(count, device=parts.device)
    return (parts[:, None].long() >> bits[:, None, None]) & 1 == 1


def parts_of(overlapping: bool, count: int) -> Parts:
    """The kind of y that a schema's ``overlapping`` asks for, with ``count`` parts."""
    return OverlappingParts(count) if overlapping else ExclusiveParts(count)
