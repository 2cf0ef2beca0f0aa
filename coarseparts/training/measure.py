"""How good networks are on part-labelled images: IoU of their parts, misfit of their label models, PCK of keypoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coarseparts.data.batches import Feed
from coarseparts.data.sample import Batch
from coarseparts.data.transforms import mirror
from coarseparts.evaluation.iou import summary
from coarseparts.joint import JointModel
from coarseparts.labels.schema import Schema
from coarseparts.system import parallel
from coarseparts.training.task import Task


@torch.no_grad()
def predictions(
    networks: JointModel, model: str, batches: Iterable[Batch], condition: bool, mirror_of: Schema | None = None
) -> Iterator[tuple[Batch, Tensor]]:
    """Each batch with what a model says of its parts, log_y (B, S, H, W); the networks stay in eval() mode.

    ``model`` "part" sees the image, "posterior" its coarse labels, too; ``condition`` as in ``JointModel.infer``; with
    ``mirror_of``, the schema, it is the mean over images and their mirror images.
    """
    for module in networks.trained:
        module.eval()

    def answer(batch: Batch) -> Tensor:
        return networks.parts(batch) if model == "part" else networks.infer(batch, condition)

    for batch in batches:
        yield batch, answer(batch) if mirror_of is None else both_ways(networks, mirror_of, answer, batch)


def both_ways(networks: JointModel, schema: Schema, answer: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """log of the mean probability, (B, S, H, W), that ``answer`` gives of the batch and of its mirror image."""
    other = networks.y.mirrored(answer(mirror(batch, schema)), schema.part_flip())
    return torch.logaddexp(answer(batch), other) - math.log(2)


def measured(
    networks: JointModel, schema: Schema, model: str, feed: Feed, condition: bool, flip: bool = False
) -> dict[str, Any]:
    """``evaluation.iou.summary`` over a feed, and each image's "counts"; several processes do a share each. ``flip``:
    of the mean over images and their mirror images."""
    batches = feed.plain(mine=True)
    counts = [
        schema.maps.confusion(networks.y.mode(log_y), batch.parts)
        for batch, log_y in predictions(networks, model, batches, condition, schema if flip else None)
    ]
    total = np.concatenate(parallel.gathered(counts))
    return summary(total, schema.parts) | {"counts": total}


def part_maps(task: Task, joint: JointModel, model: str, rows: np.ndarray) -> np.ndarray:
    """(N, S, S) uint8: what ``model`` says of some rows of the task's store."""
    each = predictions(joint, model, task.feed(rows, len(rows), 0).plain(), task.settings.em.condition)
    return np.concatenate([joint.y.mode(log_y).to(torch.uint8).cpu().numpy() for _, log_y in each])


@torch.no_grad()
def label_misfit(networks: JointModel, batches: Iterable[Batch]) -> dict[str, float]:
    """Mean misfit of each learned label model given the true parts, "val/<style>"."""
    networks.theta_k.eval()
    sums: dict[str, list[Tensor]] = {}
    for batch in batches:
        blank = torch.zeros(len(batch), networks.y.states, *batch.parts.shape[1:], device=batch.parts.device)
        log_y = networks.y.log_certain(batch.parts, blank)
        for name, style in networks.styles.items():
            if style.learned:
                cost = style.loss(batch.labels[name], style.predict(log_y))[batch.present[name]]
                sums.setdefault(f"val/{name}", []).append(cost)
    return {name: float(torch.cat(costs).mean()) for name, costs in sums.items() if len(torch.cat(costs))}
