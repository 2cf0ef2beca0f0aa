"""One aircraft as convex solids: kind, proportions and pose drawn at random, parts and keypoints known.

The aircraft's own axes: x forward, y to its left, z up; the unit is half the length of its fuselage. Nothing here
knows of cameras, colours or pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from coarseparts.data.synthetic.anatomy import unit

PARTS = ("nose", "wing", "wheel", "vertical stabilizer")
"""The four parts of OID Aircraft, in the paper's order; bit p of a label is ``PARTS[p]``."""

KEYPOINTS = ("nose tip", "left wing tip", "right wing tip", "fin tip", "left wheel", "right wheel")

LAYERS = ("body", "rods", "nose", "left wing", "right wing", "third wheel", "left wheel", "right wheel", "fin")
"""Solids of one layer hide each other; a part's outline is cut by the layer "body" alone."""

BODY, RODS, FIRST_PART = 0, 1, 2
OUTLINES = LAYERS[FIRST_PART:]
"""What an annotator outlines one by one."""

PART_OF_OUTLINE = (0, 1, 1, 2, 2, 2, 3)
"""Position in PARTS of each of OUTLINES."""

FACES = 6
NOTHING, NO_FORM, NO_PLANES, NO_CORNERS = np.zeros(3), np.zeros((3, 3)), np.zeros((0, 5)), np.zeros((8, 3))
KINDS = ("airliner", "business jet", "turboprop", "light", "fighter")
KIND_ODDS = (0.42, 0.12, 0.14, 0.22, 0.10)


@dataclass
class Airframe:
    """E solids, in lists: each is an ellipsoid-like form cut by planes, or planes alone (``solids.cut``).

    ``layer`` (E,) position in LAYERS; ``centre`` (E, 3); ``form`` (E, 3, 3), zeros for planes alone; ``planes``
    (E, FACES, 5): normal, distance, darkness; ``corners`` (E, 8, 3); ``look`` names what it wears. ``points`` maps a
    keypoint to its place (3,); ``axis`` maps an outline to the direction (3,) along which it is long. ``ground``:
    height of the ground under it, None in the air. ``wheels``: whether they are out. ``radius`` of the fuselage,
    ``length`` of its nose section. ``plates`` wait for ``finish``.
    """

    kind: str
    flies: bool
    wheels: bool
    radius: float = 0.1
    length: float = 0.3
    layer: list[int] = field(default_factory=list)
    centre: list[np.ndarray] = field(default_factory=list)
    form: list[np.ndarray] = field(default_factory=list)
    planes: list[np.ndarray] = field(default_factory=list)
    corners: list[np.ndarray] = field(default_factory=list)
    look: list[str] = field(default_factory=list)
    points: dict[str, np.ndarray] = field(default_factory=dict)
    axis: dict[str, np.ndarray] = field(default_factory=dict)
    ground: float | None = None
    plates: list[tuple[int, list[np.ndarray], float, float]] = field(default_factory=list)

    def _add(self, layer: str, look: str, centre: np.ndarray, form: np.ndarray, planes: np.ndarray,
             corners: np.ndarray) -> None:  # fmt: skip
        faces = np.zeros((FACES, 5))
        faces[: len(planes)] = planes
        self.layer.append(LAYERS.index(layer))
        self.look.append(look)
        for values, value in ((self.centre, centre), (self.form, form), (self.planes, faces), (self.corners, corners)):
            values.append(value)

    def round(self, layer: str, look: str, centre: tuple[float, float, float], semi: tuple[float, float, float],
              span: tuple[float, float] = (-1.0, 1.0), shear: float = 0.0, dark: float = 0.0,
              pipe: bool = False) -> None:  # fmt: skip
        """An ellipsoid of half axes ``semi``, along x only from ``span[0]`` to ``span[1]`` half axes.

        ``shear``: how much z rises per x. ``dark``: light that its front cut swallows. ``pipe``: a cylinder along x.
        """
        c, (sx, sy, sz) = np.array(centre), semi
        lengthwise = 0.02 / sx if pipe else 1 / sx  # a cylinder is a very long ellipsoid
        form = np.array([[lengthwise, 0, 0], [0, 1 / sy, 0], [-shear / sz, 0, 1 / sz]])
        planes = []
        if pipe or span[1] < 1:
            planes.append([1.0, 0, 0, span[1] * sx, dark])
        if pipe or span[0] > -1:
            planes.append([-1.0, 0, 0, -span[0] * sx, dark])
        box = [[x * sx, y * sy, z * sz + shear * x * sx] for x in span for y in (-1, 1) for z in (-1, 1)]
        self._add(layer, look, c, form, np.array(planes).reshape(-1, 5), c + np.array(box))

    def disc(self, layer: str, look: str, centre: np.ndarray, radius: float, width: float) -> None:
        """A wheel: its axle runs along y."""
        form = np.diag([1 / radius, 0.25 / width, 1 / radius])
        planes = np.array([[0, 1.0, 0, width, 0], [0, -1.0, 0, width, 0]])
        box = [[x * radius, y * width, z * radius] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
        self._add(layer, look, centre, form, planes, centre + np.array(box))

    def plate(self, layer: str, look: str, outline: list[np.ndarray], root: float, tip: float) -> None:
        """A convex plate: ``outline`` is root front, tip front, tip back, root back; ``root``, ``tip`` half thickness.

        The two ends may have different thickness, the middle plane is the one through the two roots and the tip.
        """
        self.plates.append((len(self.layer), outline, root, tip))
        self._add(layer, look, NOTHING, NO_FORM, NO_PLANES, NO_CORNERS)

    def finish(self) -> None:
        """Works out all plates at once: their planes, centres and corners."""
        if not self.plates:
            return
        rim = np.array([outline for _, outline, _, _ in self.plates])  # (P, 4, 3)
        half = np.array([(root, tip, tip, root) for _, _, root, tip in self.plates])[..., None]
        edge = np.roll(rim, -1, axis=1) - rim
        normal = np.cross(edge[:, 0], -edge[:, 3]) + np.cross(edge[:, 2], -edge[:, 1])
        normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        top, bottom = rim + half * normal[:, None], rim - half * normal[:, None]
        centre = rim.mean(axis=1)
        sides = np.cross(edge, normal[:, None])
        covers = [np.cross(0.5 * (v[:, 1] + v[:, 2]) - v[:, 0], v[:, 3] - v[:, 0]) for v in (top, bottom)]
        out = np.concatenate([sides, np.stack(covers, axis=1)], axis=1)  # (P, 6, 3)
        length = np.linalg.norm(out, axis=2, keepdims=True)
        out = np.where(length > 1e-9, out / np.maximum(length, 1e-9), 0.0)  # an edge of no length bounds nothing
        point = np.concatenate([rim, top[:, :1], bottom[:, :1]], axis=1) - centre[:, None]
        distance = (out * point).sum(axis=2)
        faces = np.concatenate([out * np.where(distance < 0, -1, 1)[..., None], np.abs(distance)[..., None],
                                np.zeros((*distance.shape, 1))], axis=2)  # fmt: skip
        corners = np.concatenate([top, bottom], axis=1)
        for (e, *_), c, f, k in zip(self.plates, centre, faces, corners, strict=True):
            self.centre[e], self.planes[e], self.corners[e] = c, f, k


def draw_aircraft(rng: Generator) -> Airframe:
    """A random aircraft, on the ground or in the air."""
    kind = KINDS[int(rng.choice(len(KINDS), p=KIND_ODDS))]
    draw = {"airliner": _airliner, "business jet": _airliner, "turboprop": _turboprop, "light": _light}
    flies = rng.random() < 0.42
    fixed = kind == "light" and rng.random() < 0.75
    craft = Airframe(kind, flies, wheels=fixed or not flies or rng.random() < 0.5)
    draw.get(kind, _fighter)(craft, rng)
    craft.finish()
    return craft


def _fuselage(craft: Airframe, rng: Generator, radius: float, nose: float, tail: float, droop: float) -> None:
    """Tube with a nose of ``nose`` radii, drooping by ``droop`` radii, and an upswept tail of ``tail`` radii."""
    tall = radius * rng.uniform(0.95, 1.12)
    craft.radius, craft.length = radius, min(nose * radius, 0.7)
    back = min(tail * radius, 1.85 - craft.length)
    x1, x0 = 1 - craft.length, back - 1
    cockpit = rng.uniform(0.2, 0.36)  # the nose ends where the windscreen does
    fall = -droop * radius / craft.length
    craft.round("nose", "nose", (x1, 0, 0), (craft.length, radius, tall), (cockpit, 1.0), fall)
    craft.round("body", "body", (x1, 0, 0), (craft.length, radius, tall), (-0.02, cockpit), fall)
    half = 0.5 * (x1 - x0)
    craft.round("body", "body", (x0 + half, 0, 0), (half, radius, tall), pipe=True)
    craft.round("body", "body", (x0, 0, 0), (back, radius, tall), (-1.0, 0.02), -0.65 * radius / back)
    craft.points["nose tip"] = np.array([0.985, 0, -0.985 * droop * radius])
    craft.axis["nose"] = np.array([1.0, 0, 0])


def _wings(craft: Airframe, x: float, z: float, span: float, chord: float, taper: float, sweep: float,
           rise: float, thick: float, kink: float = 0.0, winglet: float = 0.0) -> None:  # fmt: skip
    """Two wings: leading edge of the root at x, height z, half ``span``; ``sweep`` and ``rise`` in degrees.

    ``kink``: share of the span up to which the back edge runs straight across, as airliners have it.
    """
    back, up = math.tan(math.radians(sweep)), math.tan(math.radians(rise))
    for side, sign in (("left", 1.0), ("right", -1.0)):

        def at(y: float, behind: float, sign: float = sign) -> np.ndarray:
            return np.array([x - back * y - behind, sign * y, z + up * y])

        tip = chord * taper
        middle = kink * span
        wide = max(chord - back * middle, chord + (tip - chord) * kink) if kink else chord
        layer = f"{side} wing"
        if kink:
            craft.plate(layer, "wing", [at(0, 0), at(middle, 0), at(middle, wide), at(0, chord)], thick * chord,
                        0.8 * thick * wide)  # fmt: skip
        start = 0.98 * middle
        craft.plate(layer, "wing", [at(start, 0), at(span, 0), at(span, tip), at(start, wide)], 0.8 * thick * wide,
                    0.6 * thick * tip)  # fmt: skip
        if winglet:
            high = np.array([-0.7 * winglet, sign * 0.25 * winglet, winglet])
            craft.plate(layer, "wing tip", [at(span, 0.1 * tip), at(span, 0.1 * tip) + high,
                        at(span, 0.6 * tip) + high, at(span, tip)], 0.05 * tip, 0.03 * tip)  # fmt: skip
        craft.points[f"{side} wing tip"] = at(0.96 * span, 0.5 * tip)
        craft.axis[layer] = at(span, 0.5 * tip) - at(0, 0.5 * chord)


def _fin(craft: Airframe, rng: Generator, z: float, chord: float, height: float, sweep: float, taper: float,
         y: float = 0.0, cant: float = 0.0, end: float = -0.98) -> np.ndarray:  # fmt: skip
    """A vertical stabilizer whose root ends at x = ``end``; returns the middle of its tip."""
    lean = height * math.tan(math.radians(sweep))
    front = end + chord

    def at(share: float, behind: float) -> np.ndarray:
        return np.array([front - share * lean - behind, y + share * cant * height, z + share * height])

    tip = chord * taper
    thick = rng.uniform(0.05, 0.08) * chord
    craft.plate("fin", "fin", [at(0, 0), at(1, 0), at(1, tip), at(0, chord)], thick, 0.6 * thick)
    craft.points["fin tip"] = at(0.94, 0.5 * tip)
    craft.axis["fin"] = at(1, 0.5 * tip) - at(0, 0.5 * chord)
    return at(1, 0.5 * tip)


def _tailplane(craft: Airframe, rng: Generator, x: float, z: float, span: float, chord: float, sweep: float,
               rise: float) -> None:  # fmt: skip
    back, up = span * math.tan(math.radians(sweep)), span * math.tan(math.radians(rise))
    tip = chord * rng.uniform(0.4, 0.75)
    for sign in (1.0, -1.0):
        end = np.array([x - back, sign * span, z + up])
        root = np.array([x, 0.0, z])
        far = np.array([tip, 0, 0]), np.array([chord, 0, 0])
        craft.plate("body", "tailplane", [root, end, end - far[0], root - far[1]], 0.05 * chord, 0.03 * chord)


def _propeller(craft: Airframe, hub: np.ndarray, reach: float, blades: int, phase: float) -> None:
    for blade in range(blades):
        angle = phase + 2 * math.pi * blade / blades
        out = np.array([0.0, math.cos(angle), math.sin(angle)])
        broad = 0.07 * reach * unit(np.array([0.6, -math.sin(angle), math.cos(angle)]))
        end, root = hub + reach * out, hub + 0.05 * reach * out
        craft.plate("rods", "blade", [root - broad, end - broad, end + broad, root + broad], 0.012, 0.008)


def _nacelle(craft: Airframe, centre: tuple[float, float, float], long: float, radius: float) -> None:
    craft.round("body", "engine", centre, (1.2 * long, radius, radius), (-0.85, 0.8), dark=0.75)


def _leg(craft: Airframe, foot: np.ndarray, top: np.ndarray, width: float) -> None:
    a, b = np.array([width, 0, 0]), np.array([0.9 * width, 0, 0])
    craft.plate("rods", "strut", [top + a, foot + b, foot - b, top - a], width, 0.9 * width)


def _gear(craft: Airframe, rng: Generator, front: float, main: float, track: float, drop: float, size: float,
          top: float, pairs: int = 1, tail_wheel: bool = False) -> None:  # fmt: skip
    """Three legs at x = ``front`` (the third wheel, at nose or tail) and ``main``, these ``track`` to either side.

    Wheels have radius ``size``, the main ones' axles are at z = -``drop``, their legs begin at z = ``top``.
    """
    width = size * rng.uniform(0.28, 0.5)
    small = size * (rng.uniform(0.4, 0.6) if tail_wheel else rng.uniform(0.7, 0.95))
    low = -drop - size
    nose = np.array([front, 0, low + small + (0.5 * drop * rng.random() if tail_wheel else 0.0)])
    craft.disc("third wheel", "wheel", nose, small, 0.8 * width)
    _leg(craft, nose, np.array([front, 0, -0.4 * craft.radius]), 0.2 * size)
    craft.axis["third wheel"] = np.array([0, 0, 1.0])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        axle = np.array([main, sign * track, -drop])
        step = 1.05 * size if pairs == 2 else 0.0
        for along in (-step, step) if pairs == 2 else (0.0,):
            craft.disc(f"{side} wheel", "wheel", axle + np.array([along, 0, 0]), size, width)
        _leg(craft, axle, np.array([main, sign * track * 0.8, top]), 0.24 * size)
        craft.points[f"{side} wheel"] = axle + np.array([step, 0, 0])
        craft.axis[f"{side} wheel"] = np.array([1.0, 0, 0])
    craft.ground = None if craft.flies else low


def _airliner(craft: Airframe, rng: Generator) -> None:
    small = craft.kind == "business jet"
    radius = rng.uniform(0.10, 0.135) if small else rng.uniform(0.088, 0.13)
    _fuselage(craft, rng, radius, rng.uniform(2.6, 3.6) if small else rng.uniform(1.9, 2.9), rng.uniform(4.5, 7.0),
              rng.uniform(0.15, 0.4))  # fmt: skip
    rear = small or rng.random() < 0.18
    span, chord = rng.uniform(0.72, 1.08), rng.uniform(0.34, 0.5) * (0.85 if small else 1.0)
    x, z, rise = rng.uniform(0.1, 0.3) - (0.2 if rear else 0), -0.6 * radius, rng.uniform(2, 8)
    sweep = rng.uniform(18, 36)
    _wings(craft, x, z, span, chord, rng.uniform(0.2, 0.35), sweep, rise, rng.uniform(0.05, 0.075), kink=0.34,
           winglet=rng.uniform(0.08, 0.18) if rng.random() < 0.5 else 0.0)  # fmt: skip
    high = rng.uniform(0.34, 0.5)
    root = rng.uniform(0.26, 0.4)
    tip = _fin(craft, rng, 0.75 * radius, root, high, rng.uniform(32, 48), rng.uniform(0.3, 0.55))
    if rear or rng.random() < 0.1:
        _tailplane(craft, rng, tip[0] + 0.14, tip[2], 0.36 * span, 0.22, rng.uniform(15, 32), -2)
    else:
        _tailplane(craft, rng, -0.68, 0.4 * radius, 0.38 * span, 0.24, rng.uniform(22, 36), rng.uniform(2, 10))
    size = rng.uniform(0.5, 0.75) * radius
    if rear:
        for sign in (1.0, -1.0):
            _nacelle(craft, (-0.5, sign * 1.65 * radius, 0.35 * radius), 0.16, 0.6 * radius)
    else:
        places = (0.34, 0.62) if rng.random() < 0.25 else (0.34,)
        width = rng.uniform(0.5, 0.68) * radius * (0.8 if len(places) == 2 else 1.0)
        back, up = math.tan(math.radians(sweep)), math.tan(math.radians(rise))
        for place in places:
            for sign in (1.0, -1.0):
                y = place * span
                centre = (x - back * y + 0.02, sign * y, z + up * y - 1.05 * width)
                _nacelle(craft, centre, rng.uniform(1.6, 1.9) * width, width)
    if craft.wheels:
        wheel = rng.uniform(0.36, 0.5) * radius + 0.012
        drop = radius + size * (0.55 if rear else 1.1)
        _gear(craft, rng, 0.78 - rng.uniform(0, 0.08), x - 0.8 * chord, rng.uniform(0.9, 1.4) * radius, drop, wheel, z,
              pairs=2 if not small and rng.random() < 0.5 else 1)  # fmt: skip


def _turboprop(craft: Airframe, rng: Generator) -> None:
    radius = rng.uniform(0.105, 0.145)
    _fuselage(craft, rng, radius, rng.uniform(1.8, 2.8), rng.uniform(4.5, 6.5), rng.uniform(0.15, 0.45))
    above = rng.random() < 0.6
    span, chord = rng.uniform(0.8, 1.15), rng.uniform(0.26, 0.36)
    x, z = rng.uniform(0.15, 0.32), (0.95 if above else -0.6) * radius
    _wings(craft, x, z, span, chord, rng.uniform(0.4, 0.7), rng.uniform(0, 6), 0 if above else 5, 0.07)
    tip = _fin(craft, rng, 0.7 * radius, rng.uniform(0.26, 0.4), rng.uniform(0.34, 0.5), rng.uniform(12, 40),
               rng.uniform(0.4, 0.7))  # fmt: skip
    if rng.random() < 0.6:
        _tailplane(craft, rng, tip[0] + 0.12, tip[2], 0.36 * span, 0.2, 5, 0)
    else:
        _tailplane(craft, rng, -0.72, 0.5 * radius, 0.36 * span, 0.22, 8, 3)
    blades, phase = int(rng.integers(3, 5)), rng.uniform(0, 6.3)
    reach = rng.uniform(0.16, 0.22)
    for sign in (1.0, -1.0):
        y = max(0.34 * span, radius + reach + 0.02)
        _nacelle(craft, (x + 0.02, sign * y, z - 0.02), 0.2, 0.42 * radius)
        hub = np.array([x + 0.22, sign * y, z - 0.02])
        craft.round("rods", "hub", (hub[0], hub[1], hub[2]), (0.06, 0.03, 0.03))
        _propeller(craft, hub, reach, blades, phase)
    if craft.wheels:
        track = (1.1 if above and rng.random() < 0.5 else 2.2) * radius
        wheel = rng.uniform(0.4, 0.52) * radius
        _gear(craft, rng, rng.uniform(0.72, 0.82), x - 0.7 * chord, track, radius * rng.uniform(1.35, 1.9), wheel, z)


def _light(craft: Airframe, rng: Generator) -> None:
    radius = rng.uniform(0.13, 0.18)
    tall = radius * rng.uniform(0.95, 1.15)
    end = rng.uniform(0.5, 0.62)  # the cowling from the windscreen to the propeller is the nose
    craft.radius, craft.length = radius, 1 - end
    craft.round("nose", "nose", (end, 0, -0.1 * radius), (1.25 * (1 - end), 0.86 * radius, 0.78 * tall), (0.0, 0.78))
    craft.round("nose", "spinner", (0.97, 0, -0.1 * radius), (0.075, 0.05, 0.05))
    craft.round("body", "body", (0.12, 0, 0), (0.75, radius, tall), (-0.3, 0.62))
    craft.round("body", "body", (-0.1, 0, 0), (0.95, 0.95 * radius, tall), (-0.98, 0.05), -0.4 * radius)
    canopy = rng.uniform(0.75, 1.0)
    craft.round("body", "cabin", (0.14, 0, 0.55 * tall), (0.36, 0.85 * radius, canopy * tall))
    craft.points["nose tip"] = np.array([1.02, 0, -0.1 * radius])
    craft.axis["nose"] = np.array([1.0, 0, 0])
    above = rng.random() < 0.55
    span, chord = rng.uniform(0.95, 1.3), rng.uniform(0.32, 0.44)
    x, z = rng.uniform(0.28, 0.4), (0.55 + canopy - 0.15) * tall if above else -0.65 * tall
    _wings(craft, x, z, span, chord, rng.uniform(0.55, 1.0), rng.uniform(-2, 5), 1 if above else 6, 0.065)
    if above and rng.random() < 0.8:
        for sign in (1.0, -1.0):
            foot = np.array([x - 0.18, sign * 0.9 * radius, -0.6 * tall])
            _leg(craft, foot, np.array([x - 0.2, sign * 0.52 * span, z]), 0.014)
    elif not above and rng.random() < 0.15:  # a biplane
        _wings(craft, x + 0.1, 1.9 * tall, span, chord, 0.9, 0, 1, 0.05)
        for sign in (1.0, -1.0):
            y = sign * 0.7 * span
            _leg(craft, np.array([x - 0.2, y, z + 0.05]), np.array([x - 0.12, y, 1.9 * tall]), 0.014)
    _fin(craft, rng, 0.25 * radius, rng.uniform(0.26, 0.38), rng.uniform(0.32, 0.46), rng.uniform(15, 45),
         rng.uniform(0.35, 0.65), end=-1.03)  # fmt: skip
    _tailplane(craft, rng, -0.74, 0.4 * radius, rng.uniform(0.32, 0.42), 0.24, rng.uniform(0, 10), 0)
    hub = np.array([0.98, 0, -0.1 * radius])
    _propeller(craft, hub, rng.uniform(0.24, 0.32), int(rng.integers(2, 4)), rng.uniform(0, 6.3))
    if craft.wheels:
        tail_wheel = rng.random() < 0.3
        wheel = rng.uniform(0.075, 0.11)
        front, main = (-0.9, 0.4) if tail_wheel else (rng.uniform(0.62, 0.74), rng.uniform(-0.05, 0.1))
        track, height = rng.uniform(1.2, 2.0) * radius, tall + rng.uniform(0.06, 0.16)
        _gear(craft, rng, front, main, track, height, wheel, -0.6 * tall, tail_wheel=tail_wheel)


def _fighter(craft: Airframe, rng: Generator) -> None:
    radius = rng.uniform(0.09, 0.12)
    _fuselage(craft, rng, radius, rng.uniform(5.0, 6.5), rng.uniform(2.5, 4.5), rng.uniform(0.1, 0.4))
    craft.round("body", "cabin", (0.36, 0, 0.75 * radius), (0.24, 0.55 * radius, 0.75 * radius))
    delta = rng.random() < 0.45
    span, chord = rng.uniform(0.5, 0.68), rng.uniform(0.6, 0.85) if delta else rng.uniform(0.42, 0.56)
    x, z = rng.uniform(0.05, 0.2), rng.uniform(-0.4, 0.3) * radius
    _wings(craft, x, z, span, chord, rng.uniform(0.1, 0.35), rng.uniform(38, 52) if delta else rng.uniform(25, 42),
           rng.uniform(-4, 3), 0.03)  # fmt: skip
    high, root, lean = rng.uniform(0.3, 0.44), rng.uniform(0.3, 0.42), rng.uniform(35, 50)
    taper = rng.uniform(0.25, 0.5)
    if rng.random() < 0.45:
        cant = rng.uniform(0.0, 0.4)
        for sign in (-1.0, 1.0):
            _fin(craft, rng, 0.3 * radius, root, high, lean, taper, y=sign * 1.1 * radius, cant=sign * cant, end=-0.9)
    else:
        _fin(craft, rng, 0.5 * radius, root, high, lean, taper, end=-0.95)
    if not delta:
        _tailplane(craft, rng, -0.6, z, 0.38, 0.28, rng.uniform(30, 45), -2)
    for sign in (1.0, -1.0):
        _nacelle(craft, (-0.1, sign * 0.95 * radius, -0.35 * radius), 0.36, 0.6 * radius)
    if craft.wheels:
        _gear(craft, rng, rng.uniform(0.3, 0.42), -0.3, 1.6 * radius, radius + rng.uniform(0.08, 0.13),
              rng.uniform(0.055, 0.075), -0.4 * radius)  # fmt: skip
