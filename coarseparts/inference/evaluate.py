"""How good a trained model is on part-labelled images: IoU of its parts, PCK of its keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from coarseparts.data.batches import Feed
from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.evaluation.iou import confusion, summary
from coarseparts.evaluation.pck import pck, peaks
from coarseparts.inference.model import Model
from coarseparts.labels import Keypoints, Parts
from coarseparts.labels.schema import IGNORE
from coarseparts.system.errors import RunError
from coarseparts.training.measure import predictions


@torch.no_grad()
def evaluate_store(model: Model, store: Store, split: str, kind: str = "part") -> dict[str, Any]:
    """Measures of ``evaluation.iou.summary`` on a store's part-labelled images of one split, and "pck".

    ``kind`` "part" sees the image alone, "posterior" the coarse labels too. "pck": percentage of visible keypoints
    that the keypoint model p(ykp|y) puts within 10 % of the object's longer side, ``from_parts`` (the true ones) and
    ``from_image`` (the parts that this model predicts), with the number of ``points``; None without such a model or
    such labels. Raises BadInput when there is nothing to measure on, RunError when the model has no posterior.
    """
    if kind == "posterior" and not model.has_posterior:
        raise RunError("this model has no posterior: it was trained by fine-tuning; use --model part")
    rows = store.rows(split, has="parts")
    if not len(rows):
        raise BadInput(Problem(split, "has no image with part masks to measure on", "choose another --split"))
    device = str(next(model.networks.part_model.parameters()).device)
    style = dict(model.networks.styles.items()).get("keypoints") if model.has_posterior else None
    y = model.networks.y
    counts, points = [], _Points(y)
    feed = Feed(store, rows, 32, 0, 0, device, preprocess=model.settings.preprocess)
    for batch, log_y in predictions(model.networks, kind, feed.plain(), model.settings.em.condition):
        counts.append(confusion(y.mode(log_y), batch.parts, model.schema.channels, model.schema.overlapping))
        if isinstance(style, Keypoints) and store.schema.keypoints == model.schema.keypoints:
            points.add(batch, style, log_y)
    return summary(np.concatenate(counts), model.schema.parts) | {"pck": points.measured()}


class _Points:
    """Keypoints found from true and from predicted parts, beside the labelled ones."""

    def __init__(self, y: Parts) -> None:
        self.y = y
        self.found: dict[str, list[Tensor]] = {"from_parts": [], "from_image": []}
        self.target: list[Tensor] = []
        self.size: list[Tensor] = []

    def add(self, batch: Batch, style: Keypoints, log_y: Tensor) -> None:
        there = batch.present["keypoints"] & self._inside(batch).flatten(1).any(1)
        if not there.any():
            return
        true = self.y.log_certain(batch.parts, log_y)
        for name, parts in (("from_parts", true), ("from_image", log_y)):
            self.found[name].append(peaks(style.heat(style.predict(parts[there])), style.stride))
        self.target.append(batch.labels["keypoints"][there])
        inside = self._inside(batch)[there]
        self.size.append(torch.maximum(inside.any(1).sum(1), inside.any(2).sum(1)))

    @staticmethod
    def _inside(batch: Batch) -> Tensor:
        return (batch.parts > 0) & (batch.parts != IGNORE)

    def measured(self) -> dict[str, float] | None:
        if not self.target:
            return None
        target, size = torch.cat(self.target), torch.cat(self.size)
        measures = {name: pck(torch.cat(found), target, size) for name, found in self.found.items()}
        return {name: m.mean for name, m in measures.items()} | {"points": int(measures["from_parts"].points.sum())}
