"""The part segmentation model f(y|x): encoder and decoder (Fig. 5, right)."""

from __future__ import annotations

from torch import Tensor, nn

from coarseparts.networks.backbone import Backbone
from coarseparts.networks.decoder import build_decoder, restored, zoomed
from coarseparts.networks.encoder import Encoder
from coarseparts.networks.precision import computing_in


class PartModel(nn.Module):
    """Images (B, 3, H, W), normalised -> part logits (B, channels, H, W), float32. H and W: multiples of 16."""

    precision = "float32"
    zoom: float = 1

    def __init__(self, encoder: Encoder | Backbone, channels: int, decoder: str = "paper"):
        super().__init__()
        self.encoder = encoder
        self.decoder = build_decoder(decoder, encoder.widths, channels)

    def forward(self, image: Tensor) -> Tensor:
        with computing_in(self.precision, image.device):
            logits: Tensor = self.decoder(self.encoder(zoomed(image, self.zoom)))
        return restored(logits, image).float()
