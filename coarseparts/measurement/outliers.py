"""The objects of a table that are unlike the others: worth a look before anything is concluded from the numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from coarseparts.measurement.intervals import UNCERTAIN, UNLIKE
from coarseparts.measurement.measured import Measured, Measurements
from coarseparts.measurement.shapes import LENGTHS, TRAITS
from coarseparts.measurement.traits import members

LEAST = 5
"""Objects in which a value has to be known for one of them to be far from the others."""

FAR = 3.5
"""Robust standard deviations beyond which a value is told (Iglewicz and Hoaglin 1993 name this number)."""

MOST = 4
"""Values that are told of an object."""


@dataclass(frozen=True)
class Outlier:
    """``far``: (name, value, the median of all objects, robust standard deviations from it), the farthest first."""

    measured: Measured
    far: list[tuple[str, float, float, float]]


def outliers(table: Measurements, count: int) -> list[Outlier]:
    """Up to ``count`` objects: those flagged as unusual to the model, then those with a value beyond ``FAR``, the
    farthest first. Compared are areas, lengths, distances and formulas: their logarithms, but as they are where one is
    below 0."""
    sized = (name for name in table.names if _compared(table, name))
    spreads = {name: spread for name in sized if (spread := _Spread.of(table, name))}
    found = []
    for each in table.images:
        apart = [(name, spread, spread.apart(each.values[name])) for name, spread in spreads.items()]
        far = [(name, each.values[name], spread.typical, z) for name, spread, z in apart if abs(z) > FAR]
        far = sorted(far, key=lambda one: -abs(one[3]))[:MOST]
        flagged = bool({UNCERTAIN, UNLIKE} & set(each.flags.get("object", [])))
        if far or flagged:
            found.append((not flagged, -abs(far[0][3]) if far else 0.0, Outlier(each, far)))
    return [one for *_, one in sorted(found, key=lambda each: each[:2])[:count]]


def _compared(table: Measurements, name: str) -> bool:
    """Whether it has a size: colours, directions, places and counts have none."""
    part, _, trait = name.rpartition(".")
    if part in members(table.parts) and trait in TRAITS:
        return trait in ("area", *LENGTHS)
    return trait not in ("x", "y")


@dataclass(frozen=True)
class _Spread:
    """Median and robust standard deviation of a value in all objects, or, ``in_logarithms``, of its logarithm."""

    median: float
    deviation: float
    in_logarithms: bool

    @classmethod
    def of(cls, table: Measurements, name: str) -> _Spread | None:
        """None where too few are known, or all are the same."""
        values = np.array([v for each in table.images if math.isfinite(v := each.values[name])])
        in_logarithms = not (values < 0).any()
        values = np.log(values[values > 0]) if in_logarithms else values
        if len(values) < LEAST:
            return None
        median = float(np.median(values))
        deviation = 1.4826 * float(np.median(np.abs(values - median)))
        return cls(median, deviation, in_logarithms) if deviation > 0 else None

    @property
    def typical(self) -> float:
        """The median of the values themselves."""
        return math.exp(self.median) if self.in_logarithms else self.median

    def apart(self, value: float) -> float:
        """How far a value is from the median, in standard deviations; 0 where it is not known."""
        if not math.isfinite(value) or (self.in_logarithms and value <= 0):
            return 0.0
        return ((math.log(value) if self.in_logarithms else value) - self.median) / self.deviation
