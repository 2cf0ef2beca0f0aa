"""The posterior inference model f(y|x, y1..yn): split encoders, one decoder (Fig. 5, left; section 5.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from coarseparts.networks.backbone import Backbone
from coarseparts.networks.decoder import build_decoder, conv_bn_relu, restored, zoomed
from coarseparts.networks.encoder import Encoder
from coarseparts.networks.precision import computing_in


class LabelEncoder(nn.Module):
    """Drawn coarse labels (B, C, H, W) -> these, and features at strides 2, 4, 8 and 16: Fig. 6's shallow encoder.

    7x7 stride-2 convolution, basic block at stride 2, pooling, basic block at stride 2, all of one ``width``
    (16 in the paper). The paper reads only the last; the finer ones feed a decoder that has skips.
    """

    def __init__(self, channels: int, width: int = 16):
        super().__init__()
        self.stem = conv_bn_relu(channels, width, 7, 2)
        self.block4 = _block(width)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.block16 = _block(width)
        self.widths: list[int] = [channels, *[width] * 4]

    def forward(self, x: Tensor) -> list[Tensor]:
        s2 = self.stem(x)
        s4 = self.block4(s2)
        s8 = self.pool(s4)
        return [x, s2, s4, s8, self.block16(s8)]


class Posterior(nn.Module):
    """Image (B, 3, H, W), drawn labels with presence channels (B, C, H, W) -> logits (B, channels, H, W), float32."""

    precision = "float32"
    zoom: float = 1

    def __init__(
        self,
        encoder: Encoder | Backbone,
        label_channels: int,
        channels: int,
        decoder: str = "paper",
        label_width: int = 16,
    ):
        super().__init__()
        self.encoder = encoder
        self.label_encoder = LabelEncoder(label_channels, label_width)
        widths = [a + b for a, b in zip(encoder.widths, self.label_encoder.widths, strict=True)]
        self.decoder = build_decoder(decoder, widths, channels)

    def forward(self, image: Tensor, drawn: Tensor) -> Tensor:
        with computing_in(self.precision, image.device):
            pairs = zip(
                self.encoder(zoomed(image, self.zoom)), self.label_encoder(zoomed(drawn, self.zoom)), strict=True
            )
            logits: Tensor = self.decoder([torch.cat(pair, dim=1) for pair in pairs])
        return restored(logits, image).float()


class SeparatePosteriors(nn.Module):
    """A posterior of its own for every subset of the label styles (section 3.2, remark 1); called as ``Posterior`` is.

    Each image goes to the one whose subset is the labels that its presence channels, the last ``styles`` of what is
    drawn, say are there. Nothing is shared, so each learns from its own images alone: the alternative to one posterior
    that learns every subset.
    """

    def __init__(self, styles: int, build: Callable[[], Posterior]):
        super().__init__()
        self.styles = styles
        self.each = nn.ModuleList(build() for _ in range(1 << styles))

    def forward(self, image: Tensor, drawn: Tensor) -> Tensor:
        there = drawn[:, -self.styles :, 0, 0] > 0  # (B, styles)
        subset = (there.long() << torch.arange(self.styles, device=there.device)).sum(1)
        order, logits = [], []
        for code in subset.unique().tolist():
            rows = (subset == code).nonzero()[:, 0]
            order.append(rows)
            logits.append(self.each[code](image[rows], drawn[rows]))
        return torch.cat(logits)[torch.cat(order).argsort()]


def members(posterior: nn.Module) -> list[Posterior]:
    """The posteriors that a shared one or separate ones consist of."""
    return [m for m in posterior.modules() if isinstance(m, Posterior)]


def _block(width: int) -> nn.Module:
    from timm.models.resnet import BasicBlock  # here, for it takes seconds to import

    shortcut = nn.Sequential(nn.Conv2d(width, width, 1, 2, bias=False), nn.BatchNorm2d(width))
    return BasicBlock(width, width, stride=2, downsample=shortcut)
