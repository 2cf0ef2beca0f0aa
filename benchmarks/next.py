"""What to label next, simulated: part mIoU against minutes of drawing part masks, for each way of choosing images.

    python benchmarks/next.py OUT [--data FILE --weights FILE] [--seeds 0,1,2] [--pool 160] [--masks 8,24] [--epochs 8]

Synthetic birds of 48 px, 24 to validate on and 200 to measure on; or the images of a dataset file that have part
masks, 20 of those for validation to validate on and the others to measure on. Every image of the pool has keypoints,
a mask and a box. Part model, posterior and label models are initialised (section 5.2) with the first part masks,
which are drawn at random and the same for all ways. Each way then chooses from the pool with them, is given the part
masks, and new networks learn from all of these alone, as in the first round, and so on; EM does not follow, which
would take hours. A training that OUT has is not done again. It ends with a table, with the mean margin over chance
and its 95 % interval (t, over seeds).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.experiments.data import open_data
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

SIZE, TEST = 48, 200
"""Of birds: pixels a side, images to measure on."""

VAL = {True: 20, False: 24}
"""Images to validate on: of a dataset file, of birds."""

STEPS = 20
"""Optimizer steps an epoch."""


def world(seed: int, chosen: argparse.Namespace) -> tuple[Store, Store]:
    """The pool with images to validate on, and the images to measure on."""
    val = VAL[bool(chosen.data)]
    if chosen.data:
        whole = open_data(str(chosen.data), chosen.out / "cache").store(0)
        random = np.random.default_rng([seed, 7])
        pool = random.permutation(whole.rows("train", has="parts"))[: chosen.pool]
        others = random.permutation(whole.rows("val", has="parts"))
        held = whole.subset(others[val:])
        return whole.subset(np.concatenate([pool, others[:val]])), replace(held, splits=["test"] * len(held))
    drawn = birds.render(chosen.pool + val + TEST, size=SIZE, seed=100 + seed)
    learned = {name: value[: chosen.pool + val] for name, value in drawn.items()}
    rest = {name: value[chosen.pool + val :] for name, value in drawn.items()}
    splits = ["train"] * chosen.pool + ["val"] * val
    return Store.from_arrays(birds.SCHEMA, **learned, splits=splits), Store.from_arrays(
        birds.SCHEMA, **rest, splits="test"
    )


def train(pool: Store, drawn: np.ndarray, seed: int, chosen: argparse.Namespace, folder: Path) -> Model:
    """From the part masks of the rows ``drawn``."""
    epochs = chosen.epochs
    changes = {"part_epochs": epochs, "posterior_epochs": epochs, "label_epochs": 2, "epoch_steps": STEPS}
    changes |= {"label_steps": STEPS, "part_batch": 8, "batch": 8, "labelled_batch": 8}
    encoder = {"encoder": "resnet18" if chosen.weights else "resnet10", "weights": str(chosen.weights or "random")}
    fixed = {"precision": "float32", "compile": False, "flip": False}
    made = resolve(settings(changes=changes | encoder | fixed), "cpu")
    task = Task.of(pool.without_parts(np.setdiff1d(pool.rows("train"), drawn)), made, seed=seed)
    return Model.of(task, stages.initialised(task, RunFolder.of(folder, task)), True)


def choose(way: str, model: Model, pool: Store, drawn: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The rows that a way adds."""
    seen = pool.without_parts(np.setdiff1d(pool.rows("train"), drawn))
    views = views_of(model, seen, np.setdiff1d(pool.rows("train"), drawn))
    shown = views[views.foreground >= NOTHING]
    random = np.random.default_rng([seed, len(drawn)])
    return shown.rows[ORDERS[way](shown, views_of(model, seen, drawn).features, count, random)]


def curve(way: str, seed: int, out: Path, chosen: argparse.Namespace) -> list[float]:
    """Part mIoU of a way after each round, percent."""
    pool, test = world(seed, chosen)
    drawn = np.random.default_rng(seed).permutation(pool.rows("train"))[: chosen.masks[0]]
    curve: list[float] = []
    for i, total in enumerate(chosen.masks):
        name = "first" if not i else f"{way}-{total}"
        folder, kept = out / f"seed{seed}" / name, out / f"seed{seed}-{name}.json"
        if kept.is_file() and (folder / "model").is_dir():
            found = json.loads(kept.read_text())
            model = Model.load(folder / "model")
        else:
            begin = time.perf_counter()
            model = train(pool, drawn, seed, chosen, folder)
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
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
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
