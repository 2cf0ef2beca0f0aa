"""``coarseparts init``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from coarseparts.cli import help, options
from coarseparts.cli.choices import MaxPixels
from coarseparts.cli.help import DataOption, OutputOption, verb
from coarseparts.cli.terminal import progress, say, show

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts init photos annotations.xml",
        "coarseparts init ants --out ants.yaml",
        "coarseparts init photos part_masks --parts head,thorax,abdomen",
    ),
)
def init(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER|EXPORT...", help="folders of photographs and masks, and exports of annotation tools"
        ),
    ],
    target: Annotated[
        Path | None, OutputOption("--out", metavar="FILE", help="dataset file (YAML) to write [NAME.yaml of the first]")
    ] = None,
    parts: Annotated[
        str,
        DataOption(
            help="the parts' names, in the order of masks' indices, or with their colours (head=#ff0000); also: which "
            "categories are parts [told]"
        ),
    ] = "",
    max_pixels: MaxPixels = None,
) -> None:
    """A dataset file from folders and exports: says what it recognised and assumed, and checks what it wrote."""
    from coarseparts.data.check import check as examine
    from coarseparts.data.proposal.propose import propose

    file = target or Path(f"{paths[0].resolve().stem or 'dataset'}.yaml")
    proposal = propose(paths, file, tuple(options.names("--parts", parts)))
    proposal.write()
    for line in proposal.assumed:
        say(line)
    say(f"dataset file: {file}")
    found = examine(file, progress=progress("checking"))
    show(found.to_text())
    if found.errors:
        raise typer.Exit(2)
    name, run = quote(str(file)), quote(f"runs/{file.stem}")
    say(f"look at it: coarseparts check {name}; train: coarseparts train {name} --out {run}")
