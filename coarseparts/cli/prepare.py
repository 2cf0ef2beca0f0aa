"""``coarseparts prepare``: public data sets into dataset files, a verb each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from coarseparts.cli import help, names, options
from coarseparts.cli.help import DataOption, OutputOption, verb
from coarseparts.cli.terminal import end_bars, out, progress, say
from coarseparts.system.problems import BadInput, Problem, capped

if TYPE_CHECKING:
    from coarseparts.data.prepare.pascub import Pascub

app = help.app(
    cls=help.Verbs,
    no_args_is_help=True,
    help="Public data sets into dataset files, from their unpacked archives.",
    epilog="coarseparts prepare cub CUB_200_2011 --out data/cub\ncoarseparts prepare pascub --help",
)
_OUT = "folder to write; the same command again goes on, or finds it done"
Out = Annotated[Path, OutputOption("--out", help=_OUT)]


@app.callback()
def prepare() -> None:
    """Public data sets into dataset files, from their unpacked archives."""


@verb(app, examples=("coarseparts prepare pascub --cub CUB_200_2011 --parts CUB_Parts --out data/pascub",))
def pascub(
    cub: Annotated[Path, DataOption(metavar="DIR", help="CUB_200_2011, as unpacked; used from there")],
    parts: Annotated[Path, DataOption(metavar="DIR", help="CUB_Parts of PASCUB: images_train, parts_train, ...")],
    folder: Out,
    voc: Annotated[Path | None, DataOption(metavar="DIR", help="VOC2010: JPEGImages, ImageSets")] = None,
    pascal_parts: Annotated[
        Path | None, DataOption(metavar="DIR", help="PASCAL-Part's .mat files: Annotations_Part")
    ] = None,
    pascal_crops: Annotated[
        Path | None, DataOption(metavar="DIR", help="PASCAL_Parts of PASCUB, instead of --voc and --pascal-parts")
    ] = None,
    segmentations: Annotated[
        Path | None, DataOption(metavar="DIR", help="CUB's figure-ground masks (default: in or beside --cub)")
    ] = None,
    neck: Annotated[str, DataOption(help="head: it belongs to it; drop: no part of its own")] = "head",
    body: Annotated[str, DataOption(help="what is weighed against the head: torso, or rest")] = "torso",
    part_order: Annotated[
        str, DataOption(help="parts of the indices 1 to 10 of CUB_Parts (default: found from CUB's keypoints)")
    ] = "",
    split_file: Annotated[Path | None, DataOption(help='lines "name val" for birds of PASCAL and CUB')] = None,
    seed: Annotated[int, DataOption(min=0, max=2**31 - 1, help="deals the other images to val and test")] = 0,
    as_paper: Annotated[bool, DataOption("--as-paper", help="train on val and test images' coarse labels")] = False,
    strict: Annotated[bool, DataOption("--strict", help="other numbers than the paper's are errors")] = False,
) -> None:
    """PASCUB: birds of PASCAL-Part and CUB Parts with part masks, CUB-200-2011 with coarse labels (section 4.1)."""
    options.one_of("--neck", neck, ("head", "drop"))
    options.one_of("--body", body, ("torso", "rest"))

    from coarseparts.data.prepare.archives import Archives
    from coarseparts.data.prepare.pascal_birds import Rules
    from coarseparts.data.prepare.pascub import Choices, prepare_pascub
    from coarseparts.data.synthetic.anatomy import PARTS

    order = tuple(options.names("--part-order", part_order, PARTS)) or None
    if order is not None and len(order) != len(PARTS):
        remedy = f"name each of {', '.join(PARTS)} once"
        raise BadInput(Problem("--part-order", f"names {len(order)} parts, expected {len(PARTS)}", remedy))
    rules = Rules(cast(Literal["head", "drop"], neck), cast(Literal["torso", "rest"], body))
    made = prepare_pascub(
        Archives(cub, parts, voc, pascal_parts, segmentations, pascal_crops),
        folder,
        Choices(rules, order, split_file, seed, as_paper, strict),
        progress("preparing"),
    )
    _print_pascub(made)


@verb(app, examples=("coarseparts prepare cub CUB_200_2011 --out data/cub",))
def cub(
    archive: Annotated[Path, typer.Argument(metavar="DIR", help="CUB_200_2011, as unpacked; used from there")],
    folder: Out,
    segmentations: Annotated[
        Path | None, DataOption(metavar="DIR", help="CUB's figure-ground masks (default: in or beside DIR)")
    ] = None,
) -> None:
    """CUB-200-2011: keypoints, boxes and figure-ground masks, in its official split."""
    from coarseparts.data.prepare.cub import prepare_cub

    changed, problems = prepare_cub(archive, folder, segmentations, progress("preparing"))
    _print_done(folder / "cub.yaml", changed, problems)


@verb(
    app,
    "oid-aircraft",
    examples=(
        "coarseparts prepare oid-aircraft oid-aircraft-beta-1 --propose clean.txt",
        "coarseparts prepare oid-aircraft oid-aircraft-beta-1 --out data/oid --clean clean.txt",
    ),
)
def oid_aircraft(
    archive: Annotated[Path, typer.Argument(metavar="DIR", help="oid-aircraft-beta-1, as unpacked")],
    folder: Annotated[Path | None, OutputOption("--out", help=_OUT)] = None,
    clean: Annotated[
        Path | None, DataOption(metavar="FILE", help='part labels are used of these photographs: lines "train 0034309"')
    ] = None,
    propose: Annotated[
        Path | None,
        OutputOption(metavar="FILE", help="write such a list, of labels that fit together, to look through"),
    ] = None,
    banner: Annotated[int, DataOption(min=0, help="rows to cut off at the bottom of each photograph")] = names.BANNER,
) -> None:
    """OID Aircraft: outlines of aeroplanes, and polygons of four parts of those you choose (section 4.2)."""
    if (folder is None) == (propose is None) or (propose is not None and clean is not None):
        message = "need one of them: --propose FILE writes a list, --out DIR [--clean FILE] prepares the data"
        raise BadInput(Problem("--out, --propose", message, "name one"))

    from coarseparts.data.prepare.oid_aircraft import prepare_oid_aircraft, propose_clean

    if propose is not None:
        changed = propose_clean(archive, propose, banner)
        say(f"{propose}: {'look through it, then give it to --clean' if changed else 'was there already'}")
    if folder is not None:
        changed, problems = prepare_oid_aircraft(archive, folder, clean, banner, progress("preparing"))
        _print_done(folder / "oid-aircraft.yaml", changed, problems)


@verb(
    app,
    examples=(
        "coarseparts prepare nabirds nabirds --out data/nabirds",
        "coarseparts prepare nabirds nabirds --out data/nabirds --with data/pascub/pascub.yaml",
    ),
)
def nabirds(
    archive: Annotated[Path, typer.Argument(metavar="DIR", help="nabirds, as unpacked; used from there")],
    folder: Out,
    beside: Annotated[
        Path | None, DataOption("--with", metavar="YAML", help="also a dataset file of this one's sources and NABirds")
    ] = None,
) -> None:
    """NABirds: keypoints and boxes, alone and as a further coarse source beside PASCUB."""
    from coarseparts.data.prepare.nabirds import prepare_nabirds

    changed, problems = prepare_nabirds(archive, folder, beside, progress("preparing"))
    made = folder / ("nabirds.yaml" if beside is None else f"{beside.stem}-nabirds.yaml")
    _print_done(made, changed, problems)


def _print_done(dataset: Path, changed: bool, problems: list[Problem]) -> None:
    end_bars()
    for problem in capped(problems):
        say(str(problem))
    done = "dataset file" if changed else "nothing to do, all of it was there"
    say(f"{done}: {dataset}")
    say(f"look at it: coarseparts check {dataset}")


def _print_pascub(made: Pascub) -> None:
    from coarseparts.data.prepare.pascal_birds import PAPER_BIRDS
    from coarseparts.report.tables import Table, print_tables

    end_bars()
    tables = [Table("images", ["set", "split", "paper", "found", "used"], [[*map(str, row)] for row in made.sizes])]
    if made.funnel:
        title = f"birds of PASCAL (the paper is left with {PAPER_BIRDS})"
        tables.append(Table(title, ["step", "dropped", "left"], [[*map(str, step)] for step in made.funnel]))
    print_tables(tables, out)
    _print_done(made.dataset, made.changed, made.problems)
