"""``coarseparts export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from coarseparts.cli import help, names, options
from coarseparts.cli.choices import Flip, Run
from coarseparts.cli.help import OutputOption, verb
from coarseparts.cli.terminal import note, say

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts export runs/ants --to onnx --out ants-onnx",
        "coarseparts export runs/ants --to onnx --int8 photos/ --out ants-onnx",
        "coarseparts export runs/ants --to hub-folder --out ants-model",
    ),
)
def export(
    run: Run,
    to: Annotated[str, OutputOption("--to", metavar="FORMAT", help=f"one of {', '.join(names.TARGETS)}")],
    folder: Annotated[Path, OutputOption("--out", help="folder to write; an earlier export there is replaced")],
    flip: Flip = None,
    int8: Annotated[
        Path | None,
        OutputOption("--int8", help="of onnx a file in 8 bits, too, for which these photographs are looked through"),
    ] = None,
) -> None:
    """A trained model for other programs, checked against ours; onnx needs the extra coarseparts[onnx]."""
    options.one_of("--to", to, names.TARGETS)

    from coarseparts.export.files import INT8
    from coarseparts.export.files import export as write

    options.device("cpu")
    done = write(run, to, folder, flip=flip, int8=int8, tell=note)
    for file in done.files:
        apart, said = done.difference.get(file.name), ""
        if apart is not None:
            said = f": probabilities differ by {apart:.1g} at most from the model's"
        elif file.name == INT8:
            said = f": {done.int8}"
        say(f"{file}{said}")
