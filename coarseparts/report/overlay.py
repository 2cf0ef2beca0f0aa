"""Part maps laid over photographs."""

from __future__ import annotations

import numpy as np

from coarseparts.labels.part_maps import IGNORE, PartMaps


def overlay(
    image: np.ndarray, parts: np.ndarray, colours: np.ndarray, maps: PartMaps, alpha: float = 0.55, outline: bool = True
) -> np.ndarray:
    """``image`` (H, W, 3) uint8 with the part map (H, W) of integers, one of ``maps``, laid over it: (H, W, 3) uint8, a
    new array.

    Part i is tinted with ``colours[i - 1]`` by ``alpha`` (0 nothing, 1 opaque), more thinly where it may overlap the
    parts before it; with ``outline`` the pixels at its edge are opaque, so that a part of a few pixels, an eye, is
    seen. Background stays as it is, 255 is hatched in grey. Raises ValueError if the shapes do not fit or an index has
    no colour.
    """
    image, parts, colours = np.array(image), np.asarray(parts), np.asarray(colours, np.uint8).reshape(-1, 3)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or parts.shape != image.shape[:2]:
        raise ValueError(
            f"image is {image.shape} {image.dtype} and parts {parts.shape}; expected (H, W, 3) uint8 and (H, W)"
        )
    if (stray := parts[maps.stray(parts)]).size:
        came = f"parts holds {np.unique(stray)[:8].tolist()}, expected 0..{maps.largest} or {IGNORE}"
        raise ValueError(f"{came}; do the part map and the part names belong together?")

    layers = []  # each part with what is around it, for photographs are large: image, mask, colour
    for index, colour in enumerate(colours, 1):
        there = maps.shows(parts, index)
        rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
        if len(rows):
            near = slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)
            layers.append((image[near], there[near].copy(), colour))
    for view, there, colour in layers:
        _tint(view, there, colour, maps.opacity * alpha)
    for view, there, colour in layers:
        view[_edge(there) & outline] = colour
    hatched = np.add.outer(*map(np.arange, parts.shape)) % 6 < 3
    _tint(image, (parts == IGNORE) & hatched, 128, 0.7)
    return image


def _tint(image: np.ndarray, where: np.ndarray, colour: np.ndarray | int, weight: float) -> None:
    image[where] = np.rint(image[where] * (1 - weight) + colour * weight)


def _edge(there: np.ndarray) -> np.ndarray:
    """Pixels of a mask with one of four neighbours outside of it; the picture's border is no edge."""
    near = np.pad(there, 1, "edge")
    return there & ~(near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:])
