"""Keypoints from an image: what an encoder may learn first (Table 2's keypoint initialisation)."""

from __future__ import annotations

from torch import Tensor, nn

from coarseparts.networks.part_model import PartModel
from coarseparts.networks.precision import computing_in


class KeypointDetector(nn.Module):
    """A part model's encoder under a decoder of its own: images -> maps (B, K, H / stride, W / stride), float32."""

    def __init__(self, part_model: PartModel, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder, self.precision = part_model.encoder, decoder, part_model.precision

    def forward(self, image: Tensor) -> Tensor:
        with computing_in(self.precision, image.device):
            maps: Tensor = self.decoder(self.encoder(image))
        return maps.float()
