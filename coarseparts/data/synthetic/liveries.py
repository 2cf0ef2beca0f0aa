"""The paint of synthetic aircraft and their windows (``aircraft``)."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from coarseparts.data.synthetic.airframes import Airframe

PAINT = np.array(
    [
        [0.93, 0.93, 0.93], [0.93, 0.93, 0.93], [0.93, 0.93, 0.93], [0.80, 0.81, 0.83], [0.62, 0.64, 0.67],
        [0.42, 0.44, 0.47], [0.16, 0.17, 0.20], [0.12, 0.22, 0.50], [0.22, 0.45, 0.75], [0.75, 0.13, 0.13],
        [0.90, 0.50, 0.12], [0.92, 0.78, 0.20], [0.10, 0.40, 0.26], [0.38, 0.42, 0.28], [0.50, 0.45, 0.36],
        [0.45, 0.16, 0.35], [0.85, 0.80, 0.68],
    ]
)  # fmt: skip
RUBBER, GLASS = np.array([0.07, 0.07, 0.07]), np.array([0.12, 0.14, 0.18])

STYLE = 11
"""Numbers of one solid's paint, in the order of ``paint_solids``."""


def paint_solids(craft: Airframe, palette: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three colours (E, 9) and the paint (E, STYLE) of every solid.

    Paint: a, b, c, gain of the border a x + b z + c + noise n between the first two colours, n, then d, e, h of a band
    |d x + z + e| < h in the third, how much glass shows, gloss, grain.
    """
    r = craft.radius

    def pick() -> np.ndarray:
        return palette[int(rng.integers(len(palette)))] if rng.random() < 0.7 else palette[0]

    def cloth(kind: str) -> list[float]:
        a, b, c, gain, noise = 0.0, 0.0, -1.0, 1.0, 0.0
        if kind == "belly":
            b, c, gain = -1.0, rng.uniform(-0.8, 0.4) * r, 60.0
        elif kind == "end":
            a, b, c, gain = -1.0, rng.uniform(-0.8, 1.2), rng.uniform(-0.75, -0.35), 50.0
        elif kind == "front":
            a, c, gain = 1.0, rng.uniform(-0.75, -0.3), 50.0
        elif kind == "patches":
            c, gain, noise = rng.uniform(-0.1, 0.1), rng.uniform(2, 8), 0.5
        band = [0.0, 0.0, -1.0]
        if rng.random() < 0.55:
            band = [rng.choice([0.0, 0.0, rng.normal(0, 0.12)]), rng.uniform(-0.7, 0.7) * r, rng.uniform(0.06, 0.2) * r]
        return [a, b, c, gain, noise, *band, 0.0, rng.uniform(0, 0.4), rng.uniform(0.01, 0.08)]

    odds = [0.1, 0.1, 0.0, 0.1, 0.7] if craft.kind == "fighter" else [0.3, 0.3, 0.26, 0.08, 0.06]
    kinds = np.array(["plain", "belly", "end", "front", "patches"])
    hull = (pick(), pick(), pick(), cloth(str(rng.choice(kinds, p=odds))))
    wing = hull if rng.random() < 0.4 else (pick(), pick(), pick(), cloth("plain"))
    metal = np.full(3, rng.uniform(0.45, 0.8))
    wing = (metal, *wing[1:]) if rng.random() < 0.3 else wing
    fin = hull if rng.random() < 0.35 else (pick(), pick(), pick(), cloth(str(rng.choice(["plain", "end", "belly"]))))
    if rng.random() < 0.5 and fin is not hull:  # stripes that run up the fin
        fin[3][5:8] = [rng.uniform(-2, 2), -rng.uniform(0.2, 0.5), rng.uniform(0.03, 0.08)]
    nose = (pick(), hull[1], hull[2], hull[3]) if rng.random() < 0.3 else hull
    even = [0.0, 0, -1, 1, 0, 0, 0, -1, 0, 0.1, 0.05]
    dark = np.full(3, rng.uniform(0.05, 0.35))
    hub = np.full(3, rng.uniform(0.3, 0.85))
    tyre = RUBBER + (rng.uniform(0, 0.1) if rng.random() < 0.6 else rng.uniform(0.1, 0.45))
    glass = GLASS if rng.random() < 0.8 else np.array([0.4, 0.5, 0.6])
    engine = (metal if rng.random() < 0.5 else pick(), hull[1], hull[2], even)
    worn = {
        "body": hull,
        "nose": nose,
        "spinner": (pick(), pick(), pick(), even),
        "wing": wing,
        "wing tip": (pick(), *wing[1:]),
        "fin": fin,
        "tailplane": wing,
        "engine": engine,
        "hub": (dark, dark, dark, even),
        "blade": (dark, dark, hub, even),
        "strut": (hub, hub, hub, even),
        "wheel": (tyre, tyre, tyre, even),
        "cabin": (glass, hull[0], hull[0], even),
    }
    colours, style = np.zeros((len(craft.look), 9)), np.zeros((len(craft.look), STYLE))
    for i, look in enumerate(craft.look):
        first, second, third, paint = worn[look]
        colours[i] = [*first, *second, *third]
        style[i] = paint
        style[i, 8] = float(look in ("body", "nose"))
    if craft.kind == "light":  # the cabin's roof is painted
        roof = np.array(craft.look) == "cabin"
        style[roof, :5] = [0, 1.0, -1.35 * craft.radius, 60.0, 0]
    return colours, style


def place_glass(craft: Airframe, rng: Generator) -> np.ndarray:
    """(10,) where windows are.

    Of the passengers' windows: height, half height, rate, phase, from x, to x; of the windscreen: height, half height,
    from x, to x. A half height of -1: there are none.
    """
    r = craft.radius
    many = craft.kind in ("airliner", "business jet", "turboprop") and rng.random() < 0.85
    rate = rng.uniform(4, 7) if craft.kind == "business jet" else rng.uniform(9, 16)
    row = [rng.uniform(0.1, 0.4) * r, 0.13 * r if many else -1.0, rate, rng.uniform(0, 1), -0.7, 1 - 1.1 * craft.length]
    if craft.kind in ("light", "fighter"):
        return np.array([*row, 0.0, -1.0, 0.0, 0.0])
    start = 1 - craft.length * rng.uniform(0.7, 0.85)
    return np.array([*row, rng.uniform(0.35, 0.55) * r, 0.16 * r, start, 1 - 0.45 * craft.length])
