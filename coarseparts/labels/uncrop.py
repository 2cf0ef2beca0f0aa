"""From a square sample of S x S pixels back to the image that it was cropped from.

Pixel centres lie at +0.5 on both sides, as in ``CropFrame``, which is the way there. ``crop`` (4,) is the square
(x0, y0, x1, y1) of the image that the sample shows, ``native`` the image's (width, height), pixels.
"""

from __future__ import annotations

import numpy as np


def uncrop_largest(values: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
    """The channel of the largest value at each pixel of the image: (H, W) uint8, 0 beyond the crop.

    ``values`` (C, S, S), probabilities or scores, are interpolated bilinearly before they are compared.
    """
    (x0, x1, u), (y0, y1, v) = (_inside(crop[i], crop[i + 2], n, values.shape[-1]) for i, n in enumerate(native))
    out = np.zeros((native[1], native[0]), np.uint8)
    out[y0:y1, x0:x1] = _largest(values, v, u)
    return out


def uncrop(values: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
    """(C, S, S) values at the image's own size, bilinearly: (C, H, W) float32, 0 beyond the crop."""
    (x0, x1, u), (y0, y1, v) = (_inside(crop[i], crop[i + 2], n, values.shape[-1]) for i, n in enumerate(native))
    out = np.zeros((values.shape[0], native[1], native[0]), np.float32)
    out[:, y0:y1, x0:x1] = _bilinear(_bilinear(values, v, 1), u, 2)
    return out


def _inside(start: float, stop: float, length: int, size: int) -> tuple[int, int, np.ndarray]:
    """Along one axis of ``length`` pixels: the first and last + 1 whose centres lie in the crop, and where in the
    sample those centres fall (0..S, half-integers at the centres of its pixels)."""
    first, last = max(int(np.ceil(float(start) - 0.5)), 0), min(int(np.ceil(float(stop) - 0.5)), length)
    at = (np.arange(first, max(first, last)) + 0.5 - float(start)) * (size / (float(stop) - float(start)))
    return first, max(first, last), at.clip(0, np.nextafter(size, 0))


def _largest(values: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """argmax over the channels of (C, S, S) values, interpolated bilinearly at rows ``v`` and columns ``u``: (h, w).

    Between four pixel centres where the same channel is the largest it is so everywhere; only the other places, a few
    in a hundred, have to be interpolated.
    """
    (y0, y1, wy), (x0, x1, wx) = _neighbours(v, values.shape[1]), _neighbours(u, values.shape[2])
    largest = values.argmax(0).astype(np.uint8)
    pairs = np.pad(largest, ((0, 1), (0, 1)), "edge")
    same = (largest == pairs[1:, :-1]) & (largest == pairs[:-1, 1:]) & (largest == pairs[1:, 1:])
    out = largest.take(y0, 0).take(x0, 1)
    rows, columns = np.nonzero(~same.take(y0, 0).take(x0, 1))
    for start in range(0, len(rows), 1 << 18):  # in pieces: a large photograph times all channels would not fit
        r, c = rows[start : start + (1 << 18)], columns[start : start + (1 << 18)]
        left = values[:, y0[r], x0[c]] * (1 - wy[r]) + values[:, y1[r], x0[c]] * wy[r]
        right = values[:, y0[r], x1[c]] * (1 - wy[r]) + values[:, y1[r], x1[c]] * wy[r]
        out[r, c] = (left * (1 - wx[c]) + right * wx[c]).argmax(0)
    return out


def _neighbours(at: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels before and behind each place, and the weight of the one behind; constant past the outermost ones."""
    position = (at - 0.5).clip(0, size - 1)
    below = np.floor(position).astype(np.int64)
    return below, np.minimum(below + 1, size - 1), (position - below).astype(np.float32)


def _bilinear(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation of (C, S, S) values along one axis."""
    below, above, weight = _neighbours(at, values.shape[axis])
    weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
    return values.take(below, axis) * (1 - weight) + values.take(above, axis) * weight
