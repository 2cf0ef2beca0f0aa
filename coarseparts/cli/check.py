"""``coarseparts check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import help, options
from coarseparts.cli.choices import Data, Json, MaxPixels
from coarseparts.cli.help import OutputOption, verb
from coarseparts.cli.terminal import out, progress, say

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts check ants.yaml",
        "coarseparts check ants.yaml --sheet ants.png",
    ),
)
def check(
    data: Data,
    sheet: Annotated[Path | None, OutputOption(help="contact sheet PNG to write [DATA-check.png]")] = None,
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """What is in my data, and what is wrong with it."""
    options.not_over("--sheet", sheet, "coarseparts")

    from coarseparts.data.check import check as examine
    from coarseparts.report.contact_sheet import contact_sheet

    found = examine(data, progress=progress("checking"))
    if as_json:
        print(found.to_json())
    else:
        out.print(found.to_text())
        target = sheet or data.with_name(f"{data.stem}-check.png")
        if found.samples:
            contact_sheet(found.samples, found.schema, target)
            say(f"samples with their labels: {target}")
    if found.errors:
        raise typer.Exit(2)
