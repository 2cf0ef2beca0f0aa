"""``coarseparts networks``."""

from __future__ import annotations

from coarseparts.cli import help
from coarseparts.cli.help import verb
from coarseparts.cli.terminal import say

app = help.app()


@verb(app, examples=("coarseparts networks",))
def networks() -> None:
    """Multiply-accumulates and parameters of the paper's networks (Fig. 6) for one 256 x 256 image."""
    from coarseparts.networks.macs import network_table

    for row in network_table():
        say(f"{row.name:16s} {row.macs / 1e9:7.2f} G MAC {row.parameters / 1e6:7.2f} M parameters")
