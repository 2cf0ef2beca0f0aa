"""Methods and seeds in one folder: what is written, gone on with, refused, and told when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy import CHANGES, toy_store

from coarseparts.experiments import cells
from coarseparts.experiments.cells import STARTS, Outcome, start_of
from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import Data
from coarseparts.inference.model import Model
from coarseparts.report.results import read_results
from coarseparts.system.errors import RunError
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings
from coarseparts.updates import TrainingDiverged

SHORT = CHANGES | {"part_epochs": 1, "posterior_epochs": 1, "label_epochs": 1, "em_epochs": 1}


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    """``compare`` on the toy data, in the folder "run"."""
    data = Data("toy", lambda seed: toy_store(tmp_path / "store"), "val")
    chosen = resolve(settings(changes=SHORT), "cpu")

    def run(methods: list[str], seeds: tuple[int, ...] = (0,), **more: Any) -> Outcome:
        return compare(lambda: data, chosen, methods, seeds, tmp_path / "run", title="toy", **({"parts": 8} | more))

    return run


def states(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("state.pt")}


def test_one_seed_is_the_folder_itself_and_nothing_is_printed(compared: Any, tmp_path: Path, capsys: Any) -> None:
    told: list[str] = []
    done = compared(["fine-tuning", "em"], tell=told.append)
    assert [r.method for r in done.results] == ["fine-tuning", "posterior", "em-posterior", "em"]
    assert [r.role for r in done.results] == ["baseline", "posterior", "posterior", "ours"]
    assert {r.conditions for r in done.results} == {(8, "all", "random")} and not done.failed
    assert read_results(tmp_path / "run" / "results.csv")[0].method == "fine-tuning"
    files = {"results.csv", "margins.csv", "by_part.csv", "table.md", "report.html", "config.yaml", "model", "stages"}
    assert files <= {p.name for p in (tmp_path / "run").iterdir()}
    assert Model.load(tmp_path / "run" / "model").has_posterior
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert "8 with part masks" in told[0] and told[1] == "fine-tuning (8 part masks, all labels, from random, seed 0)"
    page = (tmp_path / "run" / "report.html").read_text()
    for section in ("results", "parts", "validation", "training", "examples", "losses", "settings"):
        assert f'<section id="{section}">' in page


def test_seeds_have_folders_of_their_own_and_are_gone_on_with(compared: Any, tmp_path: Path) -> None:
    first = compared(["fine-tuning"], (0, 1))
    before = states(tmp_path / "run")
    assert {p.parent.parent.parent.name for p in before} == {"seed0", "seed1"}
    more = compared(["fine-tuning", "multi-task"], (0, 1))
    assert before.items() <= states(tmp_path / "run").items(), "trained again"
    kept = [r for r in more.results if r.method == "fine-tuning"]
    assert [(r.seed, r.part_miou) for r in kept] == [(r.seed, r.part_miou) for r in first.results]
    with pytest.raises(RunError, match=r"holds the results of fine-tuning \(seed 0\), multi-task \(seed 0\), too"):
        compared(["fine-tuning", "multi-task"], (1,))
    with pytest.raises(RunError, match=r"multi-task \(seed 0\), multi-task \(seed 1\), too"):
        compared(["fine-tuning"], (0, 1))


def test_a_seed_that_was_alone_at_first_is_gone_on_with_where_it_is(compared: Any, tmp_path: Path) -> None:
    compared(["fine-tuning"])
    before = states(tmp_path / "run")
    costs = [r.peak_mib for r in read_results(tmp_path / "run" / "results.csv")]
    done = compared(["fine-tuning"], (0, 1))
    assert before.items() <= states(tmp_path / "run").items() and not (tmp_path / "run" / "seed0").exists()
    assert [r.seed for r in done.results] == [0, 1] and len(states(tmp_path / "run")) == 2
    assert [r.peak_mib for r in done.results[:1]] == costs, "what it took to train, not to read"


def test_other_methods_join_a_run_that_em_was_trained_in(compared: Any, tmp_path: Path) -> None:
    compared(["em"])
    (tmp_path / "run" / "results.csv").write_bytes(b"\xff damaged")  # and is written anew
    done = compared(["ada-bn"])
    assert [r.method for r in done.results] == ["ada-bn"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "ada-bn" in page and '<section id="training">' not in page


def test_a_method_that_diverges_is_told_and_the_others_are_kept(
    compared: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    real = cells.methods.train

    def train(task: Any, run: Any, method: str) -> Any:
        if method == "multi-task":
            raise TrainingDiverged("the loss is not finite")
        return real(task, run, method)

    monkeypatch.setattr(cells.methods, "train", train)
    alone = compared(["multi-task"])
    assert (alone.results, alone.tables) == ([], []) and len(alone.failed) == 1
    done = compared(["multi-task", "fine-tuning"])
    assert [r.method for r in done.results] == ["fine-tuning"]
    assert done.failed == ["multi-task (8 part masks, all labels, from random, seed 0): the loss is not finite"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "the loss is not finite" in page and '<section id="examples">' not in page


def test_a_progress_file_that_is_damaged_is_left_out_and_told(compared: Any, tmp_path: Path) -> None:
    compared(["em"])
    (tmp_path / "run" / "progress" / "em-0001.npz").write_bytes(b"no archive")
    told: list[str] = []
    compared(["em"], tell=told.append)
    assert any("em-0001.npz: cannot be read" in line and "left out of the report" in line for line in told)


def test_labels_that_the_data_lack_are_refused(compared: Any) -> None:
    with pytest.raises(ValueError, match="--labels mask\\+part_boxes: no training image has part_boxes"):
        compared(["em"], labels="mask+part_boxes")


def test_more_part_masks_than_there_are_is_told_and_all_are_used(compared: Any) -> None:
    told: list[str] = []
    done = compared(["fine-tuning"], parts=999, tell=told.append)
    assert any(line.startswith("999 part masks are asked for, and there are 32 to train on") for line in told)
    assert not any("999" in line for line in told[1:] if line.startswith("fine-tuning"))
    assert [result.parts for result in done.results] == [32]


@pytest.mark.parametrize("start", STARTS)
def test_where_the_encoders_begin_follows_from_the_settings(start: str) -> None:
    assert start_of(settings(changes={"weights": "imagenet"} | STARTS[start])) == start
