"""The percentage of correct keypoints (PCK)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class PCK(NamedTuple):
    """``per_keypoint`` (K,) float64 in percent, nan where no image shows that keypoint; ``mean`` over all visible
    points, in percent (nan where there are none); ``points`` (K,) int64, how many were counted."""

    per_keypoint: np.ndarray
    mean: float
    points: np.ndarray


def pck(
    pred: Tensor | np.ndarray,
    target: Tensor | np.ndarray,
    box_size: Tensor | np.ndarray,
    threshold: float = 0.1,
    visibility: int = 2,
) -> PCK:
    """Percentage of correct keypoints (Yang and Ramanan 2013): no further off than ``threshold`` x ``box_size``.

    ``pred`` (N, K, 2 or more), x and y in pixels, the rest unused; ``target`` (N, K, 3), (x, y, v) in the same pixels;
    ``box_size`` (N,) pixels, usually the longer side of the object's box. Points with v >= ``visibility`` count: 2, the
    default, is the visible ones, 1 takes the hidden but labelled too. A prediction of nan is wrong. Raises ValueError
    where the shapes do not fit, or a counted point has no finite, positive box size.
    """
    p, t, size = (_array(a) for a in (pred, target, box_size))
    fits = t.ndim == p.ndim == 3 and t.shape[2] == 3 and p.shape[2] >= 2
    if not fits or p.shape[:2] != t.shape[:2] or size.shape != t.shape[:1]:
        raise ValueError(
            f"pred is {p.shape}, target {t.shape} and box_size {size.shape}; "
            "expected (N, K, 2 or more), (N, K, 3) and (N,)"
        )
    counted = t[..., 2] >= visibility  # (N, K)
    bad = counted.any(1) & ~(np.isfinite(size) & (size > 0))
    if bad.any():
        raise ValueError(f"box_size of row {int(bad.argmax())} is {size[bad.argmax()]}; expected pixels, above 0")
    distance = np.hypot(p[..., 0] - t[..., 0], p[..., 1] - t[..., 1])
    correct = counted & (distance <= threshold * size[:, None])  # nan compares as False
    points = counted.sum(0)
    per_keypoint = np.where(points > 0, 100 * correct.sum(0) / np.maximum(points, 1), np.nan)
    mean = 100 * correct.sum() / points.sum() if points.sum() else np.nan
    return PCK(per_keypoint, float(mean), points)


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    values = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    return values.astype(np.float64)
