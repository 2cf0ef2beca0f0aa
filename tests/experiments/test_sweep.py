"""Settings tried on validation images: axes read, trials done once, a stopped one gone on with, the best chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coarseparts.experiments import sweep
from coarseparts.experiments.sweep import axis
from coarseparts.system.errors import DamagedRun, RunError
from coarseparts.updates import TrainingDiverged


def test_axes_are_read_and_wrong_ones_told() -> None:
    assert axis("decoder=paper,stride4").values == ("paper", "stride4")
    assert axis("em.alpha=0.1, 1").values == (0.1, 1)
    assert axis("em.condition=true,false").values == (True, False)
    low = axis("em.alpha=0.01:1:log").distribution
    assert (low.low, low.high, low.log) == (0.01, 1.0, True)  # type: ignore[attr-defined]
    whole = axis("batch=8:32")
    assert type(whole.distribution).__name__ == "IntDistribution"
    assert whole.example == 8
    for wrong in (
        "em.alpha",
        "em.alpha=",
        "em.alpha=1:0",
        "em.alpha=0:x",
        "em.alpha=0:1:exp",
        "em.alpha=1,1",
        "a=0:inf",
    ):
        with pytest.raises(ValueError, match="--over"):
            axis(wrong)


def bowl(seen: list[dict[str, Any]]) -> sweep.Measure:
    def measure(chosen: dict[str, Any], folder: Path) -> float:
        seen.append(chosen)
        folder.mkdir(parents=True, exist_ok=True)
        return 50 - (float(chosen["em.alpha"]) - 0.3) ** 2

    return measure


def test_a_grid_tries_each_point_once_and_names_the_best(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    axes = [axis("em.alpha=0.1,0.3,1.0"), axis("batch=8,16")]
    done = sweep.run(axes, "grid", 99, tmp_path, bowl(seen), 0)
    assert len(seen) == len(done) == 6
    assert len({(s["em.alpha"], s["batch"]) for s in seen}) == 6
    options = sweep.write_results(tmp_path, done)
    assert "--set em.alpha=0.3" in options
    rows = (tmp_path / "sweep.csv").read_text().splitlines()
    assert len(rows) == 7
    assert rows[0] == "part_miou,batch,em.alpha"
    again = sweep.run(axes, "grid", 99, tmp_path, bowl(seen), 0)
    assert len(seen) == 6, "nothing is tried twice"
    assert [t.value for t in again] == [t.value for t in done]


def test_random_draws_from_lists_try_each_point_once(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    done = sweep.run([axis("em.alpha=0.1,0.3,1.0")], "random", 9, tmp_path, bowl(seen), 0)
    assert sorted(s["em.alpha"] for s in seen) == [0.1, 0.3, 1.0]
    assert len(done) == 3


def test_a_stopped_sweep_takes_the_same_settings_up_again(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    measure = bowl(seen)

    def stopped(chosen: dict[str, Any], folder: Path) -> float:
        if len(seen) == 2:
            raise KeyboardInterrupt
        return measure(chosen, folder)

    axes = [axis("em.alpha=0.01:1:log")]
    with pytest.raises(KeyboardInterrupt):
        sweep.run(axes, "random", 4, tmp_path, stopped, 0)
    folders: list[str] = []

    def noted(chosen: dict[str, Any], folder: Path) -> float:
        folders.append(folder.name)
        return measure(chosen, folder)

    done = sweep.run(axes, "random", 4, tmp_path, noted, 0)
    assert len(done) == 4
    assert len(seen) == 4
    assert len({s["em.alpha"] for s in seen}) == 4, "random trials go on instead of repeating the first ones"


def test_settings_that_diverge_are_kept_as_failures(tmp_path: Path) -> None:
    tried: list[float] = []

    def measure(chosen: dict[str, Any], folder: Path) -> float:
        tried.append(chosen["em.alpha"])
        if chosen["em.alpha"] > 0.5:
            raise TrainingDiverged("the loss is not finite")
        return 1.0

    axes = [axis("em.alpha=0.1,1.0")]
    assert [t.params["em.alpha"] for t in sweep.run(axes, "grid", 9, tmp_path, measure, 0)] == [0.1]
    sweep.run(axes, "grid", 9, tmp_path, measure, 0)
    assert sorted(tried) == [0.1, 1.0], "not tried again"


def test_another_sweeps_folder_is_refused(tmp_path: Path) -> None:
    sweep.run([axis("em.alpha=0.1,0.3")], "grid", 9, tmp_path, bowl([]), 0)
    with pytest.raises(RunError, match=r"holds a sweep with other settings \(over.*em\.gamma"):
        sweep.run([axis("em.gamma=0.1,0.3")], "grid", 9, tmp_path, bowl([]), 0)
    with pytest.raises(RunError, match=r"\(over em\.alpha there, batch, em\.alpha now\)"):
        sweep.run([axis("em.alpha=0.1,0.3"), axis("batch=4,8")], "grid", 9, tmp_path, bowl([]), 0)
    with pytest.raises(RunError, match=r"\(over other values of em\.alpha\)"):
        sweep.run([axis("em.alpha=0.1,0.4")], "grid", 9, tmp_path, bowl([]), 0)
    with pytest.raises(RunError, match="data_hash: None there, '1f' now"):
        sweep.run([axis("em.alpha=0.1,0.3")], "grid", 9, tmp_path, bowl([]), 0, {"data_hash": "1f"})
    with pytest.raises(ValueError, match="a grid needs lists"):
        sweep.run([axis("em.alpha=0.1:0.3")], "grid", 9, tmp_path / "b", bowl([]), 0)


def test_a_journal_that_was_cut_off_costs_its_last_line_alone(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    axes = [axis("em.alpha=0.1,0.3,1.0")]
    first = sweep.run(axes, "grid", 9, tmp_path, bowl(seen), 0)
    journal = tmp_path / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-5])
    again = sweep.run(axes, "grid", 9, tmp_path, bowl(seen), 0)
    assert [t.params for t in again] == [t.params for t in first]
    assert len(seen) == 4, "the trial whose end was cut off is done again"


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
@pytest.mark.parametrize("moments", [(1,), (2, 2, 3), (1, 1, 1)])
def test_a_sweep_that_was_killed_ends_with_the_undisturbed_table(tmp_path: Path, sampler: Any, moments: Any) -> None:
    over = ["em.alpha=0.1,0.3,1.0", "batch=8,16"] if sampler == "grid" else ["em.alpha=0.01:1:log", "batch=8,16,32"]
    axes = [axis(text) for text in over]
    whole = sweep.run(axes, sampler, 5, tmp_path / "whole", bowl([]), 3)
    for moment in moments:
        count = 0

        def killed(chosen: dict[str, Any], folder: Path, moment: int = moment) -> float:
            nonlocal count
            count += 1
            if count == moment:
                raise KeyboardInterrupt  # the trial stays "running", as it does where the process is killed
            return bowl([])(chosen, folder)

        with pytest.raises(KeyboardInterrupt):
            sweep.run(axes, sampler, 5, tmp_path / "cut", killed, 3)
        (tmp_path / "cut" / "journal.log.lock").write_text("what Optuna's own lock would leave")
        with open(tmp_path / "cut" / "journal.log", "ab") as journal:
            journal.write(b'{"op_code": 5, "half a li')
    again = sweep.run(axes, sampler, 5, tmp_path / "cut", bowl([]), 3)
    sweep.write_results(tmp_path / "whole", whole)
    sweep.write_results(tmp_path / "cut", again)
    for name in ("sweep.csv", "best.yaml"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.parametrize(
    "damage", [b"", b"\x00\xff\n", b'{"op_code": 99}\n', b"[]\n", b'{"op_code": 0, "worker_id": "x"}\n', b"{}\n"]
)
def test_a_damaged_journal_is_named_or_begun_anew(tmp_path: Path, damage: bytes) -> None:
    axes = [axis("em.alpha=0.1,0.3")]
    whole = sweep.run(axes, "grid", 9, tmp_path, bowl([]), 0)
    (tmp_path / "journal.log").write_bytes(damage)
    if damage:
        with pytest.raises(DamagedRun, match=r"journal\.log: cannot be read .*; delete it"):
            sweep.run(axes, "grid", 9, tmp_path, bowl([]), 0)
        (tmp_path / "journal.log").unlink()
    again = sweep.run(axes, "grid", 9, tmp_path, bowl([]), 0)
    assert [(t.params, t.value) for t in again] == [(t.params, t.value) for t in whole]
