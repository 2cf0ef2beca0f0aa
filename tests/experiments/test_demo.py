"""The demonstration from end to end, on fewer birds and steps than a person would look at."""

import csv

from coarseparts.cli import demo as cli
from coarseparts.experiments import demo
from coarseparts.training import settings as presets

FEW = {"part_epochs": 1, "posterior_epochs": 1, "label_epochs": 1, "em_epoch_steps": 1, "epoch_steps": 1}
FEW |= {"label_steps": 1, "part_batch": 4, "batch": 4, "labelled_batch": 2}


def test_the_demonstration_ends_with_a_table_and_a_report_and_is_not_done_twice(tmp_path, monkeypatch, capsys):
    for name, value in {"PART": 4, "COARSE": 8, "VAL": 3, "TEST": 3, "EPOCHS": 1}.items():
        monkeypatch.setattr(demo, name, value)
    whole = {}

    def fewer(changes):
        whole.update(changes)
        return presets.settings(changes=changes | FEW)

    monkeypatch.setattr(demo, "settings", fewer)
    monkeypatch.setattr(demo.store, "__defaults__", (12,))
    cli.demo(tmp_path / "demo", "0", "cpu")
    with (tmp_path / "demo" / "results.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["fine-tuning", "posterior", "em-posterior", "em"]
    assert all(0 <= float(row["part_miou"]) <= 100 for row in rows.values())
    assert "Synthetic birds" in (tmp_path / "demo" / "report.html").read_text()
    assert any((tmp_path / "demo" / "seed0" / "model").iterdir()) and whole == {"em_epochs": 1}
    states = {p: p.stat().st_mtime_ns for p in (tmp_path / "demo").rglob("state.pt")}
    cli.demo(tmp_path / "demo", "0", "cpu")
    assert states == {p: p.stat().st_mtime_ns for p in (tmp_path / "demo").rglob("state.pt")} and len(states) >= 4


def test_a_seed_has_birds_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "VAL", 1)
    monkeypatch.setattr(demo, "TEST", 1)
    first, again, other = (demo.store(tmp_path / name, seed, 1) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert (first.image[:] == again.image[:]).all() and (first.image[:] != other.image[:]).any()
    assert first.splits == ["train", "val", "test"]
