"""Maps of y: a byte a pixel that says which parts it shows, for parts that exclude each other and for parts that may
overlap. Both kinds answer the same questions, so that files, crops, pictures and measures are written once.

Maps are uint8 unless another type is named: 0 shows no part, 255 (``IGNORE``) says "not labelled here". ``parts.py`` is
the same for distributions over y.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from coarseparts.labels.frames import CropFrame
from coarseparts.labels.uncrop import uncrop, uncrop_largest
from coarseparts.system.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

IGNORE = 255
"""Pixel value of a part mask that says "not labelled here"; such pixels enter no loss and no measure."""

_PIXELS_AT_ONCE = 1 << 22  # bounds the memory of confusion() whatever the number of images


@dataclass(frozen=True)
class PartMaps(ABC):
    """The questions, to maps of one kind with ``count`` parts, P, which have the indices 1..P."""

    count: int
    opacity: ClassVar[float]
    """How opaque a part is in a picture, of 1: those that overlap are to be seen through each other."""

    @property
    @abstractmethod
    def largest(self) -> int:
        """The largest value but 255."""

    @abstractmethod
    def shows(self, parts: np.ndarray, index: int) -> np.ndarray:
        """Where a map (...) shows the part of an index 1..P, bool; 255 shows none."""

    def stray(self, values: Any) -> Any:
        """Where integers (...), an array or a tensor, are no map's values, bool."""
        return (values != IGNORE) & ((values < 0) | (values > self.largest))

    def flip(self, order: Sequence[int]) -> list[int]:
        """What each of the 256 values becomes where part i takes the place of part ``order[i]``, i = 1..P."""
        values = np.arange(256, dtype=np.uint8)[None]
        moved = self.drawn([(order[i], self.shows(values, i)) for i in range(1, self.count + 1)], (256, 1))
        return np.where(values > self.largest, values, moved)[0].tolist()

    @abstractmethod
    def drawn(self, masks: Iterable[tuple[int, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
        """(H, W) the map of parts' (index, mask (H, W) bool) in an image of ``size`` (width, height). Where parts that
        exclude each other cover each other the smaller one is on top, so that an eye stays on its head."""

    @abstractmethod
    def joined(self, parts: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The map of two objects of an image, each (H, W) without 255; ``others`` is in front."""

    @abstractmethod
    def cropped(self, parts: np.ndarray, frame: CropFrame) -> np.ndarray:
        """(H, W) -> (S, S), nothing beyond the image. Of parts that exclude each other the value (255, too) that covers
        most of each pixel's area, the smaller one of equals: an eye smaller than half a pixel is lost, a larger one is
        not, wherever the pixel grid falls. Of others each part that covers half of it."""

    @abstractmethod
    def most_probable(self, probability: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
        """(H, W) the most probable map of an image of size ``native`` (width, height), nothing beyond the ``crop``,
        of which ``probability`` (P + 1 or P, S, S) is as ``Parts.output_probability`` gives it."""

    @abstractmethod
    def uncropped(self, probability: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
        """The same (P + 1 or P, H, W) float32 at the image's own size, certainly background beyond the crop."""

    @abstractmethod
    def scores(self, probability: np.ndarray) -> np.ndarray:
        """(P,) float32: the mean ``probability`` of each part where it is predicted, 0 where it is not."""

    @abstractmethod
    def index(self, parts: np.ndarray) -> np.ndarray:
        """A map itself where its values are indices of parts. AttributeError where they are not."""

    @abstractmethod
    def agreement(self, parts: np.ndarray, figure: np.ndarray) -> tuple[float, str]:
        """How well a map (H, W) and the object's figure (H, W) bool agree, 0..1, and the words that tell it. Parts that
        exclude each other fill the object; others need not, but lie in it."""

    @abstractmethod
    def folders(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """The folders in which the files of maps lie, one of each of the ``parts`` by name; none where a file holds a
        whole map."""

    @abstractmethod
    def pictures(self, parts: np.ndarray, colours: np.ndarray) -> list[Image.Image]:
        """What the files of a map (H, W) hold: its values, with the ``colours`` (P, 3) uint8 as a palette; or masks of
        0 and 255 of each part in turn."""

    @abstractmethod
    def of_pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """The map (H, W) whose ``pictures`` these are, (H, W) each."""

    def confusion(self, pred: Tensor | np.ndarray, target: Tensor | np.ndarray) -> np.ndarray:
        """Confusion matrix of each of N maps, for ``evaluation.iou``: (N, P + 1, P + 1) int64.

        ``pred`` and ``target`` (N, H, W) of any integer type, tensors (counted on their device) or arrays; ``target``
        255 is ignored. Call it batch by batch and concatenate. [n, t, p] = pixels of part t that were predicted as p.

        A pixel of several parts counts once for each: [n, p, p] hits, [n, p, 0] misses, [n, 0, p] false alarms, so that
        rows and columns add up to the part's pixels as usual and its IoU is that of its binary mask; [n, 0, 0] = pixels
        without any part on both sides. Raises ValueError where shapes differ or a value is no map's.
        """
        # Copied, for arrays read from an image or a memory map may be read-only, which torch warns of.
        p, t = (torch.as_tensor(np.array(a) if isinstance(a, np.ndarray) else a) for a in (pred, target))
        if p.shape != t.shape or p.ndim != 3:
            came = f"pred is {tuple(p.shape)} and target {tuple(t.shape)}"
            raise ValueError(f"{came}; expected (N, H, W), the same for both")
        if p.is_floating_point() or t.is_floating_point():
            raise ValueError(f"pred is {p.dtype} and target {t.dtype}; expected part maps (of scores, take the mode)")
        step = max(1, _PIXELS_AT_ONCE // max(1, p[0].numel() if len(p) else 1))
        counts = [np.zeros((0, self.count + 1, self.count + 1), np.int64)]
        for i in range(0, len(p), step):
            said, true = p[i : i + step].flatten(1).long(), t[i : i + step].to(p.device).flatten(1).long()
            for name, values, also in (("target", true, False), ("pred", said, said == IGNORE)):
                if (wrong := self.stray(values) | also).any():
                    came = f"{name} holds {sorted(values[wrong].unique().tolist())[:8]}"
                    raise ValueError(f"{came}, expected 0..{self.largest}; does the schema belong to it?")
            counts.append(self._counts(said, true, true != IGNORE).cpu().numpy())
        return np.concatenate(counts)

    @abstractmethod
    def _counts(self, said: Tensor, true: Tensor, known: Tensor) -> Tensor:
        """(n, P + 1, P + 1) of prediction, target (n, pixels) int64 and where the target is labelled."""


class ExclusiveMaps(PartMaps):
    """A value is the index of the pixel's part."""

    opacity = 1.0

    @property
    def largest(self) -> int:
        return self.count

    def shows(self, parts: np.ndarray, index: int) -> np.ndarray:
        return parts == index

    def drawn(self, masks: Iterable[tuple[int, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
        parts = np.zeros(size[::-1], np.uint8)
        for index, mask in sorted(masks, key=lambda pair: -int(pair[1].sum())):
            parts[mask] = index
        return parts

    def joined(self, parts: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.where(others > 0, others, parts)

    def cropped(self, parts: np.ndarray, frame: CropFrame) -> np.ndarray:
        values = np.union1d(np.unique(parts), [0])
        area = np.stack([frame.area_mean(parts == value) for value in values])
        area[0] += 1 - area.sum(0)  # what lies beyond the image is background
        return values[area.round(6).argmax(0)].astype(np.uint8)  # rounded, so that equal areas are equal

    def most_probable(self, probability: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
        return uncrop_largest(probability, crop, native)

    def uncropped(self, probability: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
        probability = uncrop(probability, crop, native)
        probability[0][probability.sum(0) == 0] = 1
        return probability

    def scores(self, probability: np.ndarray) -> np.ndarray:
        most = probability.argmax(0)
        return _mean_where(probability[1:], np.stack([most == index for index in range(1, len(probability))]))

    def index(self, parts: np.ndarray) -> np.ndarray:
        return parts

    def agreement(self, parts: np.ndarray, figure: np.ndarray) -> tuple[float, str]:
        known = parts != IGNORE
        figure, labelled = figure & known, (parts > 0) & known
        either = (figure | labelled).sum()
        iou = (figure & labelled).sum() / either if either else 1.0
        return iou, f"part mask and figure-ground mask agree by an IoU of {iou:.2f} only"

    def folders(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        return ()

    def pictures(self, parts: np.ndarray, colours: np.ndarray) -> list[Image.Image]:
        picture = Image.fromarray(parts, "P")
        picture.putpalette(np.concatenate([[[0, 0, 0]], colours]).astype(np.uint8).tobytes())
        return [picture]

    def of_pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        return pictures[0]

    def _counts(self, said: Tensor, true: Tensor, known: Tensor) -> Tensor:
        n, classes = len(said), self.count + 1
        # Ignored pixels go into one bin more, which is dropped: no copy of the labelled ones is made.
        image = torch.arange(n, device=said.device)[:, None]
        bins = torch.where(known, (image * classes + true) * classes + said, n * classes**2)
        return torch.bincount(bins.flatten(), minlength=n * classes**2 + 1)[:-1].view(n, classes, classes)


class OverlappingMaps(PartMaps):
    """A value is a bit field: bit p says whether the pixel shows part p + 1. Bit 7 is never set but in 255."""

    opacity = 0.75

    @property
    def largest(self) -> int:
        return (1 << self.count) - 1

    def shows(self, parts: np.ndarray, index: int) -> np.ndarray:
        return (parts >> (index - 1) & 1 == 1) & (parts != IGNORE)

    def drawn(self, masks: Iterable[tuple[int, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
        parts = np.zeros(size[::-1], np.uint8)
        for index, mask in masks:
            parts[mask] |= 1 << (index - 1)
        return parts

    def joined(self, parts: np.ndarray, others: np.ndarray) -> np.ndarray:
        return parts | others

    def cropped(self, parts: np.ndarray, frame: CropFrame) -> np.ndarray:
        out = np.zeros((frame.size, frame.size), np.uint8)
        for index in range(1, self.count + 1):
            if (covered := self.shows(parts, index)).any():
                out |= (frame.area_mean(covered).round(6) >= 0.5).astype(np.uint8) << (index - 1)
        if (ignored := parts == IGNORE).any():
            out[frame.area_mean(ignored).round(6) >= 0.5] = IGNORE
        return out

    def most_probable(self, probability: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
        return self.drawn(enumerate(uncrop(probability, crop, native) > 0.5, 1), native)

    def uncropped(self, probability: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
        return uncrop(probability, crop, native)

    def scores(self, probability: np.ndarray) -> np.ndarray:
        return _mean_where(probability, probability > 0.5)

    def index(self, parts: np.ndarray) -> np.ndarray:
        raise AttributeError("index: a pixel may belong to several of these parts; use masks, a mask for each part")

    def agreement(self, parts: np.ndarray, figure: np.ndarray) -> tuple[float, str]:
        labelled = (parts > 0) & (parts != IGNORE)
        outside, of = (labelled & ~figure).sum(), max(labelled.sum(), 1)
        return 1 - outside / of, f"{100 * outside / of:.0f} % of the parts' pixels lie outside the figure-ground mask"

    def folders(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        return parts

    def pictures(self, parts: np.ndarray, colours: np.ndarray) -> list[Image.Image]:
        masks = (self.shows(parts, index) for index in range(1, self.count + 1))
        return [Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)) for mask in masks]

    def of_pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        return self.drawn(((index, mask > 0) for index, mask in enumerate(pictures, 1)), pictures[0].shape[::-1])

    def _counts(self, said: Tensor, true: Tensor, known: Tensor) -> Tensor:
        out = torch.zeros(len(said), self.count + 1, self.count + 1, dtype=torch.int64, device=said.device)
        out[:, 0, 0] = (known & (said == 0) & (true == 0)).sum(1)
        for part in range(self.count):
            in_said, in_true = (said >> part & 1 == 1) & known, (true >> part & 1 == 1) & known
            hit = (in_said & in_true).sum(1)
            out[:, part + 1, part + 1] = hit
            out[:, part + 1, 0] = in_true.sum(1) - hit
            out[:, 0, part + 1] = in_said.sum(1) - hit
        return out


def maps_of(overlapping: bool, count: int) -> PartMaps:
    """The kind of maps that a schema's ``overlapping`` asks for, with ``count`` parts."""
    return OverlappingMaps(count) if overlapping else ExclusiveMaps(count)


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(P,) float32: the mean of each of (P, H, W) over its own ``chosen`` pixels, 0 where there are none."""
    mean: np.ndarray = (values * chosen).sum((1, 2)) / np.maximum(chosen.sum((1, 2)), 1)
    return mean.astype(np.float32)
