"""The object's bounding box: what the foreground's projections onto the two axes say (section 3.2, remark 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from coarseparts.labels import arguments
from coarseparts.labels.frames import CropFrame, Move
from coarseparts.labels.given import Canvas, Given
from coarseparts.labels.parts import Parts
from coarseparts.labels.schema import Schema
from coarseparts.labels.style import LabelNetwork, LabelStyle, Pen, StyleSettings
from coarseparts.system.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
else:
    torch, F = Lazy("torch"), Lazy("torch.nn.functional")


class Box(LabelStyle):
    """Labels are (B, 4): x0, y0, x1, y1 in pixels.

    Deterministic given y: a pixel outside the box is background, and every row and column that the box covers holds
    foreground somewhere. ``predict`` returns both statements as probabilities; ``scale`` (two numbers) is how often
    each is wrong on held-out images (a Bernoulli noise, by maximum likelihood). ``corners`` draws the box for the
    posterior as two keypoints, the corners, as the paper remarks; the default draws it filled.

    ``model`` maps part probabilities (B, S, H, W) to the logit of "foreground" (B, 1, H, W) where the parts overlap or
    leave some of the object out; p(ybox|y) is then learned. ``y`` says what the parts are.
    """

    name = "box"

    @staticmethod
    def layout(schema: Schema, size: int) -> tuple[np.dtype, tuple[int, ...]]:
        return np.dtype(np.float32), (4,)

    @staticmethod
    def labelled(rows: np.ndarray) -> np.ndarray:
        return np.asarray((rows[..., 2:] > rows[..., :2]).all(-1))

    @staticmethod
    def cropped(label: np.ndarray, frame: CropFrame) -> np.ndarray | None:
        return frame.box(label)

    @staticmethod
    def read(given: Given, canvas: Canvas) -> np.ndarray | None:
        """(4,) float32 (x0, y0, x1, y1), cut off at the image's border."""
        return canvas.box(given.value, given)

    @staticmethod
    def argument(value: Any, canvas: Canvas, name: str) -> np.ndarray:
        """(x0, y0, x1, y1)."""
        return arguments.box(value, name)

    @staticmethod
    def sketch(label: np.ndarray, pen: Pen) -> None:
        pen.box(label)

    @staticmethod
    def mirror(label: Tensor, size: int, schema: Schema) -> Tensor:
        return mirrored(label, size)

    @staticmethod
    def moved(
        label: Tensor, present: Tensor, move: Move, others: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Tight around mask >= 0.5 where the sample has a mask, else around its moved corners."""
        box = move.boxes(label.float()[:, None])[:, 0]
        if "mask" in others:
            mask, has_mask = others["mask"]
            tight, found = box_of_mask(mask[:, 0] >= 0.5)
            box = torch.where((has_mask & found)[:, None], tight, box)
        present = present & (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
        return torch.where(present[:, None], box, 0.0), present

    @staticmethod
    def must_stay_upright(present: Mapping[str, Tensor]) -> Tensor:
        """The tight box of a turned object cannot be told from its box; with a mask it can."""
        return present["box"] & ~present["mask"] if "mask" in present else present["box"]

    @classmethod
    def of(cls, schema: Schema, y: Parts, settings: StyleSettings, network: LabelNetwork) -> Box:
        model = None if y.exclusive else network(1, True)  # overlapping parts do not fill the object
        return cls(y, settings.box_corners, settings.sigma, model)

    def __init__(self, y: Parts, corners: bool = False, sigma: float = 0.03, model: nn.Module | None = None):
        super().__init__(torch.full((2,), 1e-3), model)
        self.y, self.corners, self.sigma = y, corners, sigma
        self.channels = 2 if corners else 1

    def draw(self, label: Tensor, size: int) -> Tensor:
        centres = torch.arange(size, device=label.device) + 0.5
        if not self.corners:
            inside_x, inside_y = inside(label, size)
            return (inside_y[:, :, None] & inside_x[:, None, :]).float()[:, None]
        width = self.sigma * size
        points = label.reshape(-1, 2, 2)  # (B, corner, xy)
        gx = torch.exp(-0.5 * ((centres - points[..., 0:1]) / width) ** 2)
        gy = torch.exp(-0.5 * ((centres - points[..., 1:2]) / width) ** 2)
        return gy[..., :, None] * gx[..., None, :]

    def predict(self, log_y: Tensor) -> Tensor:
        """log p(background) of every pixel, (B, H, W); both of the box's statements follow from it."""
        return self.y.background(log_y) if self.model is None else F.logsigmoid(-self.model(log_y.exp())[:, 0])

    def likeliest(self, log_y: Tensor) -> Tensor:
        return tight(likely_seen(self.predict(log_y)))

    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        return misfit(label, mean, torch.zeros_like(self.scale))

    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        return misfit(label, mean, self.scale)

    @property
    def bounds(self) -> bool:
        return True

    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        return noise(label, mean)

    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        # Only "outside is background" is a statement about single pixels; the projections are not.
        inside_x, inside_y = inside(label, log_y.shape[-1])
        outside = ~(inside_y[:, :, None] & inside_x[:, None, :])
        penalty = self.scale[0].clamp(1e-4, 0.4999).log() * outside[:, None]
        return self.y.given(log_y, penalty)


def mirrored(boxes: Tensor, size: int) -> Tensor:
    """Boxes (..., 4) of an image of width ``size`` mirrored left to right; empty ones stay."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.where((x1 > x0)[..., None], torch.stack((size - x1, y0, size - x0, y1), -1), boxes)


def inside(label: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which columns and which rows have their centre in the boxes (B, 4), (B, size) each; none for a box of zeros."""
    centres = torch.arange(size, device=label.device) + 0.5
    x0, y0, x1, y1 = (c[:, None] for c in label.unbind(-1))
    return (centres > x0) & (centres < x1), (centres > y0) & (centres < y1)


def misfit(label: Tensor, log_background: Tensor, noise: Tensor) -> Tensor:
    """(B,) how badly boxes (B, 4) fit to log p(background) (B, H, W): what lies outside, and rows and columns within
    that hold nothing. ``noise`` (2,): how often either is wrong."""
    inside_x, inside_y = inside(label, log_background.shape[-1])
    outside = ~(inside_y[:, :, None] & inside_x[:, None, :])
    stray, empty = noise[0], noise[1]
    said_background = torch.log((1 - stray) * log_background.exp() + stray + 1e-12)
    beyond = -(said_background * outside).mean(dim=(1, 2))
    # The strongest pixel of a row or column speaks for it; a product over pixels would saturate at once.
    lowest = log_background.clamp_max(-1e-6)
    gap = log_background.new_zeros(len(label))
    for axis, within in ((1, inside_x), (2, inside_y)):
        some_foreground = -torch.expm1(lowest.amin(dim=axis))  # 1 - p(all background), by its best pixel
        said = torch.log((1 - empty) * some_foreground + empty + 1e-12)
        gap = gap - (said * within).mean(dim=1) / 2
    return beyond + gap


def noise(label: Tensor, log_background: Tensor) -> Tensor:
    """(2,) how often pixels outside of the boxes are foreground, and rows and columns within hold none."""
    inside_x, inside_y = inside(label, log_background.shape[-1])
    outside = ~(inside_y[:, :, None] & inside_x[:, None, :])
    foreground = likely_seen(log_background)
    stray = (foreground & outside).sum() / outside.sum().clamp_min(1)
    empty = (~foreground.any(1) & inside_x).sum() + (~foreground.any(2) & inside_y).sum()
    empty = empty / (inside_x.sum() + inside_y.sum()).clamp_min(1)
    return torch.stack([stray, empty]).clamp(1e-3, 0.4)


def box_of_mask(mask: Tensor) -> tuple[Tensor, Tensor]:
    """(B, H, W) bool -> (B, 4) tight box, outer edges of the pixels, and (B,) whether there is any pixel."""

    def span(line: Tensor) -> tuple[Tensor, Tensor]:  # (B, n) bool -> first True, one past the last True
        line = line.to(torch.uint8)
        return line.argmax(1), line.shape[1] - line.flip(1).argmax(1)

    columns, rows = mask.any(1), mask.any(2)
    (x0, x1), (y0, y1) = span(columns), span(rows)
    return torch.stack((x0, y0, x1, y1), -1).float(), columns.any(1)


def likely_seen(log_background: Tensor) -> Tensor:
    """Where p(background) is below 1/2."""
    return log_background < -0.6931


def tight(there: Tensor) -> Tensor:
    """(..., S, S) bool -> (..., 4) float32 boxes around what is there, zeros around nothing."""
    size = there.shape[-1]
    at = torch.arange(size, device=there.device, dtype=torch.float32)
    edges = []
    for line in (there.any(-2), there.any(-1)):
        edges += [torch.where(line, at, float(size)).amin(-1), torch.where(line, at + 1, 0.0).amax(-1)]
    x0, x1, y0, y1 = edges
    return torch.stack((x0, y0, x1, y1), -1) * there.any((-2, -1))[..., None]
