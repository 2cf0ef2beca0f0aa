"""The folders of examples/: each page's commands are those that the example prints, and run as they stand."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml
from cli.test_help import parsed

from coarseparts.cli.main import app
from coarseparts.data.check import check
from coarseparts.data.synthetic import examples
from coarseparts.system.problems import BadInput

FOLDERS = Path(__file__).resolve().parent.parent / "examples"


def call(*words: str) -> None:
    assert app(list(words), standalone_mode=False, prog_name="coarseparts") in (0, None)


DRAWN = cache(examples._drawn)


@pytest.fixture(autouse=True)
def few_birds_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "COUNT", 12)
    monkeypatch.setattr(examples, "NEW", 1)
    monkeypatch.setattr(examples, "_drawn", DRAWN)


def test_every_example_has_its_page() -> None:
    assert {page.parent.name for page in FOLDERS.glob("*/README.md")} == examples.KINDS.keys()


@pytest.mark.parametrize("kind", examples.KINDS)
def test_the_commands_of_a_page_make_a_dataset_of_the_example(kind, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```\n(.*?)```", (FOLDERS / kind / "README.md").read_text(), re.DOTALL)
    draw, enter, *rest = block.strip().split("\n")
    call(*shlex.split(draw)[1:])
    assert [enter, *rest] == capsys.readouterr().out.strip().split("\n")
    monkeypatch.chdir("birds")
    init, look, train, predict = (shlex.split(line)[1:] for line in rest)
    call(*init)  # which checks what it wrote
    for words in (look, train, predict):
        parsed(words)
    report = check("birds.yaml")
    assert not report.errors
    kinds = {"yolo-pose": {"keypoints", "box"}, "deeplabcut": {"keypoints"}, "masks": {"mask"}}
    for split, samples, masks in (("train", 11, 5), ("val", 1, 1)):
        counted = report.splits[split]
        assert counted["samples"] == samples and counted["parts"] == masks
        for style in kinds.get(kind, {"keypoints", "mask", "box"}):
            assert counted[style] == samples
    assert yaml.safe_load(Path("birds.yaml").read_text())["parts"] == list(examples.PARTS)


def test_an_example_is_trained_on_and_predicts_what_it_left_without_labels(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples.write_example("coco", Path("birds"))
    monkeypatch.chdir("birds")
    call("init", "photos", "coco.json", "--out", "birds.yaml")
    call("check", "birds.yaml")
    file = Path("birds.yaml")
    file.write_text(file.read_text().replace("size: 128", "size: 32"))
    few = {"encoder": "resnet10", "part_epochs": 1, "posterior_epochs": 1, "label_epochs": 1}
    few |= {"em_epochs": 1, "epoch_steps": 1, "em_epoch_steps": 1, "label_steps": 1, "part_batch": 2, "batch": 2}
    changes = [word for key, value in (few | {"labelled_batch": 2}).items() for word in ("--set", f"{key}={value}")]
    call("train", "birds.yaml", "--out", "runs/birds", "--device", "cpu", *changes)
    call("predict", "runs/birds", "new", "--out", "parts", "--overlay")
    assert Path("parts/bird_13.png").is_file()


def test_what_is_there_is_never_written_over(tmp_path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BadInput, match="expected a new or empty folder"):
        examples.write_example("cvat", tmp_path)
    with pytest.raises(BadInput, match="coco"):
        examples.write_example("cocoa", tmp_path / "new")
    with pytest.raises(BadInput, match=r"file: birds cannot be written \(.*; check that folder, or name another"):
        (tmp_path / "file").touch()
        examples.write_example("coco", tmp_path / "file" / "birds")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "mine.txt"]
