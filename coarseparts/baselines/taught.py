"""A part model taught by a teacher that does not learn: EM's M-step without its E-step, three controls in one.

The teacher labels the coarse images; the part model learns from these labels and from the part masks with the loss,
batches, schedule and number of steps of EM's M-step. Teachers, by what of the coarse labels they know:

- self-training: the fine-tuned part model as it was; nothing. What do the labels add?
- distillation: the posterior as it began; all. What does the E-step add?
- mask-only: the part model as it is now, cut by the labels with a closed form. What does a learned posterior add?
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from coarseparts import em
from coarseparts.baselines.baseline import Baseline, BaselineOptions, Start
from coarseparts.data.sample import Batch
from coarseparts.data.transforms import viewed
from coarseparts.joint import JointModel
from coarseparts.labels import Parts
from coarseparts.updates import Terms, on_both

Teacher = Callable[[Batch, Tensor], Tensor]
"""Coarse images and the part model's logits of them -> log_y (B, S, H, W), which the part model learns from."""


class Options(BaselineOptions):
    """Of self-training: nothing of its own; a network that labels for itself has to be a good one first."""

    start: Start = Field("fine-tuning", description="as in every baseline")


class Taught(Baseline):
    """``part_model`` learns what ``teacher`` says; ``o``: EM's, of which the M-step's count; ``weights``: of images,
    as ``JointModel.weights``."""

    def __init__(
        self,
        part_model: nn.Module,
        teacher: Teacher,
        o: em.Options,
        y: Parts,
        weights: Callable[[Batch], Tensor | None] = lambda _: None,
    ):
        super().__init__()
        self.part_model, self.teacher, self.o, self.y, self.weights = part_model, teacher, o, y, weights

    def terms(self, labelled: Batch, coarse: Batch, generator: torch.Generator) -> Terms:
        seen = viewed(coarse.image, self.o.views, generator)
        logits, logits_p = on_both(self.part_model, (seen,), (labelled.image,), self.o.joint_forward)
        with torch.no_grad():
            log_y = self.teacher(coarse, logits)
        return em.m_step(self.y, log_y, logits, labelled, logits_p, self.o, generator, self.weights(coarse))


def itself(part_model: nn.Module, y: Parts) -> Teacher:
    """The part model as it is at this moment."""
    teacher = copy.deepcopy(part_model).eval()
    return lambda batch, _: y.log_probability(teacher(batch.image))


def posterior(joint: JointModel, condition: bool) -> Teacher:
    """The posterior as it is at this moment; ``condition`` as in ``JointModel.infer``."""
    teacher = copy.deepcopy(joint)
    for module in teacher.trained:
        module.eval()
    return lambda batch, _: teacher.infer(batch, condition)


def closed_form(joint: JointModel) -> Teacher:
    """What the part model says now, times the exact likelihood of the labels that have one."""
    exact = JointModel(joint.part_model, joint.posterior, copy.deepcopy(joint.styles), joint.y)
    exact.theta_k.eval()
    return lambda batch, logits: exact.condition(batch, joint.y.log_probability(logits))
