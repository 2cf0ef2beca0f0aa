"""How far a measured value may be from the true one: split conformal prediction on a run's validation images.

Each validation image gives a score, how far a value from the predicted parts lies from the same one of the true part
masks; a new image's error is, in 90 % of cases, no larger than the scores' quantile. Lengths, areas and ratios are
compared by their quotient, so that an interval is wider for larger objects; what may be below 0 by its difference, in
sizes of the object where it is a length; directions by the angle between them.
Likewise for what is unusual about an image: it is flagged where hardly a validation image is as strange.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from coarseparts.measurement.formulas import Formula
from coarseparts.measurement.shapes import COLOURS, PLACES
from coarseparts.measurement.traits import WHOLE, with_formulas

COVERED = 0.9
"""The share of new images whose true value an interval holds."""

RARE = 0.02
"""The share of images like the validation images that a flag of ``Calibration.flags`` takes, at most."""

FEWEST = 20
"""Validation images that tell what is rare; of fewer than 49, a flag takes one more than there are."""

NEAREST = 5
"""An image is as strange as its fifth nearest training image is far (k nearest neighbours of normalised features: Sun
et al., ICML 2022)."""

UNCERTAIN, UNLIKE = "less certain than usual", "unlike the training images"

Values = dict[str, float]


@dataclass(frozen=True)
class Calibration:
    """Values of validation images, (predicted, true) each, how certain the model was of each image, 0..1, and how far
    each is from ``reference`` (M, F), features of training images (``inference.predict.features_of``)."""

    pairs: Sequence[tuple[Values, Values]] = ()
    certainty: Sequence[float] = ()
    strangeness: Sequence[float] = ()
    reference: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def scores(self, name: str, formulas: Sequence[Formula] = ()) -> list[float]:
        """How far off each image's value is, of those where it could be measured in both."""
        found, way = [], _way(name, formulas)
        for predicted, true in self.pairs:
            both = with_formulas(predicted, formulas), with_formulas(true, formulas)
            score = way.score(both[0].get(name, math.nan), both[1].get(name, math.nan), _size(both[0]))
            if not math.isnan(score):
                found.append(score)
        return found

    def intervals(
        self, names: Sequence[str], formulas: Sequence[Formula] = ()
    ) -> Callable[[Mapping[str, float]], dict[str, tuple[float, float]]]:
        """A function from an image's values to (low, high) of each that has an interval."""
        written = {formula.text for formula in formulas}
        ranged = [name for name in names if name in written or not name.endswith(".pieces")]
        known = {name: (_way(name, formulas), quantile(self.scores(name, formulas))) for name in ranged}

        def of(values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
            every = {name: way.around(values[name], q, _size(values)) for name, (way, q) in known.items()}
            return {name: each for name, each in every.items() if all(map(math.isfinite, each))}

        return of

    def flags(self, certainty: float, features: np.ndarray) -> list[str]:
        """What is unusual about an image, of UNCERTAIN and UNLIKE: each is true of one in fifty images that are like
        the validation images, at most. ``features`` (F,)."""
        doubt = [-each for each in self.certainty]
        found = [UNCERTAIN] if rare(doubt, -certainty) else []
        if len(self.reference) and rare(self.strangeness, float(strangeness(features[None], self.reference)[0])):
            found.append(UNLIKE)
        return found


def strangeness(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(N,): how far images with ``features`` (N, F) are from the ``NEAREST``-th nearest of ``reference`` (M, F)."""
    apart = np.linalg.norm(features[:, None] - reference[None], axis=-1)
    nearest = min(NEAREST, len(reference)) - 1
    return np.partition(apart, nearest, axis=1)[:, nearest]


def rare(scores: Sequence[float], new: float) -> bool:
    """Whether a new score is larger than a ``RARE`` share of those of n images and itself may be (never, of fewer than
    ``FEWEST``): of exchangeable images this is true with a chance of ``RARE``, or of 1 in n + 1, at most."""
    if len(scores) < FEWEST:
        return False
    rank = max(1, math.floor((len(scores) + 1) * RARE))
    return new > sorted(scores)[-rank]


def quantile(scores: Sequence[float], covered: float = COVERED) -> float:
    """The score that a new one stays below in ``covered`` of cases; infinite where there are too few to tell."""
    rank = math.ceil((len(scores) + 1) * covered)
    return sorted(scores)[rank - 1] if rank <= len(scores) else math.inf


@dataclass(frozen=True)
class _Way:
    """How values are compared: by their quotient, or by their difference, which is divided by the ``power`` of the
    object's size; ``turns``: of directions, which come back after 180 degrees; ``bounds`` of what there is."""

    power: int | None = None
    turns: bool = False
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def score(self, value: float, true: float, size: float) -> float:
        """How far ``value`` is from ``true``; nan where one is missing."""
        if self.turns:
            return abs((value - true + 90) % 180 - 90)
        if self.power is not None:
            return abs(value - true) / size**self.power if size > 0 else math.nan
        return abs(math.log(value / true)) if value > 0 and true > 0 else math.nan

    def around(self, value: float, q: float, size: float) -> tuple[float, float]:
        """(low, high) around a value whose score is at most ``q``; not finite where there is none, or no value."""
        if math.isnan(value):  # which ``bounds`` would hide
            return math.nan, math.nan
        if self.turns:
            return (value - q, value + q) if q < 90 else (math.nan, math.nan)
        if self.power is not None:
            far = q * size**self.power if size > 0 else math.nan
            low, high = self.bounds
            return (max(low, value - far), min(high, value + far)) if math.isfinite(far) else (math.nan, math.nan)
        return (value * math.exp(-q), value * math.exp(q)) if value > 0 and q < 50 else (math.nan, math.nan)


def _way(name: str, formulas: Sequence[Formula]) -> _Way:
    for formula in formulas:
        if formula.text == name:
            return _Way(formula.dimension if formula.signed else None, formula.turns)
    kind = name.rpartition(".")[2]
    if kind in COLOURS:
        return _Way(0, bounds=(0.0, 255.0))
    return _Way(1 if kind in PLACES else None, kind == "orientation")


def _size(values: Mapping[str, float]) -> float:
    return math.sqrt(values.get(f"{WHOLE}.area", math.nan))
