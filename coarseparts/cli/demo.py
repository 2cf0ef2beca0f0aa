"""``coarseparts demo``: the whole method on synthetic birds, sized for two CPU cores and a few minutes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from coarseparts.cli import help, options
from coarseparts.cli.choices import Device, Seeds
from coarseparts.cli.help import OutputOption, verb
from coarseparts.cli.terminal import err, note, quiet_unless

if TYPE_CHECKING:
    from coarseparts.training.settings import Settings

app = help.app()

METHODS = ("fine-tuning", "em")

EPOCHS = 3
"""Of EM, and as many steps of fine-tuning; the ``default`` preset has 36, which take that much longer."""


@verb(
    app,
    examples=(
        "coarseparts demo",
        "coarseparts demo --out runs/demo3 --seeds 0,1,2",
    ),
)
def demo(
    run: Annotated[Path, OutputOption("--out", help="folder to write")] = Path("runs/demo"),
    seeds: Seeds = "0",
    device: Device = "auto",
) -> None:
    """The whole method on the built-in synthetic birds: a table of methods and a report to look at."""
    numbers = options.seeds(seeds)

    from coarseparts.cli import outcome
    from coarseparts.experiments.compare import compare
    from coarseparts.experiments.data import built_in
    from coarseparts.experiments.worlds import WORLDS
    from coarseparts.system import parallel
    from coarseparts.training.networks import resolve

    with parallel.process_group(options.device(device)) as where, quiet_unless(parallel.is_main()):
        done = compare(
            partial(built_in, "synthetic-birds", lambda seed: run / f"seed{seed}" / "store", name="demo"),
            resolve(settings({"em_epochs": EPOCHS}), where),
            METHODS,
            numbers,
            run,
            title="Synthetic birds",
            device=where,
            parts=WORLDS["synthetic-birds"].part,
            seed_folders=True,
            tell=note,
            console=err,
        )
        outcome.show(done, run)


def settings(changes: dict[str, Any]) -> Settings:
    """The ``default`` preset with some changes."""
    from coarseparts.training import settings as presets

    return presets.settings(changes=changes)
