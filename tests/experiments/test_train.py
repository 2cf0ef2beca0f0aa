"""``coarseparts.train``: what the command does, from Python, and nothing else in the process is changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_runs import BIRDS, SHORT

import coarseparts
from coarseparts.training import plan
from coarseparts.training.claims import read_config


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("birds") / "birds.yaml"
    file.write_text(BIRDS)
    return file


def test_a_run_has_results_a_model_and_a_report_and_goes_on(
    birds: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    lines: list[str] = []
    run = coarseparts.train(birds, tmp_path / "run", progress=lines.append, **SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    assert [r.method for r in run.results] == ["posterior", "em-posterior", "em"]
    assert 0 <= run.result.part_miou <= 100 and run.result.method == "em" and run.report.is_file()
    assert any("part-model 2/2" in line for line in lines) and all("\n" not in line for line in lines)
    parts = run.model("cpu").predict(np.zeros((40, 30, 3), np.uint8))
    assert parts.index.shape == (40, 30)
    again = coarseparts.train(str(birds), str(tmp_path / "run"), **SHORT)
    assert again.result.part_miou == run.result.part_miou
    told = capfd.readouterr()
    assert told.out == "" and told.err == ""


def test_so_many_minutes_are_planned_once_and_stand_in_the_run(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {key: SHORT[key] for key in ("part_epochs", "posterior_epochs", "label_epochs")}
    monkeypatch.setattr(plan, "planned", lambda task, minutes: lengths | {"em_epochs": 1, "em_epoch_steps": 3})
    told: list[str] = []
    run = coarseparts.train(birds, tmp_path / "run", minutes=7, progress=told.append, **(SHORT | {"em_epochs": 9}))
    assert any("planned for 7 minutes: part_epochs 2, " in line for line in told)
    kept = read_config(run.folder / "config.yaml")["settings"]
    assert (kept["em_epochs"], kept["em_epoch_steps"]) == (1, 3)


def test_numbers_of_numpy_are_taken_as_pythons_own(birds: Path, tmp_path: Path) -> None:
    numbers = {"seed": np.int64(3), "parts_limit": np.int32(4), "method": "fine-tuning"}
    run = coarseparts.train(birds, tmp_path / "run", **(SHORT | numbers))
    again = coarseparts.train(birds, tmp_path / "run", **(SHORT | numbers | {"seed": 3, "parts_limit": 4}))
    assert again.result.part_miou == run.result.part_miou


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "ems"}, r"method: is 'ems'; did you mean 'em'\?"),
        ({"preset": "papers"}, r"preset: is 'papers'; did you mean 'paper'\?"),
        ({"labels": ["maks"]}, r"labels: 'maks' is no label style; did you mean 'mask'\?"),
        ({"labels": "mask"}, r"labels: is 'mask', expected a list of label styles"),
        ({"labels": 3}, "labels: is 3, expected a list"),
        ({"labels": []}, "labels: names none; leave it out for all"),
        ({"labels": 0}, "labels: is 0, expected a list"),
        ({"labels": ["scribbles"]}, r"^labels scribbles: no training image has scribbles; they have keypoints"),
        ({"encoder": "resnet999"}, r"^encoder=resnet999: timm knows no such model; see timm"),
        ({"preset": ["default"]}, r"preset: is \['default'\]; did you mean .default.\?"),
        ({"parts_limit": -1}, "parts_limit: is -1, expected a whole number from 1 to"),
        ({"parts_limit": "4"}, "parts_limit: is '4', expected a whole number"),
        ({"minutes": 0}, "minutes: is 0, expected a number above 0"),
        ({"minutes": "20"}, "minutes: is '20', expected a number"),
        ({"seed": -1}, "seed: is -1, expected a whole number from 0 to"),
        ({"progress": True}, "progress: is True, expected a function"),
        ({"batsh": 3}, "^batsh: no such setting; did you mean batch"),
        ({"batch": "many"}, "batch: is 'many'"),
        ({"em.alpha": -1.0}, r"em\.alpha: is -1"),
        ({"em": 3}, r"^em: is a group of settings; name one of them, e\.g\. --set em\.alpha=VALUE"),
        ({"device": "tpu"}, "device: is"),
        ({"parts_limit": 4, "labels": ["part_boxes"], "method": "upper-bound"}, "part masks beyond the part limit"),
    ],
)
def test_wrong_arguments_are_told(birds: Path, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(coarseparts.CoarsepartsError, match=message):
        coarseparts.train(birds, tmp_path / "run", **(SHORT | changes))


def test_data_that_cannot_be_used_are_told_as_the_command_tells_them(tmp_path: Path) -> None:
    with pytest.raises(coarseparts.CoarsepartsError, match=r"gone\.yaml: .*name an existing YAML file"):
        coarseparts.train(tmp_path / "gone.yaml", tmp_path / "run")
