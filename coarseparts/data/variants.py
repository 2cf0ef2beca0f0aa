"""What an image with a part mask could look like as well: before another background, its parts in other colours.

A few of them have a few backgrounds and the colours of a few animals, which a network soon knows by heart.
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
_CONTRAST = 0.3
"""A part's values are multiplied by 1 ± this at most."""
_TINT = 0.5
"""What is added to each of its channels at most, in standard deviations of the images."""


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
    its own, but where that one's object may show; all as network input. Labels stay as they are. Images lie in
    channels-last memory."""
    figure, known = _figure(batch, schema)
    there, lends = _figure(lender, schema)
    changes = parallel.rand(len(batch), generator, batch.image.device) < share
    changes = (changes & known & lends)[:, None, None, None]
    lent = torch.where(F.max_pool2d(there, 3, 1, 1) > _HIDDEN, batch.image, lender.image)
    image = torch.where(changes, torch.lerp(lent, batch.image, figure), batch.image)
    return replace(batch, image=image.contiguous(memory_format=torch.channels_last))


@torch.no_grad()
def recoloured(batch: Batch, share: float, generator: torch.Generator | None = None) -> Batch:
    """A ``share`` (0..1) of the images with part masks (network input), each part and the background in other colours
    of their own. Images lie in channels-last memory."""
    count, device = len(batch), batch.image.device
    changes = (parallel.rand(count, generator, device) < share) & batch.present["parts"]
    # A colour for each byte that a part mask may have: of parts that overlap, for each set of them.
    draws = (parallel.rand((count, 256, 4), generator, device) * 2 - 1) * changes[:, None, None]
    flat = batch.parts.flatten(1)[..., None].long().expand(-1, -1, 4)
    change = draws.gather(1, flat).transpose(1, 2).unflatten(2, batch.parts.shape[1:])
    image = batch.image * (1 + _CONTRAST * change[:, :1]) + _TINT * change[:, 1:]
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
