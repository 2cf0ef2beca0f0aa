"""PseudoSup (section 5.1): two networks with different beginnings teach each other one-hot labels of coarse images.

Cross pseudo supervision (Chen et al., CVPR 2021). It uses the coarse images and none of their labels.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from coarseparts.baselines.baseline import Baseline, BaselineOptions, Start, both_images
from coarseparts.data.sample import Batch
from coarseparts.initialise import supervised_terms
from coarseparts.labels import Parts
from coarseparts.updates import Terms


class Options(BaselineOptions):
    """Weight of the loss on each other's labels."""

    start: Start = Field("fine-tuning", description="as in every baseline")
    weight: float = Field(1.0, ge=0, description="weight of the coarse images")


class PseudoSup(Baseline):
    """``part_model`` and its ``twin``, both fine-tuned already, from different random beginnings.

    ``dice``: weight of the soft Dice loss on the labelled images, as in every method (``em.Options.dice``).
    """

    def __init__(
        self,
        part_model: nn.Module,
        twin: nn.Module,
        o: Options,
        y: Parts,
        dice: float = 0.0,
    ):
        super().__init__()
        self.part_model, self.twin, self.o, self.dice, self.y = part_model, twin, o, dice, y

    def terms(self, labelled: Batch, coarse: Batch, generator: torch.Generator) -> Terms:
        x, n = both_images(coarse, labelled), len(coarse)
        one, two = self.part_model(x), self.twin(x)
        terms: Terms = {}
        for name, own, other in (("one", one, two), ("two", two, one)):
            for term, value in supervised_terms(own[n:], labelled.parts, self.y, self.dice).items():
                terms[f"{name}/{term}"] = value
            said = self.y.mode(self.y.log_probability(other[:n].detach()))
            terms[f"{name}/coarse"] = self.o.weight * self.y.supervised(own[:n], said)
        return terms
