"""``coarseparts compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import options
from coarseparts.cli.choices import Changes, Device, SkipBad, Weights
from coarseparts.cli.train import run_methods
from coarseparts.data.problems import BadInput, Problem
from coarseparts.training import methods
from coarseparts.training import settings as presets

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def compare(
    data: Annotated[Path, typer.Argument(help="dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="folder; a run folder per seed in it")],
    names: Annotated[
        str, typer.Option("--methods", help=f"of {', '.join(methods.METHODS)}")
    ] = "fine-tuning,distillation,em",
    seeds: Annotated[str, typer.Option(help="e.g. 0,1,2")] = "0",
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(presets.PRESETS)}")] = "default",
    weights: Weights = "",
    labels: Annotated[str, typer.Option(help="coarse labels to use [all there are]")] = "",
    parts_limit: Annotated[int | None, typer.Option(min=1, help="use only the first N part masks")] = None,
    changes: Changes = [],  # noqa: B006
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Several methods and seeds on the same data, in one table."""
    chosen = options.names("--methods", names, methods.METHODS)
    if not chosen:
        raise BadInput(Problem("--methods", "names none", f"name some of {', '.join(methods.METHODS)}"))
    numbers = options.seeds(seeds)
    run_methods(data, run, chosen, preset, weights, labels, parts_limit, changes, numbers, device, skip_bad)
