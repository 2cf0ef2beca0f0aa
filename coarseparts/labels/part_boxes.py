"""A box around each visible part, as detectors are trained on: box-level annotations (section 3.2, remark 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from coarseparts.labels import arguments
from coarseparts.labels.box import inside, likely_seen, mirrored, misfit, noise, tight
from coarseparts.labels.frames import CropFrame, Move
from coarseparts.labels.given import Canvas, Given, OfPart
from coarseparts.labels.parts import Parts
from coarseparts.labels.schema import Schema
from coarseparts.labels.style import LabelNetwork, LabelStyle, Pen, StyleSettings
from coarseparts.system.lazy import Lazy
from coarseparts.system.text import short

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from coarseparts.system import device
else:
    torch, device = Lazy("torch"), Lazy("coarseparts.system.device")


class PartBoxes(LabelStyle):
    """Labels are (B, P, 4): x0, y0, x1, y1 in pixels, zeros for a part that cannot be seen.

    Deterministic given y, each box as the object's (``Box``): the part is nowhere outside of its box and somewhere in
    every row and column that the box covers. ``scale`` (two numbers) is how often each is wrong on held-out images.
    ``y`` says what the parts are.
    """

    name = "part_boxes"
    key = "part_boxes"
    coco = "bbox"
    complete = True
    of_image = True
    described = "COCO file with a category per part, of which the boxes (bbox) are a coarse label"

    @staticmethod
    def layout(schema: Schema, size: int) -> tuple[np.dtype, tuple[int, ...]]:
        return np.dtype(np.float32), (len(schema.parts), 4)

    @staticmethod
    def labelled(rows: np.ndarray) -> np.ndarray:
        return np.asarray((rows[..., 2:] > rows[..., :2]).all(-1).any(-1))

    @staticmethod
    def cropped(label: np.ndarray, frame: CropFrame) -> np.ndarray | None:
        """Zeros for those of which nothing is left, None if that is all of them."""
        moved = [frame.box(box) if box[2] > box[0] else None for box in label]
        out = np.stack([np.zeros(4, np.float32) if box is None else box for box in moved])
        return out if out.any() else None

    @staticmethod
    def read(given: Given, canvas: Canvas) -> np.ndarray | None:
        """(P, 4) the box around each part's boxes, zeros for parts without; in an image with several objects of those
        that are centred in this one."""
        boxes = np.zeros((len(canvas.schema.parts), 4), np.float32)
        for entry in given.value:
            box = canvas.box(entry.value, given, entry.where)
            if box is None:
                continue
            x, y = (box[:2] + box[2:]) / 2
            if canvas.region is not None and not canvas.in_region(x, y):
                continue  # another object's
            boxes[entry.index - 1] = around(np.stack([boxes[entry.index - 1], box]))
        return boxes if boxes.any() else None

    @staticmethod
    def argument(value: Any, canvas: Canvas, name: str) -> tuple[OfPart, ...]:
        """Boxes by the name of their part; of the other parts it says that they cannot be seen."""
        parts = canvas.schema.parts
        return tuple(
            OfPart(parts.index(part) + 1, arguments.box(box, f"{name}[{short(part)}]"), short(part))
            for part, box in arguments.named(value, name, "part", parts).items()
        )

    @staticmethod
    def sketch(label: np.ndarray, pen: Pen) -> None:
        for index, box in enumerate(label, 1):
            if box[2] > box[0]:
                pen.box(box, index)

    @staticmethod
    def mirror(label: Tensor, size: int, schema: Schema) -> Tensor:
        return mirrored(label[:, device.constant(tuple(schema.part_flip()[1:]), label.device, torch.int64) - 1], size)

    @staticmethod
    def moved(
        label: Tensor, present: Tensor, move: Move, others: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        given = label.float()
        boxes = move.boxes(given)
        seen = (given[..., 2] > given[..., 0]) & (boxes[..., 2:] > boxes[..., :2]).all(-1)  # (B, P)
        return torch.where(seen[..., None], boxes, 0.0), present & seen.any(1)

    @staticmethod
    def must_stay_upright(present: Mapping[str, Tensor]) -> Tensor:
        """The tight box of a turned part cannot be told from its box."""
        return present["part_boxes"]

    @classmethod
    def of(cls, schema: Schema, y: Parts, settings: StyleSettings, network: LabelNetwork) -> PartBoxes:
        return cls(y)

    def __init__(self, y: Parts) -> None:
        super().__init__(torch.full((2,), 1e-3))
        self.y, self.channels = y, y.count

    def draw(self, label: Tensor, size: int) -> Tensor:
        return self._within(label, size).float()

    def predict(self, log_y: Tensor) -> Tensor:
        """log p(the part is not there) of every part and pixel, (B, P, H, W)."""
        return self.y.absent(log_y)

    def likeliest(self, log_y: Tensor) -> Tensor:
        return tight(likely_seen(self.predict(log_y)))

    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        return self._each(label, mean, torch.zeros_like(self.scale))

    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        return self._each(label, mean, self.scale)

    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        return noise(label.flatten(0, 1), mean.flatten(0, 1))

    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        # "Not outside of its box" is a statement about single pixels; the projections are not.
        penalty = self.scale[0].clamp(1e-4, 0.4999).log() * ~self._within(label, log_y.shape[-1])
        return self.y.given(log_y, penalty)

    def _within(self, label: Tensor, size: int) -> Tensor:
        """(B, P, size, size) bool: whose centre lies in the part's box."""
        inside_x, inside_y = inside(label.flatten(0, 1), size)
        return (inside_y[:, :, None] & inside_x[:, None, :]).unflatten(0, (-1, label.shape[1]))

    def _each(self, label: Tensor, log_not: Tensor, wrong: Tensor) -> Tensor:
        each = misfit(label.flatten(0, 1), log_not.flatten(0, 1), wrong)
        return each.unflatten(0, label.shape[:2]).sum(1)


def around(boxes: np.ndarray) -> np.ndarray:
    """(4,) the box around those of (n, 4) boxes that are not zeros."""
    there = boxes[boxes[:, 2] > boxes[:, 0]]
    return np.concatenate([there[:, :2].min(0), there[:, 2:].max(0)])
