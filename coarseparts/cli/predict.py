"""``coarseparts predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from coarseparts.cli import help, names, options
from coarseparts.cli.choices import Device, Flip, MaxPixels, Run, SkipBad
from coarseparts.cli.help import DataOption, OutputOption, PlaceOption, verb
from coarseparts.cli.terminal import note, notes, out, progress, say
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import nearest, readable, short

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts predict runs/ants photos --out parts --overlay",
        "coarseparts predict runs/ants photos --out parts --labels coarse.json",
        "coarseparts predict runs/ants photos --out parts --export cvat",
    ),
)
def predict(
    run: Run,
    images: Annotated[Path, typer.Argument(help="folder of photographs, or one")],
    target: Annotated[Path, OutputOption("--out", help="folder for <stem>.png: part indices at the image's own size")],
    labels: Annotated[
        list[str],
        DataOption(
            metavar="FILE or KEY=PATH",
            help="COCO file, or a tool's export, with coarse labels of these images; or, by the key of a dataset "
            "file's source, labels of one style, e.g. masks=FOLDER; may be repeated",
        ),
    ] = [],  # noqa: B006
    overlay: Annotated[bool, OutputOption("--overlay", help="also write pictures to look at")] = False,
    coco: Annotated[Path | None, OutputOption(help="also write a COCO file")] = None,
    export: Annotated[
        str, OutputOption(metavar="FORMAT", help=f"also write what a tool imports: {', '.join(names.EXPORTS)}")
    ] = "",
    flip: Flip = None,
    shard: Annotated[str, PlaceOption(help="I/N: every N-th image from the I-th on [all; torchrun: its own]")] = "",
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """The parts of photographs; what this model has predicted into the folder already is not done again."""
    own = options.shard(shard)
    if own[1] > 1 and coco is not None:
        remedy = "leave --coco out, and run once more without shards when all are done: nothing is predicted again"
        raise BadInput(Problem("--coco", "is a file of all images, and this is a share of them", remedy))

    if own[1] > 1 and export:
        remedy = "leave --export out, and run once more without shards when all are done: nothing is predicted again"
        raise BadInput(Problem("--export", "is of all images, and this is a share of them", remedy))
    if export and export not in names.EXPORTS:
        raise BadInput(Problem("--export", f"got {short(export)}", nearest(export, names.EXPORTS)))

    from coarseparts.data.source_paths import OF_STYLES
    from coarseparts.inference.folder import predict_folder
    from coarseparts.inference.model import load
    from coarseparts.report.palette import colours

    files = options.label_files(labels, OF_STYLES)
    trained = load(run, options.own_gpu(options.device(device)), flip)
    bar = progress("predicting") if own[0] == 0 else None
    done = predict_folder(trained, images, target, files, overlay, coco, skip_bad, bar, own, note, export)
    notes(done.problems)
    part = f"shard {own[0] + 1} of {own[1]}: " if own[1] > 1 else ""
    sums = f"{done.written} written + {done.kept} there before + {done.left_out} left out"
    say(f"{part}{done.images} images = {sums}; part maps in {target}")
    if done.export is not None:
        say(f"{export}: {done.export}")
    if overlay:
        legend = Text("colours: ")
        for name, rgb in zip(trained.schema.parts, colours(len(trained.schema.parts)).tolist(), strict=True):
            legend.append("#{:02x}{:02x}{:02x} ".format(*rgb), f"rgb({rgb[0]},{rgb[1]},{rgb[2]})")
            legend.append(f"{readable(name)}  ")
        out.print(legend)
