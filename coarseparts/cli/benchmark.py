"""``coarseparts benchmark``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from coarseparts.cli import help, names, options
from coarseparts.cli.choices import Changes, Device, Effort, MaxPixels, Minutes, Seeds, SkipBad, Weights, WorldOrData
from coarseparts.cli.help import DataOption, OutputOption, PlaceOption, TrainingOption, verb
from coarseparts.cli.terminal import err, note, notes, progress, say
from coarseparts.system.problems import BadInput, Problem

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts benchmark synthetic-birds --out runs/birds --dry-run",
        "coarseparts benchmark ants.yaml --out runs/bench --parts 10,30 --labels all,mask",
    ),
)
def benchmark(
    data: WorldOrData,
    run: Annotated[Path, OutputOption("--out", help="folder; the same command again does the cells that are left")],
    methods: Annotated[str, TrainingOption(help=f"of {', '.join(names.METHODS)} [all that fit]")] = "",
    parts: Annotated[
        str, DataOption(help="numbers of part masks, e.g. 30,150 [all there are; synthetic birds: 30, aircraft: 60]")
    ] = "",
    labels: Annotated[str, DataOption(help="coarse labels, e.g. all,mask,keypoints+box")] = "all",
    labels_each: Annotated[
        str, DataOption(help="how many of them each coarse image keeps, at random: of all, one and two")
    ] = "all",
    starts: Annotated[
        str, TrainingOption(help=f"where encoders begin: of {', '.join(names.STARTS)}; weights: as --weights says")
    ] = "weights",
    seeds: Seeds = "0,1,2",
    preset: Annotated[
        str, TrainingOption(help=f"one of {', '.join(names.PRESETS)}, or {names.PUBLISHED}: each cell the paper's own")
    ] = "default",
    effort: Effort = "standard",
    minutes: Minutes = None,
    split: Annotated[
        str, DataOption(help="part-labelled images to measure on, val or test [val; built-in worlds: test]")
    ] = "",
    weights: Weights = "",
    changes: Changes = [],  # noqa: B006
    dry_run: Annotated[bool, PlaceOption("--dry-run", help="print the cells and the time they may take")] = False,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Methods x beginnings x labels x part masks x seeds: results.csv, table.md and report.html, resumable by cell.

    Under torchrun each process takes its share of the cells, one GPU each.
    """
    chosen = options.names("--methods", methods, names.METHODS)
    styles = options.names("--labels", labels)
    for style in styles:
        for one in style.split("+"):
            options.one_of("--labels", one, ("all", *names.STYLES))
    asked = options.whole_numbers("--parts", parts)
    eaches = options.names("--labels-each", labels_each, names.EACH)
    begins, numbers = options.names("--starts", starts, names.STARTS), options.seeds(seeds)
    given = options.changes(changes, weights)
    options.one_of("--preset", preset, (*names.PRESETS, names.PUBLISHED))
    if minutes is not None and preset == names.PUBLISHED:
        raise BadInput(
            Problem("--minutes", f"stands beside --preset {preset}, which has epochs of its own", "leave one")
        )
    options.one_of("--effort", effort, names.EFFORTS)
    split = split or ("test" if data in names.WORLDS else "val")
    options.one_of("--split", split, ("val", "test"))

    from coarseparts.cli import outcome
    from coarseparts.experiments import benchmark as matrix
    from coarseparts.experiments.cells import STARTS, Cell, Outcome, labels_of, start_of
    from coarseparts.experiments.data import open_data
    from coarseparts.report.pages import write_folder
    from coarseparts.training import plan
    from coarseparts.training import settings as presets
    from coarseparts.training.claims import benchmark_folder, in_turn
    from coarseparts.training.networks import resolve
    from coarseparts.training.run_folder import RunFolder
    from coarseparts.training.task import Task

    where = options.own_gpu(options.device(device))
    first = "paper" if preset == presets.PUBLISHED else preset
    usual = resolve(presets.settings(first, given, effort), where)  # a wrong setting is told before anything is read
    if preset != names.PUBLISHED:
        begins = list(dict.fromkeys(start_of(usual, begin) for begin in begins))
    with nullcontext() if dry_run else benchmark_folder(run, note):
        with in_turn(run, note):
            bar = None if data in names.WORLDS else progress("reading images")
            source = open_data(data, run / "data", split, skip_bad, bar, note)
            notes(source.problems)
            limits = asked or [len(source.rows.part)]
            source.check(limits)
            if not dry_run:
                length = {"effort": effort} | ({} if minutes is None else {"minutes": minutes})
                matrix.claim(run, matrix.facts(data, source, given, split=split, preset=preset, **length))

        def own(method: str, start: str) -> str:
            return presets.published(method, start, source.overlapping) if preset == presets.PUBLISHED else ""

        kinds = [labels_of(style, each) for style in styles for each in eaches]
        cells = matrix.plan(chosen or source.possible_methods(), limits, kinds, begins, numbers, own)

        def own_settings(cell: Cell) -> presets.Settings:
            begin = STARTS[cell.conditions.start]
            return resolve(presets.settings(cell.preset or preset, given | begin, effort), where)

        def opened(cell: Cell) -> Task:
            return source.task(cell.conditions, own_settings(cell), where)

        if dry_run:
            rows = matrix.estimate(cells, run, lambda cell: plan.seconds_of_em(opened(cell)))
            for line in matrix.in_words(rows):
                say(line)
            return

        def task(cell: Cell, folder: Path) -> tuple[Task, RunFolder]:
            settings = own_settings(cell).model_copy(update=lengths)
            return source.open_task(cell.conditions, folder, settings, where, err)

        lengths: plan.Plan = {}
        if minutes is not None:
            with in_turn(run, note):
                lengths = plan.within(minutes, run, opened(cells[0]), note)
        failed: list[str] = []
        results = matrix.run(cells, run, task, failed, note)
        about = {"preset": preset, "effort": effort, "settings": ", ".join(changes) or "as the preset", "device": where}
        problems = [*failed, *map(str, source.problems)]
        page = matrix.page(cells, run, data, split, problems, **about)
        outcome.show(Outcome(results, write_folder(run, results, page), failed), run)
