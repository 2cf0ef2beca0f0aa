"""From a schema and settings to networks, and a trained model on disk: all that prediction needs."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from coarseparts import em
from coarseparts.claims import look_through, write
from coarseparts.data.dataset_file import STRIDE, Crop, describe
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
from coarseparts.runs import fits, load_all, read_tensors
from coarseparts.system import limits
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.errors import DamagedRun, RunError
from coarseparts.system.text import short

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

    y = parts_of(schema.overlapping, len(schema.parts))

    def label_model(maps: int, full: bool = False) -> LabelModel:
        if settings.label_model == "paper" and not is_resnet(settings.encoder):
            raise ValueError(f"label_model paper is built on a ResNet, not {settings.encoder}; take light")
        return LabelModel(y.states, maps, settings.label_model, settings.encoder, full=full)

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
            return PartBoxes(y, [index - 1 for index in schema.part_flip()[1:]])
        learned = None if y.exclusive else label_model(1, full=True)  # overlapping parts do not fill the object
        return Mask(y, model=learned) if name == "mask" else Box(y, settings.box_corners, settings.sigma, learned)

    unknown = [s for s in styles if s not in STYLES]
    if unknown:
        raise ValueError(f"label styles {unknown} are unknown; there are {list(STYLES)}")
    modules = nn.ModuleDict({name: style(name) for name in styles})
    drawn = sum(s.channels + 1 for s in modules.values() if isinstance(s, LabelStyle))
    part_model = PartModel(encoder(), y.outputs, settings.decoder)

    def one() -> Posterior:
        return Posterior(encoder(), drawn, y.outputs, settings.decoder, settings.label_width)

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
    return em.Networks(part_model, posterior, modules, y)


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
        """Writes model.json and one safetensors file a network, each whole or not at all.

        All of them name what they belong to, so that files of two models are not taken for one.
        """
        text: dict[str, Any] = {
            "format": FORMAT,
            "schema": self.schema.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "styles": self.styles,
            "size": self.size,
            "crop": self.crop,
            "has_posterior": self.has_posterior,
        }
        tensors = {
            name: {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
            for name, module in self._parts().items()
        }
        digest = hashlib.sha256(json.dumps(text).encode())
        for each in tensors.values():
            for tensor in each.values():
                digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
        text["id"] = digest.hexdigest()[:24]
        for name, each in tensors.items():
            if each:
                write(folder / f"{name}.safetensors", save(each, {"model": text["id"]}))
        write(folder / "model.json", json.dumps(text, indent=1))

    def _parts(self) -> dict[str, nn.Module]:
        parts = {"part_model": self.networks.part_model}
        if self.has_posterior:
            parts |= {"posterior": self.networks.posterior, "styles": self.networks.styles}
        return parts

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Model:
        """Reads what ``save`` wrote (a run folder's ``model/``). Raises RunError where there is none, DamagedRun naming
        the file where one is damaged, of another model, or holds no finite numbers."""
        if not folder.is_dir() or not os.path.lexists(folder / "model.json"):
            raise RunError(f"{folder}: holds no trained model; train one with `coarseparts train`")
        look_through(folder)
        file = folder / "model.json"
        try:
            found = load_json(file)
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                there = found.get("format") if isinstance(found, dict) else None
                raise DamagedRun(f"{file}: format {short(there)}, expected {FORMAT}; train again")
            card = _Card.model_validate({key: value for key, value in found.items() if key != "format"})
        except ValidationError as error:
            raise DamagedRun("\n".join(str(p) for p in describe(error, str(file), _Card))) from error
        except (DocumentError, OSError) as error:
            if limits.is_machines(error):
                raise
            said = error.strerror if isinstance(error, OSError) else error
            raise DamagedRun(f"{file}: cannot be read ({said}); train again") from error
        precision = fastest(device) if card.settings.precision == "bfloat16" else "float32"
        able = card.settings.model_copy(update={"precision": precision})
        try:
            shapes = cls._of(_shapes(card.schema_, able, card.styles), card)._parts()
            names = [name for name, module in shapes.items() if module.state_dict()]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DamagedRun(f"{file}: is damaged ({_brief(error)}); train again") from error
        weights = {name: _weights(folder / f"{name}.safetensors", card.id) for name in names}
        try:
            fits({name: shapes[name] for name in names}, weights)
            model = cls._of(build(card.schema_, able, card.styles, weights=False), card)
            load_all({name: model._parts()[name] for name in names}, weights)
        except ValueError as error:
            raise DamagedRun(f"{file}: does not fit the weights beside it ({_brief(error)}); train again") from error
        for module in model._parts().values():
            module.eval().to(device)
        return model

    @classmethod
    def _of(cls, networks: em.Networks, card: _Card) -> Model:
        rest = card.styles, card.size, card.crop.model_dump(), card.has_posterior
        return cls(networks, card.schema_, card.settings, *rest)


class _Card(BaseModel):
    """What model.json says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    schema_: Schema = Field(alias="schema")
    settings: Settings
    styles: list[str]
    size: int = Field(ge=STRIDE, le=4096, multiple_of=STRIDE)
    crop: Crop
    has_posterior: bool
    id: str = ""  # those of earlier versions have none


def _shapes(schema: Schema, settings: Settings, styles: list[str]) -> em.Networks:
    """Networks whose weights have shapes and no values: whatever sizes a file asks for, they cost nothing."""
    try:
        with torch.device("meta"):
            return build(schema, settings, styles, weights=False)
    except NotImplementedError:  # some of timm's backbones look at values while they are made
        return build(schema, settings, styles, weights=False)


def _weights(file: Path, model: str) -> dict[str, Tensor]:
    try:
        tensors, said = read_tensors(file)
        if said.get("model", model) != model:
            raise ValueError("it is of another model than model.json")
        return tensors
    except Exception as error:
        if limits.is_machines(error):
            raise
        raise DamagedRun(f"{file}: cannot be read ({_brief(error)}); train again") from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


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
