"""``coarseparts prepare``: public data sets into dataset files, a verb each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from coarseparts import options
from coarseparts.data.prepare.archives import Archives
from coarseparts.data.prepare.pascal_birds import PAPER_BIRDS, PARTS, Rules
from coarseparts.data.prepare.pascub import Choices, Pascub, prepare_pascub
from coarseparts.data.problems import BadInput, Problem

app = typer.Typer(no_args_is_help=True, help="Public data sets into dataset files, from their unpacked archives.")
out, err = Console(), Console(stderr=True)
if not out.is_terminal:
    out = Console(width=120)

Out = Annotated[Path, typer.Option("--out", help="folder to write; the same command again goes on, or finds it done")]


@app.callback()
def prepare() -> None:
    """Public data sets into dataset files, from their unpacked archives."""


@app.command()
def pascub(
    cub: Annotated[Path, typer.Option(metavar="DIR", help="CUB_200_2011, as unpacked; used from there")],
    parts: Annotated[Path, typer.Option(metavar="DIR", help="CUB_Parts of PASCUB: images_train, parts_train, ...")],
    voc: Annotated[Path, typer.Option(metavar="DIR", help="VOC2010: JPEGImages, ImageSets")],
    pascal_parts: Annotated[Path, typer.Option(metavar="DIR", help="PASCAL-Part's .mat files: Annotations_Part")],
    folder: Out,
    segmentations: Annotated[
        Path | None, typer.Option(metavar="DIR", help="CUB's figure-ground masks (default: in or beside --cub)")
    ] = None,
    neck: Annotated[str, typer.Option(help="head: it belongs to it; drop: no part of its own")] = "head",
    body: Annotated[str, typer.Option(help="what is weighed against the head: torso, or rest")] = "torso",
    part_order: Annotated[
        str, typer.Option(help="parts of the indices 1 to 10 of CUB_Parts (default: found from CUB's keypoints)")
    ] = "",
    split_file: Annotated[Path | None, typer.Option(help='lines "name val" for birds of PASCAL and CUB')] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="deals the other images to val and test")] = 0,
    as_paper: Annotated[bool, typer.Option("--as-paper", help="train on val and test images' coarse labels")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="other numbers than the paper's are errors")] = False,
) -> None:
    """PASCUB: birds of PASCAL-Part and CUB Parts with part masks, CUB-200-2011 with coarse labels (section 4.1)."""
    options.one_of("--neck", neck, ("head", "drop"))
    options.one_of("--body", body, ("torso", "rest"))
    order = tuple(options.names("--part-order", part_order, PARTS)) or None
    if order is not None and len(order) != len(PARTS):
        remedy = f"name each of {', '.join(PARTS)} once"
        raise BadInput(Problem("--part-order", f"names {len(order)} parts, expected {len(PARTS)}", remedy))
    rules = Rules(cast(Literal["head", "drop"], neck), cast(Literal["torso", "rest"], body))
    with _progress() as advance:
        made = prepare_pascub(
            Archives(cub, parts, voc, pascal_parts, segmentations),
            folder,
            Choices(rules, order, split_file, seed, as_paper, strict),
            advance,
        )
    _print_pascub(made)


def _print_pascub(made: Pascub) -> None:
    sizes = _table("images", "set", "split", "paper", "found", "used")
    for row in made.sizes:
        sizes.add_row(*map(str, row))
    out.print(sizes)
    funnel = _table(f"birds of PASCAL (the paper is left with {PAPER_BIRDS})", "step", "dropped", "left")
    for step in made.funnel:
        funnel.add_row(*map(str, step))
    out.print(funnel)
    for problem in made.problems:
        out.print(Text(str(problem)))
    done = f"dataset file: {made.dataset}" if made.changed else f"nothing to do, all of it was there: {made.dataset}"
    out.print(Text(done))
    out.print(Text(f"look at it: coarseparts check {made.dataset}"))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that moves a bar on a terminal, for one kind of work after the other."""
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("preparing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in ("set", "split", "step") else "right")
    return table
