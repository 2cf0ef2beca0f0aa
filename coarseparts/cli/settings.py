"""``coarseparts settings``."""

from __future__ import annotations

from coarseparts.cli import help
from coarseparts.cli.help import verb
from coarseparts.cli.terminal import out

app = help.app()


@verb(app, examples=("coarseparts settings",))
def settings() -> None:
    """Every setting with its default, for --set KEY=VALUE."""
    from coarseparts.training import settings as presets

    for key, default, text in presets.describe():
        out.print(f"{key} = {default}\n    {text}")
