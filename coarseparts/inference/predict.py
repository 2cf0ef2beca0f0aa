"""A trained model and samples to their parts, several at a time; no training code and no files.

What makes it fast is here: batches, batch norm folded into the convolutions before it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from coarseparts.data.crops import crop_and_resize
from coarseparts.data.sample import Batch, Sample
from coarseparts.data.store import Store
from coarseparts.data.transforms import to_input
from coarseparts.joint import JointModel
from coarseparts.labels import STYLES
from coarseparts.labels.part_maps import PartMaps
from coarseparts.labels.schema import Schema
from coarseparts.labels.uncrop import uncrop
from coarseparts.networks import Backbone, PartModel
from coarseparts.training.fusion import fused, share_of
from coarseparts.training.measure import both_ways
from coarseparts.training.settings import Settings

BATCH = 16
"""Samples that pass through a network together."""


@dataclass
class Trained:
    """Networks in eval() mode, what they were built from, and what they were trained on.

    ``schema``: the names of parts and keypoints. ``styles``: the coarse labels that they were trained with, which
    ``predict_samples`` takes where there is a posterior (``has_posterior``; fine-tuning, for one, trains none).
    ``size`` at which they look, pixels. ``crop`` is the dataset file's. ``shares``: the part model's in the answer to
    labels (``training.fusion``); without them the posterior answers alone. ``flip``: whether the mirror image of
    everything is looked at, too; it is not saved.
    """

    networks: JointModel
    schema: Schema
    settings: Settings
    styles: list[str]
    size: int
    crop: dict[str, Any]
    has_posterior: bool
    shares: dict[str, float] = field(default_factory=dict)
    flip: bool = False


@dataclass(frozen=True)
class Prediction:
    """What a model says of one sample, kept at the size of its crop and brought to the image's own size when asked for.

    ``probability`` (P + 1, S, S) float32 of the background and each part, which sum to 1; of parts that overlap
    (P, S, S), each by itself. ``crop`` (4,) the square of the image that was looked at, ``native`` the image's (width,
    height), pixels; ``maps``: what its parts are.
    """

    probability: np.ndarray
    crop: np.ndarray
    native: tuple[int, int]
    maps: PartMaps

    def part_map(self) -> np.ndarray:
        """(H, W) uint8 part indices; bit fields where parts overlap. Background beyond the crop."""
        return self.maps.most_probable(self.probability, self.crop, self.native)

    def scores(self) -> np.ndarray:
        """(P,) float32: the mean probability of each part where it is predicted, 0 where it is not."""
        return self.maps.scores(self.probability)

    def at_native(self) -> np.ndarray:
        """``probability`` at the image's own size, (P + 1 or P, H, W) float32; certainly background beyond the crop."""
        return self.maps.uncropped(self.probability, self.crop, self.native)


def folded(networks: JointModel) -> JointModel:
    """A copy that computes the same with every batch norm multiplied into the convolution before it.

    ResNets and decoders only: of other backbones it is not known what runs before what.
    """
    networks = copy.deepcopy(networks)
    for network in (networks.part_model, networks.posterior):
        _fold(network.eval())
    return networks


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
    model: Trained, samples: Sequence[Sample], use_labels: bool = True, size: int = BATCH
) -> list[Prediction]:
    """What a model says of samples of any size.

    A sample's ``crop`` is what the network sees; without one, or where it follows from keypoints alone and training
    had others (``_unframed``), a model that was trained on object crops finds the object first in the whole image and
    then, with its keypoints, looks at it again from near. With ``use_labels`` the posterior predicts for samples that
    carry coarse labels; otherwise, and for all others, the part model. ``size``: of batches.
    """
    samples = list(samples)
    able = use_labels and model.has_posterior
    labelled = [able and any(name in sample.labels for name in model.styles) for sample in samples]
    if model.crop.get("to") == "object":
        far = [i for i, sample in enumerate(samples) if sample.crop is None or _unframed(model, sample)]
        bare = [replace(samples[i], labels={}, crop=None) for i in far]
        for i, figure in zip(far, _figures(model, bare, size), strict=True):
            points = samples[i].labels.get("keypoints")
            samples[i] = replace(samples[i], crop=_object(figure, points, float(model.crop.get("margin", 0.1))))
    out: dict[int, Prediction] = {}
    for kind in (True, False):
        rows = [i for i, own in enumerate(labelled) if own == kind]
        out |= dict(zip(rows, _each(model, [samples[i] for i in rows], kind, size), strict=True))
    return [out[i] for i in range(len(samples))]


def _each(model: Trained, samples: list[Sample], labelled: bool, size: int) -> Iterator[Prediction]:
    for chunk, crops, log_y in _forward(model, samples, labelled, size):
        probability = model.networks.y.output_probability(log_y).cpu().numpy()
        for sample, crop, each in zip(chunk, crops, probability, strict=True):
            yield Prediction(each, crop, _native(sample), model.schema.maps)


@torch.no_grad()
def features_of(model: Trained, samples: Sequence[Sample], size: int = BATCH) -> np.ndarray:
    """(N, F) float32 of unit length: the means of the part model's deepest features over what it sees of each sample,
    its ``crop``. ``size``: of batches."""
    found = []
    for start in range(0, len(samples), size):
        bare = [replace(sample, parts=None, labels={}) for sample in samples[start : start + size]]
        batch = _batch(model, [crop_and_resize(sample, model.size, model.schema.maps) for sample in bare])
        found.append(embedded(model, batch.image).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)


def embedded(model: Trained, image: Tensor) -> Tensor:
    """(B, F) of unit length: the means of the part model's deepest features over images (B, 3, S, S), normalised."""
    features = cast(PartModel, model.networks.part_model).encoder(image)[-1].float().mean((2, 3))
    unit: Tensor = features / features.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit


def _figures(model: Trained, samples: list[Sample], size: int) -> Iterator[np.ndarray]:
    """(H, W) where a first look at the whole image sees the object: its parts; where p(ymask|y) is learned, as parts
    do not fill the object, the whole of it."""
    mask = dict(model.networks.styles.items()).get("mask")
    if mask is None or not (model.has_posterior and mask.learned):
        yield from (prediction.part_map() for prediction in _each(model, samples, False, size))
        return
    for chunk, crops, log_y in _forward(model, samples, False, size):
        for sample, crop, figure in zip(chunk, crops, mask.predict(log_y).sigmoid().cpu().numpy(), strict=True):
            yield (uncrop(figure, crop, _native(sample))[0] > 0.5).astype(np.uint8)


def _forward(
    model: Trained, samples: list[Sample], labelled: bool, size: int
) -> Iterator[tuple[list[Sample], list[np.ndarray], Tensor]]:
    """A batch of samples after the other: what was cropped of each, and log_y (B, S, H, W) of the crops."""
    for start in range(0, len(samples), size):
        chunk = samples[start : start + size]
        made = [crop_and_resize(sample, model.size, model.schema.maps) for sample in chunk]
        batch = _batch(model, made)
        yield chunk, [np.asarray(arrays["crop"]) for arrays in made], log_parts(model, batch, labelled)


def log_parts(model: Trained, batch: Batch, labelled: bool) -> Tensor:
    """log_y (B, S, H, W) from the images of a batch, as networks take them, and if ``labelled`` whatever labels each
    has; with ``flip`` the mean probability of the images and of their mirror images."""
    y = model.networks.y

    def one_way(batch: Batch) -> Tensor:
        return _answer(model, batch) if labelled else y.log_probability(model.networks.part_model(batch.image))

    return both_ways(model.networks, model.schema, one_way, batch) if model.flip else one_way(batch)


def _answer(model: Trained, batch: Batch) -> Tensor:
    """From images and labels, with the shares that were fitted for these: of some of the keypoints, as far between
    those without keypoints and with all of them."""
    if not model.shares:
        return model.networks.infer(batch, model.settings.em.condition)
    present = {style: batch.present[style].tolist() for style in model.styles}
    known = (batch.labels["keypoints"][..., 2] >= 0).float().mean(1).tolist() if "keypoints" in present else []
    shares = []
    for i in range(len(batch)):
        styles = [style for style in model.styles if present[style][i]]
        some = known[i] if "keypoints" in styles else 1.0
        without = share_of(model.shares, [style for style in styles if style != "keypoints"])
        shares.append(some * share_of(model.shares, styles) + (1 - some) * without)
    return fused(model.networks, batch, shares, model.settings.em.condition)


def _batch(model: Trained, made: list[dict[str, np.ndarray | None]]) -> Batch:
    """Samples at the model's size as its networks' input."""

    def stacked(name: str) -> np.ndarray | None:
        given = [value for value in (arrays[name] for arrays in made) if value is not None]
        blank = np.zeros_like(given[0]) if given else None
        return None if blank is None else np.stack([blank if a[name] is None else a[name] for a in made])  # type: ignore

    image = stacked("image")
    assert image is not None
    # A mask without a pixel is a label, too, so that it has to be said which sample has one.
    present = {name: np.array([arrays[name] is not None for arrays in made]) for name in STYLES}
    labels: Any = {name: stacked(name) for name in STYLES if model.schema.keypoints or name != "keypoints"}
    store = Store.from_arrays(model.schema, image, present=present, **labels).labels_limited(model.styles)
    device = next(model.networks.part_model.parameters()).device
    batch = to_input(store.batch(range(len(made)), device), model.settings.preprocess)
    batch.image = batch.image.contiguous(memory_format=torch.channels_last)
    return batch


def _native(sample: Sample) -> tuple[int, int]:
    return sample.image.shape[1], sample.image.shape[0]


def _unframed(model: Trained, sample: Sample) -> bool:
    """Whether nothing but keypoints says where a sample's object is, and not as in training: some of them do not say
    where it ends, and of a model that has learned from masks or boxes these framed its images, closer."""
    if sample.labels.keys() != {"keypoints"}:
        return False
    some = bool((sample.labels["keypoints"][:, 2] < 0).any())
    return some or bool({"mask", "box", "part_boxes"} & set(model.styles))


def _object(parts: np.ndarray, keypoints: np.ndarray | None, margin: float) -> np.ndarray | None:
    """The box of a first look's foreground and of the ``keypoints`` (K, 3) that are known, with its margin; None when
    there is hardly any foreground."""
    ys, xs = np.nonzero(parts)
    if len(ys) < 0.002 * parts.size:
        return None
    # Single stray pixels must not stretch the box: the outermost half percent on each side is cut off.
    corners = np.percentile([xs, ys], (0.5, 99.5), axis=1)  # (2, 2): low, high
    known = corners[:0] if keypoints is None else keypoints[keypoints[:, 2] > 0, :2]
    corners[1] += 1
    both = np.concatenate([corners, known])
    low, high = both.min(0), both.max(0)
    more = margin * (high - low)
    return np.concatenate([low - more, high + more]).astype(np.float32)
