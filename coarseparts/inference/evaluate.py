"""How good a trained model is on part-labelled images: IoU of its parts, PCK of its keypoints."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from coarseparts.data.batches import Feed
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import DatasetFile, load_dataset_file
from coarseparts.data.records import Record, read_contents
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.evaluation.iou import summary
from coarseparts.evaluation.pck import pck
from coarseparts.inference.model import Model, load
from coarseparts.inference.predict import log_parts
from coarseparts.labels import Keypoints, Parts
from coarseparts.labels.keypoints import peaks
from coarseparts.labels.schema import IGNORE
from coarseparts.system.errors import RunError, WrongArgument
from coarseparts.system.files import path_of
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import listed, short, strangers
from coarseparts.training.claims import look_through, read_config
from coarseparts.training.fusion import only


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on ``images`` part-labelled images, in percent; nan where nothing shows it.

    ``part_miou``: mean over the parts of their IoU, each pooled over the images; ``ci95``: its 95 % bootstrap interval
    over the images; ``miou``: with the background; ``iou``: by part. ``pck``: keypoints within 10 % of the object's
    longer side, "from_parts" (the true ones), "from_image" (the predicted parts), and the number of "points"; None
    where model or images have no keypoints. ``problems``: what is noteworthy about the images.
    """

    images: int
    part_miou: float
    miou: float
    iou: dict[str, float]
    ci95: tuple[float, float]
    pck: dict[str, float] | None
    problems: list[Problem] = field(default_factory=list, repr=False)

    def measures(self) -> dict[str, Any]:
        """The numbers alone, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "problems"}


def evaluate(
    run: str | os.PathLike[str],
    split: Literal["train", "val", "test"] = "val",
    data: str | os.PathLike[str] | None = None,
    model: Literal["part", "posterior"] = "part",
    *,
    labels: Sequence[str] | None = None,
    flip: bool | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measures the trained model of a run folder on the part-labelled images of a split, at the training size.

    ``data``: another dataset file than the one that it was trained on. ``model``: "part" sees the image alone,
    "posterior" its coarse labels, too: those of the styles ``labels``, by default all that there are; with none of them
    it is the part model that answers. ``flip`` and ``device`` as of ``load``. ``skip_bad``: images that cannot be used
    are left out; otherwise they raise. ``progress(done, total)`` is called after each image that is read. Nothing is
    kept on disk. Raises WrongArgument; BadInput naming what is wrong with the data, or where there is nothing to
    measure on; RunError, DamagedRun where the run folder cannot be used or its model has no posterior.

        result = coarseparts.evaluate("runs/ants", split="test")
        print(f"{result.part_miou:.1f} %", result.iou["head"])
    """
    for argument, value, known in (("split", split, ("train", "val", "test")), ("model", model, ("part", "posterior"))):
        if value not in known:
            raise WrongArgument(f"{argument}: is {short(value)}; choose one of {', '.join(known)}")
    if isinstance(labels, str):
        raise WrongArgument(f"labels: is {short(labels)}, expected a list of label styles")
    if labels and model == "part":
        raise WrongArgument(f"labels: {listed(labels)}, and the part model sees none; take model posterior")
    folder = path_of("run", run)
    if folder.is_dir():
        look_through(folder)
    trained = load(folder, device, flip)
    file = dataset_of(folder) if data is None else path_of("data", data)
    store, problems = split_of(trained, file, split, skip_bad, progress)
    if wrong := [
        f"labels: {name} is no label of this model; {near}" for name, near in strangers(labels or (), trained.styles)
    ]:
        raise WrongArgument("\n".join(wrong))
    used = trained.styles if labels is None else [style for style in trained.styles if style in labels]
    measured = evaluate_store(trained, store, split, model, used)
    rows = store.rows(split, has="parts")
    bare = sum(not any(store.present[style][row] for style in used) for row in rows)
    if model == "posterior" and bare:
        lacks = "no coarse label" if labels is None else f"no {' or '.join(used)}"
        message = f"{bare} of {measured['images']} images have {lacks}" if used else "no coarse label was asked for"
        message += ", and the posterior sees the image alone"
        problems.append(Problem(str(file), message, "", "note"))
    return Evaluation(**measured | {"ci95": tuple(measured["ci95"])}, problems=problems)


def dataset_of(run: Path) -> Path:
    """The dataset file that a run was trained on. Raises BadInput where the run does not say it."""
    config = run / "config.yaml"
    named = read_config(config).get("data") if config.is_file() else None
    if not isinstance(named, str):
        message = "does not say which data it was trained on"
        raise BadInput(Problem(str(run), message, "name a dataset file as data (--data)"))
    return Path(named)


def split_of(
    trained: Model,
    data: Path,
    split: str,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Store, list[Problem]]:
    """The images of a ``split`` of a dataset file as the model was trained to see them, and what is noteworthy about
    them. Raises BadInput where the file's parts are others than the model's, or it has no such split."""
    dataset = _as_learned(trained, data, split)
    with tempfile.TemporaryDirectory() as scratch:
        store, problems = build_store(dataset, Path(scratch), skip_bad, progress)
        return store.in_memory(), problems


def records_of(trained: Model, data: Path, split: str) -> list[Record]:
    """The same images, not yet decoded: what is wrong with one is found by ``Record.load``. Raises BadInput as
    ``split_of`` does."""
    return read_contents(_as_learned(trained, data, split)).records


def _as_learned(trained: Model, data: Path, split: str) -> DatasetFile:
    """A dataset file's sources of a ``split`` with the names that a model has learned."""
    dataset = load_dataset_file(data)
    if dataset.parts != trained.schema.parts:
        expected = f"has the parts {list(dataset.parts)}, the model {list(trained.schema.parts)}"
        raise BadInput(Problem(str(data), expected, "use a dataset file with the same parts in the same order"))
    if dataset.overlapping != trained.schema.overlapping:
        expected = f"overlapping is {dataset.overlapping}, of the model {trained.schema.overlapping}".lower()
        raise BadInput(Problem(str(data), expected, "use a dataset file whose parts are labelled as the model's were"))
    same = {
        "keypoints": trained.schema.keypoints or None,
        "mirror": trained.schema.mirror,
        "keypoint_mirror": trained.schema.keypoint_mirror,
        "size": trained.size,
        "sources": tuple(s for s in dataset.sources if s.split == split),
    }
    if not same["sources"]:
        there = ", ".join(dict.fromkeys(s.split for s in dataset.sources))
        raise BadInput(Problem(str(data), f"has no source with split: {split}, only {there}", "choose another split"))
    return dataset.model_copy(update=same)


@torch.no_grad()
def evaluate_store(
    model: Model, store: Store, split: str, kind: str = "part", styles: Sequence[str] | None = None
) -> dict[str, Any]:
    """Measures of ``evaluation.iou.summary`` on a store's part-labelled images of one split, and "pck".

    ``kind`` "part" sees the image alone, "posterior" the coarse labels of ``styles`` too (all of the model's by
    default), and answers as ``predict`` does. "pck": percentage of visible keypoints
    that the keypoint model p(ykp|y) puts within 10 % of the object's longer side, ``from_parts`` (the true ones) and
    ``from_image`` (the parts that this model predicts), with the number of ``points``; None without such a model or
    such labels. Raises BadInput when there is nothing to measure on, RunError when the model has no posterior.
    """
    if kind == "posterior" and not model.has_posterior:
        raise RunError("this model has no posterior (em and distillation train one); take model part")
    store = store.labels_limited(model.styles)
    rows = store.rows(split, has="parts")
    if not len(rows):
        raise BadInput(Problem(split, "has no image with part masks to measure on", "choose another split"))
    device = str(next(model.networks.part_model.parameters()).device)
    style = dict(model.networks.styles.items()).get("keypoints") if model.has_posterior else None
    y = model.networks.y
    counts, points = [], _Points(y)
    for module in model.networks.trained:
        module.eval()
    feed = Feed(store, rows, 32, 0, 0, device, preprocess=model.settings.preprocess)
    for batch in feed.plain():
        log_y = log_parts(model, batch if styles is None else only(batch, styles), kind == "posterior")
        counts.append(model.schema.maps.confusion(y.mode(log_y), batch.parts))
        if isinstance(style, Keypoints) and store.schema.keypoints == model.schema.keypoints:
            points.add(batch, style, log_y)
    return summary(np.concatenate(counts), model.schema.parts) | {"pck": points.measured()}


class _Points:
    """Keypoints found from true and from predicted parts, beside the labelled ones."""

    def __init__(self, y: Parts) -> None:
        self.y = y
        self.found: dict[str, list[Tensor]] = {"from_parts": [], "from_image": []}
        self.target: list[Tensor] = []
        self.size: list[Tensor] = []

    def add(self, batch: Batch, style: Keypoints, log_y: Tensor) -> None:
        there = batch.present["keypoints"] & self._inside(batch).flatten(1).any(1)
        if not there.any():
            return
        true = self.y.log_certain(batch.parts, log_y)
        for name, parts in (("from_parts", true), ("from_image", log_y)):
            self.found[name].append(peaks(style.heat(style.predict(parts[there])), style.stride))
        self.target.append(batch.labels["keypoints"][there])
        inside = self._inside(batch)[there]
        self.size.append(torch.maximum(inside.any(1).sum(1), inside.any(2).sum(1)))

    @staticmethod
    def _inside(batch: Batch) -> Tensor:
        return (batch.parts > 0) & (batch.parts != IGNORE)

    def measured(self) -> dict[str, float] | None:
        if not self.target:
            return None
        target, size = torch.cat(self.target), torch.cat(self.size)
        measures = {name: pck(torch.cat(found), target, size) for name, found in self.found.items()}
        return {name: m.mean for name, m in measures.items()} | {"points": int(measures["from_parts"].points.sum())}
