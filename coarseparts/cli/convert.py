"""``coarseparts convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import help, names, options
from coarseparts.cli.help import DataOption, OutputOption, verb
from coarseparts.cli.terminal import notes, say

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts convert annotations.xml ants.json --to coco",
        "coarseparts convert ants.json ants --to labelme --images photos",
    ),
)
def convert(
    source: Annotated[Path, typer.Argument(help="export of an annotation tool: a file, folder or zip archive")],
    target: Annotated[
        Path,
        typer.Argument(help="file to write (labelme, yolo: a folder), or a folder to put it into"),
    ],
    to: Annotated[str, OutputOption("--to", metavar="FORMAT", help=f"one of {', '.join(names.EXPORTS)}")],
    images: Annotated[
        Path | None, DataOption(metavar="DIR", help="folder of the photographs: for sizes that the export does not say")
    ] = None,
) -> None:
    """The labels of one tool in the format of another; says what that has no place for."""
    options.one_of("--to", to, names.EXPORTS)

    from coarseparts.data.conversion import convert as write

    done = write(source, target, to, images)
    notes(done.problems)
    say(f"{done.annotations:,} annotations of {done.images:,} images: {done.path}")
