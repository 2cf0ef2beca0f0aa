"""How far a measured value may be from the true one: split conformal prediction on a run's validation images.

Each validation image gives a score, how far a value from the predicted parts lies from the same one of the true part
masks; a new image's error is, in 90 % of cases, no larger than the scores' quantile. Lengths, areas and ratios are
compared by their quotient, so that an interval is wider for larger objects, places relative to the object's size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from coarseparts.data.batches import Feed
from coarseparts.data.store import Store
from coarseparts.inference.evaluate import dataset_of, split_of
from coarseparts.inference.journal import digest
from coarseparts.inference.model import Model
from coarseparts.inference.predict import BATCH, Prediction, log_parts
from coarseparts.labels.schema import IGNORE
from coarseparts.measurement.formulas import Formula
from coarseparts.measurement.shapes import COLOURS
from coarseparts.measurement.traits import WHOLE, names_of_points, values_of, with_formulas
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.problems import Problem
from coarseparts.training.claims import write
from coarseparts.training.fusion import only

COVERED = 0.9
"""The share of new images whose true value an interval holds."""

FILE = "measured.json"
"""In a run folder: what was measured of its validation images; with labels, their styles stand before ".json"."""

Values = dict[str, float]


class _Pair(BaseModel):
    model_config = ConfigDict(extra="forbid")

    predicted: dict[str, float | None]
    true: dict[str, float | None]
    certainty: float


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str
    images: list[_Pair]


@dataclass(frozen=True)
class Calibration:
    """Values of validation images, (predicted, true) each, and how certain the model was of each image, 0..1."""

    pairs: Sequence[tuple[Values, Values]] = ()
    certainty: Sequence[float] = ()

    def scores(self, name: str, formulas: Sequence[Formula] = ()) -> list[float]:
        """How far off each image's value is, of those where it could be measured in both."""
        found = []
        for predicted, true in self.pairs:
            both = with_formulas(predicted, formulas), with_formulas(true, formulas)
            score = _score(name, both[0].get(name, math.nan), both[1].get(name, math.nan), _size(both[0]))
            if not math.isnan(score):
                found.append(score)
        return found

    def intervals(
        self, names: Sequence[str], formulas: Sequence[Formula] = ()
    ) -> Callable[[Mapping[str, float]], dict[str, tuple[float, float]]]:
        """A function from an image's values to (low, high) of each that has an interval."""
        quantiles = {name: quantile(self.scores(name, formulas)) for name in names if not name.endswith(".pieces")}

        def of(values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
            every = {name: _around(name, values[name], q, _size(values)) for name, q in quantiles.items()}
            return {name: each for name, each in every.items() if all(map(math.isfinite, each))}

        return of

    def unusual(self, certainty: float) -> bool:
        """Whether the model is less certain of an image than of any but one in fifty of the validation images."""
        if len(self.certainty) < 10:
            return False
        return certainty < float(np.quantile(self.certainty, 0.02, method="lower"))


def quantile(scores: Sequence[float], covered: float = COVERED) -> float:
    """The score that a new one stays below in ``covered`` of cases; infinite where there are too few to tell."""
    rank = math.ceil((len(scores) + 1) * covered)
    return sorted(scores)[rank - 1] if rank <= len(scores) else math.inf


def certainty_of(prediction: Prediction) -> float:
    """The mean over the parts that are predicted of their scores (``Prediction.scores``), 0 where none is."""
    scores = prediction.scores()
    return float(scores[scores > 0].mean()) if scores.any() else 0.0


def calibration_of(
    run: Path, model: Model, data: Path | None = None, styles: Sequence[str] = ()
) -> tuple[Calibration, list[Problem]]:
    """That of a run, of what its model says given labels of ``styles``: what ``FILE`` in its folder keeps of the same
    model, else measured on the validation images of its dataset file (or of ``data``) and kept there. Raises BadInput
    where these cannot be used."""
    known, file = digest(model, [], False), run / ".".join(["measured", *styles, "json"])
    if data is None and (kept := _read(file, known)) is not None:
        return kept, []
    store, problems = split_of(model, data or dataset_of(run), "val", True, None)
    measured = calibrate(model, store, styles)
    if data is None:
        write(file, _text(known, measured))
    return measured, problems


@torch.no_grad()
def calibrate(model: Model, store: Store, styles: Sequence[str] = ()) -> Calibration:
    """Measures each part-labelled validation image of a store that has labels of all ``styles``, as predicted from the
    image and these, and as labelled."""
    maps, size = model.schema.maps, store.size
    store = store.labels_limited(model.styles)
    rows = np.array([r for r in store.rows("val", has="parts") if all(store.present[s][r] for s in styles)], int)
    if not len(rows):
        return Calibration()
    fast, names = model.fast, names_of_points(model.schema) if "keypoints" in styles else ()
    feed = Feed(store, rows, BATCH, 0, 0, device_of(fast), preprocess=model.settings.preprocess)
    whole, pairs, certainty = np.array([0, 0, size, size], np.float32), [], []
    for start, batch in zip(range(0, len(rows), BATCH), feed.plain(), strict=True):
        stored = store.batch(rows[start : start + BATCH], "cpu")
        log_y = log_parts(fast, only(batch, styles), bool(styles))
        for i, probability in enumerate(fast.networks.y.output_probability(log_y).cpu().numpy()):
            each = Prediction(probability, whole, (size, size), maps)
            image, true = stored.image[i].permute(1, 2, 0).numpy(), stored.parts[i].numpy()
            points = dict(zip(names, stored.labels["keypoints"][i].tolist(), strict=True)) if names else None
            seen = np.where(true == IGNORE, 0, each.part_map())
            predicted, labelled = (
                values_of({name: maps.shows(m, j) for j, name in enumerate(model.schema.parts, 1)}, image, points)
                for m in (seen, true)
            )
            pairs.append((predicted, labelled))
            certainty.append(certainty_of(each))
    return Calibration(pairs, certainty)


def device_of(model: Model) -> str:
    """Where its networks are."""
    return str(next(model.networks.part_model.parameters()).device)


def _score(name: str, value: float, true: float, size: float) -> float:
    """How far ``value`` is from ``true``; nan where one is missing."""
    kind = name.rpartition(".")[2]
    if kind == "orientation":
        return abs((value - true + 90) % 180 - 90)
    if kind in COLOURS:
        return abs(value - true)
    if kind.startswith("centroid_"):
        return abs(value - true) / size if size > 0 else math.nan
    return abs(math.log(value / true)) if value > 0 and true > 0 else math.nan


def _around(name: str, value: float, q: float, size: float) -> tuple[float, float]:
    """(low, high) around a value whose score is at most ``q``; not finite where there is none."""
    kind = name.rpartition(".")[2]
    if kind == "orientation":
        return (value - q, value + q) if q < 90 else (math.nan, math.nan)
    if kind in COLOURS:
        return max(0.0, value - q), min(255.0, value + q) if math.isfinite(q) else math.inf
    if kind.startswith("centroid_"):
        return value - q * size, value + q * size
    return (value * math.exp(-q), value * math.exp(q)) if value > 0 and q < 50 else (math.nan, math.nan)


def _size(values: Mapping[str, float]) -> float:
    return math.sqrt(values.get(f"{WHOLE}.area", math.nan))


def _text(model: str, measured: Calibration) -> str:
    def numbers(values: Values) -> dict[str, float | None]:
        return {name: None if math.isnan(v) else round(v, 4) for name, v in values.items()}

    each = zip(measured.pairs, measured.certainty, strict=True)
    images = [{"predicted": numbers(p), "true": numbers(t), "certainty": round(c, 6)} for (p, t), c in each]
    return json.dumps({"model": model, "images": images})


def _read(file: Path, model: str) -> Calibration | None:
    """What was kept of a model; None where nothing was, where it is of another model or damaged: it is made anew."""
    try:
        kept = _Kept.model_validate(load_json(file))
    except (OSError, DocumentError, ValidationError):
        return None
    if kept.model != model:
        return None

    def numbers(values: Mapping[str, float | None]) -> Values:
        return {name: math.nan if v is None else v for name, v in values.items()}

    pairs = [(numbers(pair.predicted), numbers(pair.true)) for pair in kept.images]
    return Calibration(pairs, [pair.certainty for pair in kept.images])
