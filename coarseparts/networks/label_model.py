"""f(yk|y): from part probabilities to a coarse label's map (Fig. 5, middle)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from coarseparts.networks.decoder import PaperDecoder, SkipDecoder, conv_bn_relu
from coarseparts.networks.encoder import Encoder
from coarseparts.networks.precision import computing_in


class LabelModel(nn.Module):
    """Part probabilities (B, S, H, W) -> logits of maps (B, outputs, H / stride, W / stride).

    ``kind`` "paper": the part model's architecture with P + 1 input channels, at full resolution (stride 1).
    "light": a small hourglass at stride 4, for the question is geometric and needs no ImageNet-sized trunk; about a
    fiftieth of the work. ``full``: maps at full resolution, of regions (a mask) and not of points; "light" then
    decides at stride 2. Logits are float32 whatever ``precision`` the convolutions have.
    """

    precision = "float32"

    def __init__(
        self,
        channels: int,
        outputs: int,
        kind: str = "light",
        encoder: str = "resnet34",
        width: int = 32,
        full: bool = False,
    ):
        super().__init__()
        if kind == "paper":
            self.stride = 1
            trunk = Encoder(encoder, in_channels=channels, dilate=False)
            self.encoder: nn.Module = trunk
            self.decoder: nn.Module = PaperDecoder(trunk.widths, outputs)
        elif kind == "light":
            self.stride = 1 if full else 4
            self.encoder = _Pyramid(channels, width)
            widths = [channels, *[width] * 4]
            self.decoder = SkipDecoder(widths, outputs, width=width, stride=2 if full else 4, full=full)
        else:
            raise ValueError(f"label model is {kind!r}; choose 'paper' or 'light'")
        if not full:
            # Heat maps are almost everywhere 0: starting there saves the epochs that unlearning 0.5 would take.
            nn.init.constant_(cast(Tensor, cast(nn.Conv2d, self.decoder.head).bias), -5.0)

    def forward(self, y: Tensor) -> Tensor:
        with computing_in(self.precision, y.device):
            logits: Tensor = self.decoder(self.encoder(y))
        return logits.float()


class _Pyramid(nn.Module):
    """Features at strides 1 (what comes in), 2, 4, 8, 16 and a look at the whole image at the coarsest."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.steps = nn.ModuleList(
            [conv_bn_relu(channels, width, 3, 2)] + [conv_bn_relu(width, width, 3, 2) for _ in range(3)]
        )
        self.wide = nn.Sequential(conv_bn_relu(width, width, 5), conv_bn_relu(width, width, 5))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for step in self.steps:
            x = step(x)
            features.append(x)
        features[-1] = x + self.wide(x)
        return features
