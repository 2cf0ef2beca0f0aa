"""Intersection over union of part masks, pooled over the images, with a bootstrap interval.

Counts are kept per image, as confusion matrices (rows: target, columns: prediction), and added up over the images
before the quotient is taken; a mean of per-image IoUs is another measure and not the paper's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_DRAWN_AT_ONCE = 1 << 22  # bounds the memory of bootstrap() whatever the number of images


def iou(conf: np.ndarray) -> np.ndarray:
    """(N, C, C) or (C, C) counts -> (C,) float64 IoU in 0..1 of the pooled counts; nan where neither has the class."""
    total = np.asarray(conf).reshape(-1, *np.shape(conf)[-2:]).sum(0)
    return _quotient(np.diagonal(total), total.sum(1) + total.sum(0))


def _quotient(hit: np.ndarray, both: np.ndarray) -> np.ndarray:
    """``hit`` in target and prediction, ``both`` = pixels of the target plus pixels of the prediction."""
    union = both - hit
    return np.where(union > 0, hit / np.maximum(union, 1), np.nan)


def bootstrap(conf: np.ndarray, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Part mIoU (in 0..1) of ``resamples`` sets of N images drawn with replacement: (resamples,) float64.

    ``conf`` (N, C, C). A part that is absent from a resample is left out of that resample's mean; a resample without
    any part is nan. The same seed gives the same numbers.
    """
    n = len(conf)
    if n == 0:
        return np.full(resamples, np.nan)
    hit = np.diagonal(conf, axis1=1, axis2=2)[:, 1:].astype(np.float64)  # (N, P)
    both = (conf.sum(2) + conf.sum(1))[:, 1:].astype(np.float64)
    rng, means = np.random.default_rng(seed), []
    step = max(1, _DRAWN_AT_ONCE // n)
    for start in range(0, resamples, step):
        r = min(step, resamples - start)
        drawn = rng.integers(0, n, (r, n)) + np.arange(r)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=r * n).reshape(r, n).astype(np.float64)  # (r, N)
        means.append(_mean(_quotient(times @ hit, times @ both)))
    return np.concatenate(means)


def paired(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], resamples: int = 1000
) -> tuple[float, float, float]:
    """(difference, low, high) of part mIoU in points, ours minus theirs, with its 95 % bootstrap interval.

    A (N, C, C) of counts per seed, of the same images in the same order on both sides. In each resample both are
    measured on the same draw of images, seed by seed, and the differences are averaged over the seeds: what remains
    is the uncertainty from the images, not from the seeds. Raises ValueError where the two sides do not match.
    """
    if len(ours) != len(theirs) or not len(ours) or any(len(a) != len(b) for a, b in zip(ours, theirs, strict=True)):
        raise ValueError("a paired difference needs the same seeds and images on both sides")
    pairs = list(zip(ours, theirs, strict=True))
    at = [float(_mean(iou(a)[1:]) - _mean(iou(b)[1:])) for a, b in pairs]
    drawn = [bootstrap(a, resamples, seed) - bootstrap(b, resamples, seed) for seed, (a, b) in enumerate(pairs)]
    spread = _mean(np.stack(drawn, axis=1))
    spread = spread[~np.isnan(spread)]
    low, high = np.percentile(spread, [2.5, 97.5]) if spread.size else (math.nan, math.nan)
    return 100 * float(np.mean(at)), 100 * float(low), 100 * float(high)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not nan; nan where all are."""
    there = ~np.isnan(values)
    number = there.sum(-1)
    return np.where(number > 0, np.where(there, values, 0).sum(-1) / np.maximum(number, 1), np.nan)


def summary(conf: np.ndarray, names: Sequence[str], resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The measures that ``evaluate`` prints, in percent, from ``conf`` (N, P + 1, P + 1) and the P part names.

    Keys: images (int); part_miou, mean over the parts of the pooled IoU; miou, the same with the background; iou, by
    part name; ci95 [low, high] of part_miou, bootstrapped over the images. Parts that are in neither targets nor
    predictions are nan and enter no mean. Raises ValueError where names and ``conf`` do not fit.
    """
    if np.ndim(conf) != 3 or conf.shape[1:] != (len(names) + 1,) * 2:
        raise ValueError(
            f"conf is {np.shape(conf)}; expected (N, {len(names) + 1}, {len(names) + 1}): parts, background"
        )
    values = 100 * iou(conf)
    means = 100 * bootstrap(conf, resamples, seed)
    means = means[~np.isnan(means)]
    ci95 = np.percentile(means, [2.5, 97.5]).tolist() if means.size else [math.nan, math.nan]
    return {
        "images": len(conf),
        "part_miou": float(_mean(values[1:])),
        "miou": float(_mean(values)),
        "iou": dict(zip(names, values[1:].tolist(), strict=True)),
        "ci95": ci95,
    }


def to_json(measures: Any, indent: int | None = None) -> str:
    """JSON of a summary, or of lists and dicts of them; nan, which JSON lacks, becomes null."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [clean(v) for v in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return json.dumps(clean(measures), indent=indent, allow_nan=False)
