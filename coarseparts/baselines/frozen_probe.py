"""A light head on an encoder that does not learn: what somebody with pretrained features would do in an afternoon."""

from __future__ import annotations

from torch import Tensor, nn

from coarseparts.networks import PartModel
from coarseparts.updates import frozen


class FrozenProbe(nn.Module):
    """``part_model``, of which the decoder alone learns: its encoder rests, with batch norm's running statistics.

    Called as the part model is; trained as fine-tuning is, on the part masks alone.
    """

    def __init__(self, part_model: PartModel):
        super().__init__()
        self.part_model = part_model

    def train(self, mode: bool = True) -> FrozenProbe:
        super().train(mode)
        self.part_model.encoder.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        with frozen(self.part_model.encoder):
            logits: Tensor = self.part_model(image)
        return logits
