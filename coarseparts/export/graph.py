"""What is exported: networks with all that stands before and behind them, from bytes to probabilities.

``Graph`` says what ``Model.predict`` says of a whole photograph, and of its labels; it does not look for the object and
does not bring probabilities back to the photograph's own size.
"""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor, nn

from coarseparts.export.inputs import INPUTS, Input
from coarseparts.export.resize import Square
from coarseparts.inference.model import Model
from coarseparts.networks import SeparatePosteriors
from coarseparts.system.errors import WrongArgument
from coarseparts.training.fusion import share_of

OUTPUT = "probability"


class Graph(nn.Module):
    """Photographs (B, H, W, 3) uint8 RGB, then the inputs of ``styles`` in their order -> probabilities
    (B, P + 1, S, S) float32, the background first; of parts that overlap (B, P, S, S), each by itself.

    S is the model's size. Without ``styles`` the part model alone is asked; with them the part model and the posterior
    together, any subset of the labels being given to each photograph. ``flip``: the mean over the mirror image, too.
    """

    shares: Tensor

    def __init__(self, model: Model, styles: tuple[str, ...], flip: bool) -> None:
        super().__init__()
        self.part_model, self.size, self.flip = model.networks.part_model, model.size, flip
        self.y, self.schema, self.preprocess = model.networks.y, model.schema, model.settings.preprocess
        self.styles = {name: model.networks.styles[name] for name in styles}
        self.posterior = model.networks.posterior if styles else None
        self.theta_k = model.networks.theta_k if styles else None
        self.conditions = model.settings.em.condition
        self.register_buffer("shares", _shares(model, styles))
        self.fitted = bool(model.shares)

    @property
    def inputs(self) -> dict[str, Input]:
        """Those behind the image, by name."""
        return {name: INPUTS[name] for name in self.styles}

    def example(self, count: int, height: int, width: int) -> tuple[Tensor, ...]:
        """``count`` grey photographs without labels."""
        image = torch.full((count, height, width, 3), 127, dtype=torch.uint8)
        blanks = (each.blank(self.schema, height, width) for each in self.inputs.values())
        return (image, *(blank.expand(count, *blank.shape[1:]).contiguous() for blank in blanks))

    def open_axes(self) -> dict[str, dict[int, str]]:
        """By input, then output: the axes whose length is open, and what they are called."""
        letters = {"H": "height", "W": "width"}
        found = {"image": {0: "batch", 1: "height", 2: "width"}}
        for name, each in self.inputs.items():
            found[name] = {0: "batch"} | {i: letters[x] for i, x in enumerate(each.shape, 1) if x in letters}
        return {**found, OUTPUT: {0: "batch"}}

    def forward(self, image: Tensor, *labels: Tensor) -> Tensor:
        square = Square.around(image, self.size)
        seen = self.preprocess.normalise(square.image(image))
        moved = [each.moved(label, square) for each, label in zip(self.inputs.values(), labels, strict=True)]
        given = [label for label, _ in moved]
        present = [there for _, there in moved]
        if self.flip:
            swapped = [s.mirror(g, self.size, self.schema) for s, g in zip(self.styles.values(), given, strict=True)]
            both = [torch.cat(pair) for pair in zip(given, swapped, strict=True)]
            answer = self._answer(torch.cat((seen, seen.flip(-1))), both, [there.repeat(2) for there in present])
            log_y, other = answer.unflatten(0, (2, -1)).unbind(0)
            log_y = _mean(log_y, self.y.mirrored(other, self.schema.part_flip()))
        else:
            log_y = self._answer(seen, given, present)
        return self.y.output_probability(log_y)

    def _answer(self, image: Tensor, labels: list[Tensor], present: list[Tensor]) -> Tensor:
        """log_y (B, S, H, W): as ``training.fusion.fused``, and of images without labels the part model's."""
        log_p = self.y.log_probability(self.part_model(image))
        if self.posterior is None:
            return log_p
        log_q = self.y.log_probability(self.posterior(image, self._drawn(labels, present)))
        share = self._share(labels, present).reshape(-1, 1, 1, 1)
        log_y = self.y.normalised(share * log_p + (1 - share) * log_q)
        if self.conditions:
            for style, label, there in zip(self.styles.values(), labels, present, strict=True):
                log_y = torch.where(there[:, None, None, None], style.condition(log_y, label), log_y)
        return log_y

    def _share(self, labels: list[Tensor], present: list[Tensor]) -> Tensor:
        """(B,) the part model's, as ``inference.predict`` takes it: of some of the keypoints in between."""
        bits = [there.long() << i for i, there in enumerate(present)]
        subset = torch.stack(bits).sum(0)
        share = self.shares[subset]
        if "keypoints" not in self.styles or not self.fitted:
            return share
        at = list(self.styles).index("keypoints")
        some = torch.where(present[at], (labels[at][..., 2] >= 0).float().mean(1), 1.0)
        return some * share + (1 - some) * self.shares[subset - bits[at]]

    def _drawn(self, labels: list[Tensor], present: list[Tensor]) -> Tensor:
        """(B, C, S, S) as ``JointModel.draw``."""
        seen = [there.float()[:, None, None, None] for there in present]
        styles = zip(self.styles.values(), labels, seen, strict=True)
        drawn = [style.draw(label, self.size) * there for style, label, there in styles]
        return torch.cat([*drawn, *(there.expand(-1, 1, self.size, self.size) for there in seen)], 1)


def styles_of(model: Model) -> tuple[str, ...]:
    """The label styles that a graph of this model can take; none where it has no posterior, one for each subset, or one
    that asks for labels that are not given."""
    joint = model.networks
    single = model.has_posterior and not joint.infer_missing and not isinstance(joint.posterior, SeparatePosteriors)
    return tuple(model.styles) if single else ()


def _shares(model: Model, styles: tuple[str, ...]) -> Tensor:
    """(2^K,) float32: the part model's share for each subset of the labels, bit i for the i-th; 1 without any."""
    if unknown := [name for name in styles if name not in INPUTS]:
        raise WrongArgument(f"{', '.join(unknown)}: labels of this style cannot be exported; see export/inputs.py")
    every = product((0, 1), repeat=len(styles))  # the last bit is the first style's
    subsets = [[name for name, bit in zip(styles, reversed(bits), strict=True) if bit] for bits in every]
    return torch.tensor([share_of(model.shares, subset) for subset in subsets])


def _mean(log_a: Tensor, log_b: Tensor) -> Tensor:
    """log of the mean of two probabilities; ``torch.logaddexp`` has no counterpart in ONNX."""
    high = torch.maximum(log_a, log_b)
    return high + torch.log1p(torch.exp(torch.minimum(log_a, log_b) - high)) - math.log(2)
