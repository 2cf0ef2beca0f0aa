"""Tables 2 to 5 from archives to a table: prepared, then every cell with its own preset, a step or two each."""

from __future__ import annotations

from pathlib import Path

import pytest
from replica import write_archives
from test_prepare_oid_aircraft import CLEAN, write_archive

from coarseparts.cli import main as cli
from coarseparts.data.prepare.oid_aircraft import prepare_oid_aircraft
from coarseparts.data.prepare.pascub import prepare_pascub

STEPS = [
    f"--set={key}={value}"
    for key, value in {
        "part_epochs": 1,
        "posterior_epochs": 1,
        "label_epochs": 1,
        "em_epochs": 1,
        "keypoint_epochs": 1,
        "epoch_steps": 1,
        "em_epoch_steps": 1,
        "label_steps": 1,
        "part_batch": 2,
        "batch": 2,
        "labelled_batch": 2,
        "encoder": "resnet10",
    }.items()
]


def small(dataset: Path) -> Path:
    """The dataset file with a training size that a test can afford."""
    text = dataset.read_text()
    assert "size: 256" in text
    dataset.write_text(text.replace("size: 256", "size: 32"))
    return dataset


def table(dataset: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    words = [
        "benchmark",
        str(dataset),
        "--out",
        str(out),
        "--preset",
        "as-published",
        "--split",
        "test",
        "--seeds",
        "0",
    ]
    cli.app([*words, "--weights", "random", *STEPS, *more], standalone_mode=False)
    return capsys.readouterr().out


def test_birds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    archives = write_archives(tmp_path / "in")
    made = prepare_pascub(archives, tmp_path / "out")
    methods = "em,fine-tuning,multi-task,pseudo-sup,point-sup"
    starts = "random,keypoints,weights"
    said = table(small(made.dataset), tmp_path / "bench", capsys, "--methods", methods, "--starts", starts)
    for number in ("29.9", "38.0", "41.1", "49.2", "48.0"):
        assert number in said, "the paper's Table 2 stands beside"
    assert (tmp_path / "bench" / "table.md").read_text().count("| em |") == 1 + 3 and "from keypoints" in said
    folders = {p.parent.parent.name for p in (tmp_path / "bench").rglob("em.json")}
    assert folders == {"paper", "paper-random", "paper-keypoint"}
    pascal = small(made.dataset.with_name("pascub-pascal.yaml"))
    said = table(pascal, tmp_path / "pascal", capsys, "--methods", "fine-tuning,multi-task")
    assert "34.2" in said and "30.3" in said, "Table 5"


def test_aircraft(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = tmp_path / "clean.txt"
    clean.write_text(CLEAN)
    prepare_oid_aircraft(write_archive(tmp_path / "in"), tmp_path / "out", clean)
    dataset = small(tmp_path / "out" / "oid-aircraft.yaml")
    said = table(dataset, tmp_path / "bench", capsys, "--methods", "em,fine-tuning,multi-task")
    for number in ("58.7", "55.3", "55.6"):
        assert number in said, "the paper's Table 4 stands beside"
    assert {p.parent.parent.name for p in (tmp_path / "bench").rglob("em.json")} == {"paper-oid"}
