"""What stands behind a bird and in front of it: gradients, noise, leaves, blobs and branches, many in its colours.

Only exactly rounded arithmetic, as in ``ellipsoids``: an image's bits do not depend on its chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from coarseparts.data.synthetic.ellipsoids import wave
from coarseparts.data.synthetic.plumage import feather_colours

SCENERY = np.array(
    [
        [0.24, 0.36, 0.15], [0.38, 0.48, 0.22], [0.52, 0.62, 0.30], [0.16, 0.22, 0.12], [0.62, 0.74, 0.86],
        [0.80, 0.86, 0.90], [0.45, 0.55, 0.62], [0.30, 0.24, 0.18], [0.48, 0.40, 0.31], [0.68, 0.62, 0.50],
        [0.55, 0.54, 0.52], [0.34, 0.33, 0.33], [0.75, 0.72, 0.66], [0.60, 0.50, 0.20],
    ]
)  # fmt: skip

BEHIND, BEFORE = 5, 3
"""Most shapes behind and in front of a bird."""

WAVES = 5
SHAPE = 17  # numbers of one shape, in the order of `Backdrop.shapes`


@dataclass
class Backdrop:
    """One image's surroundings. Lengths are shares of the frame, positions run 0..1.

    ``colours`` (4, 3); ``waves`` (2, WAVES, 3) rates and phases of two noise fields; ``slope`` (3,) of the gradient;
    ``shapes`` (BEHIND + BEFORE, SHAPE): centre x and y, axis direction x and y, 1/half length, 1/half width, bend,
    edge sharpness, opacity, colour (3), light in x, y and towards the viewer, ambient light, noise; opacity 0 = none.
    """

    colours: np.ndarray
    waves: np.ndarray
    slope: np.ndarray
    shapes: np.ndarray


def draw_backdrop(
    rng: Generator, palette: np.ndarray, light: np.ndarray, perch: np.ndarray | None, occlude: bool
) -> Backdrop:
    """Draws surroundings for a bird with ``palette`` (C, 3) under ``light`` (3,); ``perch`` (2,) is where it stands."""

    def colour() -> np.ndarray:
        kind = rng.random()
        if kind < 0.06:
            pick = palette[rng.integers(len(palette))]
        elif kind < 0.85:
            pick = SCENERY[rng.integers(len(SCENERY))]
        else:
            pick = feather_colours(rng, 1)[0]
        return np.clip(pick * rng.uniform(0.7, 1.25) + rng.normal(0, 0.03, 3), 0, 1)

    rate = np.exp(rng.uniform(np.log([[0.5], [3.0]]), np.log([[3.0], [14.0]]), (2, WAVES)))
    angle = rng.uniform(0, 2 * np.pi, (2, WAVES))
    waves = np.stack([rate * np.cos(angle), rate * np.sin(angle), rng.uniform(0, 1, (2, WAVES))], axis=2)
    shapes = np.zeros((BEHIND + BEFORE, SHAPE))
    behind = int(rng.integers(0, BEHIND)) if rng.random() < 0.88 else 0
    sharp = rng.uniform(2, 12)

    def shape(centre: np.ndarray, length: float, width: float, turn: float, bend: float, crisp: float) -> np.ndarray:
        rounded = rng.uniform(0, 0.55)
        tone = rng.uniform(0.8, 1.1)
        return np.array(
            [*centre, np.cos(turn), np.sin(turn), 1 / length, 1 / width, bend, crisp, 1.0, *colour(),
             *(tone * rounded * light), tone * (1 - 0.6 * rounded), rng.uniform(0, 0.35)]
        )  # fmt: skip

    for i in range(behind):
        kind = rng.random()
        turn = rng.uniform(0, np.pi)
        if kind < 0.35:  # a branch
            size, width, bend = rng.uniform(0.5, 1.3), rng.uniform(0.012, 0.06), rng.normal(0, 4)
        elif kind < 0.75:  # a leaf, or what could be a tail or a wing
            size = rng.uniform(0.08, 0.3)
            width, bend = size * rng.uniform(0.2, 0.5), rng.normal(0, 0.6)
        else:  # a blob, or what could be a trunk or a head
            size = rng.uniform(0.05, 0.28)
            width, bend = size * rng.uniform(0.6, 1.0), 0.0
        shapes[i] = shape(rng.uniform(-0.05, 1.05, 2), size, width, turn, bend, sharp * rng.uniform(0.5, 2))
    if perch is not None and rng.random() < 0.65:
        width, turn = rng.uniform(0.015, 0.05), rng.normal(0, 0.25)
        shapes[BEHIND - 1] = shape(perch + np.array([rng.normal(0, 0.2), width]), 1.2, width, turn, 0.0, 12.0)
    if occlude:
        for i in range(BEHIND, BEHIND + int(rng.integers(1, BEFORE + 1))):
            turn = rng.uniform(0, np.pi)
            if rng.random() < 0.6:  # a twig
                size, width, bend = rng.uniform(0.5, 1.2), rng.uniform(0.008, 0.026), rng.normal(0, 4)
            else:
                size = rng.uniform(0.06, 0.18)
                width, bend = size * rng.uniform(0.25, 0.5), rng.normal(0, 0.5)
            shapes[i] = shape(rng.uniform(0.05, 0.95, 2), size, width, turn, bend, 12.0)
    slope = np.append(rng.normal(0, 0.9, 2), rng.uniform(-0.2, 1.2))
    return Backdrop(np.stack([colour() for _ in range(4)]), waves, slope, shapes)


def paint(backdrops: list[Backdrop], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Paints a chunk of surroundings.

    Returns what lies behind (B, 3, size, size) in 0..1, what lies before (B, 3, size, size), and how much that hides,
    (B, 1, size, size) in 0..1.
    """
    grid = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    x, y = grid[None, None, :], grid[None, :, None]

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(b, name) for b in backdrops])).float()

    colours, waves, slope, shapes = (stacked(n) for n in ("colours", "waves", "slope", "shapes"))
    fields = []
    for f in range(2):
        total = torch.zeros(len(backdrops), size, size)
        for w in range(WAVES):
            kx, ky, phase = (c[:, None, None] for c in waves[:, f, w].unbind(1))
            warp = total * 0.15 if w else total  # waves that bend each other look less like a grid
            total = total + wave(kx * x + (ky * y + phase) + warp) / (1 + 0.3 * w)
        fields.append(total / 2.2)
    coarse, fine = fields
    sx, sy, s0 = (c[:, None, None] for c in slope.unbind(1))
    gradient = (sx * (x - 0.5) + (sy * (y - 0.5) + s0)).clamp(0, 1)
    patch = (coarse * 1.5).clamp(0, 1)
    fleck = (fine * 0.35).clamp(0, 1)

    def blend(channel: int) -> Tensor:
        c = [colours[:, i, channel, None, None] for i in range(4)]
        ground = c[0] + gradient * (c[1] - c[0])
        ground = ground + patch * (c[2] - ground)
        return ground + fleck * (c[3] - ground)

    behind = torch.stack([blend(c) for c in range(3)], dim=1)
    hidden = torch.zeros(len(backdrops), 1, size, size)
    before = torch.zeros_like(behind)
    for s in range(shapes.shape[1]):
        if not shapes[:, s, 8].any():
            continue
        alpha, shade = _shape(shapes[:, s], x, y, fine)
        colour = shapes[:, s, 9:12, None, None] * shade
        canvas = behind if s < BEHIND else before
        canvas += alpha * (colour - canvas)
        if s >= BEHIND:
            hidden = torch.maximum(hidden, alpha)
    return behind, before, hidden


def _shape(p: Tensor, x: Tensor, y: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity and shade, both (B, 1, S, S), of one bent ellipse per image, lit as if it were round."""
    cx, cy, ax, ay, length, width, bend, sharp, opacity, _, _, _, lx, ly, lz, ambient, rough = (
        c[:, None, None] for c in p.unbind(1)
    )
    across_x, across_y = (x - cx), (y - cy)
    along = ax * across_x + ay * across_y
    v = (ax * across_y - ay * across_x + bend * 0.1 * along * along) * width
    u = along * length
    inside = 1 - (u * u + v * v)
    alpha = (inside * sharp).clamp(0, 1) * opacity
    side_x, side_y = ax * u - ay * v, ay * u + ax * v
    shade = ambient + (lx * side_x + ly * side_y + lz * inside.clamp(min=0).sqrt()) + rough * 0.5 * noise
    return alpha[:, None], shade.clamp(0.1, 1.6)[:, None]
