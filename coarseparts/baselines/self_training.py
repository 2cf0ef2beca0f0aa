"""Self-training: the coarse images without their coarse labels, a control for what the labels add.

The fine-tuned part model labels the coarse images once and for all, as the frozen posterior does in distillation;
its copy learns from these labels and the part masks, with EM's M-step losses, batches, schedule and number of steps.
"""

from __future__ import annotations

import copy

import torch
from pydantic import Field
from torch import nn

from coarseparts.baselines.baseline import Baseline, BaselineOptions, Start, both_images
from coarseparts.data.sample import Batch
from coarseparts.em import Terms
from coarseparts.initialise import supervised_terms
from coarseparts.labels import Parts


class Options(BaselineOptions):
    """Nothing of its own: a network that labels for itself has to be a good one first."""

    start: Start = Field("fine-tuning", description="as in every baseline")


class SelfTraining(Baseline):
    """``part_model``, fine-tuned already, learns from what it said itself before. ``overlap``: weight of soft Dice."""

    def __init__(self, part_model: nn.Module, y: Parts, overlap: float = 0.0):
        super().__init__()
        self.part_model, self.overlap, self.y = part_model, overlap, y
        self.teacher = copy.deepcopy(part_model).requires_grad_(False)

    def train(self, mode: bool = True) -> SelfTraining:
        super().train(mode)
        self.teacher.eval()
        return self

    def terms(self, labelled: Batch, coarse: Batch, generator: torch.Generator) -> Terms:
        logits, n = self.part_model(both_images(coarse, labelled)), len(coarse)
        with torch.no_grad():
            q = self.y.log_probability(self.teacher(coarse.image)).exp()
        terms = supervised_terms(logits[n:], labelled.parts, self.y, self.overlap)
        terms["coarse"] = self.y.cross_entropy(q, logits[:n]).mean()
        if self.overlap:
            terms["coarse_overlap"] = self.overlap * self.y.overlap(logits[:n], q)
        return terms
