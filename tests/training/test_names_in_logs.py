"""What a user named reaches a sweep's table, a run's metrics, TensorBoard and the terminal as visible text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import optuna
import pytest
from hostile import NAMES, is_plain
from optuna.distributions import CategoricalDistribution
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from coarseparts.cli import terminal
from coarseparts.experiments import sweep
from coarseparts.system.text import from_csv_cell, readable
from coarseparts.training.run_folder import RunFolder


def test_a_sweeps_table_holds_no_formula_and_every_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"weights": CategoricalDistribution(NAMES), "batch": CategoricalDistribution([-1])}
    done = [
        optuna.trial.create_trial(params={"weights": n, "batch": -1}, distributions=space, value=1.0) for n in NAMES
    ]
    sweep.write_results(tmp_path, done)
    text = (tmp_path / "sweep.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert is_plain(text) and [from_csv_cell(r["weights"]) for r in rows] == [readable(n) for n in NAMES]
    assert not [r for r in rows if r["weights"].startswith(tuple("=+-@"))]
    assert {(r["batch"], r["part_miou"]) for r in rows} == {("-1", "1.0")}, "numbers stay numbers"
    monkeypatch.setattr(terminal, "out", Console(width=400, markup=False, emoji=False, highlight=False))
    for line in sweep.in_words(done):
        terminal.say(line)
    printed = capsys.readouterr().out
    assert is_plain(printed) and all(readable(n) in printed for n in NAMES)


def test_a_runs_metrics_hold_what_its_checkpoint_says_as_text(tmp_path: Path) -> None:
    """Names of metrics are ours, but for a checkpoint that others made."""
    run = RunFolder(tmp_path / "run", {}, "{}")
    stage = run.stage("em", {"m": nn.Linear(1, 1)}, [], 1)
    stage.close_epoch(1, 1.0, dict.fromkeys(NAMES, 0.5))
    run.log(stage)
    text = (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8")
    assert is_plain(text)
    assert [from_csv_cell(r["name"]) for r in csv.DictReader(io.StringIO(text))] == [readable(n) for n in NAMES]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    tags = events.Tags()["scalars"]
    assert len(tags) == len(NAMES) and is_plain("".join(tags))
