"""Another background: what is not the object's is taken from another image, but where that one's own object may show.

A few images with part masks have a few backgrounds, which a network soon knows by heart; exchanged, they are as many as
there are pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.system import parallel

_HIDDEN = 0.1
"""Share of a pixel, or of one beside it, that may be the lender's object, above which it is not lent."""


def lenders(store: Store, rows: np.ndarray) -> np.ndarray:
    """Those of the ``rows`` that have a part mask, and of whose pixels it is known which are the object's."""
    told = store.present["parts"][rows]
    if store.schema.overlapping:  # parts that overlap may leave some of the object out
        told = told & np.any([store.present[name][rows] for name in _outlines(store.styles)], axis=0)
    return rows[told]


@torch.no_grad()
def exchanged(
    batch: Batch, lender: Batch, schema: Schema, share: float, generator: torch.Generator | None = None
) -> Batch:
    """A ``share`` (0..1) of the images with part masks, each with the background of the ``lender``'s image in place of
    its own, all as network input. Labels stay as they are. Images lie in channels-last memory."""
    figure, known = _figure(batch, schema)
    there, lends = _figure(lender, schema)
    changes = parallel.rand(len(batch), generator, batch.image.device) < share
    changes = (changes & known & lends)[:, None, None, None]
    lent = torch.where(F.max_pool2d(there, 3, 1, 1) > _HIDDEN, batch.image, lender.image)
    image = torch.where(changes, torch.lerp(lent, batch.image, figure), batch.image)
    return replace(batch, image=image.contiguous(memory_format=torch.channels_last))


def _figure(batch: Batch, schema: Schema) -> tuple[Tensor, Tensor]:
    """Where the object is, (B, 1, H, W) 0..1, as part mask and mask say it, and of which images (B,) bool they do.
    Pixels whose part is not labelled may be the object's."""
    known = batch.present["parts"]
    figure = ((batch.parts != 0) & known[:, None, None])[:, None].to(batch.image.dtype)
    outlined = torch.zeros_like(known)
    for name in _outlines(batch.labels):
        there = batch.present[name]
        figure = torch.where(there[:, None, None, None], torch.maximum(figure, batch.labels[name]), figure)
        outlined = outlined | there
    return figure, known & outlined if schema.overlapping else known


def _outlines(names: Iterable[str]) -> list[str]:
    return [name for name in names if STYLES[name].outlines]
