"""Options that several verbs have."""

from __future__ import annotations

from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="fixes initial weights, order and augmentation")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="go on without bad images; says how many")]
Changes = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="any setting; see `coarseparts settings`")
]
Weights = Annotated[str, typer.Option(help="random, imagenet, or a safetensors/pth file")]
