"""The demonstration from end to end, on fewer birds and steps than a person would look at; the worlds it draws."""

import csv
from dataclasses import replace

from coarseparts.cli import demo as cli
from coarseparts.experiments.worlds import WORLDS
from coarseparts.training import settings as presets

FEW = {"part_epochs": 1, "posterior_epochs": 1, "label_epochs": 1, "em_epoch_steps": 1, "epoch_steps": 1}
FEW |= {"label_steps": 1, "part_batch": 4, "batch": 4, "labelled_batch": 2}


BIRDS = WORLDS["synthetic-birds"]


def test_the_demonstration_ends_with_a_table_and_a_report_and_is_not_done_twice(tmp_path, monkeypatch):
    monkeypatch.setitem(WORLDS, "synthetic-birds", replace(BIRDS, part=4, coarse=8, val=3, test=3))
    monkeypatch.setattr(cli, "EPOCHS", 1)
    whole = {}

    def fewer(changes):
        whole.update(changes)
        return presets.settings(changes=changes | FEW)

    monkeypatch.setattr(cli, "settings", fewer)
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


def test_a_seed_has_birds_of_its_own(tmp_path):
    few = replace(BIRDS, part=1, coarse=0, val=1, test=1)
    first, again, other = (few.store(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert (first.image[:] == again.image[:]).all() and (first.image[:] != other.image[:]).any()
    assert first.splits == ["train", "val", "test"]
    assert few.store(tmp_path / "a", 7).names == first.names, "rendered once"


def test_aircraft_have_clean_part_masks_and_noisy_ones_and_no_label_but_the_mask(tmp_path):
    few = replace(WORLDS["synthetic-aircraft"], part=2, coarse=3, val=1, test=1)
    made = few.render(7, size=64, seed=1000)
    store = few.store(tmp_path / "a", 0)
    assert (store.parts[:2] == made["parts"][:2]).all() and (store.parts[2:5] == made["noisy_parts"][2:5]).all()
    assert (store.parts[5:] == made["parts"][5:]).all() and (made["noisy_parts"] != made["parts"]).any()
    assert [name for name, there in store.present.items() if there.any()] == ["parts", "mask"]
