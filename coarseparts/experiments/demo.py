"""The demonstration: the whole method on synthetic birds, sized for two CPU cores and a few minutes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from coarseparts.data.store import Store
from coarseparts.data.synthetic import aircraft, birds
from coarseparts.system import parallel
from coarseparts.training.experiment import Experiment
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings

METHODS = ("fine-tuning", "em")

EPOCHS = 7
"""Of EM, and as many steps of fine-tuning; the ``default`` preset has 12, which take that much longer."""

SIZE, PART, COARSE, VAL, TEST = 64, 30, 1000, 80, 200
"""Pixels; images with part masks; images with coarse labels only; images to choose epochs on; images to measure on."""


def store(cache: Path, seed: int, train: int = PART + COARSE) -> Store:
    """Synthetic birds of one seed, rendered once: other birds for every seed, split and role. All have all labels."""
    if (cache / "store.json").is_file():
        return Store.open(cache)
    count = train + VAL + TEST
    made = birds.render(count, size=SIZE, seed=1000 + seed)
    splits = ["train"] * train + ["val"] * VAL + ["test"] * TEST
    names = [f"bird-{i:05d}" for i in range(count)]
    drawn = Store.from_arrays(
        birds.SCHEMA,
        made["image"],
        made["parts"],
        mask=made["mask"],
        keypoints=made["keypoints"],
        box=made["box"],
        names=names,
        splits=splits,
    )
    drawn.save(cache)
    return Store.open(cache)


AIRCRAFT_PART, AIRCRAFT_COARSE = 60, 600
"""Aircraft with clean part masks; with figure-ground masks and noisy part masks, which only the upper bound sees."""


def aircraft_store(cache: Path, seed: int) -> Store:
    """Synthetic aircraft of one seed, as the paper uses OID Aircraft (section 4.2): few clean part masks, many noisy
    ones that count as coarse images, and figure-ground masks alone as coarse labels."""
    if (cache / "store.json").is_file():
        return Store.open(cache)
    train = AIRCRAFT_PART + AIRCRAFT_COARSE
    count = train + VAL + TEST
    made = aircraft.render(count, size=SIZE, seed=1000 + seed)
    coarse = slice(AIRCRAFT_PART, train)
    made["parts"][coarse] = made["noisy_parts"][coarse]
    drawn = Store.from_arrays(
        aircraft.SCHEMA,
        made["image"],
        made["parts"],
        mask=made["mask"],
        names=[f"aircraft-{i:05d}" for i in range(count)],
        splits=["train"] * train + ["val"] * VAL + ["test"] * TEST,
    )
    drawn.save(cache)
    return Store.open(cache)


def experiment(folder: Path, seed: int, device: str, console: Console) -> Experiment:
    """The demonstration's experiment for one seed: the default preset with fewer epochs, measured on held-out birds."""
    chosen = resolve(settings(changes={"em_epochs": EPOCHS}), device)
    with parallel.main_first():
        data = store(folder / "store", seed)
    return Experiment(
        data, chosen, folder, seed, device, part_limit=PART, measure="test", config={"data": "demo"}, console=console
    )
