"""PointSup (section 5.1, Fig. 7): a table says which keypoint lies on which part; 5 x 5 pixels around it are labelled.

This is the hand-made counterpart of the learned p(ykp|y). A table can be proposed from the part-labelled images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from coarseparts.baselines.baseline import Baseline, BaselineOptions, Start, both_images, both_labels
from coarseparts.data.sample import Batch
from coarseparts.initialise import supervised_terms
from coarseparts.labels import Mask, Parts
from coarseparts.labels.schema import IGNORE
from coarseparts.updates import Terms


class Options(BaselineOptions):
    """Weights of the losses and the size of a point. The paper weighs the mask 1, the rest is as in section 5.1."""

    start: Start = Field("fine-tuning", description="as in every baseline")
    points: float = Field(0.5, ge=0, description="weight of the points")
    mask: float = Field(2.0, ge=0, description="weight of the figure-ground mask")
    parts: float = Field(2.0, ge=0, description="weight of the part labels")
    window: int = Field(5, gt=0, description="side of the square around a keypoint that takes its part, pixels; odd")


class PointSup(Baseline):
    """``assigned``: for each keypoint the index of its part, 0 for none (``propose``, ``from_names``)."""

    assigned: Tensor

    def __init__(
        self,
        part_model: nn.Module,
        assigned: Sequence[int],
        use_mask: bool,
        o: Options,
        y: Parts,
        dice: float = 0.0,
    ):
        super().__init__()
        self.part_model, self.o, self.dice, self.y = part_model, o, dice, y
        self.mask = Mask(y) if use_mask else None
        self.register_buffer("assigned", torch.tensor(list(assigned), dtype=torch.int64))

    def terms(self, labelled: Batch, coarse: Batch, generator: torch.Generator) -> Terms:
        x, n = both_images(coarse, labelled), len(coarse)
        logits = self.part_model(x)
        terms = {
            k: self.o.parts * v for k, v in supervised_terms(logits[n:], labelled.parts, self.y, self.dice).items()
        }
        if self.mask is not None:
            label, there = both_labels(coarse, labelled, "mask")
            cost = self.mask.loss(label, self.mask.predict(self.y.log_probability(logits)))
            terms["mask"] = self.o.mask * (cost * there).mean()
        if len(self.assigned):
            label, there = both_labels(coarse, labelled, "keypoints")
            marked = dilated(label * there[:, None, None], self.assigned, x.shape[-1], self.o.window)
            terms["points"] = self.o.points * self.y.at_points(logits, marked)
        return terms


def dilated(keypoints: Tensor, assigned: Tensor, size: int, window: int) -> Tensor:
    """Keypoints (B, K, 3) as a part map (B, size, size): a square of ``window`` pixels of the assigned part around
    each visible one (v = 2), 255 elsewhere. Where squares meet, the later keypoint's part stands."""
    reach = window // 2
    steps = torch.arange(-reach, reach + 1, device=keypoints.device)
    marked = torch.full((len(keypoints), size, size), IGNORE, dtype=torch.int64, device=keypoints.device)
    columns, rows = keypoints[..., 0].floor().long(), keypoints[..., 1].floor().long()
    images = torch.arange(len(keypoints), device=keypoints.device)[:, None, None]
    for k, part in enumerate(assigned.tolist()):
        if not part:
            continue
        x = (columns[:, k, None, None] + steps[None, None, :]).expand(-1, window, -1)
        y = (rows[:, k, None, None] + steps[None, :, None]).expand(-1, -1, window)
        use = (keypoints[:, k, 2] == 2)[:, None, None] & (x >= 0) & (x < size) & (y >= 0) & (y < size)
        marked[images.expand_as(x)[use], y[use], x[use]] = part
    return marked


def propose(batches: Iterable[Batch], keypoints: int, y: Parts) -> list[int]:
    """For each keypoint the part that it lies on most often in part-labelled images (co-occurrence); 0 for none.

    ``batches`` carry parts and keypoints in pixels of the image. A visible point on the background counts for nothing.
    """
    counts = torch.zeros(keypoints, y.count + 1)
    for batch in batches:
        size = batch.parts.shape[-1]
        at = batch.labels["keypoints"][..., :2].floor().long().clamp(0, size - 1)
        seen = (batch.labels["keypoints"][..., 2] == 2) & (batch.present["keypoints"] & batch.present["parts"])[:, None]
        for i, k in seen.nonzero().tolist():
            here = batch.parts[i, at[i, k, 1], at[i, k, 0]].reshape(1, 1, 1)
            if int(here) != IGNORE:
                counts[k, 1:] += y.present(y.certain(here))[0, :, 0, 0]
    return [int(row.argmax()) if row.any() else 0 for row in counts]


def from_names(table: Mapping[str, str | None], keypoints: Sequence[str], parts: Sequence[str]) -> list[int]:
    """The data set file's ``keypoint_parts`` (keypoint name: part name or null) as part indices, one a keypoint.

    Raises ValueError naming every keypoint or part that does not exist.
    """
    unknown = [k for k in table if k not in keypoints] + [p for p in table.values() if p and p not in parts]
    if unknown:
        raise ValueError(
            f"keypoint_parts: {', '.join(map(repr, unknown))} unknown; keypoints are {', '.join(keypoints)}, "
            f"parts {', '.join(parts)}"
        )
    return [list(parts).index(part) + 1 if (part := table.get(k)) else 0 for k in keypoints]
