"""Orthographic ray casting of convex solids in several layers: ellipsoids and cylinders cut by planes, and plates.

Space and arithmetic are those of ``ellipsoids``: x right, y down, z towards the viewer, in samples of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coarseparts.data.synthetic.ellipsoids import NOTHING, quadric

PLANES = 5
"""Most planes of one solid that face the viewer, and most that face away."""

FAR = 1e6
"""A bound that no ray reaches."""

GRAZING = 1e-3
"""A plane is never seen more nearly edge-on than this (the component of its unit normal along the ray)."""


@dataclass
class Cut:
    """E solids in image space, ready to be cast.

    ``centre`` (E, 3); ``surface`` (E, 6) of ``quadric``, offsets from the centre; ``upper`` and ``lower`` (E, PLANES,
    3): planes z - cz = g0 + gx dx + gy dy that bound the solid in front and behind, (FAR or -FAR, 0, 0) where unused;
    ``dark`` (E, PLANES) light that the upper planes swallow, 0..1; ``window`` (E, 4): x0, y0, x1, y1 around the solid.
    """

    centre: np.ndarray
    surface: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    dark: np.ndarray
    window: np.ndarray


def cut(centre: np.ndarray, forms: np.ndarray, planes: np.ndarray, corners: np.ndarray) -> Cut:
    """Solids from image-space geometry.

    ``centre`` (E, 3); ``forms`` (E, 3, 3) maps an offset to the unit ball, all zeros for a solid of planes alone;
    ``planes`` (E, F, 5): unit outward normal n, distance d from the centre (n . offset <= d is inside) and darkness;
    a normal of zeros is no plane. ``corners`` (E, 8, 3) span a box around each solid.
    """
    count = len(centre)
    flat = (forms == 0).reshape(count, -1).all(axis=1)
    surface = quadric(np.where(flat[:, None, None], np.eye(3), forms))[:, :6]
    surface[flat] = (0.0, 0.0, FAR, 0.0, 0.0, 0.0)
    normal, distance = planes[..., :3], planes[..., 3]
    toward = normal[..., 2]
    steep = np.where(np.abs(toward) < GRAZING, np.where(toward < 0, -GRAZING, GRAZING), toward)
    bound = np.stack([distance / steep, -normal[..., 0] / steep, -normal[..., 1] / steep], axis=2)  # (E, F, 3)
    there = normal.any(axis=2)
    upper, lower, dark = np.zeros((count, PLANES, 3)), np.zeros((count, PLANES, 3)), np.zeros((count, PLANES))
    upper[..., 0], lower[..., 0] = FAR, -FAR
    for bounds, front in ((upper, True), (lower, False)):
        chosen = there & ((steep > 0) == front)
        slot = np.cumsum(chosen, axis=1) - 1
        solid, face = np.nonzero(chosen)
        bounds[solid, slot[solid, face]] = bound[solid, face]
        if front:
            dark[solid, slot[solid, face]] = planes[solid, face, 4]
    window = np.concatenate([corners[..., :2].min(1), corners[..., :2].max(1)], axis=1)
    return Cut(centre, surface, upper, lower, dark, window)


def cast_layers(
    centre: Tensor, surface: Tensor, upper: Tensor, lower: Tensor, window: Tensor, layer: list[int], size: int
) -> tuple[Tensor, Tensor]:
    """Nearest solid of every layer along every ray.

    Arguments as ``Cut``'s with a leading B; an absent solid has a window of zeros and surface[2] < 0. ``layer`` names
    each of the E slots' layer. Returns depth (B, L, size, size) float32, NOTHING where no solid of that layer is hit,
    and the solid's slot (B, L, size, size) int16, -1 there.
    """
    images, layers = len(centre), max(layer) + 1
    depth = torch.full((images, layers, size, size), NOTHING)
    which = torch.full((images, layers, size, size), -1, dtype=torch.int16)
    patch = torch.arange(size)[:, None] * size + torch.arange(size)
    used = ((upper[..., 0] != FAR).any(0).sum(1).tolist(), (lower[..., 0] != -FAR).any(0).sum(1).tolist())
    low, high = window[..., :2].floor() - 1, window[..., 2:]
    extent = ((high - low).amax(0).int() + 3).clamp(max=size)  # (E, 2) of each slot's largest window
    corner = torch.minimum(low.clamp(min=0), (size - extent).float())  # (B, E, 2)
    first = corner[..., 1].long() * size + corner[..., 0].long()  # flat index of a window's corner in its frame
    first = first + (torch.arange(images)[:, None] * layers + torch.tensor(layer)) * (size * size)
    # All numbers of a slot at once, each (B, 1, 1): taking them apart one by one costs more than using them.
    numbers = torch.cat([corner + 0.5 - centre[..., :2], centre[..., 2:], surface], dim=2).permute(1, 2, 0)
    numbers = numbers[..., None, None]
    fronts, backs = (b.permute(1, 2, 3, 0)[..., None, None] for b in (upper, lower))
    steps = torch.arange(size)
    for e, (wide, tall) in enumerate(extent.tolist()):
        x, y, cz, l1, l2, k0, k1, k2, k3 = numbers[e].unbind(0)
        dx, dy = x + steps[:wide], y + steps[:tall, None]  # (B, 1, w), (B, h, 1)
        root = (((k1 * dx + k2 * dy) * dx) + (k0 + k3 * dy * dy)).sqrt_()  # NaN where the ray misses
        slant = l1 * dx + l2 * dy
        near, far = slant + root, slant - root
        for i in range(used[0][e]):
            g0, gx, gy = fronts[e, i].unbind(0)
            near = torch.minimum(near, gx * dx + (gy * dy + g0))
        for i in range(used[1][e]):
            g0, gx, gy = backs[e, i].unbind(0)
            far = torch.maximum(far, gx * dx + (gy * dy + g0))
        z = torch.where(near > far, near + cz, NOTHING).view(-1)  # NaN is not greater
        place = (first[:, e, None, None] + patch[:tall, :wide]).view(-1)
        hit = z > depth.view(-1).index_select(0, place)
        place = place[hit]
        depth.view(-1).index_copy_(0, place, z[hit])
        which.view(-1).index_fill_(0, place, e)
    return depth, which
