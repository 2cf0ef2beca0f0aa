"""How commands that train end: their tables, where the report is, and what did not come to an end."""

from __future__ import annotations

from pathlib import Path

from coarseparts.cli.terminal import out, say
from coarseparts.experiments.cells import Outcome
from coarseparts.report.tables import print_tables
from coarseparts.system.errors import Failed


def show(outcome: Outcome, folder: Path) -> None:
    """Prints; raises Failed where a training diverged."""
    print_tables(outcome.tables, out)
    if outcome.tables:
        say(f"report: {folder / 'report.html'}")
    if outcome.failed:
        count = f"{len(outcome.failed)} training{'s' * (len(outcome.failed) != 1)} did not come to an end"
        raise Failed("\n".join([f"{folder}: {count}, the same command tries again", *outcome.failed]))
