"""All that is measured of one object: its parts' shapes, distances, formulas, and what to look at twice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from coarseparts.labels.schema import Schema
from coarseparts.measurement.formulas import Formula, distance, place
from coarseparts.measurement.shapes import COLOURS, LENGTHS, PLACES, TRAITS, shape

WHOLE = "object"
"""The name of all parts together."""

MOST_PAIRED = 20
"""Parts and keypoints whose distances are all told, at most; of more, formulas tell those that are asked for."""


def members(parts: Sequence[str]) -> tuple[str, ...]:
    """What is measured: each part and, unless a part has its name, the whole."""
    return tuple(parts) if WHOLE in parts else (*parts, WHOLE)


def names_of(parts: Sequence[str], formulas: Sequence[Formula] = (), points: Sequence[str] = ()) -> list[str]:
    """The names of all values, in the order of a table's columns."""
    own = [f"{part}.{trait}" for part in members(parts) for trait in TRAITS]
    placed = [f"{point}.{axis}" for point in points for axis in ("x", "y")]
    apart = [distance(*pair) for pair in _pairs(parts, points)]
    return list(dict.fromkeys([*own, *placed, *apart, *(formula.text for formula in formulas)]))


def names_of_points(schema: Schema) -> tuple[str, ...]:
    """The keypoints' names; where a part has the same, with what it is behind it."""
    parts = members(schema.parts)
    return tuple(f"{name} (keypoint)" if name in parts else name for name in schema.keypoints)


def told_by(points: Sequence[str]) -> set[str]:
    """The names of what follows from keypoints alone, in which no model has a say."""
    apart = {distance(*pair) for pair in itertools.combinations(points, 2)}
    return apart | {f"{point}.{axis}" for point in points for axis in ("x", "y")}


def _pairs(parts: Sequence[str], points: Sequence[str]) -> list[tuple[str, str]]:
    """Those whose distances are told."""
    several = [*parts, *points] if len(parts) + len(points) <= MOST_PAIRED else list(parts)
    return list(itertools.combinations(several, 2)) if len(several) <= MOST_PAIRED else []


def values_of(
    masks: Mapping[str, np.ndarray], image: np.ndarray, points: Mapping[str, Sequence[float]] | None = None
) -> dict[str, float]:
    """Values by name of masks (H, W) bool by part and an image (H, W, 3) uint8, in pixels; nan where nothing shows.
    ``points``: keypoints (x, y, v) by name; one with v <= 0 is not known."""
    parts = tuple(masks)
    whole = dict(masks)
    whole.setdefault(WHOLE, np.logical_or.reduce(list(masks.values())))
    found = {f"{part}.{trait}": v for part in members(parts) for trait, v in shape(whole[part], image).items()}
    points = points or {}
    for name, (x, y, v) in points.items():
        found |= {f"{name}.x": float(x) if v > 0 else math.nan, f"{name}.y": float(y) if v > 0 else math.nan}
    for a, b in _pairs(parts, tuple(points)):
        found[distance(a, b)] = math.dist(place(found, a), place(found, b))
    return found


def with_formulas(values: Mapping[str, float], formulas: Sequence[Formula]) -> dict[str, float]:
    """The values and what the formulas make of them."""
    return dict(values) | {formula.text: formula.of(values) for formula in formulas}


def flags_of(masks: Mapping[str, np.ndarray], values: Mapping[str, float]) -> dict[str, list[str]]:
    """What to look at twice, by part: "not found", "cut by the border", "several pieces"."""
    found: dict[str, list[str]] = {}
    for part, mask in masks.items():
        if not mask.any():
            found[part] = ["not found"]
            continue
        cut = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        told = {"cut by the border": cut, "several pieces": values[f"{part}.pieces"] > 1}
        found[part] = [flag for flag, true in told.items() if true]
    return found


def dimension_of(name: str, formulas: Sequence[Formula]) -> int:
    """The power of a length in which a value is measured: 2 an area, 1 a length, 0 anything else."""
    for formula in formulas:
        if formula.text == name:
            return formula.dimension
    _, apart, between = name.partition("distance.")
    if apart and name.startswith(apart) and between not in (*TRAITS, "x", "y"):  # a part may have that name
        return 1
    trait = name.rpartition(".")[2]
    return 2 if trait == "area" else int(trait in (*LENGTHS, *PLACES, "x", "y"))


def unit_of(name: str, unit: str, formulas: Sequence[Formula]) -> str:
    """The unit of a value where lengths have ``unit``: "mm", "mm2", "deg", "0-255", "" of ratios and counts."""
    trait = name.rpartition(".")[2]
    formula = next((each for each in formulas if each.text == name), None)
    degrees = int(trait == "orientation") if formula is None else formula.degrees
    powers = {unit: dimension_of(name, formulas), "deg": degrees}
    if any(powers.values()):
        return " ".join(each if power == 1 else f"{each}{power}" for each, power in powers.items() if power)
    return "0-255" if formula is None and trait in COLOURS else ""
