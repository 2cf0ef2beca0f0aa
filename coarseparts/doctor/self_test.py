"""A training and a prediction of toy size, in a process of its own: what crashes or hangs there does no harm here.

``python -m coarseparts.doctor.self_test`` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

SECONDS = 20
"""That the test may take, once the libraries are loaded."""

LOADING = 120
"""Seconds that loading them may take on a slow disk."""

SHORT = {
    "encoder": "resnet10",
    "part_epochs": 1,
    "posterior_epochs": 1,
    "label_epochs": 1,
    "em_epochs": 1,
    "epoch_steps": 1,
    "em_epoch_steps": 1,
    "label_steps": 1,
    "part_batch": 4,
    "batch": 4,
    "labelled_batch": 2,
}


def self_test() -> dict[str, Any]:
    """ "works", and "told": how long it took, or what went wrong."""
    command = [sys.executable, "-m", "coarseparts.doctor.self_test"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOADING + SECONDS)
    except subprocess.TimeoutExpired:
        return {"works": False, "told": f"torch was not loaded within {LOADING} seconds"}
    except OSError as error:
        return {"works": False, "told": f"no process could be started ({error.strerror})"}
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return {"works": False, "told": f"it ended with status {done.returncode}: {last[:200]}"}


def _train_and_predict(folder: Path) -> str:
    """Eight birds, all stages of EM, the model written, read back and asked with labels; says what it did."""
    import torch

    from coarseparts.data.store import Store
    from coarseparts.data.synthetic import birds
    from coarseparts.inference.model import Model, load
    from coarseparts.system.device import resolve as device_of
    from coarseparts.training import methods
    from coarseparts.training.networks import resolve
    from coarseparts.training.run_folder import RunFolder
    from coarseparts.training.settings import settings
    from coarseparts.training.task import Task

    import_module("timm")  # while the clock does not run yet
    torch.set_num_threads(1)  # a toy is slower with more
    device = device_of("auto")
    began = time.monotonic()
    threading.Timer(SECONDS, _too_long).start()
    made: Any = birds.render(8, size=32, seed=1)
    store = Store.from_arrays(birds.SCHEMA, **made, splits=["train"] * 6 + ["val"] * 2)
    chosen = resolve(settings(changes=SHORT), device)
    task = Task.of(store, chosen, device=device, styles=["keypoints", "box"], part_limit=4)
    run = RunFolder.of(folder / "run", task)
    joint, _ = methods.train(task, run, "em")
    Model.of(task, joint, True).save(run.path / "model")
    parts = load(run.path, device).predict(made["image"][7], box=made["box"][7].tolist())
    if not abs(float(parts.probability.sum(0).mean()) - 1) < 1e-3:
        raise ValueError("probabilities do not sum to 1")
    return f"trained and predicted on {device} in {time.monotonic() - began:.0f} seconds"


def _say(works: bool, told: str) -> None:
    print(json.dumps({"works": works, "told": told}), flush=True)


def _too_long() -> None:
    _say(False, f"a training of toy size took longer than {SECONDS} seconds; is the machine busy?")
    os._exit(1)


def main() -> None:
    """Prints the outcome and leaves at once, whatever threads there are."""
    with tempfile.TemporaryDirectory() as place:
        try:
            works, told = True, _train_and_predict(Path(place))
        except Exception as error:
            works, told = False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    _say(works, told)
    os._exit(0)


if __name__ == "__main__":
    main()
