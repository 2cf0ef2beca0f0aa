"""CSV files: whole or not at all, and read with the line that is wrong."""

import math
import os
from pathlib import Path

import pytest

from coarseparts.report.csv_files import read_csv, write_csv, write_text


def test_cells_are_numbers_as_they_are_and_texts_as_text(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "new" / "t.csv", ["name", "=x"], [["=1+1", -1], ["a, b", 1e-05], ["", math.nan]])
    assert path.read_text() == "name,'=x\n'=1+1,-1\n\"a, b\",1e-05\n,\n"
    assert read_csv(path, ["name"], lambda cells: cells["name"]) == ["'=1+1", "a, b", ""]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "results.csv", ["a"], [[1], [2]])
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(
        ValueError, match=r"results\.csv: cannot be written \(No space left on device\); free some space"
    ):
        write_csv(path, ["a"], [[1]])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


def test_what_lies_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "folder", tmp_path / "file" / "a.csv", tmp_path / ("x" * 300), Path(".")):
        with pytest.raises(ValueError, match="cannot be written") as caught:
            write_text(path, "text")
        assert str(caught.value).startswith(f"{path}: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
