"""What a trained model sees in images of a store, as numbers by which they can be put in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from coarseparts.data.batches import Feed
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.inference.model import Model
from coarseparts.inference.predict import BATCH, embedded, log_parts

SMALLEST = 4.0
"""Pixels by which a part's mean is drawn towards 0, so that a part of which hardly a pixel is seen does not count."""


@dataclass(frozen=True)
class Views:
    """Of N images, the rows ``rows`` of a store: ``foreground`` (N,) the share of the image that is some part, 0..1;
    ``entropy`` (N, P) the mean entropy, in nats, of the pixels of each part; ``doubt`` (N,) the entropy of all pixels
    together, given the labels that are there; ``disagreement`` (N,) between part model and posterior, 0..1, 0 without
    labels; ``features`` (N, F) of the encoder, of unit length; ``gains`` (N,) by style: how much less ``doubt`` would
    be left with such a label, 0 where it is there."""

    rows: np.ndarray
    foreground: np.ndarray
    entropy: np.ndarray
    doubt: np.ndarray
    disagreement: np.ndarray
    features: np.ndarray
    gains: dict[str, np.ndarray]

    def __getitem__(self, chosen: np.ndarray) -> Views:
        """Those of some of the images."""
        each = {name: value[chosen] for name, value in vars(self).items() if name != "gains"}
        return Views(**each, gains={name: value[chosen] for name, value in self.gains.items()})


@torch.no_grad()
def views_of(
    model: Model,
    store: Store,
    rows: np.ndarray,
    gains: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Views:
    """What a model sees in some rows of a store of its size, batch by batch. ``gains``: styles of the
    model whose labels can be told from parts (``LabelStyle.likeliest``) and are tried; each takes another look."""
    device = str(next(model.networks.part_model.parameters()).device)
    for module in model.networks.trained:
        module.eval()
    found: list[list[np.ndarray]] = []
    feed = Feed(store.labels_limited(model.styles), rows, BATCH, 0, 0, device, preprocess=model.settings.preprocess)
    for batch in feed.plain():
        found.append([each.cpu().numpy() for each in _seen(model, batch, gains)])
        if progress:
            progress(min(len(found) * BATCH, len(rows)), len(rows))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    foreground, entropy, doubt, apart, features, *drops = columns
    each = dict(zip(gains, drops, strict=True))
    return Views(np.asarray(rows), foreground, entropy, doubt, apart, features, each)


def _seen(model: Model, batch: Batch, gains: Sequence[str]) -> list[Tensor]:
    y = model.networks.y
    alone = log_parts(model, batch, False)
    parts = y.present(alone.exp())  # (B, P, H, W)
    foreground = 1 - y.background(alone).exp()
    doubt = _entropy(alone)
    by_part = (parts * doubt[:, None]).sum((2, 3)) / (parts.sum((2, 3)) + SMALLEST)
    features = embedded(model, batch.image)
    answer = log_parts(model, batch, True) if model.has_posterior else alone
    labelled = torch.stack([batch.present[style] for style in model.styles] or [batch.present["parts"] & False]).any(0)
    answer = torch.where(labelled[:, None, None, None], answer, alone)
    apart = (alone.exp() - answer.exp()).abs().sum(1) / 2
    figure = torch.maximum(foreground, 1 - y.background(answer).exp())
    disagreement = ((apart * figure).sum((1, 2)) / (figure.sum((1, 2)) + SMALLEST)).clamp(0, 1)
    left = _entropy(answer).sum((1, 2))
    drops = []
    for style in gains:
        more = _entropy(log_parts(model, _with(model, batch, style, answer), True)).sum((1, 2))
        drops.append((left - more).clamp_min(0) * ~batch.present[style])
    return [foreground.mean((1, 2)), by_part, left, disagreement, features, *drops]


def _entropy(log_y: Tensor) -> Tensor:
    """(B, H, W) nats, of parts that overlap the sum over them."""
    return -(log_y.exp() * log_y.clamp_min(-50)).sum(1)


def _with(model: Model, batch: Batch, style: str, log_y: Tensor) -> Batch:
    """The batch with a label of a style that it lacks, the likeliest one of such parts."""
    told = model.networks.styles[style].likeliest(log_y)
    assert told is not None
    label, has = batch.labels[style].float(), batch.present[style]
    told = torch.where(has.reshape(-1, *[1] * (told.dim() - 1)), label, told.to(label))
    return replace(batch, labels=batch.labels | {style: told}, present=batch.present | {style: torch.ones_like(has)})
