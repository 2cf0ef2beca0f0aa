"""From a schema and settings to networks and their optimizers."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from coarseparts.joint import JointModel
from coarseparts.labels import STYLES, Keypoints, parts_of
from coarseparts.labels.schema import Schema
from coarseparts.networks import (
    Backbone,
    Encoder,
    LabelModel,
    PartModel,
    Posterior,
    SeparatePosteriors,
    build_encoder,
    fastest,
    members,
    rate_factors,
)
from coarseparts.networks.decoder import PaperDecoder, SkipDecoder
from coarseparts.networks.encoder import is_resnet, read_weights, refuse_unknown
from coarseparts.training.settings import Settings

RARE = -2.5
"""Logit at which parts that may overlap begin: each is a small part of the image. From 0, a probability of one half,
the first hundreds of steps go into unlearning them everywhere."""


def resolve(settings: Settings, device: str) -> Settings:
    """The settings with every "auto" decided: a small encoder on a CPU, the paper's on a GPU, the file's if given.

    Raises ValueError when the encoder is unknown, or a weights file cannot be read or fits no encoder.
    """
    name = settings.encoder
    file = settings.weights not in ("random", "imagenet")
    if name == "auto":
        if file:
            name = _encoder_of(Path(settings.weights))
        elif device == "cpu":
            name = "resnet18" if settings.weights == "imagenet" else "resnet10"
        else:
            name = "resnet34"
    else:
        refuse_unknown(name)
    if file and is_resnet(name):
        Encoder(name, weights=settings.weights)  # what is wrong with the file is told now, before images are read
    precision = fastest(device) if settings.precision == "auto" else settings.precision
    return settings.model_copy(update={"encoder": name, "precision": precision})


def _encoder_of(path: Path) -> str:
    names = read_weights(path)
    if "layer1.0.conv3.weight" in names:
        return "resnet50"
    return "resnet34" if "layer1.2.conv1.weight" in names else "resnet18"


def build(schema: Schema, settings: Settings, names: list[str], weights: bool = True) -> JointModel:
    """Part model, posterior and label styles for ``schema``; ``weights`` False leaves the encoders random.

    ``settings`` must be resolved. ``names``: the coarse labels that the posterior sees, in this order.
    """

    def encoder() -> Encoder | Backbone:
        source = settings.weights if weights else "random"
        return build_encoder(settings.encoder, source, settings.stages, settings.dilate)

    y = parts_of(schema.overlapping, len(schema.parts))

    def label_network(maps: int, full: bool) -> LabelModel:
        if settings.label_model == "paper" and not is_resnet(settings.encoder):
            raise ValueError(f"label_model paper is built on a ResNet, not {settings.encoder}; take light")
        return LabelModel(y.states, maps, settings.label_model, settings.encoder, full=full)

    unknown = [s for s in names if s not in STYLES]
    if unknown:
        raise ValueError(f"label styles {unknown} are unknown; there are {list(STYLES)}")
    styles = {name: STYLES[name].of(schema, y, settings, label_network) for name in names}
    drawn = sum(style.channels + 1 for style in styles.values())
    part_model = PartModel(encoder(), y.outputs, settings.decoder)

    def one() -> Posterior:
        return Posterior(encoder(), drawn, y.outputs, settings.decoder, settings.label_width)

    separate = settings.posteriors == "separate" and styles
    posterior = SeparatePosteriors(len(styles), one) if separate else one()
    if schema.overlapping:
        for decoder in (part_model.decoder, *(member.decoder for member in members(posterior))):
            nn.init.constant_(cast(Tensor, cast(nn.Conv2d, decoder.head).bias), RARE)
    parts_networks: list[PartModel | Posterior] = [part_model, *members(posterior)]
    for each in parts_networks:
        each.precision, each.zoom = settings.precision, settings.zoom
    if settings.label_model == "paper":
        for style in styles.values():
            if isinstance(style.model, LabelModel):
                style.model.precision = settings.precision
    joint = JointModel(
        part_model,
        posterior,
        styles,
        y,
        infer_missing=settings.posteriors == "inferred",
        match_labels=settings.match_labels,
    )
    for network in joint.trained:
        network.to(memory_format=torch.channels_last)
    return joint


def keypoint_decoder(network: PartModel, schema: Schema, settings: Settings) -> tuple[nn.Module, Keypoints]:
    """MultiTask's second decoder on ``network``'s encoder, and what its maps mean: keypoints without a model."""
    stride = 1 if settings.decoder == "paper" else 4
    decoder = _decoder(network, len(schema.keypoints), settings, full=False)
    return decoder, Keypoints(len(schema.keypoints), nn.Identity(), settings.sigma, stride, settings.distance)


def mask_decoder(network: PartModel, settings: Settings) -> nn.Module:
    """MultiTask's decoder for the figure-ground mask, where the parts do not fill it."""
    return _decoder(network, 1, settings, full=True)


def _decoder(network: PartModel, outputs: int, settings: Settings, full: bool) -> nn.Module:
    decoder: nn.Module
    if settings.decoder == "paper":
        decoder = PaperDecoder(network.encoder.widths, outputs)
    else:
        decoder = SkipDecoder(network.encoder.widths, outputs, stride=4, full=full)
    return decoder.to(memory_format=torch.channels_last)


def optimizer_of(s: Settings, groups: list[tuple[nn.Module, float]], encoders: bool = True) -> torch.optim.Optimizer:
    """An optimizer over (module, base rate) pairs; ``encoders``: whether the settings' factors for image encoders and
    for networks that start random hold here."""
    factor = s.random_start_factor if encoders and s.weights == "random" else 1.0
    params = []
    for module, lr in groups:
        scaled = rate_factors(module, s.encoder_factor) if encoders else {}
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in module.parameters():
            if parameter.requires_grad:
                by_factor.setdefault(scaled.get(parameter, 1.0), []).append(parameter)
        params += [{"params": found, "lr": factor * own * lr} for own, found in by_factor.items()]
    if s.optimizer == "sgd":
        on_gpu = all(parameter.is_cuda for module, _ in groups for parameter in module.parameters())
        return torch.optim.SGD(params, lr=1e-3, momentum=0.9, weight_decay=s.weight_decay, fused=on_gpu)
    kind = torch.optim.AdamW if s.optimizer == "adamw" else torch.optim.Adam
    return kind(params, lr=1e-3, weight_decay=s.weight_decay, fused=True)
