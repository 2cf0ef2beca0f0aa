"""Decoders: the paper's (Fig. 6, right column), and one that keeps small parts by reading finer features."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """The figure's ConvBNReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)
    )


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear, pixel centres kept in place."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class PaperDecoder(nn.Module):
    """Stride-16 features -> (B, outputs, H / stride, W / stride); four times 1x1 ConvBNReLU, then upsampling.

    The convolution comes before the upsampling, as printed, which is a quarter of the work. Only the 1x1 convolution
    commutes with upsampling, its ReLU does not: a decoder that upsamples first is another function.
    ``stride`` > 1 leaves the last upsamplings out (for heat maps).
    """

    def __init__(self, widths: list[int], outputs: int, stride: int = 1):
        super().__init__()
        steps = {1: 4, 2: 3, 4: 2}[stride]
        channels = [widths[-1], 256, 256, 128, 64]
        self.blocks = nn.ModuleList(conv_bn_relu(channels[i], channels[i + 1]) for i in range(steps))
        self.head = nn.Conv2d(channels[steps], outputs, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for block in self.blocks:
            x = upsample(block(x))
        return self.head(x)


class SkipDecoder(nn.Module):
    """Features at strides 2, 4, 8, 16 -> (B, outputs, H, W), decided at ``stride`` (2 or 4) and upsampled.

    Top-down: each finer feature, projected to ``width`` channels, is added to the upsampled coarser one and mixed by
    a 3x3 convolution. An eye of three pixels has its own cell at stride 4, and none at stride 16.
    """

    def __init__(self, widths: list[int], outputs: int, width: int = 96, stride: int = 4, full: bool = True):
        super().__init__()
        self.first = {2: 0, 4: 1}[stride]
        self.stride, self.full = stride, full
        self.lateral = nn.ModuleList(nn.Conv2d(w, width, 1) for w in widths[self.first :])
        self.mix = nn.ModuleList(conv_bn_relu(width, width, 3) for _ in widths[self.first : -1])
        self.top = conv_bn_relu(width, width, 3)
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        fine = features[self.first :]
        x = self.top(self.lateral[-1](fine[-1]))
        for i in range(len(fine) - 2, -1, -1):
            x = self.mix[i](upsample(x, fine[i].shape[-1] // x.shape[-1]) + self.lateral[i](fine[i]))
        x = self.head(x)
        return upsample(x, self.stride) if self.full else x


def build_decoder(kind: str, widths: list[int], outputs: int) -> nn.Module:
    """ "paper" (stride 16, Fig. 6), "stride4" or "stride2" (finer, with skips)."""
    if kind == "paper":
        return PaperDecoder(widths, outputs)
    if kind in ("stride4", "stride2"):
        return SkipDecoder(widths, outputs, stride=int(kind[-1]))
    raise ValueError(f"decoder is {kind!r}; choose 'paper', 'stride4' or 'stride2'")
