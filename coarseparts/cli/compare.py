"""``coarseparts compare``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import options, outcome
from coarseparts.cli.choices import Changes, Device, SkipBad, Weights
from coarseparts.cli.terminal import err, note, one_voice, progress
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.problems import BadInput, Problem
from coarseparts.experiments import compare as comparing
from coarseparts.experiments.data import from_file
from coarseparts.labels import STYLES
from coarseparts.system import parallel
from coarseparts.training import methods
from coarseparts.training import settings as presets
from coarseparts.training.networks import resolve

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
    dataset = load_dataset_file(data)
    where = options.device(device)
    given = options.changes(changes) | ({"weights": weights} if weights else {})
    settings = resolve(presets.settings(preset, given), where)
    styles = "+".join(options.names("--labels", labels, STYLES)) or "all"
    with parallel.together(where) as where, one_voice(parallel.is_main()):
        bar = progress("reading images")
        done = comparing.compare(
            partial(from_file, dataset, data, run / "store", skip_bad=skip_bad, progress=bar, tell=note),
            settings,
            chosen,
            numbers,
            run,
            title=data.stem,
            device=where,
            labels=styles,
            parts=parts_limit,
            tell=note,
            console=err,
            preset=preset,
        )
        outcome.tell(done, run)
