"""What stands behind an aircraft and in front of it: sky, ground, trees, buildings, poles, vehicles, other aircraft.

Gradients, noise and ellipses are ``backgrounds``'; convex four-cornered plates come on top. Lengths are shares of the
frame, positions run 0..1 with y down. Only exactly rounded arithmetic, as in ``ellipsoids``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from coarseparts.data.synthetic.backgrounds import BEFORE, BEHIND, SHAPE, WAVES, Backdrop, paint
from coarseparts.data.synthetic.ellipsoids import wave

SKY = np.array(
    [
        [0.36, 0.56, 0.82], [0.55, 0.70, 0.88], [0.78, 0.85, 0.92], [0.88, 0.89, 0.90], [0.66, 0.69, 0.73],
        [0.48, 0.52, 0.58], [0.20, 0.36, 0.66], [0.93, 0.80, 0.64], [0.82, 0.62, 0.52], [0.30, 0.32, 0.40],
    ]
)  # fmt: skip
GROUND = np.array(
    [
        [0.44, 0.44, 0.44], [0.56, 0.56, 0.55], [0.66, 0.65, 0.62], [0.32, 0.33, 0.34], [0.34, 0.42, 0.20],
        [0.46, 0.50, 0.26], [0.58, 0.52, 0.36], [0.24, 0.30, 0.16], [0.85, 0.87, 0.90],
    ]
)  # fmt: skip
THINGS = np.array(
    [
        [0.90, 0.90, 0.90], [0.75, 0.76, 0.78], [0.55, 0.57, 0.60], [0.30, 0.32, 0.35], [0.12, 0.12, 0.13],
        [0.20, 0.28, 0.14], [0.30, 0.36, 0.18], [0.85, 0.70, 0.15], [0.75, 0.20, 0.15], [0.15, 0.30, 0.60],
        [0.55, 0.40, 0.28], [0.70, 0.62, 0.50],
    ]
)  # fmt: skip

PLATES_BEHIND, PLATES_BEFORE = 13, 4
"""Most plates behind and in front of an aircraft."""

PLATE = 18  # numbers of one plate: four edges (a, b, c: a x + b y + c > 0 inside), colour, opacity, bars' rate, depth


@dataclass
class Surroundings:
    """One image's: ``backdrop`` and ``plates`` (PLATES_BEHIND + PLATES_BEFORE, PLATE); opacity 0 = none."""

    backdrop: Backdrop
    plates: np.ndarray


@dataclass
class _Sketch:
    rng: Generator
    palette: np.ndarray
    shapes: dict[bool, list[np.ndarray]] = field(default_factory=lambda: {False: [], True: []})
    plates: dict[bool, list[np.ndarray]] = field(default_factory=lambda: {False: [], True: []})

    def colour(self) -> np.ndarray:
        """A thing's colour; one in five is the aircraft's own."""
        rng = self.rng
        chosen = self.palette if rng.random() < 0.2 else THINGS
        pick = chosen[rng.integers(len(chosen))] * rng.uniform(0.6, 1.15)
        return np.clip(pick + rng.normal(0, 0.03, 3), 0, 1)

    def oval(self, x: float, y: float, long: float, wide: float, colour: np.ndarray, turn: float = 0.0,
             opacity: float = 1.0, sharp: float = 9.0, rough: float = 0.1, before: bool = False) -> None:  # fmt: skip
        self.shapes[before].append(
            np.array([x, y, np.cos(turn), np.sin(turn), 1 / long, 1 / wide, 0, sharp, opacity, *colour, 0, -0.25, 0.2,
                      0.85, rough])
        )  # fmt: skip

    def plate(self, corners: np.ndarray, colour: np.ndarray, bars: float = 0.0, depth: float = 0.0,
              before: bool = False) -> None:  # fmt: skip
        """``corners`` (4, 2) of a convex outline, in order."""
        edges = []
        middle = corners.mean(0)
        for p, q in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            a, b = p[1] - q[1], q[0] - p[0]
            length = max(float(np.hypot(a, b)), 1e-6)
            edge = np.array([a, b, -(a * p[0] + b * p[1])]) / length
            edges.append(edge if edge[0] * middle[0] + edge[1] * middle[1] + edge[2] >= 0 else -edge)
        self.plates[before].append(np.concatenate([*edges, colour, [1.0, bars, depth]]))

    def block(self, x: float, y: float, wide: float, high: float, before: bool = False, **bars: float) -> None:
        """A rectangle that stands on y, centred at x."""
        corners = [[x - wide / 2, y - high], [x + wide / 2, y - high], [x + wide / 2, y], [x - wide / 2, y]]
        self.plate(np.array(corners), self.colour(), before=before, **bars)


def draw_surroundings(
    rng: Generator, palette: np.ndarray, ground: np.ndarray | None, height: float, occlude: bool
) -> Surroundings:
    """Draws surroundings for an aircraft with colours ``palette`` (C, 3).

    ``ground`` (2,): the place in the frame where it stands, None in the air; ``height``: of a man in the frame, which
    sets the size of vehicles; ``occlude``: whether something stands in front.
    """
    sketch = _Sketch(rng, palette)
    sky = SKY[rng.integers(len(SKY), size=2)] * rng.uniform(0.85, 1.08)
    rate = np.exp(rng.uniform(np.log([[0.5], [3.0]]), np.log([[2.5], [14.0]]), (2, WAVES)))
    angle = rng.uniform(0, 2 * np.pi, (2, WAVES)) if ground is None else rng.normal(np.pi / 2, 0.45, (2, WAVES))
    waves = np.stack([rate * np.cos(angle), rate * np.sin(angle), rng.uniform(0, 1, (2, WAVES))], axis=2)
    clouds = np.clip(sky[0] + rng.normal(0, 0.14), 0, 1) * np.ones(3)
    if rng.random() < 0.3:  # what it is painted like makes it hard to find
        sky[int(rng.integers(2))] = palette[0] * rng.uniform(0.85, 1.1)
    fine = np.clip(sky[1] + rng.normal(0, 0.05, 3), 0, 1)
    if ground is not None or rng.random() < 0.35:
        far = rng.uniform(0.55, 1.05) if ground is None else ground[1] - rng.uniform(0.0, 0.45)
        soil = GROUND[rng.integers(len(GROUND), size=3)] * rng.uniform(0.75, 1.15)
        slope = np.array([rng.normal(0, 0.4), 40.0, 40.0 * (0.5 - far)])  # a gradient as steep as an edge
        colours = np.stack([sky[0], soil[0], 0.5 * (soil[1] + clouds), soil[2]])
        _horizon(sketch, far)
        if ground is not None:
            _apron(sketch, ground, far, height)
    else:
        slope = np.append(rng.normal(0, 0.9, 2), rng.uniform(-0.2, 1.2))
        colours = np.stack([sky[0], sky[1], clouds, fine])
        if rng.random() < 0.55:
            _airborne_clutter(sketch)
    if occlude:
        _occluders(sketch, 0.7 if ground is None else float(ground[1]), height)
    shapes, plates = np.zeros((BEHIND + BEFORE, SHAPE)), np.zeros((PLATES_BEHIND + PLATES_BEFORE, PLATE))
    for canvas, made, first, most in (
        (shapes, sketch.shapes, BEHIND, BEFORE),
        (plates, sketch.plates, PLATES_BEHIND, PLATES_BEFORE),
    ):
        for i, row in enumerate(made[False][:first]):
            canvas[i] = row
        for i, row in enumerate(made[True][:most]):
            canvas[first + i] = row
    return Surroundings(Backdrop(np.clip(colours, 0, 1), waves, slope, shapes), plates)


def _horizon(sketch: _Sketch, far: float) -> None:
    """Trees, hangars, towers and poles along the horizon."""
    rng = sketch.rng
    if rng.random() < 0.7:
        for _ in range(int(rng.integers(1, 4))):
            wide = rng.uniform(0.1, 0.5)
            sketch.oval(rng.uniform(0, 1), far, wide, wide * rng.uniform(0.1, 0.45), sketch.colour() * 0.7, rough=0.35)
    for _ in range(int(rng.integers(0, 4))):
        kind = rng.random()
        x = rng.uniform(-0.05, 1.05)
        if kind < 0.5:
            sketch.block(x, far + 0.02, rng.uniform(0.1, 0.45), rng.uniform(0.04, 0.25), bars=rng.uniform(6, 24),
                         depth=rng.uniform(0, 0.4))  # fmt: skip
        else:  # a pole, a mast, a tower
            sketch.block(x, far + 0.03, rng.uniform(0.008, 0.035), rng.uniform(0.15, 0.6))


def _other_aircraft(sketch: _Sketch, x: float, y: float, size: float) -> None:
    """A tail, a wing or a whole aircraft in the background, its wheels included."""
    rng = sketch.rng
    way = rng.choice([-1.0, 1.0])
    body = sketch.colour()

    def at(*corners: tuple[float, float]) -> np.ndarray:
        return np.array([x, y]) + size * np.array(corners) * np.array([way, 1.0])

    lean = rng.uniform(0.05, 0.2)
    sketch.plate(at((-0.95, -0.15), (-0.7, -0.15), (-0.8 - lean, -0.5), (-0.97 - lean, -0.5)), sketch.colour())
    if rng.random() < 0.35:
        return  # the tail alone, behind something
    deep = rng.uniform(0.1, 0.15)
    sketch.plate(at((-1.05, -deep - 0.05), (0.8, -deep), (0.85, deep), (-0.6, deep)), body)
    sketch.plate(at((0.78, -deep), (1.02, -0.2 * deep), (1.02, 0.7 * deep), (0.78, deep)), sketch.colour())
    sketch.plate(at((0.1, 0.02), (-0.35, 0.02), (-0.7, 0.2), (-0.55, 0.2)), sketch.colour())
    for place in (0.7, -0.1, -0.18):
        r = 0.05 * size
        spot = at((place, deep + 0.1))[0]
        square = np.array([[-r, -r * 0.5], [0.0, -r * 1.2], [r, 0.0], [0.0, r]])
        sketch.plate(spot + square, np.full(3, rng.uniform(0.05, 0.25)))


def _vehicle(sketch: _Sketch, x: float, y: float, size: float, before: bool) -> None:
    rng = sketch.rng
    long, high = size * rng.uniform(0.8, 2.4), size * rng.uniform(0.4, 0.9)
    way = rng.choice([-1.0, 1.0])
    sketch.block(x, y, long, high, before, bars=rng.uniform(4, 20), depth=0.25 * (rng.random() < 0.4))
    sketch.block(x + way * 0.55 * long, y, 0.3 * long, 0.6 * high, before)
    for place in (-0.3, 0.35):
        r = 0.18 * size
        sketch.oval(x + place * long, y, r, r, np.full(3, rng.uniform(0.04, 0.2)), before=before)


def _apron(sketch: _Sketch, ground: np.ndarray, far: float, height: float) -> None:
    """The shadow on the ground, parked aircraft and vehicles, painted lines."""
    rng = sketch.rng
    if rng.random() < 0.75:
        shade = np.full(3, rng.uniform(0.05, 0.25))
        sketch.shapes[False].insert(0, np.array(
            [ground[0] + rng.normal(0, 0.08), ground[1] + rng.uniform(-0.01, 0.03), 1, 0, 1 / rng.uniform(0.25, 0.45),
             1 / rng.uniform(0.015, 0.05), 0, rng.uniform(1, 5), rng.uniform(0.3, 0.8), *shade, 0, 0, 0, 1, 0]
        ))  # fmt: skip
    for _ in range(int(rng.integers(0, 4))):
        kind = rng.random()
        x, y = rng.uniform(0, 1), far + rng.uniform(0.0, 1.0) * max(0.02, ground[1] - far)
        if kind < 0.45:
            _other_aircraft(sketch, x, y - 0.05, rng.uniform(0.15, 0.55))
        elif kind < 0.8:
            _vehicle(sketch, x, y, rng.uniform(0.8, 1.6) * height, before=False)
        else:  # a painted line
            width = rng.uniform(0.004, 0.012)
            tilt = rng.normal(0, 0.15)
            line = np.array([[-0.1, y - tilt], [1.1, y + tilt], [1.1, y + tilt + width], [-0.1, y - tilt + width]])
            sketch.plate(line, np.array([0.85, 0.75, 0.3]) if rng.random() < 0.5 else np.full(3, 0.85))


def _airborne_clutter(sketch: _Sketch) -> None:
    """Another aircraft, branches, wires or trails."""
    rng = sketch.rng
    for _ in range(int(rng.integers(1, 3))):
        kind = rng.random()
        if kind < 0.4:
            _other_aircraft(sketch, rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.1, 0.5))
        elif kind < 0.7:
            turn = rng.uniform(0, np.pi)
            along = np.array([np.cos(turn), np.sin(turn)])
            across = np.array([-along[1], along[0]]) * rng.uniform(0.005, 0.04)
            spot = rng.uniform(0, 1, 2)
            ends = [spot + along - across, spot - along - across, spot - along + across, spot + along + across]
            sketch.plate(np.array(ends), sketch.colour())
        else:
            x, y = rng.uniform(0, 1), rng.uniform(0, 1)
            width, height, colour = rng.uniform(0.1, 0.4), rng.uniform(0.04, 0.2), sketch.colour()
            turn, opacity = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
            sketch.oval(x, y, width, height, colour, turn=turn, opacity=opacity, sharp=3.0)


def _occluders(sketch: _Sketch, ground: float, height: float) -> None:
    """Vehicles, people or poles in front of the aircraft."""
    rng = sketch.rng
    for _ in range(int(rng.integers(1, 3))):
        x = rng.uniform(0.05, 0.95)
        if rng.random() < 0.6:
            _vehicle(sketch, x, ground + rng.uniform(0.0, 0.12), rng.uniform(0.8, 1.5) * height, before=True)
        else:
            sketch.block(x, 1.02, rng.uniform(0.01, 0.035), rng.uniform(0.4, 1.1), before=True)


def paint_surroundings(scenes: list[Surroundings], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Paints a chunk; returns what ``backgrounds.paint`` returns: behind, before, hidden."""
    behind, before, hidden = paint([s.backdrop for s in scenes], size)
    plates = torch.from_numpy(np.stack([s.plates for s in scenes])).float()
    grid = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    x, y = grid[None, None, :], grid[None, :, None]
    for i in range(plates.shape[1]):
        p = plates[:, i]
        if not p[:, 15].any():
            continue
        edges = p[:, :12].view(-1, 4, 3)
        inside = None
        for e in range(4):
            a, b, c = (v[:, None, None] for v in edges[:, e].unbind(1))
            reach = a * x + (b * y + c)
            inside = reach if inside is None else torch.minimum(inside, reach)
        assert inside is not None
        alpha = ((inside * size + 0.5).clamp(0, 1) * p[:, 15, None, None])[:, None]
        dark = 1 - p[:, 17, None, None] * (wave(p[:, 16, None, None] * x) > 0).float()  # (B, 1, S)
        colour = p[:, 12:15, None, None] * dark[:, None]
        canvas = behind if i < PLATES_BEHIND else before
        canvas += alpha * (colour - canvas)
        if i >= PLATES_BEHIND:
            hidden = torch.maximum(hidden, alpha)
    return behind, before, hidden
