"""Whether an exported file says what this package says: on made-up photographs, with and without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from coarseparts.data.sample import Sample
from coarseparts.export.graph import Graph
from coarseparts.inference.model import Model
from coarseparts.inference.predict import predict_samples
from coarseparts.labels.schema import IGNORE

TOLERANCE = 1e-4
"""The largest difference of a probability that is allowed."""


def difference(model: Model, graph: Graph, answer: Callable[[Sequence[Tensor]], np.ndarray]) -> float:
    """The largest one of any probability, of photographs wider, higher and smaller than the model's size, each style of
    label alone, all of them and none."""
    largest, near = 0.0, replace(model, crop={"to": "none"})
    for height, width, count in ((model.size + 9, 2 * model.size + 1, 1), (47, 31, len(graph.styles) + 2)):
        samples = list(_samples(graph, height, width, count))
        ours = np.stack([each.probability for each in predict_samples(near, samples)])
        found = answer(_inputs(graph, samples))
        apart = np.abs(found.astype(np.float64) - ours).max() if found.shape == ours.shape else np.inf
        largest = max(largest, float(np.nan_to_num(apart, nan=np.inf)))
    return largest


def _samples(graph: Graph, height: int, width: int, count: int) -> Iterator[Sample]:
    """The first with all labels, then each style alone, and none. All show the whole image."""
    random = np.random.default_rng([height, width])
    whole = np.array([0, 0, width, height], np.float32)
    styles = list(graph.styles)
    for i in range(count):
        image = random.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
        image = image.repeat(4, 0)[:height].repeat(4, 1)[:, :width]
        chosen = styles if i == 0 else styles[i - 1 : i]
        labels = {name: _label(name, graph, height, width, random) for name in chosen}
        yield Sample("made up", np.ascontiguousarray(image), None, labels, whole)


def _label(style: str, graph: Graph, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    each = graph.inputs[style]
    blank = each.blank(graph.schema, height, width)[0].numpy()
    if style == "keypoints":
        v = random.permutation(np.resize([2, 1, 0, -1], len(blank)))[:, None]
        points = random.random((len(blank), 2)) * (width, height) * (v > 0)
        return np.concatenate((points, v), 1).astype(np.float32)
    if each.shape[-1] == "4":
        corners = np.sort(random.random((*blank.shape[:-1], 2, 2)), -2) * (width, height)
        boxes = corners.reshape(blank.shape).astype(np.float32)
        boxes[1:] *= 1 if style == "box" else (np.arange(1, len(boxes)) % 3 > 0)[:, None]
        return boxes
    inside = np.hypot(*(np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])) < 0.7
    if style == "mask":
        return np.where(inside, np.uint8(255), np.uint8(0))
    stroke = inside & (np.arange(height)[:, None] % 7 == 3)
    return np.where(stroke, np.arange(height)[:, None] % (len(graph.schema.parts) + 1), IGNORE).astype(np.uint8)


def _inputs(graph: Graph, samples: Sequence[Sample]) -> list[Tensor]:
    image = np.stack([sample.image for sample in samples])
    height, width = image.shape[1:3]
    found = [torch.from_numpy(image)]
    for name, each in graph.inputs.items():
        blank = each.blank(graph.schema, height, width)[0].numpy()
        found.append(torch.from_numpy(np.stack([sample.labels.get(name, blank) for sample in samples])))
    return found
