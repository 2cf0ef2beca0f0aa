"""What a trained model answers to labels: its posterior, its part model and the closed forms together.

The posterior network has learned from images that have most labels, and may say less of an image with a box alone than
the part model says without it. Their product q^(1 - a) p^a, times the likelihood of the labels that have a closed form,
knows both; the share a is fitted for every subset of labels on validation images. The student learns from q as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import torch
from torch import Tensor

from coarseparts.data.batches import Feed
from coarseparts.data.sample import Batch
from coarseparts.evaluation.iou import iou
from coarseparts.joint import JointModel
from coarseparts.labels import STYLES
from coarseparts.labels.part_maps import PartMaps
from coarseparts.labels.schema import IGNORE
from coarseparts.training.task import Task

SHARES = tuple(round(0.1 * step, 1) for step in range(11))
"""Of the part model, as they are tried."""

ALIKE = 0.001
"""Part mIoU, 0..1, by which shares may differ and are as good as each other."""

MOST = 200
"""Validation images that are looked at."""

Shares = Mapping[str, float]
"""By subset of label styles, joined by "+" in the order of STYLES: the part model's share, 0..1."""


def name_of(styles: Collection[str]) -> str:
    """The key of a subset in ``Shares``."""
    return "+".join(style for style in STYLES if style in styles)


def share_of(shares: Shares, styles: Collection[str]) -> float:
    """The share for labels of some styles; of a subset that no validation image had, that of the subset which has most
    styles in common with it, of several the one with the fewest others."""
    if not styles or not shares:
        return 1.0 if not styles else 0.0
    wanted = set(styles)

    def nearness(key: str) -> tuple[int, int]:
        own = set(key.split("+"))
        return len(own & wanted), -len(own - wanted)

    return shares[max(shares, key=nearness)]


def fused(joint: JointModel, batch: Batch, shares: Sequence[float], condition: bool = True) -> Tensor:
    """log of q^(1 - a) p^a, times the closed forms if ``condition``: (B, S, H, W); ``shares``: a of each sample."""
    y = joint.y
    log_p = y.log_probability(joint.part_model(batch.image))
    log_q = y.log_probability(joint.posterior(batch.image, joint.draw(batch)))
    return _product(joint, batch, log_p, log_q, log_p.new_tensor(shares), condition)


def _product(joint: JointModel, batch: Batch, log_p: Tensor, log_q: Tensor, share: Tensor, condition: bool) -> Tensor:
    share = share.reshape(-1, 1, 1, 1)
    log_y = joint.y.normalised(share * log_p + (1 - share) * log_q)
    return joint.condition(batch, log_y) if condition else log_y


def only(batch: Batch, styles: Iterable[str]) -> Batch:
    """The batch without labels of other styles."""
    kept = {"parts", *styles}
    return replace(batch, present={n: there if n in kept else there & False for n, there in batch.present.items()})


def fit_on(task: Task, joint: JointModel) -> dict[str, float]:
    """``fit`` on a task's validation images, on ``MOST`` of them where there are more."""
    return fit(joint, some_of(task).plain(), task.schema.maps, task.settings.em.condition)


def some_of(task: Task) -> Feed:
    """The task's validation images, ``MOST`` of them where there are more."""
    return task.feed(task.rows.val[:: -(-len(task.rows.val) // MOST)], task.val_feed.size, 0)


@torch.no_grad()
def fit(joint: JointModel, batches: Iterable[Batch], maps: PartMaps, condition: bool = True) -> dict[str, float]:
    """The share with the best part mIoU on part-labelled images, for every subset of labels that one of them has; of
    shares within ``ALIKE`` of each other that under which the true parts are most likely.

    By likelihood alone, which a few pixels that are surely wrong decide, the answer to a box was below that to the
    image alone (docs/results.md).
    """
    for module in joint.trained:
        module.eval()
    styles = [style for style in STYLES if style in joint.styles]
    subsets = list(chain.from_iterable(combinations(styles, n) for n in range(1, len(styles) + 1)))
    counts: dict[tuple[str, ...], list[np.ndarray]] = {subset: [] for subset in subsets}
    likely: dict[tuple[str, ...], list[np.ndarray]] = {subset: [] for subset in subsets}
    for batch in batches:
        log_p = joint.y.log_probability(joint.part_model(batch.image))
        for subset in subsets:
            there = torch.stack([batch.present[style] for style in subset]).all(0)
            if not there.any():
                continue
            some = only(batch, subset)[there]
            log_q = joint.y.log_probability(joint.posterior(some.image, joint.draw(some)))
            answers = [_product(joint, some, log_p[there], log_q, log_p.new_tensor(a), condition) for a in SHARES]
            counts[subset].append(np.stack([maps.confusion(joint.y.mode(y), some.parts) for y in answers], 1))
            likely[subset].append(likelihood(joint, some, answers).T.cpu().numpy())
    return {
        name_of(subset): _best(np.concatenate(each), np.concatenate(likely[subset]))
        for subset, each in counts.items()
        if each
    }


def _best(counts: np.ndarray, likely: np.ndarray) -> float:
    """Of SHARES; ``counts`` (N, S, P + 1, P + 1) and ``likely`` (N, S): of each image under each share."""
    scores = [float(np.nan_to_num(iou(counts[:, i])[1:]).mean()) for i in range(len(SHARES))]
    alike = [i for i, score in enumerate(scores) if score >= max(scores) - ALIKE]
    return SHARES[max(alike, key=lambda i: likely.mean(0)[i])]


def likelihood(joint: JointModel, batch: Batch, answers: Iterable[Tensor]) -> Tensor:
    """(A, B) mean log-likelihood of the true parts at a labelled pixel, under each of the ``answers``."""
    known, truth = (batch.parts != IGNORE).float(), joint.y.certain(batch.parts)
    each = torch.stack([(truth * log_y.clamp_min(-12)).sum(1) for log_y in answers])
    return (each * known).sum((2, 3)) / known.sum((1, 2)).clamp_min(1)
