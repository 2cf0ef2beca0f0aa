"""Archives whose names are in the code of a machine, or have Windows' backslashes."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from test_proposal import ants, masks, photographs

from coarseparts.data.check import check
from coarseparts.data.formats.registry import write_export
from coarseparts.data.formats.unpacked import files_in
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput


def zipped(folder: Path, out: Path, code: str, slash: str = "/", extra: bool = False) -> Path:
    """An archive of a folder's files, their names in ``code`` and not flagged as UTF-8; ``extra``: in a field, too."""
    data, listed, count = b"", b"", 0
    out.parent.mkdir(exist_ok=True)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole, raw = file.relative_to(folder).as_posix(), file.read_bytes()
        name = whole.replace("/", slash).encode(code)
        more = struct.pack("<BI", 1, zlib.crc32(name)) + whole.encode()
        more = struct.pack("<HH", 0x7075, len(more)) + more if extra else b""
        about = (20, 0, 0, 0, 33, zlib.crc32(raw), len(raw), len(raw), len(name), len(more))
        head = struct.pack("<HHHHHIIIHH", *about)
        listed += b"PK\1\2\24\0" + head + struct.pack("<HHHII", 0, 0, 0, 0, len(data)) + name + more
        data += b"PK\3\4" + head + name + more + raw
        count += 1
    out.write_bytes(data + listed + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count, count, len(listed), len(data), 0))
    assert len(zipfile.ZipFile(out).namelist()) == count
    return out


def made(folder: Path, word: str, kind: str = "cvat") -> Path:
    """A tool's export with its photographs, which are called after ``word``; or masks, which name nothing."""
    photographs(folder / "images")
    for i in range(1, 7):
        (folder / "images" / f"{i}.png").rename(folder / "images" / f"{word}{i}.png")
    if kind == "masks":
        masks(folder / "masks")
        for file in sorted((folder / "masks").iterdir()):
            file.rename(file.with_name(f"{word}{file.name}"))
        return folder
    document = ants()
    for image in document.images:
        image["file_name"] = f"{word}{Path(image['file_name']).name}"
    write_export(kind, document, folder)
    return folder


@pytest.mark.parametrize(
    ("word", "code"),
    [("蚂蚁", "gbk"), ("アリ", "shift_jis"), ("муравей", "cp866"), ("fourmi é", "cp437"), ("ñ", "utf-8")],
)
@pytest.mark.parametrize("kind", ["cvat", "label-studio"])
def test_names_are_in_the_code_in_which_the_labels_name_the_photographs(tmp_path, word, code, kind):
    archive = zipped(made(tmp_path / "made", word, kind), tmp_path / "down" / "export.zip", code)
    propose([archive], tmp_path / "d.yaml").write()
    report = check(tmp_path / "d.yaml")
    assert not report.errors and report.splits["train"]["parts"] == 5
    assert (tmp_path / "export" / "images" / f"{word}1.png").is_file()


def test_names_in_a_code_that_nothing_tells_are_refused(tmp_path):
    archive = zipped(made(tmp_path / "made", "蚂蚁", "masks"), tmp_path / "down" / "export.zip", "gbk")
    with pytest.raises(BadInput, match=r"does not say in which code .*unpack it with a program that knows it"):
        propose([archive], tmp_path / "d.yaml")
    assert not (tmp_path / "export").exists()
    for code, extra in (("utf-8", False), ("gbk", True)):
        archive = zipped(tmp_path / "made", tmp_path / "down" / "export.zip", code, extra=extra)
        assert "masks/蚂蚁1.png" in files_in(archive)


def test_backslashes_part_folders(tmp_path):
    made(tmp_path / "made" / "job", "ant")
    archive = zipped(tmp_path / "made", tmp_path / "down" / "export.zip", "ascii", "\\")
    propose([archive], tmp_path / "d.yaml").write()
    assert (tmp_path / "export" / "job" / "images" / "ant1.png").is_file()
    assert not check(tmp_path / "d.yaml").errors
    (tmp_path / "made" / "..\\evil.png").write_bytes(b"x")
    with pytest.raises(BadInput, match="leads out of the archive"):
        propose([zipped(tmp_path / "made", tmp_path / "down" / "evil.zip", "ascii", "\\")], tmp_path / "e.yaml")
