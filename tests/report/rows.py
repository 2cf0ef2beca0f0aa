"""Results for tests of tables and pages."""

from __future__ import annotations

from typing import Any

import numpy as np

from coarseparts.evaluation.iou import iou
from coarseparts.report.results import Result


def counts(right: float, seed: int, images: int = 40) -> np.ndarray:
    """Confusions of images whose parts are right with a chance that differs from image to image."""
    rng = np.random.default_rng(seed)
    share = np.clip(right + rng.normal(0, 0.15, images), 0, 1)
    conf = np.zeros((images, 3, 3), np.int64)
    for i, s in enumerate(share):
        hit = int(100 * s)
        conf[i] = [[300, 0, 0], [100 - hit, hit, 0], [0, 100 - hit, hit]]
    return conf


def result(method: str, role: str, value: float, seed: int = 0, parts: int = 30, **more: Any) -> Result:
    """A result with counts, whose part mIoU is about ``value``."""
    conf = counts(value / 100, seed)
    score = 100 * float(np.nanmean(iou(conf)[1:]))
    given = {"labels": "all", "start": "weights", "ci95_low": score - 2, "ci95_high": score + 2, "counts": conf}
    given |= {"part_miou": score, "miou": score, "seconds": 61.0, "peak_mib": 2048.0, **more}
    return Result(parts=parts, role=role, method=method, seed=seed, **given)


def row(method: str, seed: int, part_miou: float, role: str = "baseline", **more: Any) -> Result:
    """A result as it is read from a file: exactly ``part_miou`` percent, no counts."""
    exact = {"part_miou": part_miou, "miou": part_miou + 5, "ci95_low": part_miou - 2, "ci95_high": part_miou + 2}
    return result(method, role, 0, seed, **{"counts": None, **exact, **more})


def table() -> list[Result]:
    """Four methods with two seeds."""
    rows = []
    for seed in (0, 1):
        rows += [result("em", "ours", 70, seed), result("fine-tuning", "baseline", 50, seed)]
        rows += [result("distillation", "control", 60, seed), result("upper-bound", "bound", 90, seed)]
    return rows


def curve_rows() -> list[Result]:
    """Two methods with three numbers of part masks."""
    rows = []
    for parts, ours, theirs in ((10, 55, 40), (40, 70, 55), (160, 80, 72)):
        rows += [result("em", "ours", ours, parts=parts), result("fine-tuning", "baseline", theirs, parts=parts)]
    return rows
