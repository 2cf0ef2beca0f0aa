"""A trained model and samples to part maps, several at a time; no training code and no files.

What makes it fast is here: batches, batch norm folded into the convolutions before it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from coarseparts.data.crops import crop_and_resize, uncrop, uncrop_probabilities
from coarseparts.data.sample import Batch, Sample
from coarseparts.data.store import Store
from coarseparts.data.transforms import to_input
from coarseparts.inference.model import Model
from coarseparts.labels import STYLES
from coarseparts.networks import Backbone

BATCH = 16
"""Samples that pass through a network together."""


def folded(model: Model) -> Model:
    """A copy that computes the same with every batch norm multiplied into the convolution before it.

    ResNets and decoders only: of other backbones it is not known what runs before what.
    """
    networks = copy.deepcopy(model.networks)
    for network in (networks.part_model, networks.posterior):
        _fold(network.eval())
    return replace(model, networks=networks)


def _fold(module: nn.Module) -> None:
    if isinstance(module, Backbone):
        return
    for (first, conv), (second, norm) in pairwise(list(module.named_children())):
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            setattr(module, first, fuse_conv_bn_eval(conv, norm).to(memory_format=torch.channels_last))
            setattr(module, second, nn.Identity())
    for child in module.children():
        _fold(child)


@torch.no_grad()
def predict_samples(
    model: Model, samples: Sequence[Sample], use_labels: bool = True, size: int = BATCH
) -> list[np.ndarray]:
    """Part maps of samples of any size, (H, W) uint8 at each image's own size; bit fields where parts overlap.

    A sample's ``crop`` is what the network sees; without one, and where the model was trained on object crops, the
    object is found first in the whole image and then looked at again from near. With ``use_labels`` the posterior
    predicts for samples that carry coarse labels; otherwise, and for all others, the part model. ``size``: of batches.
    """
    samples = list(samples)
    able = use_labels and model.has_posterior
    labelled = [able and any(name in sample.labels for name in model.styles) for sample in samples]
    if model.crop.get("to") == "object":
        far = [i for i, sample in enumerate(samples) if sample.crop is None and not labelled[i]]
        for i, figure in zip(far, _each(model, [samples[i] for i in far], False, size, find=True), strict=True):
            samples[i] = replace(samples[i], crop=_object(figure, float(model.crop.get("margin", 0.1))))
    out: dict[int, np.ndarray] = {}
    for kind in (True, False):
        rows = [i for i, own in enumerate(labelled) if own == kind]
        out |= dict(zip(rows, _each(model, [samples[i] for i in rows], kind, size), strict=True))
    return [out[i] for i in range(len(samples))]


def _each(model: Model, samples: list[Sample], labelled: bool, size: int, find: bool = False) -> Iterator[np.ndarray]:
    """Part maps in order; with ``find`` the whole object where a learned p(ymask|y) says it, for parts need not fill
    it."""
    y, mask = model.networks.y, dict(model.networks.styles.items()).get("mask")
    for start in range(0, len(samples), size):
        chunk = samples[start : start + size]
        crops, log_y = _forward(model, chunk, labelled)
        if find and mask is not None and model.has_posterior and model.schema.overlapping:
            for sample, crop, there in zip(chunk, crops, mask.predict(log_y).sigmoid().cpu().numpy(), strict=True):
                yield (uncrop_probabilities(there, crop, _native(sample))[0] > 0.5).astype(np.uint8)
            continue
        for sample, crop, each in zip(chunk, crops, log_y.exp().cpu().numpy(), strict=True):
            if not model.schema.overlapping:
                yield uncrop(each, crop, _native(sample))
            else:
                there = y.there(torch.from_numpy(each)[None])[0].numpy()
                layers = uncrop_probabilities(there, crop, _native(sample)) > 0.5
                yield np.bitwise_or.reduce([layer.astype(np.uint8) << p for p, layer in enumerate(layers)])


def _forward(model: Model, samples: list[Sample], labelled: bool) -> tuple[list[np.ndarray], Tensor]:
    """What was cropped of each sample, and log_y (B, S, H, W) of the crops."""
    made = [crop_and_resize(sample, model.size) for sample in samples]

    def stacked(name: str) -> np.ndarray | None:
        there = [value for value in (arrays[name] for arrays in made) if value is not None]
        blank = np.zeros_like(there[0]) if there else None
        return None if blank is None else np.stack([blank if a[name] is None else a[name] for a in made])  # type: ignore

    image = stacked("image")
    assert image is not None
    # A mask without a pixel is a label, too, so that it has to be said which sample has one.
    present = {name: np.array([arrays[name] is not None for arrays in made]) for name in STYLES}
    labels: Any = {name: stacked(name) for name in STYLES if model.schema.keypoints or name != "keypoints"}
    store = Store.from_arrays(model.schema, image, present=present, **labels)
    device = next(model.networks.part_model.parameters()).device
    batch: Batch = to_input(store.batch(range(len(samples)), device), model.settings.preprocess)
    batch.image = batch.image.contiguous(memory_format=torch.channels_last)
    if labelled:
        log_y = model.networks.infer(batch, model.settings.em.condition)
    else:
        log_y = model.networks.y.log_probability(model.networks.part_model(batch.image))
    return [np.asarray(arrays["crop"]) for arrays in made], log_y


def _native(sample: Sample) -> tuple[int, int]:
    return sample.image.shape[1], sample.image.shape[0]


def _object(parts: np.ndarray, margin: float) -> np.ndarray | None:
    """The box of a first look's foreground with its margin; None when there is hardly any."""
    ys, xs = np.nonzero(parts)
    if len(ys) < 0.002 * parts.size:
        return None
    # Single stray pixels must not stretch the box: the outermost half percent on each side is cut off.
    x0, x1 = np.percentile(xs, [0.5, 99.5])
    y0, y1 = np.percentile(ys, [0.5, 99.5])
    more_x, more_y = margin * (x1 + 1 - x0), margin * (y1 + 1 - y0)
    return np.array([x0 - more_x, y0 - more_y, x1 + 1 + more_x, y1 + 1 + more_y], np.float32)
