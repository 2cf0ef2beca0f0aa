"""How many part masks of another method one method's few are worth (label efficiency)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from coarseparts.report.results import Result, by_conditions, mean

Curves = dict[str, list[tuple[float, ...]]]
"""method -> [(part masks, mean part mIoU in percent, low, high)] by growing number of part masks."""


def label_curves(results: Iterable[Result]) -> dict[tuple[str, str], Curves]:
    """(labels, start) -> curves of the methods that were tried with at least two numbers of part masks.

    Low and high are the means of the seeds' bootstrap intervals. A method that looks at no coarse label was run under
    one set of labels and stands under each of them.
    """
    curves: dict[tuple[str, str], Curves] = {}
    for (parts, labels, start), methods in by_conditions(results).items():
        for name, runs in methods.items():
            point = (parts, *(mean(runs, k) for k in ("part_miou", "ci95_low", "ci95_high")))
            curves.setdefault((labels, start), {}).setdefault(name, []).append(point)
    several = {k: {n: sorted(p) for n, p in lines.items() if len(p) > 1} for k, lines in curves.items()}
    return {k: lines for k, lines in several.items() if lines}


def multiplier(reference: Sequence[tuple[float, ...]], parts: float, reached: float) -> tuple[float, bool]:
    """How many times ``parts`` part masks the reference needs to reach ``reached`` percent, and whether it does.

    ``reference``: (part masks, part mIoU, ...) points; between them the curve is a straight line over the logarithm of
    the number. (x, True): the reference reaches it at x times ``parts``. (x, False): it does not with x times as many,
    the most that were tried; or it is above it already with the fewest, x times ``parts``.
    """
    points = sorted((p[0], p[1]) for p in reference)
    if reached <= points[0][1]:
        return points[0][0] / parts, False
    for (x0, y0), (x1, y1) in pairwise(points):
        if y0 < reached <= y1:
            share = (reached - y0) / (y1 - y0)
            return math.exp(math.log(x0) + share * (math.log(x1) - math.log(x0))) / parts, True
    return points[-1][0] / parts, False


def multiplier_sentences(
    lines: Mapping[str, Sequence[tuple[float, ...]]], ours: str = "em", reference: str = "fine-tuning"
) -> list[str]:
    """What the curves say in words, a sentence for each number of part masks; none where a curve is missing."""
    if ours not in lines or reference not in lines:
        return []
    most = max(p[0] for p in lines[reference])
    sentences = []
    for parts, reached, *_ in lines[ours]:
        times, found = multiplier(lines[reference], parts, reached)
        worth = f"{ours} with {parts:.0f} part masks is"
        if found:
            sentences.append(f"{worth} worth {reference} with {times * parts:.0f}: x{times:.1f}")
        elif parts < most and times > 1:
            sentences.append(f"{worth} above {reference} with {most:.0f}: more than x{times:.1f}")
    return sentences
