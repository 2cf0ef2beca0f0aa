"""Strokes of a few pixels along parts and background, as one draws them in seconds: true where they are, silent
elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from coarseparts.labels.arguments import named, plane
from coarseparts.labels.frames import CropFrame, Move
from coarseparts.labels.given import TOLERANCE, Canvas, Decoded, Given, OfPart
from coarseparts.labels.parts import Parts
from coarseparts.labels.schema import IGNORE, Schema
from coarseparts.labels.style import LabelNetwork, LabelStyle, Pen, StyleSettings
from coarseparts.system.errors import WrongArgument
from coarseparts.system.lazy import Lazy
from coarseparts.system.problems import BadInput
from coarseparts.system.text import listed, short

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F

    from coarseparts.system import device
else:
    torch, F, device = Lazy("torch"), Lazy("torch.nn.functional"), Lazy("coarseparts.system.device")

WIDTH = 3
"""Pixels of the image, of a line that says nothing about its width."""

MOST = 0.5
"""A share of the pixels above which a map is none of strokes: what is not labelled was probably meant to be 0."""


class Scribbles(LabelStyle):
    """Labels are (B, 1, H, W): the index 1..P of the part that a stroke marks, 0 for a stroke on the background, 255
    where there is none. Of parts that overlap a stroke says that this one is there, and nothing of the others.

    Deterministic given y: a stroke names what lies under it, but for a share ``scale`` (one number) of its pixels, by
    which strokes slip on held-out images. A closed form, for every stroke speaks of its own pixel.
    """

    name = "scribbles"
    key = "scribbles"
    folder = True
    coco = "polylines"
    of_background = True
    of_image = True
    described = (
        "strokes: folder of PNGs with the photographs' stems, value = part index, 0 = background, 255 = none; or a "
        "COCO file with a category per part, or background, and polylines"
    )

    @staticmethod
    def layout(schema: Schema, size: int) -> tuple[np.dtype, tuple[int, ...]]:
        return np.dtype(np.uint8), (size, size)

    @staticmethod
    def labelled(rows: np.ndarray) -> np.ndarray:
        return np.asarray((rows != IGNORE).any((1, 2)))

    @staticmethod
    def cropped(label: np.ndarray, frame: CropFrame) -> np.ndarray | None:
        """Every pixel of a stroke marks the one that it falls into: none is too thin for a small sample."""
        out = frame.nearest(label, IGNORE)
        rows, columns = np.nonzero(label != IGNORE)
        at = np.floor(frame.points(np.stack([columns, rows], 1) + 0.5)).astype(np.int64)
        inside = ((at >= 0) & (at < frame.size)).all(1)
        out[at[inside, 1], at[inside, 0]] = label[rows[inside], columns[inside]]
        return out if (out != IGNORE).any() else None

    @staticmethod
    def read(given: Given, canvas: Canvas) -> np.ndarray | None:
        """(H, W) uint8; in an image of several objects the strokes along parts that lie on this one."""
        try:
            marks = _drawn(given, canvas) if isinstance(given.value, tuple) else given.value.indices(canvas.size)
        except BadInput as bad:
            canvas.problems += bad.problems
            return None
        known, parts = marks != IGNORE, len(canvas.schema.parts)
        if (odd := np.unique(marks[known & (marks > parts)])).size:
            message = f"has the values {listed(map(str, odd.tolist()))}, expected 0 to {parts}, and 255 for no stroke"
            canvas.add_problem(given, message, "draw with the indices of `parts`", where="")
            return None
        if (share := known.mean()) > MOST:
            message = f"labels {100 * share:.0f} % of the pixels, which are no strokes"
            canvas.add_problem(given, message, "make 255 what has no stroke; 0 is the background", where="")
            return None
        if canvas.region is not None:
            marks = np.where(canvas.region | (marks == 0), marks, np.uint8(IGNORE))
        return marks if (marks != IGNORE).any() else None

    @staticmethod
    def argument(value: Any, canvas: Canvas, name: str) -> Decoded | tuple[OfPart, ...]:
        """(H, W) uint8 indices or a palette or grey-scale picture of them, 255 for no stroke; or lines of points (x, y)
        by the name of their part or "background"."""
        if isinstance(value, np.ndarray):
            return Decoded(plane(value, name, canvas.size).astype(np.uint8))
        if isinstance(value, Image.Image):
            if value.mode not in ("L", "P"):
                raise WrongArgument(f"{name}: an image of mode {value.mode}, expected a palette or grey-scale one")
            return Decoded(plane(np.asarray(value), name, canvas.size))
        names = ("background", *canvas.schema.parts)
        entries = []
        for part, lines in named(value, name, "part", names).items():
            where = f"{name}[{short(part)}]"
            try:
                points = [np.asarray(line, np.float64).reshape(-1, 2) for line in lines]
            except (TypeError, ValueError, OverflowError):
                points = []
            if not points or not all(len(line) and np.isfinite(line).all() for line in points):
                raise WrongArgument(f"{where}: is {short(lines)}, expected lines, each of points (x, y), in pixels")
            entries.append(OfPart(names.index(part), points, short(part)))
        return tuple(entries)

    @staticmethod
    def sketch(label: np.ndarray, pen: Pen) -> None:
        for index in np.unique(label[label != IGNORE]).tolist():
            pen.fill(label == index, index)

    @staticmethod
    def stacked(rows: Tensor) -> Tensor:
        return rows[:, None]

    @staticmethod
    def as_input(label: Tensor) -> Tensor:
        """Indices stay indices, int64."""
        return label.long()

    @staticmethod
    def mirror(label: Tensor, size: int, schema: Schema) -> Tensor:
        swapped = (*schema.part_flip(), *range(len(schema.parts) + 1, 256))
        table = device.constant(swapped, label.device, torch.int64)
        return table[label.flip(-1).long()].to(label.dtype)

    @staticmethod
    def moved(
        label: Tensor, present: Tensor, move: Move, others: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        marks = move.nearest(label[:, 0], torch.full_like(label[:, 0, :1, :1], IGNORE)).long()[:, None]
        return marks, present & (marks != IGNORE).flatten(1).any(1)

    @classmethod
    def of(cls, schema: Schema, y: Parts, settings: StyleSettings, network: LabelNetwork) -> Scribbles:
        return cls(y)

    def __init__(self, y: Parts) -> None:
        super().__init__(torch.full((1,), 1e-3))
        self.y, self.channels = y, y.count + 1

    def draw(self, label: Tensor, size: int) -> Tensor:
        """A map for the background's strokes and one for each part's."""
        drawn = (label == torch.arange(self.channels, device=label.device)[:, None, None]).float()
        return drawn if label.shape[-1] == size else F.adaptive_max_pool2d(drawn, size)

    def predict(self, log_y: Tensor) -> Tensor:
        """log p of what a stroke may say at every pixel: background, or that a part is there, (B, P + 1, H, W)."""
        return torch.cat([self.y.background(log_y)[:, None], self.y.present(log_y)], dim=1)

    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        return self._mean(label, -self._under(label, mean))

    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        right, slip = self._right_and_slip()
        true = self._under(label, mean).exp()
        return self._mean(label, -(true * right + (1 - true) * slip).log())

    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        known = label != IGNORE
        wrong = known & (self._under(label, mean) < -0.6931)  # p < 1/2
        return (wrong.sum() / known.sum().clamp_min(1)).clamp(1e-3, 0.4).reshape(1)

    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        right, slip = self._right_and_slip()
        drawn = self.draw(label, label.shape[-1]) * (right / slip).log()
        return self.y.given(log_y, drawn[:, 1:], drawn[:, :1])

    @property
    def bounds(self) -> bool:
        return False

    def _right_and_slip(self) -> tuple[Tensor, Tensor]:
        """p(a stroke says what is there) and p(it says one certain other thing)."""
        slips = self.scale.clamp(1e-4, 0.4999)
        return 1 - slips, slips / (self.channels - 1)

    def _under(self, label: Tensor, mean: Tensor) -> Tensor:
        """(B, 1, H, W) log p of what the strokes say; of no use where there is none."""
        return mean.gather(1, torch.where(label == IGNORE, 0, label).long())

    @staticmethod
    def _mean(label: Tensor, cost: Tensor) -> Tensor:
        """(B,) over the pixels that have a stroke."""
        known = label != IGNORE
        return torch.where(known, cost, 0.0).sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp_min(1)


def _drawn(given: Given, canvas: Canvas) -> np.ndarray:
    """Lines as a map, later ones over earlier ones."""
    picture = Image.new("L", canvas.size, IGNORE)
    pen, (width, height) = ImageDraw.Draw(picture), canvas.size
    for entry in given.value:
        for line in entry.value:
            low, high = line.min(0), line.max(0)
            if max(-low[0], -low[1], high[0] - width, high[1] - height) > TOLERANCE:
                came = f"{low[0]:g}..{high[0]:g}, {low[1]:g}..{high[1]:g}"
                message = f"a line at {came} lies outside the image of {width}x{height} pixels"
                canvas.add_problem(given, message, "draw it again or remove it", where=entry.where)
                continue
            points = [(float(x), float(y)) for x, y in line - 0.5]  # of Pillow the centre of the first pixel is (0, 0)
            if len(points) > 1:
                pen.line(points, fill=entry.index, width=WIDTH, joint="curve")
            else:
                (x, y), half = points[0], (WIDTH - 1) / 2
                pen.rectangle((x - half, y - half, x + half, y + half), fill=entry.index)
    return np.array(picture)
