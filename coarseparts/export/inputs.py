"""Coarse labels as inputs of a graph: tensors in pixels of the photograph, of which one value says "not given".

A label style has a line in ``INPUTS``, and a function that brings its input into the square, as
``LabelStyle.cropped`` and ``as_input`` do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from coarseparts.export.resize import Square
from coarseparts.labels.schema import IGNORE, Schema

Moved = tuple[Tensor, Tensor]
"""A label in pixels of the square, as networks take it, and (B,) bool: where it is given."""


@dataclass(frozen=True)
class Input:
    """A label style's input. ``shape``: behind the batch's B, by the letters of the documentation; ``type``: float32
    or uint8; ``none``: every value of it where the label is not given; ``meaning``: in words. ``rows``: how many
    K or P stands for. ``moved`` brings it into the square."""

    shape: tuple[str, ...]
    type: str
    none: int
    meaning: str
    rows: Callable[[Schema], int]
    moved: Callable[[Tensor, Square], Moved]

    def blank(self, schema: Schema, height: int, width: int) -> Tensor:
        """(1, ...): nothing is given, for a photograph of that size."""
        sizes = {"H": height, "W": width, "K": self.rows(schema), "P": self.rows(schema)}
        shape = (1, *(sizes.get(letter) or int(letter) for letter in self.shape))
        return torch.full(shape, self.none, dtype=getattr(torch, self.type))


def _keypoints(points: Tensor, square: Square) -> Moved:
    xy, v = square.points(points[..., :2]), points[..., 2]
    outside = ~((xy >= 0) & (xy < square.size)).all(-1)
    v = torch.where(outside & (v > 0), 0.0, v)
    xy = torch.where((v < 1)[..., None], 0.0, xy)
    return torch.cat((xy, v[..., None]), -1), (points[..., 2] > 0).any(1)


def _mask(planes: Tensor, square: Square) -> Moved:
    mask = torch.round(square.area_mean(planes)).float() / 255
    return mask[:, None], (planes > 0).flatten(1).any(1)


def _boxes(boxes: Tensor, square: Square) -> Tensor:
    """(..., 4), those without an area being zeros."""
    most = torch.stack((square.width, square.height)).float().repeat(2)
    inside = torch.minimum(boxes.clamp_min(0), most)
    corners = inside.unflatten(-1, (2, 2))
    moved = square.points(corners).flatten(-2).clamp(0, square.size)
    there = (moved[..., 2:] > moved[..., :2]).all(-1, keepdim=True)
    return torch.where(there, moved, 0.0)


def _box(box: Tensor, square: Square) -> Moved:
    moved = _boxes(box, square)
    return moved, moved[:, 2] > 0


def _part_boxes(boxes: Tensor, square: Square) -> Moved:
    moved = _boxes(boxes, square)
    return moved, (moved[..., 2] > 0).any(1)


def _scribbles(planes: Tensor, square: Square) -> Moved:
    marks = square.strokes(planes, IGNORE)
    return marks.long()[:, None], (marks != IGNORE).flatten(1).any(1)


def _one(schema: Schema) -> int:
    return 1


INPUTS = {
    "keypoints": Input(
        ("K", "3"),
        "float32",
        -1,
        "x, y, v of each keypoint: v 2 visible, 1 hidden, 0 known not to be seen, -1 unknown",
        lambda schema: len(schema.keypoints),
        _keypoints,
    ),
    "mask": Input(("H", "W"), "uint8", 0, "the object, 0..255: 0 is background, 255 the object", _one, _mask),
    "box": Input(("4",), "float32", 0, "x0, y0, x1, y1 around the object", _one, _box),
    "part_boxes": Input(
        ("P", "4"),
        "float32",
        0,
        "x0, y0, x1, y1 around each part, zeros for parts that cannot be seen",
        lambda schema: len(schema.parts),
        _part_boxes,
    ),
    "scribbles": Input(
        ("H", "W"),
        "uint8",
        IGNORE,
        "strokes: the index of the part under them, 0 on background, 255 where there is none",
        _one,
        _scribbles,
    ),
}
"""By label style."""
