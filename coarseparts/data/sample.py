"""A sample is one object with whatever labels it has; a batch is several of them as tensors.

Coordinates, said once for the whole package: x runs right, y runs down, in pixels; the centre of the top-left
pixel is (0.5, 0.5), so an image of width W spans 0..W. Keypoints are (x, y, v) with COCO's v: 2 visible,
1 labelled but hidden, 0 not labelled; and -1 where this source does not annotate that keypoint at all.
Boxes are (x0, y0, x1, y1). Part index 0 is the background, 255 is "ignore". Masks are soft, 0..1
(0..255 as bytes). Batches are (B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from coarseparts.labels.schema import IGNORE

if TYPE_CHECKING:  # torch takes seconds to import, and whoever reads samples does without it
    import torch
    from torch import Tensor


@dataclass
class Sample:
    """One object as its labels describe it, at the image's own size and before any crop.

    ``image`` (H, W, 3) uint8 RGB; ``parts`` (H, W) uint8 part index, 255 = ignore, or None; ``labels``: the coarse
    labels that it has, by style: "mask" (H, W) uint8, 0..255 soft figure-ground; "keypoints" (K, 3) float32 (x, y, v);
    "box" (4,) float32 (x0, y0, x1, y1); "part_boxes" (P, 4), likewise for each part, zeros where it cannot be seen;
    of the others what their ``LabelStyle.read`` gives;
    ``crop`` (4,) the region of the image that the object's sample shows, or None for the whole image.
    """

    name: str
    image: np.ndarray
    parts: np.ndarray | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    crop: np.ndarray | None = None


@dataclass
class Batch:
    """B samples of one size. Labels that a sample lacks are zeros (parts: 255) and False in ``present``.

    ``image`` (B, 3, H, W): uint8 as stored, float32 normalised after ``transforms``; ``parts`` (B, H, W) uint8/int64,
    ``no_parts`` where no sample has any;
    ``labels``: "keypoints" (B, K, 3) float32 in pixels of this size, "mask" (B, 1, H, W) uint8 as stored / float32 0..1
    after transforms, "box" (B, 4) and "part_boxes" (B, P, 4) float32, of the others what their ``LabelStyle.stacked``
    and ``moved`` give; ``present``: (B,) bool for "parts" and every style; ``index`` (B,) int64 position in the store.
    """

    image: Tensor
    parts: Tensor
    labels: dict[str, Tensor]
    present: dict[str, Tensor]
    index: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.image.shape[0]

    def _map(self, f: Callable[[Tensor], Tensor]) -> Batch:
        def each(d: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: f(v) for k, v in d.items()}

        image = f(self.image)
        shape = len(image), *self.parts.shape[1:]
        return replace(
            self,
            image=image,
            parts=no_parts(shape, self.parts.dtype, image.device) if are_no_parts(self.parts) else f(self.parts),
            labels=each(self.labels),
            present=each(self.present),
            index=f(self.index),
            extra=each(self.extra),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        from coarseparts.system.device import moved

        return self._map(lambda t: moved(t, device))

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        """Some of the samples, in the order of ``rows``."""
        return self._map(lambda t: t[rows])


def no_parts(shape: Sequence[int], dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> Tensor:
    """The part masks (B, H, W) of samples that have none: one value, IGNORE, seen everywhere; uint8 by default. Not to
    be written to."""
    import torch

    dtype = torch.uint8 if dtype is None else dtype
    return torch.full((1, 1, 1), IGNORE, dtype=dtype, device=device).expand(*shape)


def are_no_parts(parts: Tensor) -> bool:
    """Whether this is one value seen everywhere; read off the strides, so that a GPU is not waited for."""
    return parts.numel() > 1 and not any(step for step, n in zip(parts.stride(), parts.shape, strict=True) if n > 1)


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches one after the other, as one."""
    import torch

    if len(batches) == 1:
        return batches[0]
    parts = [b.parts for b in batches]
    first = parts[0]

    def each(values: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([value[name] for value in values]) for name in values[0]}

    return Batch(
        image=torch.cat([b.image for b in batches]),
        parts=no_parts((sum(map(len, parts)), *first.shape[1:]), first.dtype, first.device)
        if all(are_no_parts(p) for p in parts)
        else torch.cat(parts),
        labels=each([b.labels for b in batches]),
        present=each([b.present for b in batches]),
        index=torch.cat([b.index for b in batches]),
        extra=each([b.extra for b in batches]),
    )
