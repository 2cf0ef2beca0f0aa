"""``coarseparts next``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import help, names, options
from coarseparts.cli.choices import Device, Json, MaxPixels, Run, SkipBad
from coarseparts.cli.help import DataOption, OutputOption, verb
from coarseparts.cli.terminal import notes, progress, say
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import readable

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts next runs/ants --count 20",
        "coarseparts next runs/ants ants.yaml --budget 30m --by core-set --out queue.csv",
    ),
)
def next_labels(
    run: Run,
    data: Annotated[Path | None, typer.Argument(help="dataset file (YAML) [the one it was trained on]")] = None,
    count: Annotated[int, DataOption(min=1, max=100_000, help="images, at most")] = 10,
    budget: Annotated[str, DataOption(metavar="TIME", help="as many as fit into it: 90s, 30m or 30, 1.5h")] = "",
    by: Annotated[str, DataOption(help=f"one of {', '.join(names.ORDERS)}")] = "random",
    label: Annotated[
        str, DataOption(help="part-mask; or any, what takes away most doubt a second in each image")
    ] = "part-mask",
    seconds: Annotated[
        Path | None, DataOption(metavar="FILE", help="CSV file label,seconds: how long you take [docs/next.md]")
    ] = None,
    target: Annotated[Path | None, OutputOption("--out", help="also write a CSV file")] = None,
    as_json: Json = False,
    seed: Annotated[int, DataOption(min=0, max=2**31 - 1, help="fixes what is drawn at random")] = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Which training images without a part mask to label next, and with what."""
    options.one_of("--by", by, names.ORDERS)
    options.one_of("--label", label, ("part-mask", "any"))
    if target is not None and target.suffix.lower() != ".csv":
        raise BadInput(Problem(f"--out {target}", "is no name of a CSV file", "end it with .csv"))
    if target is not None and seconds is not None and target.resolve() == seconds.resolve():
        raise BadInput(Problem(f"--out {target}", "is the file of --seconds, too", "name another file"))

    options.not_over("--out", target, "image,label,seconds")

    from coarseparts.selection.choose import choose
    from coarseparts.selection.seconds import read_budget, read_seconds

    queue = choose(
        run,
        data,
        count,
        read_seconds(seconds),
        by=by,
        kinds=label == "any",
        budget=read_budget(budget) if budget else None,
        seed=seed,
        device=options.device(device),
        skip_bad=skip_bad,
        progress=progress("looking"),
    )
    notes(queue.problems)
    if target is not None:
        queue.write(target)
    if as_json:
        print(json.dumps(queue.as_json()))
        return
    for each in queue.chosen:
        say(f"{each.minutes:8.1f} min  {each.label:10s} {readable(each.image)}")
    images = f"{len(queue.chosen)} image{'s' * (len(queue.chosen) != 1)}"
    say(f"{images}, {queue.chosen[-1].minutes:.1f} minutes" + (f"; in {target}" if target else ""))
