"""Built-in worlds: images with exact labels, drawn from a seed. A world is a file with a ``SCHEMA`` and ``render``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from coarseparts.labels.schema import Schema


@dataclass(frozen=True)
class World:
    """``render`` (count, size=, seed=, first=) -> "image" and every label of each image, by name."""

    schema: Schema
    render: Callable[..., dict[str, np.ndarray]]


class _Worlds(Mapping[str, World]):
    """A world's file is imported when it is asked for: it draws with torch, which takes seconds to import."""

    names = ("birds", "aircraft")

    def __getitem__(self, name: str) -> World:
        if name not in self.names:
            raise KeyError(name)
        world = import_module(f"{__name__}.{name}")
        return World(world.SCHEMA, world.render)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


WORLDS = _Worlds()
"""By the name that a dataset file says after ``synthetic:``."""

WORLD_LABELS = ("keypoints", "mask", "box")
"""Coarse labels that an image of a world carries unless others are asked for."""


def boxes_of_parts(parts: np.ndarray, schema: Schema) -> np.ndarray:
    """(N, S, S) part maps -> (N, P, 4) float32 tight boxes (x0, y0, x1, y1) of the parts, zeros where not seen."""
    boxes = np.zeros((len(parts), len(schema.parts), 4), np.float32)
    size = parts.shape[-1]
    at = np.arange(size)
    for index in range(1, schema.channels):
        there = schema.maps.shows(parts, index)
        columns, rows = np.any(there, 1, keepdims=True)[:, 0], np.any(there, 2, keepdims=True)[:, :, 0]  # (N, S) each
        edges = [np.where(columns, at, size).min(1), np.where(rows, at, size).min(1)]
        edges += [np.where(columns, at + 1, 0).max(1), np.where(rows, at + 1, 0).max(1)]
        boxes[:, index - 1] = np.where(columns.any(1, keepdims=True), np.stack(edges, 1), 0)
    return boxes
