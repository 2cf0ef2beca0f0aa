"""What to label next, simulated: part mIoU against minutes of drawing part masks, for each way of choosing images.

    python benchmarks/next.py OUT [--seeds 0,1,2] [--pool 160] [--masks 8,24] [--epochs 8]

Synthetic birds of 48 px; every image of the pool has keypoints, a mask and a box. Part model, posterior and label
models are initialised (section 5.2) with the first part masks, which are drawn at random and the same for all ways.
Each way then chooses from the pool with them, is given the part masks, and a new part model learns from all of these
alone, as in the first round; EM does not follow, which would take hours. Measured on 200 other birds. A training that
OUT has is not done again. It ends with a table, with the mean margin over chance and its 95 % interval (t, over seeds).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.inference.evaluate import evaluate_store
from coarseparts.inference.model import Model
from coarseparts.selection.choose import NOTHING
from coarseparts.selection.orders import ORDERS
from coarseparts.selection.seconds import PART_MASK, SECONDS
from coarseparts.selection.views import views_of
from coarseparts.system.files import write_whole
from coarseparts.training import stages
from coarseparts.training.networks import resolve
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import settings
from coarseparts.training.task import Task

SIZE, VAL, TEST = 48, 24, 200
STEPS = 20
"""Optimizer steps an epoch."""


def world(seed: int, pool: int) -> tuple[Store, Store]:
    """The pool with images to validate on, and the images to measure on."""
    drawn = birds.render(pool + VAL + TEST, size=SIZE, seed=100 + seed)
    learned = {name: value[: pool + VAL] for name, value in drawn.items()}
    held = {name: value[pool + VAL :] for name, value in drawn.items()}
    train = Store.from_arrays(birds.SCHEMA, **learned, splits=["train"] * pool + ["val"] * VAL)
    return train, Store.from_arrays(birds.SCHEMA, **held, splits="test")


def train(pool: Store, drawn: np.ndarray, seed: int, epochs: int, folder: Path, first: bool) -> Model:
    """From the part masks of the rows ``drawn``; the ``first`` time with a posterior."""
    changes = {"part_epochs": epochs, "posterior_epochs": epochs, "label_epochs": 2, "epoch_steps": STEPS}
    changes |= {"label_steps": STEPS, "part_batch": 8, "batch": 8, "labelled_batch": 8}
    fixed = {"encoder": "resnet10", "weights": "random", "precision": "float32", "compile": False, "flip": False}
    chosen = resolve(settings(changes=changes | fixed), "cpu")
    task = Task.of(pool.without_parts(np.setdiff1d(pool.rows("train"), drawn)), chosen, seed=seed)
    run = RunFolder.of(folder, task)
    if first:
        return Model.of(task, stages.initialised(task, run), True)
    joint = stages.fresh(task, run)
    stages.part_model(task, run, joint)
    return Model.of(task, joint, False)


def choose(way: str, model: Model, pool: Store, drawn: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The rows that a way adds."""
    seen = pool.without_parts(np.setdiff1d(pool.rows("train"), drawn))
    views = views_of(model, seen, np.setdiff1d(pool.rows("train"), drawn))
    shown = views[views.foreground >= NOTHING]
    random = np.random.default_rng([seed, len(drawn)])
    return shown.rows[ORDERS[way](shown, views_of(model, seen, drawn).features, count, random)]


def curve(way: str, seed: int, out: Path, chosen: argparse.Namespace) -> list[float]:
    """Part mIoU of a way after each round, percent."""
    pool, test = world(seed, chosen.pool)
    drawn = np.random.default_rng(seed).permutation(chosen.pool)[: chosen.masks[0]]
    curve: list[float] = []
    for i, total in enumerate(chosen.masks):
        name = "first" if not i else f"{way}-{total}"
        folder, kept = out / f"seed{seed}" / name, out / f"seed{seed}-{name}.json"
        if kept.is_file() and (folder / "model").is_dir():
            found = json.loads(kept.read_text())
            model = Model.load(folder / "model")
        else:
            begin = time.perf_counter()
            model = train(pool, drawn, seed, chosen.epochs, folder, not i)
            model.save(folder / "model")
            found = {"drawn": drawn.tolist(), "part_miou": evaluate_store(model, test, "test")["part_miou"]}
            write_whole(kept, json.dumps(found).encode())
            print(f"seed {seed} {name}: {found['part_miou']:.1f}, {time.perf_counter() - begin:.0f} s", flush=True)
        curve.append(found["part_miou"])
        drawn = np.array(found["drawn"])
        if i + 1 < len(chosen.masks):
            more = choose(way, model, pool, drawn, chosen.masks[i + 1] - total, seed)
            drawn = np.concatenate([drawn, more])
    return curve


def interval(margins: np.ndarray) -> str:
    """Mean and 95 % interval over the seeds."""
    n = len(margins)
    if n < 2:
        return f"{margins.mean():+.1f}"
    half = float(student.ppf(0.975, n - 1)) * margins.std(ddof=1) / np.sqrt(n)
    return f"{margins.mean():+.1f} ({margins.mean() - half:+.1f} to {margins.mean() + half:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=lambda text: [int(n) for n in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--pool", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--masks", type=lambda text: [int(n) for n in text.split(",")], default=[8, 24])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    curves = {way: np.array([curve(way, s, chosen.out, chosen) for s in chosen.seeds]) for way in ORDERS}
    minutes = [f"{total * SECONDS[PART_MASK] / 60:.0f} min" for total in chosen.masks]
    print(f"part mIoU, mean of {len(chosen.seeds)} seeds, after minutes of drawing: {SECONDS[PART_MASK]:.0f} s a mask")
    print("way".ljust(14), *(each.rjust(8) for each in minutes), "  margin over random: last round, all rounds")
    for way, each in curves.items():
        apart = (each - curves["random"])[:, 1:]
        margins = "" if way == "random" else f"  {interval(apart[:, -1])}, {interval(apart.mean(1))}"
        print(way.ljust(14), *(f"{value:8.1f}" for value in each.mean(0)), margins)


if __name__ == "__main__":
    main()
