"""``coarseparts measure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import help, options
from coarseparts.cli.choices import Device, MaxPixels, Run, SkipBad
from coarseparts.cli.help import DataOption, OutputOption, verb
from coarseparts.cli.terminal import notes, progress, say
from coarseparts.system.problems import BadInput, Problem

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts measure runs/ants photos --out traits.csv --scale scale.csv",
        "coarseparts measure runs/ants photos --out traits.csv --report traits.html",
    ),
)
def measure(
    run: Run,
    images: Annotated[Path, typer.Argument(help="folder of photographs, or one")],
    target: Annotated[Path, OutputOption("--out", help="CSV file to write, a row an object")],
    labels: Annotated[
        list[str],
        DataOption(metavar="FILE or KEY=PATH", help="coarse labels of these images, as of `predict`; may be repeated"),
    ] = [],  # noqa: B006
    ratios: Annotated[
        list[str], DataOption("--ratio", metavar="FORMULA", help="e.g. head.width / thorax.length; may be repeated")
    ] = [],  # noqa: B006
    scale: Annotated[
        Path | None, DataOption(help="CSV file image,pixels_per_unit,unit; or dpi, what the images state [pixels]")
    ] = None,
    data: Annotated[
        Path | None, DataOption(help="dataset file whose validation images give the intervals [the run's own]")
    ] = None,
    intervals: Annotated[bool, OutputOption("--intervals/--no-intervals", help="90 % intervals of each value")] = True,
    long: Annotated[bool, OutputOption("--long", help="a row a value in place of a row an object")] = False,
    decimal_comma: Annotated[
        bool, OutputOption("--decimal-comma", help="0,5 for 0.5, and semicolons: as Excel reads CSV in many countries")
    ] = False,
    dwc: Annotated[Path | None, OutputOption(help="also write Darwin Core's MeasurementOrFact (CSV)")] = None,
    report: Annotated[
        Path | None, OutputOption(help="also write a page (HTML): distributions, flags, pictures of unusual objects")
    ] = None,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Traits of the parts of photographs, with units and intervals, as a CSV table."""
    for option, file, suffix in (("--out", target, ".csv"), ("--dwc", dwc, ".csv"), ("--report", report, ".html")):
        if file is not None and file.suffix.lower() != suffix:
            raise BadInput(
                Problem(f"{option} {file}", f"is no name of a {suffix[1:].upper()} file", f"end it with {suffix}")
            )
    if dwc is not None and dwc.resolve() == target.resolve():
        raise BadInput(Problem(f"--dwc {dwc}", "is the file of --out, too", "name another file"))
    options.not_over("--out", target, "image,object,", "image;object;")
    options.not_over("--dwc", dwc, "occurrenceID,measurement")
    options.not_over("--report", report, "<!DOCTYPE html>")

    from coarseparts.data.source_paths import OF_STYLES
    from coarseparts.measurement import folder, tables
    from coarseparts.measurement.page import PICTURES, write_page

    table = folder.measure(
        run,
        images,
        labels=options.label_files(labels, OF_STYLES),
        ratios=ratios,
        scale=scale,
        data=data,
        intervals=intervals,
        pictures=PICTURES if report else 0,
        device=options.device(device),
        skip_bad=skip_bad,
        progress=progress("measuring"),
    )
    notes(table.problems)
    (tables.write_long if long else tables.write_wide)(target, table, decimal_comma)
    if dwc is not None:
        tables.write_dwc(dwc, table)
    if report is not None:
        write_page(report, table, f"{images.resolve().name}: traits")
    flagged = sum(any(each.flags.values()) for each in table.images)
    objects = f"{len(table.images)} object{'s' * (len(table.images) != 1)}"
    say(f"{objects}, {flagged} of them flagged; {len(table.names)} values each in {target}")
