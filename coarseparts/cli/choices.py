"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import names
from coarseparts.cli.help import DATA, OUTPUT, PLACE, TRAINING

Data = Annotated[Path, typer.Argument(help="dataset file (YAML)")]
WorldOrData = Annotated[str, typer.Argument(help=f"{', '.join(names.WORLDS)}, or a dataset file (YAML)")]
Run = Annotated[Path, typer.Argument(help="run folder")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda", rich_help_panel=PLACE)]
Seed = Annotated[
    int,
    typer.Option(min=0, max=2**31 - 1, help="fixes initial weights, order and augmentation", rich_help_panel=TRAINING),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="go on without bad images; says how many", rich_help_panel=DATA)
]
Changes = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="any setting; see `coarseparts settings`", rich_help_panel=TRAINING
    ),
]
Method = Annotated[str, typer.Option(help=f"one of {', '.join(names.METHODS)}", rich_help_panel=TRAINING)]
Weights = Annotated[str, typer.Option(help="random, imagenet, or a safetensors/pth file", rich_help_panel=TRAINING)]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object", rich_help_panel=OUTPUT)]
Preset = Annotated[str, typer.Option(help=f"one of {', '.join(names.PRESETS)}", rich_help_panel=TRAINING)]
Seeds = Annotated[str, typer.Option(help="e.g. 0,1,2", rich_help_panel=TRAINING)]
PartsLimit = Annotated[int | None, typer.Option(min=1, help="use only the first N part masks", rich_help_panel=DATA)]
