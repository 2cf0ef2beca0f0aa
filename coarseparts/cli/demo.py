"""``coarseparts demo``: the whole method on synthetic birds, sized for two CPU cores and a few minutes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import options, outcome
from coarseparts.cli.choices import Device
from coarseparts.cli.terminal import err, note, one_voice
from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import built_in
from coarseparts.experiments.worlds import WORLDS
from coarseparts.system import parallel
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

METHODS = ("fine-tuning", "em")

EPOCHS = 7
"""Of EM, and as many steps of fine-tuning; the ``default`` preset has 12, which take that much longer."""


@app.command()
def demo(
    run: Annotated[Path, typer.Option("--out", help="folder to write")] = Path("runs/demo"),
    seeds: Annotated[str, typer.Option(help="e.g. 0,1,2")] = "0",
    device: Device = "auto",
) -> None:
    """The whole method on the built-in synthetic birds: a table of methods and a report to look at."""
    numbers = options.seeds(seeds)
    with parallel.together(options.device(device)) as where, one_voice(parallel.is_main()):
        done = compare(
            partial(built_in, "synthetic-birds", lambda seed: run / f"seed{seed}" / "store", name="demo"),
            resolve(settings(changes={"em_epochs": EPOCHS}), where),
            METHODS,
            numbers,
            run,
            title="Synthetic birds",
            device=where,
            parts=WORLDS["synthetic-birds"].part,
            seed_folders=True,
            tell=note,
            console=err,
        )
        outcome.tell(done, run)
