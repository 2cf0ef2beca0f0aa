"""``coarseparts train``: ``compare`` of one method with one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from coarseparts.cli import help, names, options
from coarseparts.cli.choices import (
    Changes,
    Data,
    Device,
    Effort,
    MaxPixels,
    Method,
    Minutes,
    PartsLimit,
    Preset,
    Seed,
    SkipBad,
    Weights,
)
from coarseparts.cli.compare import compare
from coarseparts.cli.help import DataOption, OutputOption, verb

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts train ants.yaml --out runs/ants --weights imagenet",
        "coarseparts train ants.yaml --out runs/masks --labels mask --set batch=16",
    ),
)
def train(
    data: Data,
    run: Annotated[Path, OutputOption("--out", help="run folder; the same command again goes on where it stopped")],
    method: Method = "em",
    preset: Preset = "default",
    effort: Effort = "standard",
    minutes: Minutes = None,
    weights: Weights = "",
    labels: Annotated[str, DataOption(help="coarse labels to use, e.g. keypoints,mask,box [all there are]")] = "",
    parts_limit: PartsLimit = None,
    changes: Changes = [],  # noqa: B006 - typer copies it
    seed: Seed = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Train on a dataset file and measure on its validation split; ends with a table and report.html."""
    options.one_of("--method", method, names.METHODS)
    compare(
        data, run, method, str(seed), preset, effort, minutes, weights, labels, parts_limit, changes, device, skip_bad
    )
