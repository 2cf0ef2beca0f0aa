"""``coarseparts networks``."""

from __future__ import annotations

import typer

from coarseparts.cli.terminal import say
from coarseparts.networks.macs import network_table

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def networks() -> None:
    """Multiply-accumulates and parameters of the paper's networks (Fig. 6) for one 256 x 256 image."""
    for row in network_table():
        say(f"{row.name:16s} {row.macs / 1e9:7.2f} G MAC {row.parameters / 1e6:7.2f} M parameters")
