"""``coarseparts benchmark``."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import options, outcome
from coarseparts.cli.choices import Changes, Device, SkipBad, Weights
from coarseparts.cli.terminal import err, note, notes, progress, say
from coarseparts.experiments import benchmark as matrix
from coarseparts.experiments.cells import STARTS, Cell, Outcome
from coarseparts.experiments.data import opened
from coarseparts.experiments.worlds import WORLDS
from coarseparts.labels import STYLES
from coarseparts.report.pages import write_folder
from coarseparts.training import methods
from coarseparts.training import settings as presets
from coarseparts.training.claims import benchmark_folder, in_turn
from coarseparts.training.experiment import Experiment
from coarseparts.training.networks import resolve

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def benchmark(
    data: Annotated[str, typer.Argument(help=f"{', '.join(WORLDS)}, or a dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="folder; the same command again does the cells that are left")],
    names: Annotated[str, typer.Option("--methods", help=f"of {', '.join(methods.METHODS)} [all that fit]")] = "",
    parts: Annotated[
        str, typer.Option(help="numbers of part masks, e.g. 30,150 [all there are; synthetic birds: 30, aircraft: 60]")
    ] = "",
    labels: Annotated[str, typer.Option(help="coarse labels, e.g. all,mask,keypoints+box")] = "all",
    starts: Annotated[
        str, typer.Option(help=f"where encoders begin: of {', '.join(STARTS)}; weights: as --weights says")
    ] = "weights",
    seeds: Annotated[str, typer.Option(help="e.g. 0,1,2")] = "0,1,2",
    preset: Annotated[
        str,
        typer.Option(help=f"one of {', '.join(presets.PRESETS)}, or {presets.PUBLISHED}: each cell the paper's own"),
    ] = "default",
    split: Annotated[
        str, typer.Option(help="part-labelled images to measure on, val or test [val; built-in worlds: test]")
    ] = "",
    weights: Weights = "",
    changes: Changes = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the cells and the time they may take")] = False,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Methods x beginnings x labels x part masks x seeds: results.csv, table.md and report.html, resumable by cell.

    Under torchrun each process takes its share of the cells, one GPU each.
    """
    where = options.own_gpu(options.device(device))
    chosen = options.names("--methods", names, methods.METHODS)
    styles = options.names("--labels", labels)
    for style in styles:
        for one in style.split("+"):
            options.one_of("--labels", one, ("all", *STYLES))
    begins, numbers = options.names("--starts", starts, STARTS), options.seeds(seeds)
    given = options.changes(changes) | ({"weights": weights} if weights else {})
    options.one_of("--preset", preset, (*presets.PRESETS, presets.PUBLISHED))
    first = "paper" if preset == presets.PUBLISHED else preset
    resolve(presets.settings(first, given), where)  # a wrong setting is told before anything is read
    split = split or ("test" if data in WORLDS else "val")
    options.one_of("--split", split, ("val", "test"))
    with nullcontext() if dry_run else benchmark_folder(run, note):
        with in_turn(run, note):
            bar = None if data in WORLDS else progress("reading images")
            source = opened(data, run / "data", split, skip_bad, bar, note)
            notes(source.problems)
            limits = options.whole_numbers("--parts", parts) or [len(source.rows.part)]
            source.check(limits)
            if not dry_run:
                matrix.claim(run, matrix.facts(data, source, given, split=split, preset=preset))

        def own(method: str, start: str) -> str:
            return presets.published(method, start, source.overlapping) if preset == presets.PUBLISHED else ""

        cells = matrix.plan(chosen or source.fitting(), limits, styles, begins, numbers, own)

        def experiment(cell: Cell, folder: Path) -> Experiment:
            begin = STARTS[cell.conditions.start]
            settings = resolve(presets.settings(cell.preset or preset, given | begin), where)
            return source.experiment(cell.conditions, folder, settings, where, err)

        if dry_run:
            with tempfile.TemporaryDirectory() as place:
                rows = matrix.estimate(cells, run, lambda cell: experiment(cell, Path(place)).probe())
            for line in matrix.in_words(rows):
                say(line)
            return

        failed: list[str] = []
        results = matrix.run(cells, run, experiment, failed, note)
        about = {"preset": preset, "settings": ", ".join(changes) or "as the preset", "device": where}
        problems = [*failed, *map(str, source.problems)]
        page = matrix.page(cells, run, data, split, problems, **about)
        outcome.tell(Outcome(results, write_folder(run, results, page), failed), run)
