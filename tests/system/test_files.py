"""Writing whole files: what must stay, and what must not be left."""

import os
import stat
from pathlib import Path

import pytest

from coarseparts.system.errors import RunError
from coarseparts.system.files import write_whole
from coarseparts.training.claims import write


def test_a_file_is_replaced_and_folders_are_made(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    write_whole(target, b"one")
    write_whole(target, lambda file: file.write(b"two"), several=True, sync=True)
    assert target.read_bytes() == b"two" and os.listdir(target.parent) == ["a.txt"]


def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    def broken(file: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a.txt", broken)
    assert (tmp_path / "a.txt").read_text() == "before" and os.listdir(tmp_path) == ["a.txt"]


def test_pipes_and_folders_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, said in (("pipe", "a device or a pipe"), ("folder", "it is a folder")):
        with pytest.raises(RunError, match=f"{name}: cannot be written .*{said}"):
            write(tmp_path / name, "text")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode) and (tmp_path / "folder").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real.txt")
    write_whole(tmp_path / "link", b"text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real.txt").read_bytes() == b"text"


def test_a_name_as_long_as_names_may_be_can_be_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), b"text")
    assert os.listdir(tmp_path) == ["n" * 255]
