"""Images with part maps as pictures that stand in a page: galleries of predictions, strips of training."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.evaluation.iou import iou
from coarseparts.labels.part_maps import PartMaps
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import colours

_LARGEST = 256  # pixels: longer sides of pictures are reduced to it, or a report of large photographs gets too big
_PAGE = 1080  # CSS pixels that a row of tiles may take on a laptop


@dataclass(frozen=True)
class Legend:
    """The names of the ``parts`` that ``maps`` show."""

    parts: tuple[str, ...]
    maps: PartMaps

    @cached_property
    def colours(self) -> np.ndarray:
        """(P, 3) uint8."""
        return colours(len(self.parts))

    def entries(self) -> list[tuple[str, str]]:
        """(part, "#rrggbb")."""
        return [(name, "#" + bytes(c.tolist()).hex()) for name, c in zip(self.parts, self.colours, strict=True)]


@dataclass(frozen=True)
class Gallery:
    """``images`` (N, H, W, 3) uint8 by their ``names``, their true part maps (N, H, W) and those of several models;
    ``worst``: so many of the first images are the worst cases."""

    title: str
    images: np.ndarray
    truth: np.ndarray
    predictions: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    legend: Legend
    worst: int = 0

    def cards(self) -> list[dict[str, Any]]:
        """A card for each image, as the template takes it: tiles with each model's part mIoU on that image."""
        found = []
        for i, (name, image) in enumerate(zip(self.names, self.images, strict=True)):
            tiles = [("image", picture(image, f"{name}: the image"), "")]
            tiles.append(("truth", _tile(image, self.truth[i], f"{name}, truth", self.legend), ""))
            for model, maps in self.predictions.items():
                tile = _tile(image, maps[i], f"{name}, {model}", self.legend)
                [score] = self.scores(model, slice(i, i + 1))
                tiles.append((model, tile, _percent(score)))
            width = min(_width(image, len(tiles)), max(90, (_PAGE - 30) // max(len(tiles), 4) - 5))
            found.append({"name": name, "tiles": tiles, "worst": i < self.worst, "width": width})
        return found

    def scores(self, model: str, images: slice = slice(None)) -> list[float]:
        """A model's part mIoU of each image, or of some, percent."""
        return image_scores(self.legend.maps.confusion(self.predictions[model][images], self.truth[images]))

    def ranked(self, count: int) -> Gallery:
        """``count`` of the images: a third of them those that the first model does worst on."""
        rows, worst = worst_and_others(self.scores(next(iter(self.predictions))), count, max(1, count // 3))
        maps = {name: of[rows] for name, of in self.predictions.items()}
        names = tuple(self.names[i] for i in rows)
        return Gallery(self.title, self.images[rows], self.truth[rows], maps, names, self.legend, worst)


def image_scores(counts: np.ndarray) -> list[float]:
    """Part mIoU of each image, percent, from ``PartMaps.confusion``; 0 where no part is in truth or prediction."""
    each = [iou(one)[1:] for one in counts]
    return [100 * float(np.nanmean(values)) if not np.isnan(values).all() else 0.0 for values in each]


def worst_and_others(scores: Sequence[float], count: int, worst: int) -> tuple[list[int], int]:
    """(images, how many of the first ones are the worst): the ``worst`` ones, then evenly chosen others, ``count`` in
    all."""
    order = np.argsort(scores, kind="stable")
    first, rest = order[:worst], order[worst:]
    others = rest[np.unique(np.linspace(0, len(rest) - 1, count - len(first)).astype(int))] if len(rest) else rest
    return [*first.tolist(), *others.tolist()], len(first)


@dataclass(frozen=True)
class Strip:
    """How training went on one image, as the paper's Fig. 4: ``image`` (H, W, 3) uint8, ``truth`` (H, W), and for each
    model (epoch, part map (H, W), part mIoU on all validation images in percent or None); a model may lack epochs."""

    title: str
    image: np.ndarray
    truth: np.ndarray
    rows: Sequence[tuple[str, Sequence[tuple[str, np.ndarray, float | None]]]]
    legend: Legend

    def tiles(self) -> dict[str, Any]:
        """As the template takes it: an epoch that a row lacks stays empty."""
        image, what = self.image, self.title
        epochs = list(dict.fromkeys(epoch for _, entries in self.rows for epoch, *_ in entries))
        first = [
            ("image", picture(image, f"{what}: the image")),
            ("truth", _tile(image, self.truth, f"{what}, truth", self.legend)),
        ]
        rows = []
        for label, entries in self.rows:
            drawn = {
                epoch: (_tile(image, maps, f"{what}, {label}, {epoch}", self.legend), _percent(percent))
                for epoch, maps, percent in entries
            }
            rows.append((label, [drawn.get(epoch) for epoch in epochs]))
        width = _width(image, len(first) + len(epochs) + 1)
        return {"title": what, "first": first, "epochs": epochs, "rows": rows, "width": width}


def _tile(image: np.ndarray, part_map: np.ndarray, what: str, legend: Legend) -> dict[str, Any]:
    """An image with its parts as a picture; the alternative text says what it is of and which parts are in it.

    Raises ValueError if image and part map do not fit or the part map holds an index without a name.
    """
    image, part_map = np.asarray(image), np.asarray(part_map)
    if part_map.shape != image.shape[:2]:
        raise ValueError(f"{what}: the part map is {part_map.shape}, the image {image.shape}; expected the same size")
    small = reduced(image)
    if small is not image:
        rows, columns = (np.arange(n) * size // n for n, size in zip(small.shape, part_map.shape, strict=False))
        part_map = part_map[rows[:, None], columns]
    try:
        drawn = overlay(small, part_map, legend.colours, legend.maps)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    shown = [part for index, part in enumerate(legend.parts, 1) if legend.maps.shows(part_map, index).any()]
    return picture(drawn, f"{what}: {', '.join(shown) or 'no part'}")


def picture(pixels: np.ndarray, alt: str) -> dict[str, Any]:
    """(H, W, 3) uint8 -> a picture with its data as a URI, PNG or JPEG, whichever is the smaller."""
    pixels = np.ascontiguousarray(reduced(np.asarray(pixels)), np.uint8)
    encoded = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 90, "subsampling": 0})):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format=kind, **options)
        encoded.append((buffer.tell(), kind, buffer.getvalue()))
    _, kind, data = min(encoded)
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"uri": uri, "alt": alt, "width": pixels.shape[1], "height": pixels.shape[0]}


def reduced(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 with a longer side of 256 pixels at most."""
    height, width = pixels.shape[:2]
    factor = _LARGEST / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX))


def _width(image: np.ndarray, columns: int) -> int:
    """CSS pixels of a tile: as many tiles side by side as the page takes, enlarged by whole numbers if possible."""
    native = min(_LARGEST, np.shape(image)[1])
    room = min(192, max(88, _PAGE // columns))
    return native * (room // native) if native <= room and native * (room // native) >= 0.9 * room else room


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.1f} %"
