"""Which photographs the page shows, and in which order a queue has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from server import photographs as made

from coarseparts.app.places import alone_in, beside, photographs, queued
from coarseparts.cli.app import _order
from coarseparts.report.csv_files import write_csv
from coarseparts.system.errors import Busy
from coarseparts.system.locks import hold
from coarseparts.system.problems import BadInput


def test_folders_and_single_files_are_named_relative_to_what_they_share(tmp_path: Path) -> None:
    made(tmp_path / "a", 2)
    made(tmp_path / "b", 1)
    place, found = photographs(tmp_path, [tmp_path / "a", tmp_path / "b" / "bird_0.png"])
    assert place == tmp_path.resolve()
    assert [name for name, _ in found] == ["a/bird_0.png", "a/bird_1.png", "b/bird_0.png"]
    assert beside(place) == place.with_name(f"{place.name}_corrected")


def test_without_folders_they_are_those_of_the_runs_dataset_file(tmp_path: Path) -> None:
    made(tmp_path / "a", 2)
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "birds.yaml").write_text(
        "parts: [head]\nsize: 32\nsources:\n- {split: train, images: a, coco: c.json}\n"
    )
    (tmp_path / "run" / "config.yaml").write_text(f"data: {tmp_path / 'birds.yaml'}\n")
    place, found = photographs(tmp_path / "run", [])
    assert place == (tmp_path / "a").resolve() and [name for name, _ in found] == ["bird_0.png", "bird_1.png"]


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("none")
    for given, message in (
        ([tmp_path / "gone"], "gone: is missing"),
        ([tmp_path / "empty"], "holds no image"),
        ([tmp_path / "notes.txt"], "notes.txt: is no image"),
        ([], "not trained on"),
    ):
        with pytest.raises(BadInput, match=message):
            photographs(tmp_path, given)


def test_a_queue_names_photographs_as_next_writes_them() -> None:
    found = [(name, Path(name)) for name in ("a/x.png", "b/x.png", "a/y.jpg", "b/z.jpg")]
    assert queued(["s1/z", "a/y", "y", "x", "a/x.png", "w"], found) == ["b/z.jpg", "a/y.jpg", "a/x.png"]


def test_images_of_a_queue_that_are_not_there_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(tmp_path / "queue.csv", ["image", "label"], [["=b", "any"], ["gone", "any"], ["a", "any"]])
    found = [(name, Path(name)) for name in ("a.png", "=b.png")]
    assert _order(tmp_path / "queue.csv", found) == ["=b.png", "a.png"]
    (tmp_path / "saved.csv").write_text("\ufeffimage;label\n'=b;any\ngone;any\na;any\n;\n", encoding="utf-8")
    assert _order(tmp_path / "saved.csv", found) == ["=b.png", "a.png"], "as a spreadsheet saves it elsewhere"
    assert "1 of its 3 images are none of these" in capsys.readouterr().err
    assert _order(None, found) == []


def test_a_folder_in_which_nothing_was_saved_is_gone_again(tmp_path: Path) -> None:
    new, saved, own = tmp_path / "new", tmp_path / "saved", tmp_path / "own"
    own.mkdir()
    for folder in (new, saved, own):
        with alone_in(folder), pytest.raises(Busy), hold(folder / ".lock"):
            pass
        with alone_in(folder):
            (saved / "scale.csv").write_text("") if folder == saved else None
    assert not new.exists() and (saved / "scale.csv").is_file() and own.is_dir()
