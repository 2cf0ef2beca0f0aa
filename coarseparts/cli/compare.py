"""``coarseparts compare``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from coarseparts.cli import help, names, options
from coarseparts.cli.choices import (
    Changes,
    Data,
    Device,
    Effort,
    MaxPixels,
    Minutes,
    PartsLimit,
    Preset,
    Seeds,
    SkipBad,
    Weights,
)
from coarseparts.cli.help import DataOption, OutputOption, TrainingOption, verb
from coarseparts.cli.terminal import err, note, progress, quiet_unless
from coarseparts.system.problems import BadInput, Problem

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts compare ants.yaml --out runs/table --seeds 0,1,2",
        "coarseparts compare ants.yaml --out runs/em --methods fine-tuning,em",
    ),
)
def compare(
    data: Data,
    run: Annotated[Path, OutputOption("--out", help="folder; a run folder per seed in it")],
    methods: Annotated[str, TrainingOption(help=f"of {', '.join(names.METHODS)}")] = "fine-tuning,distillation,em",
    seeds: Seeds = "0",
    preset: Preset = "default",
    effort: Effort = "standard",
    minutes: Minutes = None,
    weights: Weights = "",
    labels: Annotated[str, DataOption(help="coarse labels to use [all there are]")] = "",
    parts_limit: PartsLimit = None,
    changes: Changes = [],  # noqa: B006
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Several methods and seeds on the same data, in one table."""
    chosen = options.names("--methods", methods, names.METHODS)
    if not chosen:
        raise BadInput(Problem("--methods", "names none", f"name some of {', '.join(names.METHODS)}"))
    options.one_of("--effort", effort, names.EFFORTS)
    options.one_of("--preset", preset, names.PRESETS)
    numbers = options.seeds(seeds)
    styles = "+".join(options.names("--labels", labels, names.STYLES)) or "all"
    given = options.changes(changes, weights)

    from coarseparts.cli import outcome
    from coarseparts.data.dataset_file import load_dataset_file
    from coarseparts.experiments import compare as comparing
    from coarseparts.experiments.data import from_file
    from coarseparts.system import parallel
    from coarseparts.training import settings as presets
    from coarseparts.training.networks import resolve

    dataset = load_dataset_file(data)
    where = options.device(device)
    settings = resolve(presets.settings(preset, given, effort), where)
    with parallel.process_group(where) as where, quiet_unless(parallel.is_main()):
        bar = progress("reading images")
        done = comparing.compare(
            partial(from_file, dataset, data, run / "store", skip_bad=skip_bad, progress=bar, tell=note),
            settings,
            chosen,
            numbers,
            run,
            title=data.stem,
            device=where,
            labels=styles,
            parts=parts_limit,
            minutes=minutes,
            tell=note,
            console=err,
            preset=preset,
        )
        outcome.show(done, run)
