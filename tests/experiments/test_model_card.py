"""The model card at the end of a training: what it says, where it stands, and what must not be in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy import CHANGES, toy_store

from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import Data
from coarseparts.export.files import export
from coarseparts.report.model_card import ModelCard
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings

SHORT = CHANGES | {
    "part_epochs": 1,
    "posterior_epochs": 1,
    "label_epochs": 1,
    "em_epochs": 1,
    "em.alpha": 0.3,
    "em.lambdas": {"mask": 2.0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "run"
    data = Data("toy", lambda seed: toy_store(folder.parent / "store"), "val")
    compare(
        lambda: data,
        resolve(settings(changes=SHORT), "cpu"),
        ["fine-tuning", "em"],
        [0],
        folder,
        title="birds",
        parts=8,
    )
    return folder


def facts(text: str) -> dict[str, str]:
    rows = [line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in rows if len(row) == 2}


def test_a_training_ends_with_a_card_of_data_measures_limits_settings_and_machine(run: Path) -> None:
    text = (run / "model_card.md").read_text()
    assert text.startswith("# Parts of birds\n")
    found = facts(text)
    assert (found["part masks"], found["images with coarse labels or none"]) == ("8", "24")
    assert "32 keypoints" in found["coarse labels"] and "32 mask" in found["coarse labels"]
    assert found["validation images"] == "8" and "95 % interval" in found["em, part mIoU"]
    assert {"IoU of beak", "smallest part", "worst images", "few images", "seconds of training"} <= set(found)
    assert found["licence"] == "to be filled in"
    assert (found["em.alpha"], found["em.lambdas.mask"]) == ("0.3", "2.0") and "em.gamma" not in found


def test_the_report_shows_the_card(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert '<section id="card">' in page and "<h3>Limits seen</h3>" in page and '<a href="#card">' in page


def test_no_path_of_the_machine_is_in_a_card(run: Path) -> None:
    assert str(run.parent) not in (run / "model_card.md").read_text()


def test_the_card_is_the_readme_of_a_hub_folder(run: Path, tmp_path: Path) -> None:
    export(run, "hub-folder", tmp_path / "hub")
    text = (tmp_path / "hub" / "README.md").read_text()
    head, card = text.removeprefix("---\n").split("---\n", 1)
    assert "library_name: coarseparts" in head and card == (run / "model_card.md").read_text()


@pytest.mark.parametrize("vile", ["<b>x</b>", "a | b", "[x](http://y)", "`x`", "x\ny", "\x1b[2J"])
def test_names_are_no_markup_in_a_card(vile: str) -> None:
    text = ModelCard(vile, {vile: {vile: vile}}).to_markdown()
    assert len(text.splitlines()) == 7 and vile not in text


def test_each_seed_has_a_card_of_its_own(tmp_path: Path) -> None:
    data = Data("toy", lambda seed: toy_store(tmp_path / "store"), "val")
    chosen: Any = resolve(settings(changes=SHORT), "cpu")
    compare(lambda: data, chosen, ["fine-tuning"], [0, 1], tmp_path / "run", title="birds", parts=8)
    seeds = [facts((tmp_path / "run" / f"seed{seed}" / "model_card.md").read_text())["seed"] for seed in (0, 1)]
    assert seeds == ["0", "1"]
