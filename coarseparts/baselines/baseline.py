"""What a baseline is: some networks and the loss of one pair of batches, trained by ``updates.fit``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from coarseparts.data.sample import Batch
from coarseparts.updates import Terms

Start = Literal["part-model", "fine-tuning"]
"""Where a baseline's part model begins: where EM's does, or where fine-tuning ends, with more steps in all than EM."""


class BaselineOptions(BaseModel):
    """What every baseline may choose; chosen on validation images for the ``default`` preset (benchmarks/tuning.sh)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(1.0, gt=0, description="learning rate, relative to em_part_lr")
    start: Start = Field(
        "part-model",
        description="part-model: where EM begins; fine-tuning: where that baseline ends",
    )


class Baseline(nn.Module, ABC):
    """Networks that learn from part-labelled and coarse images together; ``part_model`` is what is measured.

    Every baseline sees the same pairs of batches, augmentation, schedule and number of steps as Algorithm 1 does.
    """

    part_model: nn.Module

    @abstractmethod
    def terms(self, labelled: Batch, coarse: Batch, generator: torch.Generator) -> Terms:
        """The loss in named terms, scalars, for one pair of batches."""


def both_images(coarse: Batch, labelled: Batch) -> Tensor:
    """The images of both batches for one forward pass with shared batch-norm statistics; coarse ones first."""
    return torch.cat([coarse.image, labelled.image])


def both_labels(coarse: Batch, labelled: Batch, name: str) -> tuple[Tensor, Tensor]:
    """A label style's labels of both batches, and (B,) float presence."""
    present = torch.cat([coarse.present[name], labelled.present[name]])
    return torch.cat([coarse.labels[name], labelled.labels[name]]), present.float()
