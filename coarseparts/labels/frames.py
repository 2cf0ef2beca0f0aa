"""How a crop and an augmentation move coordinates, boxes and maps: what label styles ask when a label is moved.

Pixel centres lie at +0.5 (``data/sample.py``).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from coarseparts.system.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")


class CropFrame:
    """A square ``crop`` (x0, y0, x1, y1) of an image, float32 (4,), resized to ``size`` x ``size`` pixels.

    The point (x, y) of the image lies at ((x - x0) * size / side, (y - y0) * size / side) of the sample.
    """

    def __init__(self, crop: np.ndarray, size: int) -> None:
        self.crop, self.size = crop, size

    def points(self, xy: np.ndarray) -> np.ndarray:
        """(n, 2) points of the image in the sample's pixels, wherever they lie."""
        return (xy - self.crop[:2]) * (self.size / (self.crop[2] - self.crop[0]))

    def box(self, box: np.ndarray) -> np.ndarray | None:
        """(4,) a box cut off at the sample's border; None if nothing of it is left."""
        moved = (np.asarray(box, np.float32) - self.crop[[0, 1, 0, 1]]) * (self.size / (self.crop[2] - self.crop[0]))
        moved = moved.clip(0, self.size).astype(np.float32)
        return moved if moved[2] > moved[0] and moved[3] > moved[1] else None

    def area_mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of (H, W) values over the area of each of the sample's pixels, 0 beyond the image: (S, S) float64."""
        crop, width = self.crop, values.shape[1]
        left, right = int(np.clip(np.floor(crop[0]), 0, width)), int(np.clip(np.ceil(crop[2]), 0, width))
        rows = _stretch_means(values[:, left:right], crop[1], crop[3], self.size)  # (S, right - left)
        return _stretch_means(rows.T, crop[0] - left, crop[2] - left, self.size).T

    def nearest(self, values: np.ndarray, beyond: int) -> np.ndarray:
        """(H, W) values at the pixel under each of the sample's pixel centres, ``beyond`` outside of the image."""
        height, width = values.shape
        at = (np.arange(self.size) + 0.5) * (float(self.crop[2] - self.crop[0]) / self.size)
        columns = np.floor(at + float(self.crop[0])).astype(np.int64)
        rows = np.floor(at + float(self.crop[1])).astype(np.int64)
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
        picked = values[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))]
        return np.where(inside, picked, beyond).astype(values.dtype)


def _stretch_means(values: np.ndarray, start: float, stop: float, size: int) -> np.ndarray:
    """Means along the first axis over ``size`` equal stretches from ``start`` to ``stop``, exactly: differences of
    the running sum, which is piecewise linear between pixel edges."""
    running = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0, np.float64)])
    edges = np.linspace(float(start), float(stop), size + 1).clip(0, len(values))
    below = np.floor(edges).astype(np.int64)
    above = np.minimum(below + 1, len(values))
    at_edges = running[below] + (edges - below)[:, None] * (running[above] - running[below])
    return np.diff(at_edges, axis=0) * (size / (float(stop) - float(start)))


class Move:
    """What an augmentation does to a batch of images: ``matrix`` (B, 2, 3) takes a point (x, y, 1) to its new place.

    ``inside`` (B, H, W) bool: pixels that come from within the image; ``x``, ``y`` (B, H, W): where they come from.
    """

    def __init__(self, matrix: Tensor, height: int, width: int) -> None:
        self.matrix, self.height, self.width = matrix, height, width
        # Sums and products element by element: a matrix product could be rounded to TF32 on a GPU, 0.1 px at 256.
        a, b, c, d = matrix[:, :, :2].reshape(-1, 4, 1, 1).unbind(1)
        tx, ty = matrix[:, :, 2].reshape(-1, 2, 1, 1).unbind(1)
        det = a * d - b * c
        across = torch.arange(width, device=matrix.device) + 0.5 - tx  # (B, 1, W)
        down = torch.arange(height, device=matrix.device)[:, None] + 0.5 - ty  # (B, H, 1)
        self.x, self.y = (d / det) * across + (-b / det) * down, (-c / det) * across + (a / det) * down
        self.inside = (self.x >= 0) & (self.x < width) & (self.y >= 0) & (self.y < height)

    def points(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n) coordinates in their new places."""
        m = self.matrix[..., None]  # (B, 2, 3, 1)
        return m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2], m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]

    def boxes(self, boxes: Tensor) -> Tensor:
        """(B, n, 4): the boxes around the four moved corners, cut off at the frame; degenerate if wholly outside."""
        corners = boxes[..., [0, 2, 0, 2]].flatten(1), boxes[..., [1, 1, 3, 3]].flatten(1)
        x, y = (c.unflatten(1, boxes.shape[1:]) for c in self.points(*corners))  # (B, n, 4)
        x, y = x.clamp(0, self.width), y.clamp(0, self.height)
        return torch.stack((x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)), -1)

    def nearest(self, maps: Tensor, beyond: Tensor) -> Tensor:
        """Maps (B, H, W) by nearest pixel: bytes stay bytes, nothing blends; ``beyond`` (B, 1, 1) or 0-d from outside
        of the image."""
        picked = maps.reshape(len(maps), -1).gather(1, self._nearest_pixel.flatten(1)).view(maps.shape)
        return torch.where(self.inside, picked, beyond.to(maps.dtype))

    @cached_property
    def _nearest_pixel(self) -> Tensor:
        rows, columns = self.y.clamp(0, self.height - 1).long(), self.x.clamp(0, self.width - 1).long()
        return (rows * self.width).add_(columns)
