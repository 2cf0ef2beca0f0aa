"""A table of measurements as a page to look through: flags, unusual objects with their pictures, distributions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coarseparts.measurement.measured import Measured, Measurements
from coarseparts.measurement.outliers import outliers
from coarseparts.measurement.shapes import PLACES, TRAITS
from coarseparts.measurement.traits import members
from coarseparts.report.palette import colours
from coarseparts.report.trait_page import Distribution, TraitPage, Unusual, write_traits

PICTURES = 24
"""Unusual objects that are shown, at most."""

DISTANCES, FORMULAS = "distances", "formulas"


def write_page(path: Path, table: Measurements, title: str) -> Path:
    """Writes the page of a table. Raises ValueError where it cannot be written."""
    objects, photographs = len(table.images), len({each.image for each in table.images})
    subtitle = f"{objects:,} objects in {photographs:,} photographs; {len(table.names)} values each"
    hues = ["#" + bytes(colour.tolist()).hex() for colour in colours(len(table.parts))]
    several = {each.image for each in table.images if each.number > 1}
    unusual = [
        Unusual(
            f"{one.measured.image} ({one.measured.number})" if one.measured.image in several else one.measured.image,
            table.pictures.get((one.measured.image, one.measured.number)),
            [flag if part == "object" else f"{part}: {flag}" for part, flag in _flags(one.measured)],
            [(name, value, median, table.units[name]) for name, value, median, _ in one.far],
        )
        for one in outliers(table, PICTURES)
    ]
    counts = Counter(pair for each in table.images for pair in _flags(each))
    flags = [(part, flag, count) for (part, flag), count in sorted(counts.items(), key=lambda each: -each[1])]
    problems = [str(problem) for problem in table.problems]
    legend = list(zip(table.parts, hues, strict=True))
    return write_traits(path, TraitPage(title, subtitle, objects, _groups(table), flags, unusual, legend, problems))


def _flags(each: Measured) -> list[tuple[str, str]]:
    return [(part, flag) for part, flags in each.flags.items() for flag in flags]


def _groups(table: Measurements) -> Mapping[str, list[Distribution]]:
    """Distributions by part, then distances and formulas; where something is, or how often, is left out."""
    found: dict[str, list[Distribution]] = {part: [] for part in [*members(table.parts), FORMULAS, DISTANCES]}
    for name in table.names:
        part, _, trait = name.rpartition(".")
        if part in found and trait in TRAITS:
            if trait not in (*PLACES, "pieces"):
                found[part].append(_distribution(table, name, trait))
        elif name.startswith("distance."):
            found[DISTANCES].append(_distribution(table, name, name.removeprefix("distance.")))
        elif trait not in ("x", "y"):
            found[FORMULAS].append(_distribution(table, name, name))
    return found


def _distribution(table: Measurements, name: str, title: str) -> Distribution:
    values = [each.values[name] for each in table.images]
    halves = [
        (high - low) / 2 / value
        for each, value in zip(table.images, values, strict=True)
        for low, high in [each.intervals.get(name, (math.nan, math.nan))]
        if table.units[name] not in ("deg", "0-255") and value > 0 and math.isfinite(low)
    ]
    return Distribution(title, table.units[name], values, float(np.median(halves)) if halves else math.nan)
