"""UniMatch-style consistency (Yang et al., CVPR 2023), a modern semi-supervised opponent: no coarse label is used.

An average of the part model's past weights labels the coarse images as they come (the weak view); the part model has
to say the same, where the teacher is confident, of two strong views (colours, blur, a rectangle of another image) and
of the weak view with half of its encoder's channels dropped. A strong view may also be mirrored; the teacher's labels
are mirrored with it and left and right parts change their names.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from coarseparts.baselines.baseline import Baseline, BaselineOptions, Start
from coarseparts.data.sample import Batch
from coarseparts.data.transforms import viewed
from coarseparts.initialise import supervised_terms
from coarseparts.labels import Parts
from coarseparts.labels.schema import IGNORE
from coarseparts.networks import PartModel, computing_in
from coarseparts.system import parallel
from coarseparts.updates import Terms, moving_average


class Options(BaselineOptions):
    """Weights as published for UniMatch: a quarter for each strong view, half for the dropped channels."""

    start: Start = Field("fine-tuning", description="as in every baseline")
    confidence: float = Field(0.95, ge=0, lt=1, description="least probability at which a teacher's label counts")
    strong: float = Field(0.25, ge=0, description="weight of each of the two strong views")
    dropped: float = Field(0.5, ge=0, description="weight of the view with dropped channels")
    drop: float = Field(0.5, ge=0, lt=1, description="share of the encoder's channels that are dropped there")
    momentum: float = Field(0.99, ge=0, lt=1, description="of the teacher's weights, a step")
    colour: float = Field(0.5, ge=0, description="strength of a strong view's brightness and contrast")


class UniMatch(Baseline):
    """``part_model``, fine-tuned already, and its ``teacher``. ``flip``: what each of the 256
    values of a part map becomes in a mirror (``Schema.value_flip``).

    ``dice``: weight of the soft Dice loss on the labelled images, as in every method.
    """

    flip: Tensor

    def __init__(
        self,
        part_model: PartModel,
        flip: list[int],
        o: Options,
        y: Parts,
        dice: float = 0.0,
    ):
        super().__init__()
        self.part_model, self.o, self.dice, self.y = part_model, o, dice, y
        # A young average forgets faster.
        self.teacher = moving_average(part_model, lambda steps: min(o.momentum, 1 - 1 / (steps + 1)))
        self.register_buffer("flip", torch.tensor(flip))

    def train(self, mode: bool = True) -> UniMatch:
        super().train(mode)
        self.teacher.eval()
        return self

    def terms(self, labelled: Batch, coarse: Batch, generator: torch.Generator) -> Terms:
        self.teacher.update_parameters(self.part_model)
        weak, n = coarse.image, len(coarse)
        with torch.no_grad():
            log_y = self.y.log_probability(self.teacher(weak))
            said = torch.where(self.y.confidence(log_y) >= self.o.confidence, self.y.mode(log_y), IGNORE)
            views = [self._strong(weak, said, generator) for _ in range(2)]
        logits, dropped = self._forward(torch.cat([v for v, _ in views] + [labelled.image]), weak, generator)
        terms = supervised_terms(logits[2 * n :], labelled.parts, self.y, self.dice)
        for i, (_, parts) in enumerate(views):
            terms[f"strong{i + 1}"] = self.o.strong * self._confident(logits[i * n : (i + 1) * n], parts)
        terms["dropped"] = self.o.dropped * self._confident(dropped, said)
        return terms

    def _forward(self, x: Tensor, weak: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Logits of ``x``, and of ``weak`` with channels dropped; one pass, one set of batch-norm statistics."""
        network = self.part_model
        assert isinstance(network, PartModel)
        with computing_in(network.precision, x.device):
            features = network.encoder(torch.cat([x, weak]))
            for i, f in enumerate(features[1:], 1):  # the first is the image
                keep = parallel.rand((len(weak), f.shape[1], 1, 1), generator, f.device) >= self.o.drop
                features[i] = torch.cat([f[: len(x)], f[len(x) :] * keep / (1 - self.o.drop)])
            logits = network.decoder(features).float()
        return logits[: len(x)], logits[len(x) :]

    def _strong(self, image: Tensor, parts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A strong view of normalised images (B, 3, H, W) and the parts (B, H, W) that it should be given."""
        b, _, h, w = image.shape

        def draw(*shape: int) -> Tensor:
            return parallel.rand(shape, generator, image.device)

        def chance(p: float) -> Tensor:
            return (draw(b) < p)[:, None, None, None]

        view = viewed(image, self.o.colour, generator)
        mirrored = chance(0.5)
        swapped = self.flip[parts].flip(-1)
        view, parts = torch.where(mirrored, view.flip(-1), view), torch.where(mirrored[:, 0], swapped, parts)
        # A rectangle of the next image, of 2 to 40 % of the area, in every second one (CutMix).
        side = (0.02 + 0.38 * draw(b)).sqrt()
        top, left = draw(b) * (1 - side), draw(b) * (1 - side)
        y, x = (torch.arange(h, device=image.device) + 0.5) / h, (torch.arange(w, device=image.device) + 0.5) / w
        rows = (y[None] >= top[:, None]) & (y[None] < (top + side)[:, None])
        columns = (x[None] >= left[:, None]) & (x[None] < (left + side)[:, None])
        pasted = rows[:, :, None] & columns[:, None, :] & chance(0.5)[:, 0]
        view = torch.where(pasted[:, None], view.roll(1, 0), view)
        return view, torch.where(pasted, parts.roll(1, 0), parts)

    def _confident(self, logits: Tensor, parts: Tensor) -> Tensor:
        """Cross entropy over the pixels that carry a label, as a mean over all pixels: few sure pixels weigh little."""
        share = (parts != IGNORE).float().mean()
        return self.y.supervised(logits, parts) * share
