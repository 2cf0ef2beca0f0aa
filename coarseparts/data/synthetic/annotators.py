"""Part labels as careless annotators draw them: coarse polygons, displaced, scaled, cut short or forgotten.

Each outline (``airframes.OUTLINES``) is replaced by an octagon around what is seen of it, whose sides lie off by a
random amount. Only exactly rounded arithmetic, as in ``ellipsoids``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

SIDES = 8
HAND = 3 * SIDES + 4  # numbers of one outline, in the order of `draw_hands`

CAREFUL, FORGOTTEN = 0.2, 0.08
"""Share of outlines that are exact, and of those left out by an annotator of medium care."""


def draw_hands(rng: Generator, axis: np.ndarray) -> np.ndarray:
    """(I, HAND) how each of I outlines is drawn; ``axis`` (I, 2) unit directions along which they are long.

    Per outline: SIDES directions (x, y), SIDES offsets in half extents of the outline, a scale, and a shift in x and
    y in half extents along that axis; last, 0 exact, 1 drawn, 2 forgotten.
    """
    sloppy = rng.uniform(0.2, 1.5)  # one annotator drew the whole image
    hands = np.zeros((len(axis), HAND))
    for hand, (ax, ay) in zip(hands, axis, strict=True):
        turn = np.arctan2(ay, ax) + sloppy * rng.normal(0, 0.1)
        angle = turn + np.arange(SIDES) * (2 * np.pi / SIDES) + sloppy * rng.normal(0, 0.09, SIDES)
        offset = sloppy * rng.normal(0, 0.13, SIDES)
        scale, kind = 0.95 + sloppy * rng.normal(0, 0.1), rng.random()
        if kind < 0.1:  # drawn much too large
            scale = rng.uniform(1.3, 1.9)
        elif kind < 0.26:  # ends early, or runs on where the part is over
            end = int(rng.integers(SIDES))
            offset[end] += rng.uniform(-1.0, -0.3) if rng.random() < 0.6 else rng.uniform(0.6, 1.8)
        state = rng.random()
        shift = sloppy * rng.normal(0, 0.14, 2)
        exact = state < CAREFUL / max(sloppy, 0.5)
        forgotten = state > 1 - FORGOTTEN * sloppy
        hand[:] = [*np.cos(angle), *np.sin(angle), *offset, scale, *shift, 0 if exact else 2 if forgotten else 1]
    return hands


def redraw(outlines: Tensor, hands: Tensor) -> Tensor:
    """What careless annotators make of exact outlines.

    ``outlines`` (B, I, S, S) bool; ``hands`` (B, I, HAND) of ``draw_hands``. Returns (B, I, S, S) bool; an outline
    that is not seen stays empty.
    """
    size = outlines.shape[-1]
    x = (torch.arange(size, dtype=torch.float32) + 0.5)[None, None, None, :]
    y = x.transpose(2, 3)
    cos, sin, offset = (hands[..., i * SIDES : (i + 1) * SIDES] for i in range(3))
    scale, shift_x, shift_y, state = (v[..., None, None] for v in hands[..., 3 * SIDES :].unbind(-1))
    seen = outlines.flatten(2).any(2)[..., None, None]
    far = 4.0 * size
    rows, columns = outlines.any(3), outlines.any(2)  # (B, I, S)

    def ends(line: Tensor) -> tuple[Tensor, Tensor]:
        at = torch.arange(size, dtype=torch.float32) + 0.5
        low = torch.where(line, at, far).amin(2) - 0.5
        high = torch.where(line, at, -far).amax(2) + 0.5
        return low[..., None, None], high[..., None, None]

    (x0, x1), (y0, y1) = ends(columns), ends(rows)
    cx, cy = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    # How far the outline reaches in every direction: its rows' ends are enough, they contain its convex hull.
    at = torch.arange(size, dtype=torch.float32) + 0.5
    left = torch.where(outlines, at, far).amin(3)  # (B, I, S)
    right = torch.where(outlines, at, -far).amax(3)
    drawn = torch.ones_like(outlines)
    widths = []
    for s in range(SIDES):
        c, n = cos[..., s, None], sin[..., s, None]
        reach = torch.maximum(c * (left - cx[..., 0]), c * (right - cx[..., 0])) + n * (at - cy[..., 0])
        widths.append(torch.where(rows, reach + 0.5, -far).amax(2)[..., None, None])  # to the pixels' far sides
    for s in range(SIDES):
        c, n, o = (v[..., s, None, None] for v in (cos, sin, offset))
        half = 0.5 * (widths[s] + widths[(s + SIDES // 2) % SIDES])
        drawn &= c * (x - cx) + n * (y - cy) <= scale * (widths[s] + o * half) + c * shift_x * half + n * shift_y * half
    drawn &= seen
    return torch.where(state == 0, outlines, drawn & (state == 1))
