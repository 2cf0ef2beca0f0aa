"""One bird's body as ellipsoids: proportions and pose drawn at random, parts and keypoints known.

The bird's own axes: x forward, y to its left, z up; the unit is half the length of its trunk. Nothing here knows of
cameras, colours or pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

PARTS = (
    "beak",
    "head",
    "left_eye",
    "left_leg",
    "left_wing",
    "right_eye",
    "right_leg",
    "right_wing",
    "tail",
    "torso",
)
"""The paper's ten bird parts (section 4.1); the part of index i + 1 in a mask. Left and right are the bird's own."""

KEYPOINTS = (
    "back",
    "beak",
    "belly",
    "breast",
    "crown",
    "forehead",
    "left eye",
    "left leg",
    "left wing",
    "nape",
    "right eye",
    "right leg",
    "right wing",
    "tail",
    "throat",
)
"""The fifteen keypoints of CUB-200-2011 in its order."""

UP = np.array([0.0, 0.0, 1.0])
SIDES = (("left", 1.0), ("right", -1.0))


@dataclass
class Bird:
    """E ellipsoids and where the keypoints lie on them.

    Ellipsoid e is {centre + axes @ (semi * u) : |u| <= 1}: ``centre`` (E, 3), ``axes`` (E, 3, 3) with the local axes
    as columns, ``semi`` (E, 3). ``part`` (E,) is its index into PARTS plus one, ``look`` names what it wears.
    ``anchors`` maps a keypoint that this bird has to (ellipsoid, u, on_surface): a point within the ellipsoid, or a
    point of its skin. ``feet`` (3,) is where it stands, or None.
    """

    centre: list[np.ndarray] = field(default_factory=list)
    axes: list[np.ndarray] = field(default_factory=list)
    semi: list[np.ndarray] = field(default_factory=list)
    part: list[int] = field(default_factory=list)
    look: list[str] = field(default_factory=list)
    anchors: dict[str, tuple[int, np.ndarray, bool]] = field(default_factory=dict)
    feet: np.ndarray | None = None

    def add(self, part: str, look: str, centre: np.ndarray, axes: np.ndarray, semi: tuple[float, ...]) -> int:
        """Appends an ellipsoid and returns its index."""
        self.centre.append(centre)
        self.axes.append(axes)
        self.semi.append(np.array(semi))
        self.part.append(PARTS.index(part) + 1)
        self.look.append(look)
        return len(self.part) - 1

    def limb(self, part: str, look: str, start: np.ndarray, end: np.ndarray, width: float, thick: float = 0.0,
             up: np.ndarray = UP, stretch: float = 1.12) -> int:  # fmt: skip
        """An ellipsoid along a line, longer than it by ``stretch`` so that neighbours overlap at a joint."""
        along = end - start
        semi = (0.5 * stretch * math.sqrt(along @ along), width, thick or width)
        return self.add(part, look, 0.5 * (start + end), frame(along, up), semi)

    def mark(self, keypoint: str, ellipsoid: int, u: tuple[float, ...], on_surface: bool) -> None:
        """Places a keypoint at local position ``u`` of an ellipsoid."""
        self.anchors[keypoint] = (ellipsoid, np.array(u), on_surface)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3,) cross product; ``np.cross`` takes ten times as long for two single vectors."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def unit(a: np.ndarray) -> np.ndarray:
    """(3,) the vector at length 1."""
    return a / math.sqrt(a @ a)


def frame(forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(3, 3) rotation whose columns are ``forward``, left of it, and the up that goes with them."""
    x = unit(forward)
    y = cross(up, x)
    if y @ y < 1e-6:  # forward is straight up: any left will do
        y = cross(np.array([1.0, 0.0, 0.1]), x)
    y = unit(y)
    return np.array([x, y, cross(x, y)]).T


def heading(yaw: float, pitch: float) -> np.ndarray:
    """(3,) unit vector: ``yaw`` degrees to the left of forward, ``pitch`` degrees above the horizon."""
    a, b = math.radians(yaw), math.radians(pitch)
    return np.array([math.cos(b) * math.cos(a), math.cos(b) * math.sin(a), math.sin(b)])


def draw_bird(rng: Generator) -> Bird:
    """A random bird in a random pose: about one in twelve flies, the others stand, sit or flutter."""
    bird = Bird()
    flying = rng.random() < 0.08
    wader = not flying and rng.random() < 0.25
    pitch = rng.uniform(-12, 22) if flying else rng.uniform(-5, 35) if wader else rng.uniform(0, 58)
    width, height = rng.uniform(0.40, 0.64), rng.uniform(0.44, 0.66)
    trunk = frame(heading(0, pitch), UP)  # columns: forward, left, up of the trunk

    body = bird.add("torso", "body", np.zeros(3), trunk, (1.0, width, height))
    chest = trunk @ np.array([rng.uniform(0.3, 0.5), 0, -rng.uniform(0.02, 0.14) * height])
    breast = bird.add("torso", "breast", chest, trunk, (0.58, 0.92 * width, 0.95 * height))
    rump = trunk @ np.array([-0.72, 0, 0.08])
    bird.add("torso", "rump", rump, trunk, (0.55, 0.55 * width, 0.5 * height))
    bird.mark("back", body, (-0.05, 0, 1), True)
    bird.mark("belly", body, (-0.15, 0, -1), True)
    bird.mark("breast", breast, (0.75, 0, -0.4), True)

    _head(bird, rng, trunk, width, height, flying, long_neck=rng.random() < (0.7 if wader else 0.2))
    mode = "open" if flying else "raised" if rng.random() < 0.08 else "folded"
    _wings(bird, rng, trunk, width, height, mode)
    _tail(bird, rng, trunk, short=wader)
    _legs(bird, rng, trunk, width, height, flying, wader)
    return bird


def _head(
    bird: Bird, rng: Generator, trunk: np.ndarray, width: float, height: float, flying: bool, long_neck: bool
) -> None:
    size = rng.uniform(0.30, 0.44)
    length = rng.uniform(0.7, 1.6) if long_neck else rng.uniform(0.12, 0.5)
    base = trunk @ np.array([0.68, 0, 0.28 * height])
    rise = rng.uniform(0, 35) if flying else rng.uniform(35, 88)
    bend = rng.uniform(-35, 35) if long_neck else 0.0
    turn = rng.normal(0, 28)
    middle = base + 0.5 * length * heading(0.3 * turn, rise + bend)
    top = middle + 0.5 * length * heading(0.3 * turn, rise - bend)
    thick = 0.55 * size if long_neck else 0.92 * size
    bird.limb("torso", "neck", base - 0.15 * trunk[:, 0], middle, 1.25 * thick, stretch=1.35)
    bird.limb("torso", "neck", middle, top, thick, stretch=1.3)

    face = frame(heading(turn, rng.uniform(-28, 14)), UP)
    semi = size * np.array([rng.uniform(1.05, 1.3), rng.uniform(0.84, 0.96), rng.uniform(0.9, 1.02)])
    centre = top + face @ np.array([0.35 * size, 0, 0.15 * size])
    head = bird.add("head", "head", centre, face, tuple(semi))
    bird.mark("crown", head, (0.0, 0, 1), True)
    bird.mark("forehead", head, (0.8, 0, 0.62), True)
    bird.mark("nape", head, (-0.9, 0, 0.1), True)
    bird.mark("throat", head, (0.45, 0, -0.9), True)
    if rng.random() < 0.22:  # crest
        tip = centre + face @ (semi * np.array([-rng.uniform(0.6, 1.5), 0, rng.uniform(1.1, 1.9)]))
        bird.limb("head", "crest", centre + face @ (semi * np.array([0.2, 0, 0.6])), tip, 0.35 * size, 0.2 * size)

    eye = size * rng.uniform(0.23, 0.33)
    ahead, above = rng.uniform(0.25, 0.5), rng.uniform(0.1, 0.34)
    for side, sign in SIDES:
        outward = unit(np.array([ahead, sign * 0.85, above]))
        spot = centre + face @ (0.97 * semi * outward)
        axes = frame(face @ (outward / semi), UP)
        bird.mark(f"{side} eye", bird.add(f"{side}_eye", "eye", spot, axes, (0.55 * eye, eye, eye)), (0, 0, 0), False)
    _beak(bird, rng, centre + face @ np.array([0.86 * semi[0], 0, -0.12 * size]), face, size)


def _beak(bird: Bird, rng: Generator, base: np.ndarray, face: np.ndarray, size: float) -> None:
    length = size * 0.75 * (3.6 / 0.75) ** rng.random()
    kind = rng.choice(["straight", "hooked", "curved", "flat"], p=[0.45, 0.22, 0.2, 0.13])
    thick = size * np.clip(rng.uniform(0.28, 0.48) * (1.5 * size / length) ** 0.5, 0.13, 0.5)
    droop = rng.uniform(-6, 14)

    def point(distance: float, angle: float) -> np.ndarray:
        """A step of ``distance`` in the plane of symmetry, ``angle`` degrees below straight ahead."""
        return face @ (distance * heading(0, -angle))

    root = base - point(0.3 * size, droop)
    if kind == "hooked":
        end = base + point(0.75 * length, droop)
        main = bird.limb("beak", "beak", root, end, 1.05 * thick, 1.15 * thick)
        bird.limb(
            "beak", "beak", end - point(0.15 * length, 0), end + point(0.42 * thick + 0.2 * length, 72), 0.5 * thick
        )
    elif kind == "curved":
        arc = rng.uniform(12, 42) * rng.choice([1, 1, 1, -0.6])
        first = base + point(0.4 * length, droop)
        second = first + point(0.4 * length, droop + arc)
        main = bird.limb("beak", "beak", root, first, thick)
        bird.limb("beak", "beak", first, second, 0.72 * thick, stretch=1.3)
        bird.limb("beak", "beak", second, second + point(0.3 * length, droop + 2 * arc), 0.5 * thick, stretch=1.3)
    else:
        flat = kind == "flat"
        end = base + point(length, droop)
        main = bird.limb("beak", "beak", root, end, thick * (1.5 if flat else 0.95), thick * (0.6 if flat else 1.0))
    bird.mark("beak", main, (0.5, 0, 0), False)


def _wings(bird: Bird, rng: Generator, trunk: np.ndarray, width: float, height: float, mode: str) -> None:
    if mode == "folded":
        length, tip, tilt = rng.uniform(0.72, 0.98), rng.uniform(0.35, 0.85), rng.uniform(-12, 8)
        deep = height * rng.uniform(0.5, 0.78)
        for side, sign in SIDES:
            swing = tilt + rng.normal(0, 3)
            axes = trunk @ frame(heading(sign * rng.uniform(2, 9), swing), UP)
            centre = trunk @ np.array([-0.12, sign * 0.86 * width, 0.2 * height])
            name = f"{side}_wing"
            main = bird.add(name, "wing", centre, axes, (length, 0.26 * width, deep))
            bird.mark(f"{side} wing", main, (-0.1, 0, 0), False)
            end = centre - axes @ np.array([0.7 * length + tip, -sign * 0.1, 0.1 * deep])
            start = centre - axes @ np.array([0.25 * length, 0, 0])
            bird.limb(name, "wing tip", start, end, 0.07, 0.36 * deep, up=trunk[:, 2])
        return

    raised = mode == "raised"
    inner, outer = rng.uniform(0.6, 0.95), rng.uniform(0.75, 1.45) * (0.8 if raised else 1.0)
    chord, fan = rng.uniform(0.42, 0.64), rng.uniform(6, 22)
    lift = rng.uniform(30, 75) if raised else rng.uniform(-25, 60)
    fold = rng.uniform(-40, 20)
    sweep, hand = rng.uniform(-25, 12), rng.uniform(0, 45)
    for side, sign in SIDES:
        name = f"{side}_wing"
        lift_here = lift + rng.normal(0, 6)
        shoulder = trunk @ np.array([0.32, sign * 0.62 * width, 0.35 * height])

        def along(yaw: float, rise: float, sign: float = sign) -> np.ndarray:
            """Unit vector out along this wing, swept back by ``yaw`` and raised by ``rise`` degrees."""
            return trunk @ heading(sign * (90 + yaw), rise)

        wrist = shoulder + inner * along(sweep, lift_here)
        normal = cross(trunk[:, 0], along(0, lift_here)) * sign
        back = -0.45 * chord * trunk[:, 0]
        arm = bird.limb(name, "wing", shoulder + 0.5 * back, wrist + 0.6 * back, chord, 0.09, up=normal, stretch=1.4)
        bird.mark(f"{side} wing", arm, (0.3, 0, 0), False)
        rise = lift_here + fold
        normal = cross(trunk[:, 0], along(0, rise)) * sign
        for feather in range(4):
            reach = outer * (1.0 - 0.13 * feather)
            end = wrist + reach * along(hand + fan * feather, rise)
            start = wrist + back * (0.25 * feather) - 0.1 * inner * along(sweep, lift_here)
            bird.limb(name, "wing tip", start, end, 0.34 * chord, 0.045, up=normal)


def _tail(bird: Bird, rng: Generator, trunk: np.ndarray, short: bool) -> None:
    length = 0.45 * ((0.9 if short else 1.9) / 0.45) ** rng.random()
    spread = rng.uniform(2, 24)
    rise = rng.uniform(-28, 30) if rng.random() < 0.85 else rng.uniform(30, 75)  # a wren's tail stands up
    fork = rng.uniform(-0.25, 0.4)
    width = rng.uniform(0.11, 0.2)
    base = trunk @ np.array([-0.9, 0, 0.1])
    middle = -1
    for step in (-1.0, 0.0, 1.0):
        out = trunk @ heading(180 + step * spread, rise)
        end = base + length * (1 + fork * abs(step)) * out
        feather = bird.limb("tail", "tail", base - 0.15 * out + trunk[:, 1] * (-step * 0.05), end, width, 0.05,
                            up=trunk[:, 2], stretch=1.05)  # fmt: skip
        middle = feather if step == 0 else middle
    bird.mark("tail", middle, (0.25, 0, 0), False)


def _legs(
    bird: Bird, rng: Generator, trunk: np.ndarray, width: float, height: float, flying: bool, wader: bool
) -> None:
    if flying:
        manner = rng.choice(["tucked", "trailing", "dangling"], p=[0.45, 0.35, 0.2])
    else:
        manner = "standing" if wader or rng.random() < 0.85 else "tucked"
    if manner == "tucked":
        return
    thigh, shank = rng.uniform(0.35, 0.55), rng.uniform(0.9, 1.6) if wader else rng.uniform(0.3, 0.62)
    thick = rng.uniform(0.06, 0.095)
    toe = rng.uniform(0.24, 0.42)
    step = rng.normal(0, 12)
    feet = []
    for side, sign in SIDES:
        name = f"{side}_leg"
        hip = trunk @ np.array([-0.12, sign * 0.5 * width, -0.55 * height])
        if manner == "trailing":
            knee = hip + thigh * (trunk @ heading(180, -12))
            ankle = knee + shank * (trunk @ heading(180 - sign * 4, rng.uniform(-12, 6)))
            forward = trunk @ heading(180, -20)
        else:
            swing = sign * step + rng.normal(0, 5) + (rng.uniform(-30, 30) if manner == "dangling" else 0)
            knee = hip + thigh * heading(sign * 8, -68 + swing)
            ankle = knee + shank * heading(180, -76 + 0.8 * swing)
            forward = heading(rng.normal(0, 12), -4)
        bird.limb(name, "thigh", hip - 0.1 * (knee - hip), knee, max(2.0 * thick, 0.16), stretch=1.25)
        bird.mark(f"{side} leg", bird.limb(name, "leg", knee, ankle, thick), (-0.2, 0, 0), False)
        left = cross(UP, forward)
        for turn in (-0.45, 0.45):
            bird.limb(name, "leg", ankle - 0.25 * toe * forward, ankle + toe * (forward + turn * left), 0.9 * thick)
        feet.append(ankle)
    bird.feet = 0.5 * (feet[0] + feet[1]) if manner == "standing" else None
