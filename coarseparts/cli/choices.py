"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import names
from coarseparts.cli.help import DataOption, OutputOption, PlaceOption, TrainingOption

Data = Annotated[Path, typer.Argument(help="dataset file (YAML)")]
WorldOrData = Annotated[str, typer.Argument(help=f"{', '.join(names.WORLDS)}, or a dataset file (YAML)")]
Run = Annotated[Path, typer.Argument(help="run folder")]
Device = Annotated[str, PlaceOption(help="auto, cpu or cuda")]
Seed = Annotated[
    int,
    TrainingOption(min=0, max=2**31 - 1, help="fixes initial weights, order and augmentation"),
]
SkipBad = Annotated[bool, DataOption("--skip-bad", help="go on without bad images; says how many")]


def _allow(pixels: int | None) -> int | None:
    if pixels is not None:
        from coarseparts.data.images import allow  # here, for no help text needs it

        allow(pixels)
    return pixels


MaxPixels = Annotated[
    int | None,
    DataOption(
        "--max-pixels",
        min=1,
        callback=_allow,
        help="largest photograph that is read whole; of larger ones JPEGs are read at a reduced size [100000000]",
    ),
]
"""Holds for the whole process as soon as it is parsed."""

Changes = Annotated[
    list[str],
    TrainingOption("--set", metavar="KEY=VALUE", help="any setting; see `coarseparts settings`"),
]
Method = Annotated[str, TrainingOption(help=f"one of {', '.join(names.METHODS)}")]
Weights = Annotated[str, TrainingOption(help="random, imagenet, or a safetensors/pth file")]
Json = Annotated[bool, OutputOption("--json", help="print one JSON object")]
Preset = Annotated[str, TrainingOption(help=f"one of {', '.join(names.PRESETS)}")]
Flip = Annotated[
    bool | None,
    DataOption("--flip/--no-flip", help="whether to look at mirror images, too, in twice the time [as trained]"),
]
Effort = Annotated[str, TrainingOption(help=f"how long to train: one of {', '.join(names.EFFORTS)}")]
Minutes = Annotated[
    float | None,
    TrainingOption(
        min=0.01, help="how long the longest training may take, planned from measured steps; more than --effort"
    ),
]
Seeds = Annotated[str, TrainingOption(help="e.g. 0,1,2")]
PartsLimit = Annotated[int | None, DataOption(min=1, help="use only the first N part masks")]
