"""What a bird wears: colours and patterns per ellipsoid, drawn so that they say little about which part is which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from coarseparts.data.synthetic.anatomy import Bird

FEATHERS = np.array(
    [
        [0.10, 0.09, 0.09], [0.22, 0.20, 0.20], [0.40, 0.38, 0.37], [0.58, 0.57, 0.57], [0.78, 0.77, 0.75],
        [0.94, 0.93, 0.90], [0.30, 0.20, 0.13], [0.45, 0.32, 0.21], [0.60, 0.45, 0.30], [0.75, 0.62, 0.44],
        [0.85, 0.77, 0.62], [0.58, 0.27, 0.13], [0.40, 0.39, 0.20], [0.56, 0.54, 0.24], [0.88, 0.76, 0.20],
        [0.87, 0.50, 0.14], [0.72, 0.16, 0.12], [0.20, 0.33, 0.58], [0.40, 0.55, 0.72], [0.16, 0.38, 0.27],
    ]
)  # fmt: skip
FEATHER_ODDS = np.array([3, 3, 3, 3, 2, 3, 3, 3, 3, 2, 2, 2, 2, 1.5, 1.5, 1, 1, 1, 1, 1.0])
HORN = np.array(
    [[0.10, 0.09, 0.08], [0.30, 0.27, 0.25], [0.55, 0.50, 0.45], [0.86, 0.62, 0.18], [0.85, 0.42, 0.18],
     [0.70, 0.50, 0.42], [0.60, 0.58, 0.40]]
)  # fmt: skip
IRIS = np.array([[0.04, 0.04, 0.04], [0.07, 0.05, 0.04], [0.22, 0.10, 0.05], [0.75, 0.55, 0.10], [0.55, 0.10, 0.06]])

PATTERN = ("noise", "stripes", "stripe_rate", "stripe_phase", "upness", "offset", "gain", "feather", "gloss")


@dataclass
class Plumage:
    """Per ellipsoid (E, 3) two colours, 0..1, and the (E, 9) numbers of PATTERN that mix them.

    The share of the second colour at local position u is clamp(0.5 + gain * (noise * n(p) + stripes *
    wave(stripe_rate * u_x + stripe_phase) + upness * u_z + offset)), n being noise in the bird's own coordinates.
    ``palette`` (C, 3) are the bird's colours, for things in its surroundings that look like it.
    """

    first: np.ndarray
    second: np.ndarray
    pattern: np.ndarray
    palette: np.ndarray


def feather_colours(rng: Generator, count: int) -> np.ndarray:
    """(count, 3) natural feather colours."""
    picks = rng.choice(len(FEATHERS), size=count, p=FEATHER_ODDS / FEATHER_ODDS.sum())
    return np.clip(FEATHERS[picks] * rng.uniform(0.8, 1.15, (count, 1)) + rng.normal(0, 0.03, (count, 3)), 0.03, 0.97)


def dress(bird: Bird, rng: Generator) -> Plumage:
    """Draws the plumage. A fifth of all birds have nearly one colour; the others share two to four among all parts."""
    palette = feather_colours(rng, int(rng.integers(2, 5)))
    if rng.random() < 0.2:  # plain
        palette = np.clip(palette[:1] * rng.uniform(0.8, 1.2, (len(palette), 1)), 0.02, 0.98)

    def cloth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first, second = (palette[rng.integers(len(palette)) if rng.random() < 0.6 else 0] for _ in range(2))
        kind = rng.choice(["even", "patches", "streaks", "bars", "counter", "mix"])
        noise, stripes, upness, gain = 0.25, 0.0, 0.0, rng.uniform(0.3, 0.8)
        if kind == "patches":
            noise, gain = 1.0, rng.uniform(1, 5)
        elif kind == "streaks":
            noise, stripes, gain = 0.6, 0.5, rng.uniform(0.8, 2.5)
        elif kind == "bars":
            noise, stripes, gain = 0.3, 1.0, rng.uniform(1, 4)
        elif kind == "counter":
            noise, upness, gain = 0.35, rng.choice([-1.0, 1.0]), rng.uniform(0.8, 4)
        elif kind == "mix":
            noise, stripes, upness, gain = 0.5, 0.4, rng.choice([-0.6, 0.6]), rng.uniform(0.8, 2.5)
        pattern = [noise, stripes, rng.uniform(0.4, 2.4), rng.uniform(0, 1), upness, rng.uniform(-0.5, 0.5), gain,
                   rng.uniform(0.03, 0.22), 0.0]  # fmt: skip
        return first, second, np.array(pattern)

    common = cloth()
    clothes = {"body": common}
    follows = {"breast": "body", "rump": "body", "neck": "body", "head": "neck", "wing": "body", "tail": "rump",
               "wing tip": "wing", "crest": "head", "thigh": "body"}  # fmt: skip
    for look, like in follows.items():
        same = 0.9 if look in ("wing tip", "breast", "rump") else 0.25
        clothes[look] = clothes[like] if rng.random() < same else cloth()
    even = np.array([0.3, 0, 1, 0, 0, rng.uniform(-0.5, 0.5), 0.5, 0.05, 0.15])
    horn = np.clip(HORN[rng.integers(len(HORN))] * rng.uniform(0.8, 1.2), 0, 1)
    clothes["leg"] = (horn, 0.75 * horn, even)
    if rng.random() < 0.45:  # legs and beak often differ, or the beak has a colour of the feathers
        horn = palette[rng.integers(len(palette))] if rng.random() < 0.5 else HORN[rng.integers(len(HORN))]
    clothes["beak"] = (horn, 0.7 * horn, even)
    iris = IRIS[rng.integers(len(IRIS))]
    clothes["eye"] = (iris, 0.6 * iris, np.array([0, 0, 1, 0, 0, 0, 1, 0, 0.6]))
    worn = [clothes[look] for look in bird.look]
    return Plumage(
        np.stack([w[0] for w in worn]), np.stack([w[1] for w in worn]), np.stack([w[2] for w in worn]), palette
    )
