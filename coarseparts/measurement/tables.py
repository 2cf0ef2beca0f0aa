"""Measurements as CSV: a row an image, a row a value, or Darwin Core's MeasurementOrFact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coarseparts.measurement.measured import Measured, Measurements
from coarseparts.report.csv_files import write_csv

METHOD = "coarseparts measure"


def write_wide(path: Path, table: Measurements, decimal_comma: bool = False) -> Path:
    """A row an object: ``image``, its number in it (``object``), ``flags``, then each value, ``head.length [mm]``, with
    its ``low`` and ``high``; ``decimal_comma`` as of ``write_csv``."""
    columns = ["image", "object", "flags"]
    ranged = [any(name in each.intervals for each in table.images) for name in table.names]
    for name, has in zip(table.names, ranged, strict=True):
        head = _head(name, table.units[name])
        columns += [head, f"{head} low", f"{head} high"] if has else [head]

    def row(each: Measured) -> Iterator[Any]:
        yield each.image
        yield each.number
        yield "; ".join(f"{part}: {', '.join(flags)}" for part, flags in each.flags.items() if flags)
        for name, has in zip(table.names, ranged, strict=True):
            yield _number(each.values.get(name, math.nan))
            if has:
                yield from map(_number, each.intervals.get(name, (math.nan, math.nan)))

    return write_csv(path, columns, (row(each) for each in table.images), decimal_comma)


def write_long(path: Path, table: Measurements, decimal_comma: bool = False) -> Path:
    """A row a value: ``image,object,part,trait,value,low,high,unit,flags``; distances and ratios have no part."""

    def rows() -> Iterator[list[Any]]:
        for each in table.images:
            for name, part, trait in _names(table):
                bounds = map(_number, each.intervals.get(name, (math.nan, math.nan)))
                flags = ", ".join(each.flags.get(part, []))
                yield [
                    each.image,
                    each.number,
                    part,
                    trait,
                    _number(each.values[name]),
                    *bounds,
                    table.units[name],
                    flags,
                ]

    columns = ("image", "object", "part", "trait", "value", "low", "high", "unit", "flags")
    return write_csv(path, columns, rows(), decimal_comma)


def write_dwc(path: Path, table: Measurements) -> Path:
    """Darwin Core's MeasurementOrFact, a row a value that there is: the image is the occurrence (where it shows several
    objects, the object by its number), half the interval the accuracy, flags are remarks."""
    terms = ("ID", "Type", "Value", "Accuracy", "Unit", "Method", "Remarks")

    def rows() -> Iterator[list[Any]]:
        several = {each.image for each in table.images if each.number > 1}
        for each in table.images:
            one = f"{each.image}#{each.number}" if each.image in several else each.image
            for name, part, _ in _names(table):
                value, (low, high) = each.values[name], each.intervals.get(name, (math.nan, math.nan))
                if math.isnan(value):
                    continue
                remarks = ", ".join(each.flags.get(part, []))
                numbers = _number(value), _number((high - low) / 2)
                yield [one, f"{one}#{name}", name, *numbers, table.units[name], METHOD, remarks]

    return write_csv(path, ("occurrenceID", *(f"measurement{term}" for term in terms)), rows())


def _names(table: Measurements) -> Iterator[tuple[str, str, str]]:
    """(name, part, trait) of each value; part is "" of distances and ratios."""
    members = {*table.parts, "object"}
    for name in table.names:
        part, _, trait = name.rpartition(".")
        yield (name, part, trait) if part in members else (name, "", name)


def _head(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _number(value: float) -> float:
    return float(f"{value:.6g}")
