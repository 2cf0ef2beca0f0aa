"""Orthographic ray casting of ellipsoids, analytic, for a chunk of images at once.

Space here is the image's: x right, y down, z towards the viewer, all in samples of the (supersampled) frame; the
centre of the top-left sample is (0.5, 0.5). Only additions, multiplications, divisions and square roots are used:
these are exactly rounded one by one, so that an image's bits do not depend on its neighbours in the chunk.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NOTHING = -1e9
"""Depth where no ellipsoid is hit."""


def quadric(forms: np.ndarray) -> np.ndarray:
    """Coefficients of the front surface z - cz = l1 dx + l2 dy + sqrt(k0 + k1 dx^2 + k2 dx dy + k3 dy^2).

    ``forms`` (E, 3, 3) maps an offset from the centre to the unit ball: |form @ d| = 1 on the surface. Solving the
    quadratic for z gives (E, 8): l1, l2, k0, k1, k2, k3 and the half extents in x and y.
    """
    a = forms.transpose(0, 2, 1) @ forms
    axx, axy, axz, ayy, ayz, azz = a[:, 0, 0], a[:, 0, 1], a[:, 0, 2], a[:, 1, 1], a[:, 1, 2], a[:, 2, 2]
    extent = np.sqrt(np.linalg.inv(a)[:, (0, 1), (0, 1)])
    return np.stack(
        [
            -axz / azz,
            -ayz / azz,
            1 / azz,
            (axz * axz - azz * axx) / azz**2,
            2 * (axz * ayz - azz * axy) / azz**2,
            (ayz * ayz - azz * ayy) / azz**2,
            extent[:, 0],
            extent[:, 1],
        ],
        axis=1,
    )


def cast(centre: Tensor, surface: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Nearest ellipsoid along every ray.

    ``centre`` (B, E, 3), ``surface`` (B, E, 8) from ``quadric``; an absent ellipsoid has zero extent. Returns depth
    (B, size, size) float32, NOTHING where no ellipsoid is hit, and its index (B, size, size) int16, -1 there.
    Each ellipsoid is tried only in a window as large as the largest of its slot in this chunk: it pays to sort the
    ellipsoids by size.
    """
    images, slots = centre.shape[:2]
    depth = torch.full((images, size, size), NOTHING)
    which = torch.full((images, size, size), -1, dtype=torch.int16)
    corner = torch.arange(images) * (size * size)  # flat index of each image's first sample
    patch = torch.arange(size)[:, None] * size + torch.arange(size)  # flat index relative to a window's corner
    for e in range(slots):
        cx, cy, cz = centre[:, e].unbind(1)
        extent = surface[:, e, 6:8]
        wide, high = (min(size, int(2 * float(extent[:, i].max())) + 3) for i in (0, 1))
        left = (cx - extent[:, 0]).floor().clamp(0, size - wide)  # the window's corner in each image
        top = (cy - extent[:, 1]).floor().clamp(0, size - high)
        l1, l2, k0, k1, k2, k3 = (c[:, None, None] for c in surface[:, e, :6].unbind(1))
        x = left[:, None] + torch.arange(wide)  # (B, w)
        y = top[:, None] + torch.arange(high)  # (B, h)
        dx = (x + 0.5 - cx[:, None])[:, None, :]
        dy = (y + 0.5 - cy[:, None])[:, :, None]
        under_root = (k1 * dx + k2 * dy) * dx + (k0 + k3 * dy * dy)
        z = under_root.sqrt_().add_(l1 * dx).add_(l2 * dy + cz[:, None, None])  # NaN where the ray misses
        if wide == high == size:  # no window: plain tensors are faster than indexing
            hit = z > depth
            depth = torch.where(hit, z, depth)
            which.masked_fill_(hit, e)
            continue
        place = (corner + top.long() * size + left.long())[:, None, None] + patch[:high, :wide]
        hit = z > depth.view(-1).index_select(0, place.view(-1)).view_as(z)
        place = place[hit]
        depth.view(-1).index_copy_(0, place, z[hit])
        which.view(-1).index_fill_(0, place, e)
    return depth, which


def wave(phase: Tensor) -> Tensor:
    """A sine-like wave of period 1 and range -1..1 made of two parabolas (exactly rounded, unlike ``sin``)."""
    phase = phase - phase.round()
    return phase * (8 - 16 * phase.abs())
