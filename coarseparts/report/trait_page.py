"""The page of ``coarseparts measure --report``: one HTML file that needs nothing else, no network and no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.report.csv_files import write_text
from coarseparts.report.pages import rendered
from coarseparts.report.pictures import picture

BARS = 20
MOST_OPEN = 12
"""Distributions of a group that are shown at once; more are folded up."""


@dataclass(frozen=True)
class Distribution:
    """``values`` of a trait in all objects, nan where one is not known; ``within``: half of the usual interval by the
    value, nan where there is none."""

    name: str
    unit: str
    values: Sequence[float]
    within: float = math.nan

    def shown(self) -> dict[str, Any] | None:
        """As the template takes it; None where nothing is known."""
        # Rounded: what differs by less is noise of the computation, too narrow for bars.
        known = np.array([float(f"{value:.6g}") for value in self.values if math.isfinite(value)])
        if not len(known):
            return None
        low, median, high = np.quantile(known, (0.05, 0.5, 0.95)).tolist()
        heights, edges = np.histogram(known, min(BARS, max(1, len(known) // 3)))
        middle = (median - edges[0]) / (edges[-1] - edges[0])
        return {
            "name": self.name,
            "unit": self.unit,
            "known": len(known),
            "median": told(median),
            "low": told(low),
            "high": told(high),
            "ends": (told(known.min()), told(known.max())),
            "bars": (heights / heights.max()).tolist(),
            "middle": float(middle),
            "within": "" if math.isnan(self.within) else f"± {100 * self.within:.0f} %",
        }


@dataclass(frozen=True)
class Unusual:
    """An object: what it is called, its picture (H, W, 3) uint8 or None, what is flagged, and (name, value, median,
    unit) of what is far from the others."""

    name: str
    image: np.ndarray | None
    flags: Sequence[str]
    far: Sequence[tuple[str, float, float, str]]

    def shown(self) -> dict[str, Any]:
        """As the template takes it."""
        alt = f"{self.name}: the object with its parts"
        far = [(name, f"{told(value)} {unit}".strip(), told(median)) for name, value, median, unit in self.far]
        tile = None if self.image is None else picture(self.image, alt)
        return {"name": self.name, "picture": tile, "flags": self.flags, "far": far}


@dataclass(frozen=True)
class TraitPage:
    """``groups`` of distributions by heading; ``flags``: (part, flag, objects that have it) of ``objects``; ``legend``:
    (part, "#rrggbb")."""

    title: str
    subtitle: str
    objects: int
    groups: Mapping[str, Sequence[Distribution]]
    flags: Sequence[tuple[str, str, int]]
    unusual: Sequence[Unusual]
    legend: Sequence[tuple[str, str]]
    problems: Sequence[str] = field(default_factory=list)


def write_traits(path: Path, page: TraitPage) -> Path:
    """An HTML page in UTF-8, whole or not at all; returns the path. Raises ValueError where it cannot be written."""
    shown = {name: [one for each in group if (one := each.shown())] for name, group in page.groups.items()}
    context = {
        **vars(page),
        "groups": [(name, group, len(group) > MOST_OPEN) for name, group in shown.items() if group],
        "unusual": [each.shown() for each in page.unusual],
    }
    return write_text(path, rendered("traits.html.jinja", context))


def told(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
