"""A benchmark's cells: planned, done once, resumed after a stop, shared among processes, told when damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import toy, toy_store

from coarseparts.experiments import benchmark, cells, kept
from coarseparts.experiments.cells import Cell, Conditions
from coarseparts.experiments.data import Data
from coarseparts.report.pages import write_folder
from coarseparts.report.results import read_results
from coarseparts.system.errors import RunError
from coarseparts.system.memory import PeakMemory
from coarseparts.training.claims import benchmark_folder, read_config, same_as_before
from coarseparts.training.networks import resolve
from coarseparts.training.plan import seconds_of_em
from coarseparts.training.settings import PRESETS, published, settings
from coarseparts.updates import TrainingDiverged

SHORT = {"part_epochs": 1, "posterior_epochs": 1, "label_epochs": 1, "em_epochs": 1}


def test_a_method_without_labels_is_done_once_whatever_the_labels() -> None:
    cells = benchmark.plan(["fine-tuning", "em"], [30], ["all", "mask"], ["weights", "random"], [0, 1])
    assert len(cells) == 2 * 2 * 3
    assert [(c.method, c.conditions.labels) for c in cells[:3]] == [
        ("fine-tuning", "all"),
        ("em", "all"),
        ("em", "mask"),
    ]
    assert [c.conditions.seed for c in cells] == [0] * 6 + [1] * 6, "a whole table of the first seed comes first"


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """What opens toy tasks, and a list of the conditions that it was asked for."""
    asked: list[Conditions] = []

    def open_task(cell: Cell, folder: Path) -> Any:
        asked.append(cell.conditions)
        return toy(tmp_path / "store", folder, **SHORT)

    return open_task, asked


def test_cells_are_done_once_and_their_results_kept(opened: Any, tmp_path: Path) -> None:
    open_task, asked = opened
    cells = benchmark.plan(["multi-task", "fine-tuning"], [8], ["all", "mask"], ["weights"], [0])
    folder = tmp_path / "bench"
    assert [(state, str(s)) for _, state, s in benchmark.estimate(cells, folder)] == [("open", "nan")] * 3
    first = benchmark.run(cells, folder, open_task, [])
    assert len(asked) == 2
    assert [(r.method, r.labels) for r in first] == [
        (m, s) for s in ("all", "mask") for m in ("multi-task", "fine-tuning")
    ], "of all labels alike in the order that was asked for"
    assert all(r.counts is not None and r.counts.shape == (8, 11, 11) for r in first)
    again = benchmark.run(cells, folder, open_task, [])
    assert len(asked) == 2, "nothing is opened where all is done"
    assert again == first
    more = benchmark.plan(["fine-tuning", "multi-task", "self-training"], [8], ["all"], ["weights"], [0])
    states = [state for _, state, _ in benchmark.estimate(more, folder)]
    assert states == ["done", "done", "open"]
    write_folder(folder, first, benchmark.page(cells, folder, "toy", "val"))
    assert {"results.csv", "table.md", "report.html"} <= {p.name for p in folder.iterdir()}
    assert ",multi-task,left_wing," in (folder / "by_part.csv").read_text()
    assert [r.method for r in read_results(folder / "results.csv")] == [r.method for r in first]
    with benchmark_folder(folder):
        assert (folder / ".lock").exists()


def test_processes_share_the_cells(opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_task, asked = opened
    cells = [Cell(Conditions(8, "all", "weights", seed), "fine-tuning") for seed in (0, 1)]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, done in (("1", [1]), ("0", [0, 1])):
        monkeypatch.setenv("RANK", rank)
        results = benchmark.run(cells, tmp_path / "bench", open_task, [])
        assert [r.seed for r in results] == done
    assert [c.seed for c in asked] == [1, 0]


def test_a_damaged_result_is_named(opened: Any, tmp_path: Path) -> None:
    cells = [Cell(Conditions(8, "all", "weights", 0), "fine-tuning")]
    benchmark.run(cells, tmp_path / "bench", opened[0], [])
    file = next((tmp_path / "bench").rglob("fine-tuning.json"))
    file.write_text("{")
    with pytest.raises(RunError, match=r"fine-tuning\.json: cannot be read .* delete it"):
        benchmark.run(cells, tmp_path / "bench", opened[0], [])


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(RunError, match=r"thesis\.doc"), benchmark_folder(tmp_path):
        pass


def test_peak_memory_is_of_what_went_on_inside() -> None:
    with PeakMemory() as small:
        pass
    with PeakMemory() as large:
        np.ones(40_000_000).sum()  # 305 MiB
    assert large.mib - small.mib > 200


def test_cells_of_a_published_table_have_their_own_presets_and_folders() -> None:
    cells = benchmark.plan(
        ["em", "multi-task"],
        [150],
        ["all"],
        ["weights", "keypoints", "random"],
        [0],
        lambda m, s: published(m, s, False),
    )
    presets = {(c.method, c.conditions.start): c.preset for c in cells}
    assert presets == {
        ("em", "weights"): "paper",
        ("em", "keypoints"): "paper-keypoint",
        ("em", "random"): "paper-random",
        ("multi-task", "weights"): "paper-multi-task",
        ("multi-task", "keypoints"): "paper-multi-task",
        ("multi-task", "random"): "paper-multi-task",
    }
    assert set(presets.values()) <= set(PRESETS)
    assert cells[0].folder == "150-all-weights/seed0/paper" and len({c.folder for c in cells}) == len(cells)
    assert {published(m, "weights", True) for m in ("em", "multi-task")} <= set(PRESETS)


def test_the_time_that_is_left_is_told_before_anything_is_done(opened: Any, tmp_path: Path) -> None:
    cells = benchmark.plan(["fine-tuning", "em"], [8], ["all"], ["weights"], [0])
    told = benchmark.estimate(cells, tmp_path / "none", lambda cell: 100.0)
    assert [seconds for *_, seconds in told] == [27.0, 100.0]
    probed = seconds_of_em(opened[0](cells[0], tmp_path / "probe")[0])
    assert 0 < probed < 600
    benchmark.run(cells[:1], tmp_path / "bench", opened[0], [])
    (_, state, seconds), (_, left, usual) = benchmark.estimate(cells, tmp_path / "bench", lambda cell: 1e9)
    assert (state, left) == ("done", "open") and usual == pytest.approx(seconds / 0.27)


def test_a_time_that_nothing_tells_is_not_called_nothing() -> None:
    cell = Cell(Conditions(8, "all", "random", 0), "fine-tuning", "")
    assert benchmark.in_words([(cell, "open", float("nan"))])[-1] == "1 cells, 1 to do: how long they take is not known"
    assert benchmark.in_words([(cell, "done", 3.0)])[-1] == "1 cells, 0 to do: nothing"


def test_the_papers_numbers_and_the_pictures_stand_beside_ours(opened: Any, tmp_path: Path) -> None:
    cells = benchmark.plan(["em", "fine-tuning"], [8], ["all"], ["weights"], [0])
    results = benchmark.run(cells, tmp_path / "bench", opened[0], [])
    (gallery,) = kept.galleries(cells, tmp_path / "bench")
    assert set(gallery.predictions) == {"em", "fine-tuning"} and len(gallery.names) == 6
    scores = gallery.scores("em")
    assert gallery.worst == 2 and max(scores[:2]) <= min(scores[2:])
    write_folder(tmp_path / "bench", results, benchmark.page(cells, tmp_path / "bench", "pascub.yaml", "test"))
    page, table = ((tmp_path / "bench" / name).read_text() for name in ("report.html", "table.md"))
    for text in (page, table):
        assert "Paper, %" in text and "48.0" in text and "45.4" in text
    assert "<h2>Examples</h2>" in page and page.count("<h3>8 part masks, all labels, from weights</h3>") == 2
    assert page.count("data:image") == 6 * 4


def test_results_of_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    said = {"data": "a.yaml", "data_hash": "1f", "split": "test", "set": {"batch": "2"}}
    file = tmp_path / "benchmark.yaml"
    same_as_before(file, said, "benchmark")
    same_as_before(file, dict(said), "benchmark")
    with pytest.raises(RunError, match=r"holds a benchmark .*split: 'test' there, 'val' now"):
        same_as_before(file, said | {"split": "val"}, "benchmark")
    with pytest.raises(RunError, match=r"data: 'a\.yaml' there, 'b\.yaml' now; data_hash"):
        same_as_before(file, said | {"data": "b.yaml", "data_hash": "2e"}, "benchmark")
    same_as_before(file, said | {"data": "b.yaml"}, "benchmark")  # the same data in another place
    assert read_config(file)["data"] == "b.yaml"
    with benchmark_folder(tmp_path):
        assert (tmp_path / "benchmark.yaml").is_file()


def test_a_cell_that_diverges_does_not_hold_up_the_others(opened: Any, tmp_path: Path, monkeypatch: Any) -> None:
    open_task, asked = opened
    real = cells.methods.train

    def train(task: Any, run: Any, method: str) -> Any:
        if method == "fine-tuning":
            raise TrainingDiverged("the loss is not finite")
        return real(task, run, method)

    monkeypatch.setattr(cells.methods, "train", train)
    planned = benchmark.plan(["fine-tuning", "multi-task"], [8], ["all"], ["weights"], [0])
    failed: list[str] = []
    told: list[str] = []
    results = benchmark.run(planned, tmp_path / "bench", open_task, failed, told.append)
    assert [r.method for r in results] == ["multi-task"]
    assert failed == ["fine-tuning (8 part masks, all labels, from weights, seed 0): the loss is not finite"]
    assert f"failed: {failed[0]}" in told and len(asked) == 1
    again: list[str] = []
    assert benchmark.run(planned, tmp_path / "bench", open_task, again) == results
    assert again == failed, "tried again, and nothing else"

    def with_another(*_: Any) -> Any:
        monkeypatch.setattr(cells.parallel, "count", lambda: 2)
        raise TrainingDiverged("the loss is not finite")

    monkeypatch.setattr(cells.methods, "train", with_another)
    with pytest.raises(TrainingDiverged):  # of several processes that train together none may go on alone
        benchmark.run(planned, tmp_path / "bench", open_task, [])


def test_a_benchmark_of_which_nothing_was_done_takes_the_corrected_command(tmp_path: Path) -> None:
    file = tmp_path / "benchmark.yaml"
    same_as_before(file, {"split": "test"}, "benchmark", begun=False)
    same_as_before(file, {"split": "val"}, "benchmark", begun=False)
    assert read_config(file) == {"split": "val"}


def test_conditions_name_how_many_labels_each_image_has(tmp_path: Path) -> None:
    assert [cells.labels_of("all", each) for each in cells.EACH] == ["one-of-all", "two-of-all", "all"]
    assert cells.read_labels("one-of-mask+box") == (["mask", "box"], 1)
    assert cells.read_labels("all") == (None, None) and cells.read_labels("mask") == (["mask"], None)
    store = toy_store(tmp_path / "store")
    data = Data("toy", lambda seed: store, "val")
    task, run = data.open_task(Conditions(8, "one-of-all", "random", 0), tmp_path / "run", resolve(settings(), "cpu"))
    count = sum(task.store.present[style][task.rows.coarse].astype(int) for style in task.styles)
    assert (count == 1).all() and all(task.store.present[style][task.rows.part].all() for style in task.styles)
    assert read_config(run.path / "config.yaml")["labels_each"] == 1


def test_weights_that_are_random_are_called_random() -> None:
    chosen = settings("default", {"weights": "random"})
    begins = {asked: cells.start_of(chosen, asked) for asked in cells.STARTS}
    assert begins == {
        "random": "random",
        "keypoints": "keypoints",
        "weights": "random",
        "weights+keypoints": "keypoints",
    }
    with_file = settings("default", {"weights": "a.safetensors"})
    assert all(cells.start_of(with_file, asked) == asked for asked in cells.STARTS)
