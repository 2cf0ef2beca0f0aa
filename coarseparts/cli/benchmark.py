"""``coarseparts benchmark``, and the data that it shares with ``sweep``."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from coarseparts.cli import options
from coarseparts.cli.choices import Changes, Device, SkipBad, Weights
from coarseparts.cli.terminal import err, note, notes, out, progress, say
from coarseparts.data.dataset_file import nearest
from coarseparts.data.problems import BadInput, Problem
from coarseparts.experiments import benchmark as matrix
from coarseparts.labels import STYLES
from coarseparts.report import comparison
from coarseparts.report.published import PUBLISHED
from coarseparts.system.errors import Failed
from coarseparts.training import methods
from coarseparts.training import settings as presets
from coarseparts.training.claims import benchmark_folder, in_turn, same_as_before
from coarseparts.training.experiment import Experiment
from coarseparts.training.networks import resolve

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def benchmark(
    data: Annotated[str, typer.Argument(help=f"{', '.join(matrix.WORLDS)}, or a dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="folder; the same command again does the cells that are left")],
    names: Annotated[str, typer.Option("--methods", help=f"of {', '.join(methods.METHODS)} [all that fit]")] = "",
    parts: Annotated[
        str, typer.Option(help="numbers of part masks, e.g. 30,150 [all there are; synthetic birds: 30, aircraft: 60]")
    ] = "",
    labels: Annotated[str, typer.Option(help="coarse labels, e.g. all,mask,keypoints+box")] = "all",
    starts: Annotated[
        str, typer.Option(help=f"where encoders begin: of {', '.join(matrix.STARTS)}; weights: as --weights says")
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
    chosen = options.names("--methods", names, methods.METHODS) or None
    styles = options.names("--labels", labels)
    for style in styles:
        for one in style.split("+"):
            options.one_of("--labels", one, ("all", *STYLES))
    begins, numbers = options.names("--starts", starts, matrix.STARTS), options.seeds(seeds)
    given = options.changes(changes) | ({"weights": weights} if weights else {})
    options.one_of("--preset", preset, (*presets.PRESETS, presets.PUBLISHED))
    first = "paper" if preset == presets.PUBLISHED else preset
    resolve(presets.settings(first, given), where)  # a wrong setting is told before anything is read
    split = split or ("test" if data in matrix.WORLDS else "val")
    options.one_of("--split", split, ("val", "test"))
    with nullcontext() if dry_run else benchmark_folder(run, note):
        with in_turn(run, note):
            opened = opened_data(data, run / "data", skip_bad, split)
            limits = options.whole_numbers("--parts", parts) or [opened.parts]
            opened.check(limits)
            if not dry_run:
                said = facts(data, opened, split=split, preset=preset, given=given)
                begun = any(run.glob("*/seed*/stages/*/state.pt")) or any(run.glob("*/seed*/results/*.json"))
                same_as_before(run / "benchmark.yaml", said, "benchmark", begun)

        def own(method: str, start: str) -> str:
            return presets.published(method, start, opened.overlapping) if preset == presets.PUBLISHED else ""

        cells = matrix.plan(chosen or opened.fitting(), limits, styles, begins, numbers, own)

        def experiment(cell: matrix.Cell, folder: Path) -> Experiment:
            begin = matrix.STARTS[cell.conditions.start]
            settings = resolve(presets.settings(cell.preset or preset, given | begin), where)
            return opened.experiment(cell.conditions, folder, settings, where, err)

        if dry_run:
            with tempfile.TemporaryDirectory() as place:
                rows = matrix.estimate(cells, run, lambda cell: experiment(cell, Path(place)).probe())
            matrix.print_plan(rows, out)
            return

        failed: list[str] = []
        results = matrix.run(cells, run, experiment, err, failed, note)
        paper = PUBLISHED.get((Path(data).stem, split))
        about = {"data": data, "preset": preset, "settings": ", ".join(changes) or "as the preset", "device": where}
        about["measured on"] = split
        matrix.write_results(run, results, Path(data).stem, about, paper, matrix.galleries(cells, run))
        out.print(comparison.to_markdown(results, published=paper))
        say(f"report: {run / 'report.html'}")
        if failed:
            failures = f"{run}: {len(failed)} cells failed, the same command tries them again"
            raise Failed("\n".join([failures, *failed]))


def opened_data(data: str, cache: Path, skip_bad: bool, split: str = "") -> matrix.Data:
    """A built-in world or a dataset file, with what is wrong printed."""
    if data in matrix.WORLDS:
        return matrix.WORLDS[data](cache, split or "test")
    if data.startswith("synthetic") and not Path(data).exists():
        raise BadInput(Problem(data, "is neither a built-in world nor a file", nearest(data, matrix.WORLDS)))
    opened, problems = matrix.dataset_file(
        Path(data), cache, progress("reading images"), skip_bad, split or "val", note
    )
    notes(problems)
    return opened


def facts(data: str, opened: matrix.Data, *, given: dict[str, Any], **others: Any) -> dict[str, Any]:
    """What all results in a folder have in common, as ``same_as_before`` compares it."""
    source = data if data in matrix.WORLDS else os.path.realpath(data)
    said = {"data": source, "data_hash": opened.key, **others}
    return said | {"set": {key: str(value) for key, value in given.items()}}
