"""From a photograph of any size to the square that networks look at, in tensor operations alone: to the bit what
``data/crops.py`` makes of the whole image with Pillow, and the same place for labels.

Pillow resizes along x, then along y, with weights that are whole multiples of 2^-22, and rounds to a byte after each.
Two products of matrices do that, exactly: bytes times weights of 11 bits are whole numbers that float32 holds.
"""

from __future__ import annotations

import torch
from torch import Tensor

_PRECISION, _HALF = 2.0**22, 2.0**11
"""One of Pillow's weights, and what each of its two halves counts to."""


class Square:
    """The smallest square around a whole image of ``rows`` x ``columns`` pixels, resized to ``size`` x ``size``.

    ``rows`` (H,) and ``columns`` (W,): 0, 1, 2, ..., float64, whose lengths a graph may leave open.
    """

    def __init__(self, rows: Tensor, columns: Tensor, size: int) -> None:
        self.rows, self.columns, self.size = rows, columns, size
        self.height, self.width = rows[-1] + 1, columns[-1] + 1
        self.side = torch.maximum(self.height, self.width)

    @classmethod
    def around(cls, image: Tensor, size: int) -> Square:
        """That of a batch (B, H, W, ...)."""
        rows, columns = (torch.arange(image.shape[i], dtype=torch.float64, device=image.device) for i in (1, 2))
        return cls(rows, columns, size)

    @property
    def corner(self) -> Tensor:
        """(2,) float64: where the square's x and y begin, in the image's pixels; not above 0."""
        return torch.stack((self.width - self.side, self.height - self.side)) / 2

    def image(self, photographs: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, S, S) float32, whole numbers 0..255; beyond the image its border is repeated."""
        pixels = photographs.permute(0, 3, 1, 2).float()
        across = _rounded(pixels @ self._weights(self.columns).T, -1)  # (B, 3, H, S)
        return _rounded(self._weights(self.rows) @ across, -2)

    def points(self, xy: Tensor) -> Tensor:
        """(..., 2) points of the image in pixels of the square, float32."""
        return (xy - self.corner.float()) * (self.size / self.side).float()

    def area_mean(self, planes: Tensor) -> Tensor:
        """(B, H, W) values -> (B, S, S) float64, the mean over the area of each pixel, 0 beyond the image."""
        down = self._means(planes.double(), self.height, 1)
        return self._means(down, self.width, 2)

    def nearest(self, planes: Tensor, beyond: int) -> Tensor:
        """(B, H, W) values at the pixel under each centre -> (B, S, S), ``beyond`` outside of the image."""
        at = (torch.arange(self.size, device=planes.device, dtype=torch.float64) + 0.5) * (self.side / self.size)
        x, y = torch.floor(at + self.corner[0]), torch.floor(at + self.corner[1])
        inside = ((y >= 0) & (y < self.height))[:, None] & ((x >= 0) & (x < self.width))
        y, x = torch.minimum(y.clamp_min(0), self.height - 1), torch.minimum(x.clamp_min(0), self.width - 1)
        picked = planes.index_select(1, y.long()).index_select(2, x.long())
        return torch.where(inside, picked, torch.full_like(picked, beyond))

    def strokes(self, planes: Tensor, none: int) -> Tensor:
        """As ``nearest`` of (B, H, W), but that each pixel which is not ``none`` marks the one that it falls into, too,
        later ones over earlier ones: what is thin does not get lost."""
        scale = (self.size / self.side).float().double()
        x, y = ((at + 0.5 - self.corner[i]) * scale for i, at in enumerate((self.columns, self.rows)))
        into = (torch.floor(y)[:, None] * self.size + torch.floor(x)).long().flatten()  # (H * W,)
        marks = planes.flatten(1)
        place = torch.where(marks != none, torch.cumsum(torch.ones_like(into), 0), 0)
        last = torch.zeros(planes.shape[0], self.size**2, dtype=torch.int64, device=planes.device)
        last = last.scatter_reduce(1, into.expand(planes.shape[0], -1), place, "amax")
        marked = marks.gather(1, (last - 1).clamp_min(0))
        there = (last > 0).reshape(-1, self.size, self.size)
        return torch.where(there, marked.reshape(-1, self.size, self.size), self.nearest(planes, none))

    def _weights(self, at: Tensor) -> Tensor:
        """(2 S, N) float32 of an axis of N pixels: the higher and the lower halves of Pillow's weights.

        Places are counted in 2 S-ths of a pixel, which makes whole numbers of them all. The filter is a triangle;
        what of it lies beyond the image is the first and the last pixel's.
        """
        size, length = self.size, at[-1] + 1
        unit = torch.arange(size, device=at.device, dtype=torch.float64) * 2 + 1
        centre = (size * (length - self.side) + unit * self.side)[:, None]  # (S, 1)
        reach = 2 * self.side.clamp_min(size)
        near = torch.cat((at - length, at, at + length))  # beyond the image one by one: each weight is rounded
        each = (reach - ((2 * near + 1) * size - centre).abs()).clamp_min(0)  # (S, 3 N)
        before = self._beyond(-(2 * length + 1) * size - centre, reach)  # and all that are farther away
        behind = self._beyond(centre - (4 * length + 1) * size, reach)
        weights = torch.cat((before, each, behind), 1)
        whole = torch.floor(_PRECISION * weights / weights.sum(1, keepdim=True) + 0.5)
        left, middle, right = whole[:, 1:-1].reshape(size, 3, -1).unbind(1)
        first, last = (at == 0).double(), (at == length - 1).double()
        whole = middle + (left.sum(1, True) + whole[:, :1]) * first + (right.sum(1, True) + whole[:, -1:]) * last
        high = torch.floor(whole / _HALF)
        return torch.cat((high, whole - _HALF * high)).float()

    def _beyond(self, first: Tensor, reach: Tensor) -> Tensor:
        """The triangle's sum over the pixels past a border: ``first``, (S, 1), is the signed distance from its centre
        of the nearest of them, and each next one is 2 S farther."""

        def ramp(x: Tensor) -> Tensor:  # the sum over k >= 0 of max(0, x - 2 S k)
            x = x.clamp_min(0)
            count = torch.floor(x / (2 * self.size))
            return (count + 1) * x - self.size * count * (count + 1)

        return ramp(first + reach) - 2 * ramp(first) + ramp(first - reach)

    def _means(self, values: Tensor, length: Tensor, axis: int) -> Tensor:
        """Differences of the running sum along an axis, as ``labels.frames.CropFrame.area_mean``'s."""
        summed = values.cumsum(axis)
        running = torch.cat((torch.zeros_like(summed.narrow(axis, 0, 1)), summed), axis)
        steps = torch.arange(self.size + 1, device=values.device, dtype=torch.float64)
        edges = torch.minimum(((length - self.side) / 2 + steps * (self.side / self.size)).clamp_min(0), length)
        below = torch.floor(edges)
        above = torch.minimum(below + 1, length)
        shape = (-1, 1) if axis == 1 else (-1,)
        low = running.index_select(axis, below.long())
        at = low + (edges - below).reshape(shape) * (running.index_select(axis, above.long()) - low)
        return (at.narrow(axis, 1, self.size) - at.narrow(axis, 0, self.size)) * (self.size / self.side)


def _rounded(halves: Tensor, axis: int) -> Tensor:
    """Sums of bytes times both halves of the weights, one behind the other, as bytes."""
    high, low = halves.chunk(2, axis)
    return torch.floor((high + torch.floor(low / _HALF) + _HALF / 2) / _HALF).clamp(0, 255)
