"""What coarse images teach the part model: less, the more it knows more of them than the posterior does.

Of an image with a box alone the posterior may know less than the part model cut by that box, and would teach it to be
worse. So after every epoch, for each subset of labels that coarse images have, both are asked about validation images
that show no others. As far as the posterior is the worse one, images with such labels count less in the next epoch.
Where all coarse images have all labels there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from coarseparts.joint import JointModel
from coarseparts.training.fusion import likelihood, name_of, only, some_of
from coarseparts.training.task import Task

SHARPNESS = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3)
"""Exponents of the answers, of which each model has the one under which the true parts are most likely: the question is
what it knows, not how sure it is."""

MARGIN = 0.2
"""By this share of the part model's nats the posterior has to be worse to teach nothing."""


def choose(task: Task, joint: JointModel) -> dict[str, float]:
    """Sets ``joint.teaching``, the weights 0..1 of coarse images by the labels that they have, and returns them by the
    subsets' names: 1 where the posterior, given such labels, is as good as the part model or better, falling to 0 where
    it needs ``MARGIN`` more nats for the true parts of a pixel; both times the closed forms.

    Subsets that no validation image has weigh 1. {} and no weights where ``em.teach`` is "all" or where every coarse
    image has all labels; no weights where nothing would be left to teach.
    """
    joint.teaching = None
    if task.settings.em.teach == "all" or task.subsets is None:
        return {}
    subsets = [tuple(np.array(task.styles)[row]) for row in np.unique(task.subsets.numpy(), axis=0)]
    weights = np.array([_weight(*of_subset) for of_subset in _likelihoods(task, joint, subsets)])
    if weights.any():
        styles = list(joint.styles)
        joint.teaching = torch.ones(2 ** len(styles))
        for subset, weight in zip(subsets, weights, strict=True):
            joint.teaching[sum(1 << styles.index(style) for style in subset)] = float(weight)
    return {name_of(subset) or "no label": float(w) for subset, w in zip(subsets, weights, strict=True)}


def passes(task: Task) -> float:
    """About how many times the part model sees all validation images while ``choose`` asks, a posterior being two."""
    if task.subsets is None:
        return 0.0
    share = len(some_of(task).rows) / max(len(task.rows.val), 1)
    return share * (1 + 2 * len(np.unique(task.subsets.numpy(), axis=0)))


def _weight(posterior: np.ndarray, part_model: np.ndarray) -> float:
    """From the log-likelihoods (S, N) under each sharpness of each image."""
    if not part_model.size:
        return 1.0
    q, p = (each.mean(axis=1).max() for each in (posterior, part_model))
    return float(np.clip(1 - (p - q) / (MARGIN * max(-p, 1e-9)), 0, 1))


@torch.no_grad()
def _likelihoods(task: Task, joint: JointModel, subsets: Sequence[tuple[str, ...]]) -> list[np.ndarray]:
    """(2, S, N) for each subset: of the true parts of the validation images that have such labels, under the posterior
    and under the part model, given these labels alone."""
    for module in joint.trained:
        module.eval()
    condition = task.settings.em.condition
    likely: list[list[np.ndarray]] = [[] for _ in subsets]
    for batch in some_of(task).plain():
        log_p = joint.parts(batch)
        for subset, of_subset in zip(subsets, likely, strict=True):
            there = torch.stack([batch.present[style] for style in ("parts", *subset)]).all(0)
            if there.any():
                shown = only(batch, subset)[there]
                own = joint.condition(shown, log_p[there]) if condition else log_p[there]
                each = [
                    likelihood(joint, shown, (joint.y.normalised(s * log_y) for s in SHARPNESS))
                    for log_y in (joint.infer(shown, condition), own)
                ]
                of_subset.append(torch.stack(each).cpu().numpy())
    return [np.concatenate([*of_subset, np.zeros((2, len(SHARPNESS), 0))], axis=2) for of_subset in likely]
