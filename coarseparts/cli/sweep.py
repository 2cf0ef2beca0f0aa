"""``coarseparts sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

from coarseparts.cli import help, names, options
from coarseparts.cli.choices import Changes, Device, MaxPixels, Method, Preset, Seed, SkipBad, Weights, WorldOrData
from coarseparts.cli.help import DataOption, OutputOption, TrainingOption, verb
from coarseparts.cli.terminal import err, note, notes, progress, say
from coarseparts.system.errors import Failed
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import short

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts sweep ants.yaml --out runs/sweep --over em.alpha=0.01:1:log",
        "coarseparts sweep ants.yaml --out runs/grid --over batch=8,16 --sampler grid",
    ),
)
def sweep(
    data: WorldOrData,
    run: Annotated[Path, OutputOption("--out", help="folder; the same command again does the trials that are left")],
    over: Annotated[list[str], TrainingOption(metavar="KEY=A,B,.. or KEY=LOW:HIGH[:log]", help="a setting to vary")],
    method: Method = "em",
    sampler: Annotated[str, TrainingOption(help=f"one of {', '.join(names.SAMPLERS)}")] = "random",
    trials: Annotated[int, TrainingOption(min=1, help="how many settings to try; a grid tries all")] = 20,
    parts: Annotated[
        int | None, DataOption(min=1, help="number of part masks [all there are; synthetic birds: 30, aircraft: 60]")
    ] = None,
    preset: Preset = "default",
    weights: Weights = "",
    changes: Changes = [],  # noqa: B006
    seed: Seed = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Choose settings on the validation images (Appendix C): a table of trials and the best ones as --set options."""
    options.one_of("--method", method, names.METHODS)
    options.one_of("--sampler", sampler, names.SAMPLERS)
    options.one_of("--preset", preset, names.PRESETS)
    given = options.changes(changes, weights)

    from pydantic import ValidationError

    from coarseparts.data.accounts import in_training
    from coarseparts.experiments import sweep as sweeping
    from coarseparts.experiments.benchmark import facts
    from coarseparts.experiments.cells import Conditions
    from coarseparts.experiments.data import open_data
    from coarseparts.training import methods
    from coarseparts.training import settings as presets
    from coarseparts.training.claims import alone
    from coarseparts.training.networks import resolve
    from coarseparts.training.stages import validated
    from coarseparts.updates import TrainingDiverged

    where = options.device(device)
    axes = [sweeping.axis(text) for text in over]
    sweeping.refuse_grid(sampler, axes)
    for one, text in zip(axes, over, strict=True):  # a wrong key or value is told before anything is read
        for value in one.values or (one.example,):
            try:
                presets.settings(preset, given | {one.key: value})
            except ValidationError as error:
                wrong = f"{short(value)} is no value of it: {error.errors()[0]['msg'].lower()}"
                raise BadInput(Problem(f"--over {text}", wrong, "see `coarseparts settings`")) from None
            except ValueError as error:  # of a key that there is not
                raise ValueError(str(error).replace("--set", "--over", 1)) from None
    with alone(run, note):
        bar = None if data in names.WORLDS else progress("reading images")
        source = open_data(data, run / "data", "", skip_bad, bar, note)
        notes(source.problems)
        count = parts or len(source.rows.part)
        source.check([count])
        conditions = Conditions(count, "all", "weights", seed)
        common = facts(data, source, given, preset=preset, method=method, seed=seed, parts=count)

        used: list[str] = []  # what the first trial is trained on, as all are

        def measure(chosen: dict[str, Any], folder: Path) -> float:
            settings = resolve(presets.settings(preset, given | chosen), where)
            task, trial = source.open_task(conditions, folder, settings, where, err)
            if not used:
                used.append(in_training(task.rows, task.styles))
                note(used[0])
            try:
                joint, _ = methods.train(task, trial, method)
            except TrainingDiverged as error:
                note(f"failed: {', '.join(f'{k}={v}' for k, v in chosen.items())}: {error}")
                raise
            return float(validated(task, joint, "part")["part_miou"])

        done = sweeping.run(axes, cast(sweeping.Sampler, sampler), trials, run, measure, seed, common)
        best = sweeping.write_results(run, done)
        for line in sweeping.in_words(done):
            say(line)
        if not done:
            raise Failed(f"{run}: no trial came to an end; try smaller learning rates")
        say(f"best: {' '.join(best)}")
