"""Masks whose outlines painting programs have smoothed: between two levels or colours lie lines of others, a pixel or
two wide."""

from __future__ import annotations

import numpy as np

LEAST = 128
"""How bright at least the brightest level of a mask of 0 and another one is: lower numbers are indices."""

FLAT = 0.02
"""Share of the pixels between two levels up to which the four around them may all be as they are."""

WIDE = 2
"""Pixels between two levels, at most, for each of the brightest level: the smallest parts have hardly an inside."""

TINT = 3
"""Levels by which a channel may be off in a pixel that is painted in part."""


def coverage(pixels: np.ndarray) -> np.ndarray | None:
    """(H, W) uint8 how much of each pixel is painted, 0..255, of grey levels (H, W) or colours (H, W, 3) that are one
    colour on black with smoothed outlines; None where they are anything else, also without smoothed outlines."""
    levels = pixels if pixels.ndim == 2 else pixels.max(-1)
    top = int(levels.max(initial=0))
    if not LEAST <= top <= 255 or levels.min() != 0:
        return None
    full = levels == top
    between = (levels > 0) & ~full
    if not between.any() or between.sum() > WIDE * full.sum() or not are_lines(between, levels):
        return None
    if pixels.ndim == 3:
        colour = pixels[full][0].astype(np.float32)
        if (np.abs(pixels - levels[..., None].astype(np.float32) / top * colour) > TINT).any():
            return None
    return np.rint(levels.astype(np.float32) * (255 / top)).astype(np.uint8)


def codes_of(pixels: np.ndarray) -> np.ndarray:
    """(H, W) int32, a number for each colour of (H, W, 3) uint8: red << 16 | green << 8 | blue."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    codes: np.ndarray = red << 16 | green << 8 | blue
    return codes


def are_lines(those: np.ndarray, levels: np.ndarray) -> bool:
    """Whether hardly one of ``those`` pixels (H, W) bool lies in an area of one level, or of one colour's number."""
    return bool((those & _inside(levels)).sum() <= FLAT * those.sum())


def _inside(levels: np.ndarray) -> np.ndarray:
    """(H, W) bool, whether the four pixels around each are as it is."""
    found = np.zeros(levels.shape, bool)
    inner = levels[1:-1, 1:-1]
    around = levels[:-2, 1:-1], levels[2:, 1:-1], levels[1:-1, :-2], levels[1:-1, 2:]
    found[1:-1, 1:-1] = np.logical_and.reduce([inner == other for other in around])
    return found


def areas(pixels: np.ndarray, most: int) -> np.ndarray | None:
    """(H, W, 3) uint8 colours without those between areas of ``most`` colours or fewer, two at least: that of the
    largest area is in their place. None where those between are not the most colours, or more than lines."""
    codes = codes_of(pixels)
    flat = _inside(codes)
    there, counts = np.unique(codes[flat], return_counts=True)
    if not 1 < len(there) <= most:
        return None
    between, painted = ~np.isin(codes, there), int(flat.sum()) - int(counts.max())
    if between.sum() > WIDE * painted or len(np.unique(codes[between])) <= len(there):
        return None
    largest = int(there[counts.argmax()])
    return np.where(between[..., None], np.array([largest >> 16, largest >> 8 & 255, largest & 255], np.uint8), pixels)
