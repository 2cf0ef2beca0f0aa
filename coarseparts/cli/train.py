"""``coarseparts train``, and what it shares with ``compare``: methods and seeds in a run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from coarseparts.cli import options
from coarseparts.cli.choices import Changes, Device, Seed, SkipBad, Weights
from coarseparts.cli.terminal import err, note, notes, one_voice, out, progress
from coarseparts.data.accounts import in_training
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.experiments import results as reporting
from coarseparts.inference.model import Model
from coarseparts.labels import STYLES
from coarseparts.system import parallel
from coarseparts.system.errors import Failed
from coarseparts.training import methods
from coarseparts.training import settings as presets
from coarseparts.training.claims import claimed
from coarseparts.training.experiment import Experiment
from coarseparts.training.networks import resolve
from coarseparts.updates import TrainingDiverged

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="run folder; the same command again goes on where it stopped")],
    method: Annotated[str, typer.Option(help=f"one of {', '.join(methods.METHODS)}")] = "em",
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(presets.PRESETS)}")] = "default",
    weights: Weights = "",
    labels: Annotated[str, typer.Option(help="coarse labels to use, e.g. keypoints,mask,box [all there are]")] = "",
    parts_limit: Annotated[int | None, typer.Option(min=1, help="use only the first N part masks")] = None,
    changes: Changes = [],  # noqa: B006 - typer copies it
    seed: Seed = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Train on a dataset file and measure on its validation split; ends with a table and report.html."""
    options.one_of("--method", method, methods.METHODS)
    run_methods(data, run, [method], preset, weights, labels, parts_limit, changes, [seed], device, skip_bad)


def run_methods(
    data: Path,
    run: Path,
    wanted: list[str],
    preset: str,
    weights: str,
    labels: str,
    parts_limit: int | None,
    changes: list[str],
    seeds: list[int],
    device: str,
    skip_bad: bool,
) -> None:
    """Trains methods with seeds on a dataset file and ends with their table; raises RunError where one diverged."""
    dataset = load_dataset_file(data)
    where = options.device(device)
    chosen = options.changes(changes) | ({"weights": weights} if weights else {})
    settings = resolve(presets.settings(preset, chosen), where)
    styles = options.names("--labels", labels, STYLES) or None
    with parallel.together(where) as where, one_voice(parallel.is_main()), claimed(run, note):
        reporting.nothing_dropped(run, wanted, seeds)
        with parallel.main_first():
            store, problems = build_store(
                dataset, run / "store", skip_bad, progress("reading images"), for_training=True, tell=note
            )
        notes(problems)
        experiments, rows = [], []
        failed: list[str] = []
        for seed in seeds:
            before = len(failed)
            experiment = Experiment(
                store,
                settings,
                run if len(seeds) == 1 else run / f"seed{seed}",
                seed,
                where,
                styles,
                parts_limit,
                dataset.crop.model_dump(),
                config={"data": os.path.realpath(data), "preset": preset},
                keypoint_parts=dataset.keypoint_parts,
                console=err,
            )
            methods.check(experiment, wanted)
            announce(experiment)
            for method in wanted:
                err.print(Text(method, "bold"))
                try:
                    rows += methods.train(experiment, method)
                except TrainingDiverged as error:
                    if len(wanted) * len(seeds) == 1 or parallel.count() > 1:
                        raise
                    failed.append(f"{method} (seed {seed}): {error}")
                    note(f"failed: {failed[-1]}")
                    continue
                if method == ("em" if "em" in wanted else wanted[-1]):
                    Model.of(experiment, methods.METHODS[method].posterior).save(experiment.run.path / "model")
            if len(failed) == before:
                experiments.append(experiment)
        reporting.finish(run, experiments, rows, data.stem, out, [str(p) for p in problems])
        if failed:
            raise Failed("\n".join([f"{run}: not all methods came to an end", *failed]))


def announce(experiment: Experiment) -> None:
    """What is trained on and measured on, in a line."""
    s = experiment.settings
    processes = f", {parallel.count()} processes" if parallel.count() > 1 else ""
    note(
        f"{in_training(experiment.rows, experiment.styles)}; "
        f"{s.encoder}, {experiment.size} px, {experiment.device}, seed {experiment.seed}{processes}"
    )
