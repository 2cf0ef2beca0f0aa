"""``coarseparts demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from coarseparts.cli import options
from coarseparts.cli.choices import Device
from coarseparts.cli.terminal import err, note, one_voice, out
from coarseparts.experiments import demo as demonstration
from coarseparts.experiments import results as reporting
from coarseparts.inference.model import Model
from coarseparts.system import parallel
from coarseparts.training import methods
from coarseparts.training.claims import claimed

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def demo(
    run: Annotated[Path, typer.Option("--out", help="folder to write")] = Path("runs/demo"),
    seeds: Annotated[str, typer.Option(help="e.g. 0,1,2")] = "0",
    device: Device = "auto",
) -> None:
    """The whole method on the built-in synthetic birds: a table of methods and a report to look at."""
    numbers = options.seeds(seeds)
    experiments = []
    rows: list[dict[str, Any]] = []
    with parallel.together(options.device(device)) as where, one_voice(parallel.is_main()), claimed(run, note):
        for seed in numbers:
            experiment = demonstration.experiment(run / f"seed{seed}", seed, where, err)
            for method in demonstration.METHODS:
                err.print(Text.assemble((method, "bold"), f" (seed {seed})"))
                rows += methods.train(experiment, method)
                if method == "em":
                    Model.of(experiment, True).save(experiment.run.path / "model")
            experiments.append(experiment)
        reporting.finish(run, experiments, rows, "Synthetic birds", out)
