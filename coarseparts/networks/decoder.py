"""Decoders: the paper's (Fig. 6, right column), and one that keeps small parts by reading finer features."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

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


def zoomed(x: Tensor, zoom: float) -> Tensor:
    """Images (B, C, H, W) -> (B, C, zoom * H, zoom * W), from ``zoom`` 0.5 on; multiples of 16."""
    return (
        x
        if zoom == 1
        else F.interpolate(x, [16 * max(1, round(zoom * int(n) / 16)) for n in x.shape[-2:]], mode="bilinear")
    )


def restored(x: Tensor, like: Tensor) -> Tensor:
    """The reverse of ``zoomed``: maps of the size of ``like``, each pixel the mean of its own where there are more."""
    (height, width), wanted = x.shape[-2:], like.shape[-2:]
    if (height, width) == wanted:
        return x
    if height % wanted[0] == 0:
        return F.avg_pool2d(x, height // wanted[0])
    return F.interpolate(x, wanted, mode="bilinear")


class PaperDecoder(nn.Module):
    """Stride-16 features -> (B, outputs, H / stride, W / stride): 1x1 ConvBNReLU and upsampling in turn (Fig. 6).

    Every 1x1 convolution of the figure but the first follows an upsampling. Both are linear and commute, so each is
    done before that upsampling: the same function to rounding, at a quarter of the work. Batch norm and ReLU do not
    commute with it and stay behind it. ``as_printed`` runs the figure's own order, to count what that costs.
    ``stride`` > 1 leaves the last upsamplings out (for heat maps).
    """

    as_printed = False

    def __init__(self, widths: list[int], outputs: int, stride: int = 1):
        super().__init__()
        steps = {1: 4, 2: 3, 4: 2}[stride]
        channels = [widths[-1], 256, 256, 128, 64]
        self.blocks = nn.ModuleList(conv_bn_relu(channels[i], channels[i + 1]) for i in range(steps))
        self.head = nn.Conv2d(channels[steps], outputs, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.blocks[0](features[-1])
        for block in self.blocks[1:]:
            conv, norm, relu = cast(nn.Sequential, block)
            x = relu(norm(self._finer(conv, x)))
        return self._finer(self.head, x)

    def _finer(self, conv: nn.Module, x: Tensor) -> Tensor:
        return conv(upsample(x)) if self.as_printed else upsample(conv(x))


class SkipDecoder(nn.Module):
    """Features at strides 1 (the image), 2, 4, 8, 16 -> (B, outputs, H, W), decided at ``stride`` (1, 2 or 4).

    Top-down: the coarser map is projected, upsampled, added to the finer feature's projection and mixed by a 3x3
    convolution. All levels have ``width`` channels (default: half the coarsest feature's, 96 at most), the one at
    stride 2 half as many, for its pixels are four times as many, and the one at stride 1 half of these. An eye of
    three pixels has its own cell at stride 2 or 4, and none at stride 16. What was decided at a stride above 1 is
    upsampled at the end where ``full``.

    At stride 1 every level gives its own scores, which are upsampled and added up as in FCN: the coarse levels learn
    from the first step on, and the finest, which sees the image through one convolution, corrects them.
    """

    def __init__(self, widths: list[int], outputs: int, width: int | None = None, stride: int = 4, full: bool = True):
        super().__init__()
        width = width or min(96, widths[-1] // 2)
        self.first = {1: 0, 2: 1, 4: 2}[stride]
        self.stride, self.full = stride, full
        own = [width // 4, width // 2, width, width, width][self.first :]
        self.lateral = nn.ModuleList(nn.Conv2d(w, o, 1) for w, o in zip(widths[self.first :], own, strict=True))
        if stride == 1:
            self.lateral[0] = conv_bn_relu(widths[0], own[0], 3)
        self.down = nn.ModuleList(nn.Conv2d(above, o, 1) if above != o else nn.Identity() for o, above in pairwise(own))
        self.mix = nn.ModuleList(conv_bn_relu(o, o, 3) for o in own[:-1])
        self.top = conv_bn_relu(width, width, 3)
        self.head = nn.Conv2d(own[0], outputs, 1)
        self.coarse_heads = nn.ModuleList(nn.Conv2d(o, outputs, 1) for o in own[1:] if stride == 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        fine = features[self.first :]
        x = self.top(self.lateral[-1](fine[-1]))
        below = self.coarse_heads[-1](x) if self.coarse_heads else None
        for i in range(len(fine) - 2, -1, -1):
            x = upsample(self.down[i](x))
            x = self.mix[i](x + self.lateral[i](fine[i]))
            if below is not None:
                below = upsample(below) + (self.coarse_heads[i - 1](x) if i else 0)
        scores = self.head(x)
        if below is not None:
            return scores + below
        return upsample(scores, self.stride) if self.full else scores


def build_decoder(kind: str, widths: list[int], outputs: int) -> nn.Module:
    """ "paper" (stride 16, Fig. 6), "stride4", "stride2" or "stride1" (finer, with skips)."""
    if kind == "paper":
        return PaperDecoder(widths, outputs)
    if kind in ("stride4", "stride2", "stride1"):
        return SkipDecoder(widths, outputs, stride=int(kind[-1]))
    raise ValueError(f"decoder is {kind!r}; choose 'paper', 'stride4', 'stride2' or 'stride1'")
