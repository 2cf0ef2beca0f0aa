"""From a schema and settings to networks, and a trained model on disk: all that prediction needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coarseparts import em
from coarseparts.data.schema import Schema
from coarseparts.labels import STYLES, Box, Keypoints, LabelStyle, Mask, PartBoxes, parts_of
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
)
from coarseparts.networks.decoder import PaperDecoder, SkipDecoder
from coarseparts.networks.encoder import is_resnet, read_weights
from coarseparts.presets import Settings
from coarseparts.runs import RunError, write

FORMAT = 1

RARE = -2.5
"""Logit at which parts that may overlap begin: each is a small part of the image. From 0, a probability of one half,
the first hundreds of steps go into unlearning them everywhere."""


def resolve(settings: Settings, device: str) -> Settings:
    """The settings with every "auto" decided: a small encoder on a CPU, the paper's on a GPU, the file's if given.

    Raises ValueError when a weights file cannot be read or fits no encoder.
    """
    name, stages = settings.encoder, settings.stages
    file = settings.weights not in ("random", "imagenet")
    if name == "auto":
        if file:
            name = _encoder_of(Path(settings.weights))
        elif device == "cpu":
            name = "resnet18" if settings.weights == "imagenet" else "resnet10"
        else:
            name = "resnet34"
    if stages == 0:
        stages = 3 if name == "resnet10" else 4
        if file and is_resnet(name):
            missing = Encoder(name, weights=settings.weights).missing
            stages = 3 if any(n.startswith("layer4") for n in missing) else 4
    precision = fastest(device) if settings.precision == "auto" else settings.precision
    return settings.model_copy(update={"encoder": name, "stages": stages, "precision": precision})


def _encoder_of(path: Path) -> str:
    names = read_weights(path)
    if "layer1.0.conv3.weight" in names:
        return "resnet50"
    return "resnet34" if "layer1.2.conv1.weight" in names else "resnet18"


def build(schema: Schema, settings: Settings, styles: list[str], weights: bool = True) -> em.Networks:
    """Part model, posterior and label styles for ``schema``; ``weights`` False leaves the encoders random.

    ``settings`` must be resolved. ``styles`` are the coarse labels that the posterior sees, in this order.
    """

    def encoder() -> Encoder | Backbone:
        source = settings.weights if weights else "random"
        return build_encoder(settings.encoder, source, settings.stages, settings.dilate)

    y = parts_of(schema.overlapping)
    outputs, states = y.outputs(len(schema.parts)), y.states(len(schema.parts))

    def label_model(maps: int, full: bool = False) -> LabelModel:
        if settings.label_model == "paper" and not is_resnet(settings.encoder):
            raise ValueError(f"label_model paper is built on a ResNet, not {settings.encoder}; take light")
        return LabelModel(states, maps, settings.label_model, settings.encoder, full=full)

    def style(name: str) -> LabelStyle:
        if name == "keypoints":
            network = label_model(len(schema.keypoints))
            return Keypoints(
                len(schema.keypoints),
                network,
                schema.keypoint_flip(),
                settings.sigma,
                network.stride,
                settings.distance,
            )
        if name == "part_boxes":
            return PartBoxes([index - 1 for index in schema.part_flip()[1:]])
        learned = label_model(1, full=True) if schema.overlapping else None  # overlapping parts do not fill the object
        return Mask(model=learned) if name == "mask" else Box(settings.box_corners, settings.sigma, learned)

    unknown = [s for s in styles if s not in STYLES]
    if unknown:
        raise ValueError(f"label styles {unknown} are unknown; there are {list(STYLES)}")
    modules = nn.ModuleDict({name: style(name) for name in styles})
    drawn = sum(s.channels + 1 for s in modules.values() if isinstance(s, LabelStyle))
    part_model = PartModel(encoder(), outputs, settings.decoder)

    def one() -> Posterior:
        return Posterior(encoder(), drawn, outputs, settings.decoder, settings.label_width)

    separate = settings.posteriors == "separate" and styles
    posterior = SeparatePosteriors(len(styles), one) if separate else one()
    if schema.overlapping:
        for decoder in (part_model.decoder, *(member.decoder for member in members(posterior))):
            nn.init.constant_(cast(Tensor, cast(nn.Conv2d, decoder.head).bias), RARE)
    part_model.precision = settings.precision
    for member in members(posterior):
        member.precision = settings.precision
    if settings.label_model == "paper":
        for module in modules.modules():
            if isinstance(module, LabelModel):
                module.precision = settings.precision
    for network in (part_model, posterior, modules):
        network.to(memory_format=torch.channels_last)
    return em.Networks(part_model, posterior, modules, states, y)


@dataclass
class Model:
    """A trained model: networks in eval() mode, what they were built from, and what it was trained on.

    ``kind`` "part" was trained without a posterior (fine-tuning), "full" has one. ``crop`` is the dataset file's.
    """

    networks: em.Networks
    schema: Schema
    settings: Settings
    styles: list[str]
    size: int
    crop: dict[str, Any]
    has_posterior: bool

    def save(self, folder: Path) -> None:
        """Writes model.json and one safetensors file a network, each whole or not at all."""
        for name, module in self._parts().items():
            tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
            if tensors:
                write(folder / f"{name}.safetensors", save(tensors))
        text = {
            "format": FORMAT,
            "schema": self.schema.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "styles": self.styles,
            "size": self.size,
            "crop": self.crop,
            "has_posterior": self.has_posterior,
        }
        write(folder / "model.json", json.dumps(text, indent=1))

    def _parts(self) -> dict[str, nn.Module]:
        parts = {"part_model": self.networks.part_model}
        if self.has_posterior:
            parts |= {"posterior": self.networks.posterior, "styles": self.networks.styles}
        return parts

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Model:
        """Reads what ``save`` wrote (a run folder's ``model/``). Raises RunError when it is missing or damaged."""
        try:
            found = json.loads((folder / "model.json").read_text())
        except FileNotFoundError:
            raise RunError(f"{folder}: holds no trained model; train one with `coarseparts train`") from None
        except (ValueError, OSError) as error:
            raise RunError(f"{folder}/model.json: cannot be read ({error}); train again") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            there = found.get("format") if isinstance(found, dict) else None
            raise RunError(f"{folder}/model.json: format {there}, expected {FORMAT}; train again")
        try:
            schema, settings = Schema(**found["schema"]), Settings(**found["settings"])
            precision = fastest(device) if settings.precision == "bfloat16" else "float32"
            able = settings.model_copy(update={"precision": precision})
            networks = build(schema, able, found["styles"], weights=False)
            rest = found["styles"], int(found["size"]), dict(found["crop"]), bool(found["has_posterior"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{folder}/model.json: is damaged ({error}); train again") from error
        model = cls(networks, schema, settings, *rest)
        for name, module in model._parts().items():
            if module.state_dict():
                try:
                    module.load_state_dict(load_file(folder / f"{name}.safetensors"))
                except Exception as error:
                    raise RunError(f"{folder}/{name}.safetensors: cannot be read ({error}); train again") from error
            module.eval().to(device)
        return model


def keypoint_decoder(network: PartModel, schema: Schema, settings: Settings) -> tuple[nn.Module, Keypoints]:
    """MultiTask's second decoder on ``network``'s encoder, and what its maps mean: keypoints without a model."""
    stride = 1 if settings.decoder == "paper" else 4
    decoder = _decoder(network, len(schema.keypoints), settings, full=False)
    flip = schema.keypoint_flip()
    return decoder, Keypoints(len(schema.keypoints), nn.Identity(), flip, settings.sigma, stride, settings.distance)


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
