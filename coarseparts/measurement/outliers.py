"""The objects of a table that are unlike the others: worth a look before anything is concluded from the numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from coarseparts.measurement.intervals import UNCERTAIN, UNLIKE
from coarseparts.measurement.measured import Measured, Measurements
from coarseparts.measurement.shapes import LENGTHS, TRAITS

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
    farthest first. Compared are logarithms of areas, lengths, distances and formulas."""
    spreads = {name: spread for name in filter(_compared, table.names) if (spread := _spread(table, name))}
    found = []
    for each in table.images:
        apart = [(name, *_apart(each.values[name], spread)) for name, spread in spreads.items()]
        far = [(name, each.values[name], median, z) for name, median, z in apart if abs(z) > FAR]
        far = sorted(far, key=lambda one: -abs(one[3]))[:MOST]
        flagged = bool({UNCERTAIN, UNLIKE} & set(each.flags.get("object", [])))
        if far or flagged:
            found.append((not flagged, -abs(far[0][3]) if far else 0.0, Outlier(each, far)))
    return [one for *_, one in sorted(found, key=lambda each: each[:2])[:count]]


def _compared(name: str) -> bool:
    """Whether it has a size: colours, directions, places and counts have none."""
    trait = name.rpartition(".")[2]
    return trait in ("area", *LENGTHS) if trait in TRAITS else trait not in ("x", "y")


def _spread(table: Measurements, name: str) -> tuple[float, float] | None:
    """Median and robust standard deviation of the logarithms; None where there are too few."""
    values = np.log([v for each in table.images if (v := each.values[name]) > 0 and math.isfinite(v)])
    if len(values) < LEAST:
        return None
    median = float(np.median(values))
    deviation = 1.4826 * float(np.median(np.abs(values - median)))
    return (median, deviation) if deviation > 0 else None


def _apart(value: float, spread: tuple[float, float]) -> tuple[float, float]:
    """The median, and how far a value is from it; 0 where it is not known."""
    median, deviation = spread
    known = value > 0 and math.isfinite(value)
    return math.exp(median), (math.log(value) - median) / deviation if known else 0.0
