"""Which images to label first: each function puts images in order, the first one first. Numbers in, positions out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from coarseparts.selection.views import Views

Order = Callable[[Views, np.ndarray, int, Generator], np.ndarray]
"""(views of N images, features (M, F) of the images that have part masks, count, random) -> up to count positions."""


def at_random(views: Views, known: np.ndarray, count: int, random: Generator) -> np.ndarray:
    """Every image is as likely as any other."""
    return random.permutation(len(views.rows))[:count]


def by_entropy(views: Views, known: np.ndarray, count: int, random: Generator) -> np.ndarray:
    """The parts in turn, for each an image in which the model is in doubt about it: drawn in proportion to the mean
    entropy of its pixels (power noise, Kirsch et al. 2023), for the most doubtful images tend to be alike."""
    keys = _noisy(views.entropy, random)
    order: list[int] = []
    for turn in range(min(count, len(keys))):
        best = int(keys[:, turn % keys.shape[1]].argmax())
        order.append(best)
        keys[best] = -np.inf
    return np.array(order, int)


def by_disagreement(views: Views, known: np.ndarray, count: int, random: Generator) -> np.ndarray:
    """Images in which the posterior, which sees their coarse labels, and the part model differ: drawn in proportion."""
    return np.argsort(-_noisy(views.disagreement, random), kind="stable")[:count]


def by_core_set(views: Views, known: np.ndarray, count: int, random: Generator) -> np.ndarray:
    """Again and again the image that is farthest from all that have part masks or were chosen before (k-centre greedy,
    Sener and Savarese 2018)."""
    features = views.features
    far = np.full(len(features), np.inf)
    for each in known:
        far = np.minimum(far, _apart(features, each))
    order: list[int] = []
    for _ in range(min(count, len(features))):
        best = int(random.integers(len(features))) if np.isinf(far).all() else int(far.argmax())
        order.append(best)
        far = np.minimum(far, _apart(features, features[best]))
        far[order] = -1.0
    return np.array(order, int)


ORDERS: dict[str, Order] = {
    "random": at_random,
    "entropy": by_entropy,
    "disagreement": by_disagreement,
    "core-set": by_core_set,
}


def _noisy(scores: np.ndarray, random: Generator) -> np.ndarray:
    """Keys whose largest one is a score's with a chance in proportion to the score (Gumbel noise on its logarithm)."""
    return np.log(np.maximum(scores, 1e-9)) + random.gumbel(size=scores.shape)


def _apart(features: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.asarray(((features - one) ** 2).sum(1))
