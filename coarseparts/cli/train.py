"""``coarseparts train``: ``compare`` of one method with one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import options
from coarseparts.cli.choices import Changes, Device, Seed, SkipBad, Weights
from coarseparts.cli.compare import compare
from coarseparts.training import methods
from coarseparts.training import settings as presets

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
    compare(data, run, method, str(seed), preset, weights, labels, parts_limit, changes, device, skip_bad)
