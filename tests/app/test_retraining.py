"""What the page says of training again: the command and the lines for the dataset file, as a run was trained."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from coarseparts.app.retraining import command, indent
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings


def trained(
    run: Path,
    changes: dict[str, Any] | None = None,
    effort: str = "standard",
    preset: str = "default",
    stages: tuple[str, ...] = ("part-model", "posterior", "em"),
    **config: Any,
) -> Path:
    """A run folder that says how it was trained."""
    for stage in stages:
        (run / "stages" / stage).mkdir(parents=True)
    chosen = settings(preset, changes, effort)
    chosen = resolve(chosen, "cpu") if chosen.weights in ("random", "imagenet") else chosen
    text = {"preset": preset, "seed": 0, "settings": chosen.model_dump(mode="json")} | config
    (run / "config.yaml").write_text(yaml.safe_dump(text))
    return run


def options(run: Path) -> list[str]:
    words = shlex.split(command(run, "ants and bees.yaml"))
    assert words[:4] == ["coarseparts", "train", "ants and bees.yaml", "--out"]
    return words[5:]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, []),
        ({"changes": {"weights": "imagenet"}}, ["--weights", "imagenet"]),
        ({"changes": {"weights": "my weights.safetensors"}}, ["--weights", "my weights.safetensors"]),
        ({"effort": "best"}, ["--effort", "best"]),
        ({"effort": "quick", "changes": {"weights": "imagenet"}}, ["--effort", "quick", "--weights", "imagenet"]),
        ({"changes": {"em_epochs": 4, "em.alpha": 0.5}}, ["--set", "em_epochs=4", "--set", "em.alpha=0.5"]),
        ({"changes": {"encoder": "resnet34", "stages": 4}}, ["--set", "encoder=resnet34", "--set", "stages=4"]),
        ({"changes": {"em.lambdas": {"mask": 2.0}}, "seed": 3}, ["--seed", "3", "--set", 'em.lambdas={"mask": 2.0}']),
        ({"stages": ("fine-tuning", "pseudo-sup")}, ["--method", "pseudo-sup"]),
        ({"preset": "paper"}, ["--preset", "paper"]),
    ],
)
def test_the_command_has_the_options_that_a_run_was_trained_with(tmp_path: Path, how: Any, said: list[str]) -> None:
    assert options(trained(tmp_path / "a run", **how)) == said


def test_minutes_stand_for_the_epochs_that_were_planned(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", {"em_epochs": 1, "part_epochs": 6})
    (run / "plan.json").write_text(json.dumps({"minutes": 2.5, "settings": {"em_epochs": 1, "part_epochs": 6}}))
    assert options(run) == ["--minutes", "2.5"]


@pytest.mark.parametrize("config", [None, {}, {"preset": "as-published"}, {"settings": {"old": 1}}, {"preset": ["x"]}])
def test_of_a_run_that_does_not_say_how_it_was_trained_no_options_are_told(tmp_path: Path, config: Any) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if config is not None:
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert options(run) == []


def test_the_run_folder_is_one_that_is_not_there_yet(tmp_path: Path) -> None:
    def out(name: str) -> str:
        return Path(shlex.split(command(tmp_path / name, "ants.yaml"))[4]).name

    assert out("ants") == "ants-2"
    (tmp_path / "ants-2").mkdir()
    assert (out("ants"), out("ants-2"), out("ants-2026-11")) == ("ants-3", "ants-3", "ants-2026-12")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("parts: [a]\nsources:\n- split: train\n", ""),
        ("parts: [a]\nsources:\n  - {split: train}\n", "  "),
        ("sources:   # what there is\r\n\r\n    # photographs\r\n    - split: train\r\n", "    "),
        ("parts:\n  - a\nsources: [{split: train}]\n", ""),
        ("sources:\n" + "\n" * 5000 + "x", ""),
    ],
)
def test_lines_for_a_dataset_file_stand_as_far_from_the_left_as_its_own(tmp_path: Path, text: str, left: str) -> None:
    file = tmp_path / "ants.yaml"
    file.write_bytes(text.encode())
    assert indent(file) == left
    assert indent(tmp_path / "none.yaml") == indent(None) == ""
