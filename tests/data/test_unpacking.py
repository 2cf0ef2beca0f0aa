"""`coarseparts init` with an archive that holds its photographs."""

from __future__ import annotations

import base64
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from test_proposal import SIZE, ants, masks, photographs

from coarseparts.data.check import check
from coarseparts.data.formats.registry import write_export
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput


def zipped(folder: Path, out: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
        for name, data in more.items():
            archive.writestr(name, data)
    return out


def made(tmp_path: Path, kind: str) -> Path:
    source = tmp_path / "elsewhere" / kind
    photographs(source / "images" / "train")
    if kind == "yolo":
        (source / "labels" / "train").mkdir(parents=True)
        for i in range(1, 7):
            line = "0 .1 .1 .3 .1 .2 .3 .15 .35\n1 .5 .5 .8 .5 .6 .9 .55 .8\n"
            (source / "labels" / "train" / f"{i}.txt").write_text(line)
        (source / "data.yaml").write_text("names: [head, rump]\nnc: 2\ntrain: images/train\n")
    elif kind == "masks":
        masks(source / "masks")
        (source / "class_names.txt").write_text("background\nhead\nrump\n")
    else:
        write_export(kind, ants(), source)
    (tmp_path / "down").mkdir()
    return zipped(source, tmp_path / "down" / "export.zip")


@pytest.mark.parametrize("kind", ["coco", "cvat", "yolo", "masks"])
def test_it_is_unpacked_beside_the_dataset_file(tmp_path: Path, kind: str) -> None:
    archive = made(tmp_path, kind)
    (tmp_path / "out").mkdir()
    for _ in range(2):  # the second time the folder is there
        proposal = propose([archive], tmp_path / "out" / "d.yaml")
        proposal.write()
        assert any("holds its photographs and is unpacked, as the folder" in line for line in proposal.assumed)
        keys = yaml.safe_load((tmp_path / "out" / "d.yaml").read_text())
        assert keys["parts"] == ["head", "rump"] and keys["sources"][0]["images"] == "export/images/train"
        assert not check(tmp_path / "out" / "d.yaml").errors
        for file in (tmp_path / "out").glob("d*"):
            file.unlink()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export"]
    assert (tmp_path / "out" / "export").stat().st_mode & 0o777 == (tmp_path / "out").stat().st_mode & 0o777


def test_a_folder_that_holds_something_else_is_not_written_to(tmp_path: Path) -> None:
    archive = made(tmp_path, "coco")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"is there, and does not hold coco\.json"):
        propose([archive], tmp_path / "d.yaml")
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["mine.txt"]


def test_nothing_is_unpacked_where_the_photographs_are_there(tmp_path: Path) -> None:
    archive = made(tmp_path, "cvat")
    found = propose([tmp_path / "elsewhere" / "cvat" / "images", archive], tmp_path / "d.yaml").keys
    assert found["sources"][0]["labels"] == "down/export.zip" and not (tmp_path / "export").exists()


def test_an_archive_that_leads_out_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    photographs(source)
    (tmp_path / "out").mkdir()
    archive = zipped(source, tmp_path / "export.zip", **{"../evil.png": b"x"})
    with pytest.raises(BadInput, match="leads out of the archive"):
        propose([archive], tmp_path / "out" / "d.yaml")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_archive_of_photographs_alone(tmp_path: Path) -> None:
    source = tmp_path / "elsewhere" / "photos"
    photographs(source)
    (tmp_path / "down").mkdir()
    archive = zipped(source, tmp_path / "down" / "photos.zip")
    write_export("coco", ants(), tmp_path / "down")
    keys = propose([archive, tmp_path / "down" / "coco.json"], tmp_path / "d.yaml").keys
    assert keys["sources"][0]["images"] == "photos"
    assert Image.open(tmp_path / "photos" / "1.png").size == SIZE and np.asarray(keys["size"]) == 128


def test_photographs_that_labelme_s_files_hold_are_written_out_where_there_are_no_others(tmp_path):
    photographs(tmp_path / "made", suffix=".jpg")
    document = ants()
    for image in document.images:
        image["file_name"] = image["file_name"].replace(".png", ".jpg")
    write_export("labelme", document, tmp_path).rename(tmp_path / "labels")
    for i in range(1, 7):
        file = tmp_path / "labels" / f"{i}.json"
        data = base64.b64encode((tmp_path / "made" / f"{i}.jpg").read_bytes()).decode()
        file.write_text(json.dumps(json.loads(file.read_text()) | {"imageData": data}))
    proposal = propose([tmp_path / "labels"], tmp_path / "d.yaml")
    assert any("hold their photographs, which are in the folder" in line for line in proposal.assumed)
    assert {source["images"] for source in proposal.keys["sources"]} == {"labels-photographs"}
    proposal.write()
    report = check(tmp_path / "d.yaml")
    assert not report.errors and report.splits["train"]["parts"] == 5
    with pytest.raises(BadInput, match=r"is there and would be written over; move it away, or name it, too"):
        propose([tmp_path / "labels"], tmp_path / "e.yaml")
    propose([tmp_path / "labels", tmp_path / "labels-photographs"], tmp_path / "e.yaml")


def test_archives_that_cannot_be_read_are_told(tmp_path):
    photographs(tmp_path / "photos")
    export = write_export("coco", ants(), tmp_path)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(export, "coco.json")
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.write(export, "coco.json")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        archive.writestr("\u00e4\u00e4.json", "{}")
    odd = (tmp_path / "odd.zip").read_bytes().replace("\u00e4\u00e4".encode(), b"\x84\x84\x84\x84")
    (tmp_path / "odd.zip").write_bytes(odd)
    for name, said in (
        ("a.tar.gz", "looks like an archive that is no zip.*unpack it"),
        ("outer.zip", r"holds the archive inner\.zip; unpack it"),
        ("odd.zip", "cannot be unpacked"),
    ):
        with pytest.raises(BadInput, match=said):
            propose([tmp_path / "photos", tmp_path / name], tmp_path / "d.yaml")
