"""Keypoints: named points with visibility, drawn as heat maps, p(ykp|y) learned (section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from coarseparts.labels.arguments import named, numbers, refuse_shares
from coarseparts.labels.frames import CropFrame, Move
from coarseparts.labels.given import Canvas, Given, Points
from coarseparts.labels.parts import Parts
from coarseparts.labels.schema import Schema
from coarseparts.labels.style import LabelNetwork, LabelStyle, Pen, StyleSettings
from coarseparts.system.errors import WrongArgument
from coarseparts.system.lazy import Lazy
from coarseparts.system.text import short

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from coarseparts.system import device
else:
    torch, device = Lazy("torch"), Lazy("coarseparts.system.device")


class Keypoints(LabelStyle):
    """Labels are (B, K, 3): x, y in pixels (centres at +0.5) and v as in ``data/sample.py``.

    Drawn for the posterior, visible points (v = 2) are Gaussians of height 1, hidden ones (1) of height 0.5, absent
    ones (0) empty maps. The likelihood counts visible and absent points; hidden points cannot be read off the visible
    parts, and points that a source never annotates (-1) are unknown: both are left out.

    ``model`` maps part probabilities (B, P + 1, H, W) to logits (B, K, H / stride, W / stride) (theta_kp).
    ``sigma`` is the Gaussian's standard deviation as a share of the image's width. ``distance``:

    - "l1": the paper's Laplace distribution around a heat map; ``scale`` is its b, the mean of |r|.
    - "squared": a Gaussian around the heat map, as released; ``scale`` is its variance.
    - "location": a categorical distribution over the map's cells and "absent", softened by the Gaussian: the
      likelihood of a place, not of the pixels of a drawing. ``scale`` is its temperature. A heat map is nearly
      everywhere 0, so the median that l1 learns is an empty map until a point's place is almost certain; a
      distribution over places has no such trap.
    """

    name = "keypoints"

    @staticmethod
    def layout(schema: Schema, size: int) -> tuple[np.dtype, tuple[int, ...]]:
        return np.dtype(np.float32), (len(schema.keypoints), 3)

    @staticmethod
    def labelled(rows: np.ndarray) -> np.ndarray:
        return np.asarray((rows[:, :, 2] > 0).any(1))

    @staticmethod
    def cropped(label: np.ndarray, frame: CropFrame) -> np.ndarray:
        """v = 0 for points outside the crop; (0, 0, v) for v < 1."""
        out = np.array(label, np.float32)
        out[:, :2] = frame.points(out[:, :2])
        outside = ~((out[:, :2] >= 0) & (out[:, :2] < frame.size)).all(1)
        out[:, 2] = np.where(outside & (out[:, 2] > 0), 0, out[:, 2])
        out[out[:, 2] < 1, :2] = 0
        return out

    @staticmethod
    def says_something(value: Points, keypoints: Collection[str]) -> bool:
        visible = value.xyv[:, 2].tolist()
        return any(v > 0 and name in keypoints for name, v in zip(value.names, visible, strict=True))

    @staticmethod
    def read(given: Given, canvas: Canvas) -> np.ndarray | None:
        """(K, 3) in the schema's order, every labelled point inside the image."""
        points = in_schema(given.value.xyv, given.value.names, canvas.schema)
        if canvas.unlabelled_unknown:
            points[points[:, 2] == 0, 2] = -1
        points[points[:, 2] >= canvas.visible, 2] = 2
        for row, name in enumerate(canvas.schema.keypoints):
            x, y, v = (float(value) for value in points[row])
            remedy = "move it, or set its visibility to 0"
            place = canvas.point(f"keypoint {name!r}", x, y, given, remedy) if v > 0 else None
            if place is not None:
                points[row, :2] = place
        return points

    @staticmethod
    def argument(value: Any, canvas: Canvas, name: str) -> Points | None:
        """(x, y) or (x, y, v) by name; those that are not named are unknown. None where none is there."""
        found = named(value, name, "keypoint", canvas.schema.keypoints)
        points = np.zeros((len(found), 3), np.float32)
        for row, (point, given) in enumerate(found.items()):
            where = f"{name}[{short(point)}]"
            x, y, *more = numbers(given, where, "(x, y) or (x, y, v)", (2, 3)).tolist()
            v = more[0] if more else 2.0
            if v not in (0, 1, 2):
                expected = "expected 2 visible, 1 hidden, or 0 known not to be seen"
                raise WrongArgument(f"{where}: visibility {v:g}, {expected}")
            points[row] = (x, y, v) if v else 0
        placed = points[points[:, 2] > 0, :2]
        if len(placed) > 1:
            refuse_shares(placed, name)
        return Points(tuple(found), points) if (points[:, 2] > 0).any() else None

    @staticmethod
    def sketch(label: np.ndarray, pen: Pen) -> None:
        """By number, filled where they are visible."""
        for number, (x, y, v) in enumerate(label.tolist(), 1):
            if v > 0:
                pen.point(x, y, number, v == 2)

    @staticmethod
    def mirror(label: Tensor, size: int, schema: Schema) -> Tensor:
        swapped = label[:, device.constant(tuple(schema.keypoint_flip()), label.device, torch.int64)]
        x = torch.where(swapped[..., 2] > 0, size - swapped[..., 0], swapped[..., 0])
        return torch.cat((x[..., None], swapped[..., 1:]), -1)

    @staticmethod
    def moved(
        label: Tensor, present: Tensor, move: Move, others: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Points out of the frame become (0, 0, 0); those with v <= 0 stay as they were."""
        points = label.float()
        x, y = move.points(points[..., 0], points[..., 1])
        inside = (x >= 0) & (x <= move.width) & (y >= 0) & (y <= move.height)
        there = torch.stack((x, y, points[..., 2]), -1)
        there = torch.where(inside[..., None], there, 0.0)
        return torch.where(points[..., 2:] > 0, there, points), present

    @classmethod
    def of(cls, schema: Schema, y: Parts, settings: StyleSettings, network: LabelNetwork) -> Keypoints:
        count, model = len(schema.keypoints), network(len(schema.keypoints), False)
        return cls(count, model, settings.sigma, model.stride, settings.distance)

    def __init__(
        self,
        count: int,
        model: Callable[[Tensor], Tensor],
        sigma: float = 0.03,
        stride: int = 4,
        distance: Literal["l1", "squared", "location"] = "location",
    ):
        if distance not in ("l1", "squared", "location"):
            raise ValueError(f"distance is {distance!r}; choose 'l1', 'squared' or 'location'")
        super().__init__(torch.ones(count), model if isinstance(model, torch.nn.Module) else None)
        self.channels, self.sigma, self.stride, self.distance, self._heat = count, sigma, stride, distance, model
        self.theta.absent = torch.nn.Parameter(torch.zeros(count)) if distance == "location" else None

    def draw(self, label: Tensor, size: int) -> Tensor:
        return self._gaussians(label, size, size, self._height(label))

    def draw_into(self, out: Tensor, label: Tensor, seen: Tensor) -> None:
        # These maps are most of what is drawn: they are written once, where they are wanted.
        self._gaussians(label, out.shape[-1], out.shape[-1], self._height(label) * seen[:, None], out)

    @staticmethod
    def _height(label: Tensor) -> Tensor:
        """(B, K): 1 where a keypoint is visible, 0.5 where it is hidden and guessed, 0 where it is absent."""
        return (label[..., 2] > 0).float() * 0.5 + (label[..., 2] > 1).float() * 0.5

    def predict(self, log_y: Tensor) -> Tensor:
        """Heat maps 0..1 (B, K, h, w); for "location" logits of them."""
        logits = self._heat(log_y.exp())
        return logits if self.distance == "location" else logits.sigmoid()

    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        return self._mean(label, self._residual(label, mean, torch.ones_like(self.scale)))

    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        # Laplace: -log p = |r| / b + log 2b; Gaussian: r^2 / 2 s^2 + ...; without the constants, so that a perfect
        # prediction costs 0.
        if self.distance == "location":
            return self._mean(label, self._residual(label, mean, self.scale))
        scale = self.scale if self.distance == "l1" else 2 * self.scale
        return self._mean(label, self._residual(label, mean, self.scale) / scale)

    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        counted = self._counted(label)
        n = counted.sum(0)

        def average(scale: Tensor) -> Tensor:
            return (self._residual(label, mean, scale) * counted).sum(0) / n.clamp_min(1)

        if self.distance != "location":
            fitted = average(self.scale)
            typical = (fitted * n).sum() / n.sum().clamp_min(1)
            return torch.where(n > 0, fitted, typical).clamp_min(1e-6)
        grid = torch.logspace(-1, 1, 21, base=8.0, device=mean.device)  # temperatures 1/8 .. 8
        costs = torch.stack([average(torch.full_like(self.scale, float(t))) for t in grid])  # (21, K)
        return torch.where(n > 0, grid[costs.argmin(0)], 1.0)

    def heat(self, mean: Tensor) -> Tensor:
        """``predict``'s output as heat maps (B, K, h, w), 0..1, whatever the distance, to look at."""
        if self.distance != "location":
            return mean
        flat = self._with_absent(mean).softmax(-1)[..., :-1]
        return flat.unflatten(-1, mean.shape[-2:])

    def likeliest(self, log_y: Tensor) -> Tensor:
        """Visible at the peaks of the heat maps, absent where "absent" is the likeliest place."""
        maps = self.heat(self.predict(log_y))
        places = peaks(maps, self.stride)[..., :2]
        seen = (
            maps.sum((2, 3)) > 0.5 if self.distance == "location" else torch.ones_like(places[..., 0], dtype=torch.bool)
        )
        return torch.cat([places, torch.full_like(places[..., :1], 2)], -1) * seen[..., None]

    def _counted(self, label: Tensor) -> Tensor:
        """(B, K): 1 where a point is visible or known to be absent."""
        return ((label[..., 2] == 0) | (label[..., 2] > 1)).float()

    def _mean(self, label: Tensor, cost: Tensor) -> Tensor:
        counted = self._counted(label)
        return (cost * counted).sum(1) / counted.sum(1).clamp_min(1)

    def _residual(self, label: Tensor, mean: Tensor, temperature: Tensor) -> Tensor:
        """(B, K) misfit of each keypoint: mean |r| or r^2 over its map, or nats of its place."""
        size = mean.shape[-1]
        target = self._gaussians(label, size, size * self.stride, height=(label[..., 2] > 1).float())
        if self.distance == "location":
            place = target.flatten(2)
            place = place / place.sum(-1, keepdim=True).clamp_min(1e-6)
            goal = torch.cat([place, 1 - place.sum(-1, keepdim=True)], dim=-1)  # (B, K, h * w + 1)
            log_p = (self._with_absent(mean) / temperature[:, None]).log_softmax(-1)
            return -(goal * log_p).sum(-1)
        # These maps are the largest tensors of a loss: a sum divided once per map spares mean()'s backward a pass.
        gap = mean - target
        return (gap.abs() if self.distance == "l1" else gap.square()).sum(dim=(2, 3)) / size**2

    def _with_absent(self, mean: Tensor) -> Tensor:
        assert self.theta.absent is not None
        return torch.cat([mean.flatten(2), self.theta.absent[:, None].expand(len(mean), -1, 1)], dim=-1)

    def _gaussians(self, label: Tensor, size: int, frame: int, height: Tensor, out: Tensor | None = None) -> Tensor:
        """(B, K, size, size) of ``height`` (B, K); the coordinates are pixels of an image of width ``frame``."""
        shrink = size / frame
        centres = torch.arange(size, device=label.device) + 0.5
        width = self.sigma * size
        # A Gaussian is separable: two (B, K, size) profiles and one outer product.
        gx = torch.exp(-0.5 * ((centres - label[..., 0:1] * shrink) / width) ** 2)
        gy = torch.exp(-0.5 * ((centres - label[..., 1:2] * shrink) / width) ** 2)
        return torch.mul((gy * height[..., None])[..., :, None], gx[..., None, :], out=out)


def in_schema(keypoints: np.ndarray, names: tuple[str, ...], schema: Schema) -> np.ndarray:
    """Keypoints (..., k, 3) named ``names`` as (..., K, 3) in the schema's order, a copy; (0, 0, -1) for keypoints that
    are not among ``names``, while those that the schema lacks are left out."""
    out = np.zeros((*keypoints.shape[:-2], len(schema.keypoints), 3), np.float32)
    out[..., 2] = -1
    column = {name: i for i, name in enumerate(names)}
    for row, name in enumerate(schema.keypoints):
        if name in column:
            out[..., row, :] = keypoints[..., column[name], :]
    return out


def peaks(heatmaps: Tensor, stride: float = 1) -> Tensor:
    """The highest point of each heat map: (N, K, H, W) -> (N, K, 3) float32 of x, y, height.

    x and y are image pixels with centres at +0.5: cell (i, j) is centred on ((j + 0.5) stride, (i + 0.5) stride). The
    highest cell is refined along each axis by the vertex of the parabola through it and its two neighbours, at most
    half a cell away; through their logarithms where all three are clearly positive, which is exact for a Gaussian. A
    cell at the border is not refined across it. The height, the cell's own value, serves as the confidence.
    """
    h, w = heatmaps.shape[-2:]
    maps = heatmaps.float()
    height, cell = maps.flatten(2).max(-1)  # (N, K)
    row, column = cell.div(w, rounding_mode="floor"), cell % w

    def along(index: Tensor, length: int, step: int) -> Tensor:
        inner = (index > 0) & (index < length - 1)
        around = torch.stack((cell - step, cell, cell + step), -1).clamp(0, h * w - 1)
        a, b, c = _log_if_positive(maps.flatten(2).gather(2, around)).unbind(-1)
        bend = a - 2 * b + c  # negative at a proper peak, 0 on a plateau
        offset = torch.where(bend < 0, 0.5 * (a - c) / bend, 0.0)  # within ± 0.5: b is the greatest
        return index + 0.5 + torch.where(inner, offset, 0.0)

    return torch.stack((along(column, w, 1) * stride, along(row, h, w) * stride, height), -1)


def _log_if_positive(three: Tensor) -> Tensor:
    """Logarithms of (..., 3) where the outer two reach 1 % of the middle one, else the values as they are."""
    clear = (three > 0.01 * three[..., 1:2]).all(-1, keepdim=True) & (three > 0).all(-1, keepdim=True)
    return torch.where(clear, three.clamp(min=torch.finfo(three.dtype).tiny).log(), three)
