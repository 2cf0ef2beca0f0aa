"""A toy experiment of a few seconds, for tests; run as a script, it trains in a folder (to be killed and resumed)."""

import sys
from pathlib import Path

import torch
from rich.console import Console

from coarseparts.cli import options
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.inference.model import Model
from coarseparts.system import parallel
from coarseparts.training import methods
from coarseparts.training.experiment import Experiment
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings

CHANGES = {
    "part_epochs": 2,
    "posterior_epochs": 2,
    "label_epochs": 2,
    "em_epochs": 3,
    "label_steps": 2,
    "epoch_steps": 2,
    "em_epoch_steps": 3,
    "part_batch": 4,
    "batch": 8,
    "labelled_batch": 4,
}


def toy_store(folder: Path) -> Store:
    """32 training birds of 32 px and 8 to validate on, rendered once."""
    if not folder.exists():
        made = birds.render(40, size=32, seed=5)
        Store.from_arrays(birds.SCHEMA, **made, splits=["train"] * 32 + ["val"] * 8).save(folder)
    return Store.open(folder)


def toy(store: Path, run: Path, **changes: object) -> Experiment:
    """An experiment with 8 part masks and 24 coarse images."""
    chosen = resolve(settings(changes={**CHANGES, **changes}), "cpu")
    return Experiment(toy_store(store), chosen, run, part_limit=8, console=Console(quiet=True))


if __name__ == "__main__":  # STORE RUN [METHOD,METHOD] [KEY=VALUE ...]
    torch.set_num_threads(1)  # the same in every process, so that sums are taken in the same order
    store, run, wanted, *texts = (*sys.argv[1:], *["em"] * (len(sys.argv) == 3))
    with parallel.together("cpu"):
        experiment = toy(Path(store), Path(run), **options.changes(texts))
        for method in wanted.split(","):
            methods.train(experiment, method)
        if "em" in wanted.split(","):
            Model.of(experiment, True).save(experiment.run.path / "model")
