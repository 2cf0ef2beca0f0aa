"""``coarseparts example``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from coarseparts.cli import help, names, options
from coarseparts.cli.help import verb
from coarseparts.cli.terminal import note, say

app = help.app()


@verb(app, examples=("coarseparts example cvat birds", "coarseparts example yolo-pose birds"))
def example(
    kind: Annotated[str, typer.Argument(metavar="TOOL", help=f"one of {', '.join(names.EXAMPLES)}")],
    folder: Annotated[Path, typer.Argument(help="folder to write, a new or an empty one")],
) -> None:
    """Made-up photographs with labels as an annotation tool writes them, to try everything on: 40 birds, half of them
    with part masks, and four without labels. Prints what to type next."""
    options.one_of("TOOL", kind, names.EXAMPLES)

    from coarseparts.data.synthetic.examples import write_example

    commands = write_example(kind, folder)
    note(f"written into {folder}; type there:")
    for line in (f"cd {quote(str(folder))}", *commands):
        say(line)
