"""``coarseparts doctor``."""

from __future__ import annotations

import typer

from coarseparts.cli import help
from coarseparts.cli.choices import Json
from coarseparts.cli.help import verb
from coarseparts.cli.terminal import note, say

app = help.app()


@verb(app, examples=("coarseparts doctor", "coarseparts doctor --json"))
def doctor(as_json: Json = False) -> None:
    """Versions, extras, devices, folders, and a self-test of 20 seconds; exit status 1 where something is wrong."""
    from coarseparts.doctor.diagnosis import diagnose

    note("trying a training of toy size ...")
    found = diagnose()
    if as_json:
        print(found.to_json())
    else:
        for line in found.to_text().split("\n"):
            say(line)
    if found.problems:
        raise typer.Exit(1)
