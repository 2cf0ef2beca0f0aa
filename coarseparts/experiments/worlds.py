"""The built-in data: synthetic birds and aircraft, sized for two CPU cores and a few minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.store import Store
from coarseparts.data.synthetic import aircraft, birds
from coarseparts.labels.schema import Schema

SIZE = 64
"""Pixels."""


@dataclass(frozen=True)
class World:
    """Things drawn by ``render``, others for every seed, with coarse ``labels``: ``part`` of them to learn from with
    part masks, ``coarse`` without (but for the upper bound), ``val`` to choose epochs on, ``test`` to measure on."""

    thing: str
    schema: Schema
    render: Callable[..., dict[str, np.ndarray]]
    labels: tuple[str, ...]
    part: int
    coarse: int
    val: int = 80
    test: int = 200

    def store(self, folder: Path, seed: int) -> Store:
        """What is drawn for a seed, rendered once and kept in ``folder``."""
        if not (folder / "store.json").is_file():
            train = self.part + self.coarse
            count = train + self.val + self.test
            made = self.render(count, size=SIZE, seed=1000 + seed)
            if "noisy_parts" in made:
                made["parts"][self.part : train] = made["noisy_parts"][self.part : train]
            arrays: dict[str, Any] = {name: made[name] for name in ("image", "parts", *self.labels)}
            Store.from_arrays(
                self.schema,
                **arrays,
                names=[f"{self.thing}-{i:05d}" for i in range(count)],
                splits=["train"] * train + ["val"] * self.val + ["test"] * self.test,
            ).save(folder)
        return Store.open(folder)


WORLDS = {
    "synthetic-birds": World("bird", birds.SCHEMA, birds.render, ("mask", "keypoints", "box"), 30, 1000),
    # As the paper uses OID Aircraft (section 4.2): few clean part masks, many noisy ones that count as coarse images,
    # and figure-ground masks alone as coarse labels.
    "synthetic-aircraft": World("aircraft", aircraft.SCHEMA, aircraft.render, ("mask",), 60, 600),
}
"""By the name that the command line takes."""
