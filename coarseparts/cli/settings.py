"""``coarseparts settings``."""

from __future__ import annotations

import typer

from coarseparts.cli.terminal import out
from coarseparts.training import settings as presets

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def settings() -> None:
    """Every setting with its default, for --set KEY=VALUE."""
    for key, default, text in presets.describe():
        out.print(f"{key} = {default}\n    {text}")
