"""Validation photographs of a run, measured as ``measure`` measures any photograph and beside their true part masks.

A calibration holds only for what it was made with: the same crops, the same sizes, the same labels. So a validation
image is looked at whole and at its own size, and without labels its object has to be found first.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from coarseparts.data.loading import object_crop
from coarseparts.data.records import Record
from coarseparts.data.sample import Sample
from coarseparts.data.source_keys import Crop
from coarseparts.inference.evaluate import dataset_of, records_of
from coarseparts.inference.journal import digest
from coarseparts.inference.model import Model
from coarseparts.inference.predict import BATCH, Prediction, features_of, predict_samples
from coarseparts.labels.schema import IGNORE
from coarseparts.measurement.intervals import Calibration, Values, strangeness
from coarseparts.measurement.traits import names_of_points, values_of
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.errors import Failed
from coarseparts.system.problems import BadInput, errors
from coarseparts.training.claims import write

FILE = "measured.json"
"""In a run folder: what was measured of its validation images; with labels, their styles stand before ".json"."""

FORM = "photographs"
"""Stands in FILE with the model's digest: earlier versions measured crops, which would say too little."""

MOST = 200
"""Validation images that are measured, and training images that others are compared with, at most."""

NONE = np.zeros((0, 0), np.float32)


class _Pair(BaseModel):
    model_config = ConfigDict(extra="forbid")

    predicted: dict[str, float | None]
    true: dict[str, float | None]
    certainty: float
    strangeness: float | None


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str
    images: list[_Pair]
    reference: list[list[float]]


def calibration_of(run: Path, model: Model, data: Path | None = None, styles: Sequence[str] = ()) -> Calibration:
    """That of a run, of what its model says given labels of ``styles``: what ``FILE`` in its folder keeps of the same
    model, else measured on the validation images of its dataset file (or of ``data``) and kept there. Raises BadInput
    where these cannot be used."""
    known, file = f"{digest(model, [], False)} {FORM}", run / ".".join(["measured", *styles, "json"])
    if data is None and (kept := _read(file, known)) is not None:
        return kept
    valid = validation(model, records_of(model, data or dataset_of(run), "val"), styles)
    measured = calibrate(model, valid, styles, reference(model, _learned(model, run)))
    if data is None:
        with suppress(Failed):  # somebody else's folder, or a full disk: it is measured again the next time
            write(file, _text(known, measured))
    return measured


def validation(model: Model, records: Sequence[Record], styles: Sequence[str] = ()) -> Iterator[Sample]:
    """Part-labelled photographs with labels of all ``styles`` and no others, ``MOST`` of them at most, framed as
    ``measure`` frames a photograph with such labels. Without any, those that show one object; unreadable ones are left
    out."""
    crop = Crop(**model.crop)

    def usable(record: Record) -> bool:
        alone = record.recipe is None or record.recipe.annotation.alone
        return record.has >= {"parts", *styles} and (bool(styles) or alone)

    for sample in _spread([record for record in records if usable(record)]):
        labels = {style: sample.labels[style] for style in styles}
        size = sample.image.shape[1], sample.image.shape[0]
        framed = object_crop(size, crop.margin, **labels) if labels and crop.to == "object" else None
        yield replace(sample, labels=labels, crop=framed)


def calibrate(
    model: Model, samples: Iterable[Sample], styles: Sequence[str] = (), learned: np.ndarray = NONE
) -> Calibration:
    """Measures photographs with parts and with labels of ``styles``, as predicted from the image and these, and as
    labelled. ``learned``: ``reference`` of training images, from which they may not be far."""
    names = names_of_points(model.schema) if "keypoints" in styles else ()
    pairs: list[tuple[Values, Values]] = []
    certainty: list[float] = []
    apart: list[float] = []
    for group in _groups(samples):
        predicted = predict_samples(model.fast, group)
        if len(learned):
            apart += strangeness(seen_in(model, group, predicted), learned).tolist()
        for sample, prediction in zip(group, predicted, strict=True):
            assert sample.parts is not None
            shown = np.where(sample.parts == IGNORE, 0, prediction.part_map())
            points = points_of(sample, names)
            said, true = (values_of(masks_of(model, maps), sample.image, points) for maps in (shown, sample.parts))
            pairs.append((said, true))
            certainty.append(certainty_of(prediction))
    return Calibration(pairs, certainty, apart, learned)


def reference(model: Model, samples: Iterable[Sample]) -> np.ndarray:
    """(N, F) what the model sees in training images."""
    found = [features_of(model.fast, group) for group in _groups(samples)]
    return np.concatenate(found).round(4) if found else NONE


def certainty_of(prediction: Prediction) -> float:
    """The mean over the parts that are predicted of their scores (``Prediction.scores``), 0 where none is."""
    scores = prediction.scores()
    return float(scores[scores > 0].mean()) if scores.any() else 0.0


def seen_in(model: Model, samples: Sequence[Sample], predicted: Sequence[Prediction]) -> np.ndarray:
    """``features_of`` what was looked at in samples."""
    looked_at = [replace(sample, crop=each.crop) for sample, each in zip(samples, predicted, strict=True)]
    return features_of(model.fast, looked_at)


def masks_of(model: Model, parts: np.ndarray) -> dict[str, np.ndarray]:
    """(H, W) bool by the part's name, of a part map (H, W)."""
    return {name: model.schema.maps.shows(parts, index) for index, name in enumerate(model.schema.parts, 1)}


def points_of(sample: Sample, names: Sequence[str]) -> dict[str, Sequence[float]]:
    """The keypoints (x, y, v) that a sample is labelled with; v is 0 of those that it is not."""
    given = sample.labels.get("keypoints")
    return {name: (0.0, 0.0, 0.0) if given is None else given[i].tolist() for i, name in enumerate(names)}


def _learned(model: Model, run: Path) -> Iterator[Sample]:
    """Images that a run was trained on; none where they are gone."""
    try:
        records = records_of(model, dataset_of(run), "train")
    except BadInput:
        return
    yield from _spread(records)


def _spread(records: Sequence[Record]) -> Iterator[Sample]:
    """``MOST`` of the records, evenly, loaded; but for those that cannot be read."""
    for record in records[:: -(-len(records) // MOST) or 1]:
        try:
            sample, problems = record.load()
        except (BadInput, ValueError):
            continue
        if not errors(problems):
            yield sample


def _groups(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    several = iter(samples)
    while group := list(itertools.islice(several, BATCH)):
        yield group


def _text(model: str, measured: Calibration) -> str:
    def numbers(values: Values) -> dict[str, float | None]:
        return {name: None if math.isnan(v) else round(v, 4) for name, v in values.items()}

    apart: list[float | None] = [*measured.strangeness] or [None] * len(measured.pairs)
    images = [
        {"predicted": numbers(p), "true": numbers(t), "certainty": round(c, 6), "strangeness": s}
        for (p, t), c, s in zip(measured.pairs, measured.certainty, apart, strict=True)
    ]
    learned = [[round(v, 4) for v in row] for row in measured.reference.tolist()]
    return json.dumps({"model": model, "images": images, "reference": learned})


def _read(file: Path, model: str) -> Calibration | None:
    """What was kept of a model; None where nothing was, where it is of another model or damaged: it is made anew."""
    try:
        kept = _Kept.model_validate(load_json(file))
        learned = np.array(kept.reference, np.float32).reshape(len(kept.reference), -1)
    except (OSError, DocumentError, ValidationError, ValueError):
        return None
    if kept.model != model:
        return None

    def numbers(values: Mapping[str, float | None]) -> Values:
        return {name: math.nan if v is None else v for name, v in values.items()}

    pairs = [(numbers(pair.predicted), numbers(pair.true)) for pair in kept.images]
    apart = [pair.strangeness for pair in kept.images if pair.strangeness is not None]
    return Calibration(pairs, [pair.certainty for pair in kept.images], apart, learned)
