"""``coarseparts train``, and what it shares with ``compare``: methods and seeds in a run folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import options, outcome
from coarseparts.cli.choices import Changes, Device, Seed, SkipBad, Weights
from coarseparts.cli.terminal import err, note, one_voice, progress
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import from_file
from coarseparts.labels import STYLES
from coarseparts.system import parallel
from coarseparts.training import methods
from coarseparts.training import settings as presets
from coarseparts.training.networks import resolve

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="run folder; the same command again goes on where it stopped")],
    method: Annotated[str, typer.Option(help=f"one of {', '.join(methods.METHODS)}")] = "em",
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(presets.PRESETS)}")] = "default",
    weights: Weights = "",
    labels: Annotated[str, typer.Option(help="coarse labels to use, e.g. keypoints,mask,box [all there are]")] = "",
    parts_limit: Annotated[int | None, typer.Option(min=1, help="use only the first N part masks")] = None,
    changes: Changes = [],  # noqa: B006 - typer copies it
    seed: Seed = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Train on a dataset file and measure on its validation split; ends with a table and report.html."""
    options.one_of("--method", method, methods.METHODS)
    run_methods(data, run, [method], preset, weights, labels, parts_limit, changes, [seed], device, skip_bad)


def run_methods(
    data: Path,
    run: Path,
    wanted: list[str],
    preset: str,
    weights: str,
    labels: str,
    parts_limit: int | None,
    changes: list[str],
    seeds: list[int],
    device: str,
    skip_bad: bool,
) -> None:
    """Trains methods with seeds on a dataset file and ends with their table; raises Failed where one diverged."""
    dataset = load_dataset_file(data)
    where = options.device(device)
    given = options.changes(changes) | ({"weights": weights} if weights else {})
    settings = resolve(presets.settings(preset, given), where)
    styles = "+".join(options.names("--labels", labels, STYLES)) or "all"
    with parallel.together(where) as where, one_voice(parallel.is_main()):
        bar = progress("reading images")
        done = compare(
            partial(from_file, dataset, data, run / "store", skip_bad=skip_bad, progress=bar, tell=note),
            settings,
            wanted,
            seeds,
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
