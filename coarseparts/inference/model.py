"""A trained model: saved, loaded, and asked for the parts of photographs. Everything on disk is untrusted."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, overload

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from coarseparts.data.dataset_file import STRIDE, describe
from coarseparts.data.source_keys import Crop
from coarseparts.data.source_paths import kind
from coarseparts.inference.arguments import Box, Keypoints, Mask, PartBoxes, Photograph, each_of, sample_of
from coarseparts.inference.parts import Parts
from coarseparts.inference.predict import Trained, folded, predict_samples
from coarseparts.joint import JointModel
from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.networks import fastest
from coarseparts.system import limits
from coarseparts.system.device import resolve
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.errors import DamagedRun, RunError, WrongArgument
from coarseparts.system.files import path_of
from coarseparts.system.text import abridged, listed, reason, short, strangers
from coarseparts.training import fusion
from coarseparts.training.checkpoints import digest_of, fits, load_all, read_tensors, tensor_file
from coarseparts.training.claims import look_through, write
from coarseparts.training.networks import build
from coarseparts.training.settings import Settings
from coarseparts.training.task import Task

FORMAT = 2

MODEL_TYPE, HUB_CONFIG, HUB_WEIGHTS = "coarseparts", "config.json", "model.safetensors"
"""Of a folder as hubs of models have them: all weights are in one file, each under "network.name"."""

_BUILDING = threading.Lock()
"""One model at a time is built: what that draws of torch's random numbers is put back afterwards."""


def load(path: str | os.PathLike[str], device: str = "auto", flip: bool | None = None) -> Model:
    """The trained model of a run folder, of its ``model/`` folder alone, or of what ``export --to hub-folder`` wrote.

    ``device``: "cpu", "cuda", "cuda:1", or "auto", a GPU where torch sees one. ``flip``: whether it looks at the mirror
    image of everything, too, and says the mean, which takes twice the time; None: as its training was measured.

    Nothing that lies there can run code. Raises RunError where there is no model, DamagedRun naming the file where one
    is damaged, WrongArgument.

        model = coarseparts.load("runs/ants")
    """
    folder, where = path_of("path", path), resolve(device)
    try:
        if kind(folder) == "file":
            raise RunError(f"{folder}: is a file, expected a run folder; name the folder that `train --out` wrote")
        model = Model.load(folder / "model" if kind(folder / "model") == "folder" else folder, where)
        return replace(model, flip=model.settings.looks_twice if flip is None else flip)
    except OSError as error:
        remedy = "give yourself permission to read it"
        raise RunError(f"{error.filename or folder}: cannot be read: {error.strerror}; {remedy}") from error


class Model(Trained):
    """A trained model: saved, loaded, and asked for the parts of photographs."""

    def __repr__(self) -> str:
        labels = listed(self.styles) if self.has_posterior else "no labels"
        return f"<Model of {listed(map(abridged, self.schema.parts))}; takes {labels}>"

    @overload
    def predict(  # type: ignore[overload-overlap]  # a path that is a text is a sequence, too; it is meant here
        self,
        image: Photograph,
        *,
        keypoints: Keypoints | None = None,
        mask: Mask | None = None,
        box: Box | None = None,
        part_boxes: PartBoxes | None = None,
        **others: Any,
    ) -> Parts: ...

    @overload
    def predict(
        self,
        image: Sequence[Photograph],
        *,
        keypoints: Sequence[Keypoints | None] | None = None,
        mask: Sequence[Mask | None] | None = None,
        box: Sequence[Box | None] | None = None,
        part_boxes: Sequence[PartBoxes | None] | None = None,
        **others: Any,
    ) -> list[Parts]: ...

    def predict(
        self,
        image: Any,
        *,
        keypoints: Any = None,
        mask: Any = None,
        box: Any = None,
        part_boxes: Any = None,
        **others: Any,
    ) -> Parts | list[Parts]:
        """The parts of a photograph, or of each of a list, from the image and whatever labels of its object there are.

        ``image``: a path, a PIL image or (H, W, 3) uint8 RGB; an EXIF rotation is applied, and labels are those of the
        upright image, in pixels, x to the right and y down, the centre of the first pixel at (0.5, 0.5).
        ``keypoints``: {name: (x, y)} or {name: (x, y, v)} with v 2 visible, 1 hidden, 0 known not to be seen; those not
        named are unknown. ``mask``: the object, as a path, a PIL image, (H, W) bool or uint8 (0..255 soft). ``box``:
        (x0, y0, x1, y1) around it. ``part_boxes``: {part: box}; parts not named cannot be seen. ``others``: labels of
        other styles (``labels.STYLES``) by their names; what each may be is told by its class's ``argument``, e.g.
        ``scribbles={part or "background": [[(x, y), ...], ...]}``. Any of them, or none, may be there; of a list of
        images each is a list, with None where an image has none.

        The result is what ``coarseparts predict`` writes for the same image and labels. Raises WrongArgument for what
        does not fit, BadInput for files that cannot be read. May be called from several threads at once.

            parts = model.predict("photo.jpg", keypoints={"head_front": (412, 233)})
            parts.index          # (H, W) uint8, 0 = background
        """
        if unknown := [f"{name} is no label style; {remedy}" for name, remedy in strangers(others, STYLES)]:
            raise WrongArgument("\n".join(unknown))
        given = {"keypoints": keypoints, "mask": mask, "box": box, "part_boxes": part_boxes, **others}
        usable, crop = self.styles if self.has_posterior else [], Crop(**self.crop)
        read = [sample_of(self.schema, crop, usable, *each) for each in each_of(image, given)]
        predicted = predict_samples(self.fast, [sample for sample, _ in read])
        several = [
            Parts(prediction, self.schema, sample.image, notes)
            for prediction, (sample, notes) in zip(predicted, read, strict=True)
        ]
        return several if isinstance(image, list | tuple) else several[0]

    @cached_property
    def fast(self) -> Model:
        """A copy that computes the same, to the last bits, in less time; made once."""
        return replace(self, networks=folded(self.networks))

    def save(self, folder: Path) -> None:
        """Writes model.json and one safetensors file a network, each whole or not at all.

        All of them name what they belong to, so that files of two models are not taken for one.
        """
        text, tensors = self.content()
        for name, each in tensors.items():
            if each:
                write(folder / f"{name}.safetensors", tensor_file(each, {"model": text["id"]}))
        write(folder / "model.json", json.dumps(text, indent=1))

    def content(self) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        """What ``save`` writes: model.json's content, whose "id" names the model, and the weights by network."""
        text: dict[str, Any] = {
            "format": FORMAT,
            "schema": self.schema.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "styles": self.styles,
            "size": self.size,
            "crop": self.crop,
            "has_posterior": self.has_posterior,
            "shares": self.shares,
        }
        tensors = {
            name: {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
            for name, module in self._parts().items()
        }
        return {**text, "id": _id_of(text, tensors)}, tensors

    @classmethod
    def of(cls, task: Task, joint: JointModel, has_posterior: bool) -> Model:
        """Networks that a task has trained, with all that prediction needs."""
        shares = fusion.fit_on(task, joint) if has_posterior else {}
        return cls(joint, task.schema, task.settings, task.styles, task.size, task.crop, has_posterior, shares)

    def _parts(self) -> dict[str, nn.Module]:
        parts = {"part_model": self.networks.part_model}
        if self.has_posterior:
            parts |= {"posterior": self.networks.posterior, "styles": self.networks.theta_k}
        return parts

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Model:
        """Reads what ``save`` wrote (a run folder's ``model/``), or ``export --to hub-folder``. Raises RunError where
        there is none, DamagedRun naming the file where one is damaged, of another model, or holds no finite numbers."""
        file = folder / "model.json"
        if whole := not os.path.lexists(file) and os.path.lexists(folder / HUB_CONFIG):
            file = folder / HUB_CONFIG
        if not folder.is_dir() or not os.path.lexists(file):
            raise RunError(f"{folder}: holds no trained model; {_where_else(folder)}")
        look_through(folder)
        try:
            found = load_json(file)
            if whole and isinstance(found, dict) and (of := found.pop("model_type", None)) != MODEL_TYPE:
                raise DamagedRun(f"{file}: model_type {short(of)}, expected {MODEL_TYPE}; name a model of this program")
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                version = found.get("format") if isinstance(found, dict) else None
                raise DamagedRun(f"{file}: format {short(version)}, expected {FORMAT}; train again")
            card = _Card.model_validate({key: value for key, value in found.items() if key != "format"})
        except ValidationError as error:
            raise DamagedRun("\n".join(str(p) for p in describe(error, str(file), _Card))) from error
        except (DocumentError, OSError) as error:
            if limits.is_machines(error):
                raise
            why = error.strerror if isinstance(error, OSError) else error
            raise DamagedRun(f"{file}: cannot be read ({why}); train again") from error
        precision = fastest(device) if card.settings.precision == "bfloat16" else "float32"
        able = card.settings.model_copy(update={"precision": precision})
        try:
            shapes = cls._of(_shapes(card.schema_, able, card.styles), card)._parts()
            names = [name for name, module in shapes.items() if module.state_dict()]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DamagedRun(f"{file}: is damaged ({reason(error)}); train again") from error
        weights = _in_one_file(folder, names, card.id) if whole else _in_files(folder, names, card.id)
        try:
            fits({name: shapes[name] for name in names}, weights)
            with _BUILDING, torch.random.fork_rng(devices=[]):
                networks = build(card.schema_, able, card.styles, weights=False)
            model = cls._of(networks, card)
            load_all({name: model._parts()[name] for name in names}, weights)
        except ValueError as error:
            raise DamagedRun(f"{file}: does not fit the weights beside it ({reason(error)}); train again") from error
        if card.id and card.id != _id_of({key: value for key, value in found.items() if key != "id"}, weights):
            raise DamagedRun(f"{file}: is not what was written with the weights beside it; train again")
        for module in model._parts().values():
            module.eval().to(device)
        return model

    @classmethod
    def _of(cls, networks: JointModel, card: _Card) -> Model:
        rest = card.styles, card.size, card.crop.model_dump(), card.has_posterior, card.shares
        return cls(networks, card.schema_, card.settings, *rest)


def _where_else(folder: Path) -> str:
    """What to do where a folder holds no model: name a run below it, go on with one that has not come to its end."""
    found = sorted(path.parent.parent for path in folder.glob("*/model/model.json")) if folder.is_dir() else []
    if found:
        return f"name one of {listed(map(str, found), 4)}"
    if any(folder.glob("stages/*/state.pt")):
        return "its training has not come to its end: the same `coarseparts train` again goes on"
    return "train one with `coarseparts train`"


class _Card(BaseModel):
    """What model.json says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    schema_: Schema = Field(alias="schema")
    settings: Settings
    styles: list[str]
    size: int = Field(ge=STRIDE, le=4096, multiple_of=STRIDE)
    crop: Crop
    has_posterior: bool
    shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    id: str = ""  # those of earlier versions have none


def _shapes(schema: Schema, settings: Settings, styles: list[str]) -> JointModel:
    """Networks whose weights have shapes and no values: whatever sizes a file asks for, they cost nothing."""
    try:
        with torch.device("meta"):
            return build(schema, settings, styles, weights=False)
    except NotImplementedError:  # some of timm's backbones look at values while they are made
        return build(schema, settings, styles, weights=False)


def _in_files(folder: Path, names: Sequence[str], model: str) -> dict[str, dict[str, Tensor]]:
    return {name: _weights(folder / f"{name}.safetensors", model) for name in names}


def _in_one_file(folder: Path, names: Sequence[str], model: str) -> dict[str, dict[str, Tensor]]:
    tensors = _weights(folder / HUB_WEIGHTS, model)
    return {
        name: {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
        for name in names
    }


def _weights(file: Path, model: str) -> dict[str, Tensor]:
    try:
        tensors, about = read_tensors(file)
        if about.get("model", model) != model:
            raise ValueError("it is of another model than model.json")
        return tensors
    except Exception as error:
        if limits.is_machines(error):
            raise
        raise DamagedRun(f"{file}: cannot be read ({reason(error)}); train again") from error


def _id_of(text: dict[str, Any], weights: Mapping[str, Mapping[str, Tensor]]) -> str:
    """What names a model: a digest of what its model.json says, but for this, and of its weights."""
    digests = [digest_of(weights[name]) for name in sorted(weights) if weights[name]]
    return hashlib.sha256("".join([json.dumps(text), *digests]).encode()).hexdigest()[:24]
