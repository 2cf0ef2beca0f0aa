"""``coarseparts check``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import help, options
from coarseparts.cli.choices import Data, Json, MaxPixels
from coarseparts.cli.help import OutputOption, verb
from coarseparts.cli.terminal import progress, say, show
from coarseparts.system.problems import BadInput, Problem

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
    from coarseparts.data.dataset_file import load_dataset_file
    from coarseparts.report.contact_sheet import contact_sheet

    dataset = load_dataset_file(data)
    target = sheet or data.with_name(f"{data.stem}-check.png")
    place = Path(os.path.realpath(target))
    if any(source.images and place.is_relative_to(os.path.realpath(source.images)) for source in dataset.sources):
        if sheet is not None:
            message = "lies among photographs of the data set, and would be taken for one"
            raise BadInput(Problem(f"--sheet {sheet}", message, "name a file in another folder"))
        target = data.with_name(f".{data.stem}-check.png")  # hidden files are passed over
    found = examine(dataset, progress=progress("checking"))
    if as_json:
        print(found.to_json())
    else:
        show(found.to_text())
        if found.samples:
            contact_sheet(found.samples, found.schema, target)
            say(f"samples with their labels: {target}")
    if found.errors:
        raise typer.Exit(2)
