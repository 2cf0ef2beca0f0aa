"""Names of photographs as tools and systems write them: taken for the one file that fits, told, never guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.coco_file import load_coco
from coarseparts.data.namesakes import meant, meant_by_masks
from coarseparts.data.records import read_dataset


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("images/a.png", "a.png"),
        ("images\\a.png", "a.png"),
        ("a.png", "sub/a.png"),
        ("a%20b.png", "a b.png"),
        ("a b.png", "a%20b.png"),
        ("am\u00e9lie.jpg", "ame\u0301lie.jpg"),
        ("x/Ame\u0301lie%20b.jpg", "am\u00e9lie b.JPG"),
        ("a1b2c3d4-photo.jpg", "photo.jpg"),
        ("photo.jpg", "a1b2c3d4-photo.jpg"),
        ("upload/1/a1b2c3d4-photo.jpg", "photo.jpg"),
        ("A.PNG", "a.png"),
        ("a.png", "a_0000.png"),
        ("/home/eva/data/sub/a.png", "sub/a.png"),
        ("C:\\data\\a%20b.png", "deep/a b.png"),
        ("a1b2c3d4-IMG_12_1.JPG", "IMG 12 (1).JPG"),  # as a web server keeps an upload
        ("ab.png", "a+b.png"),
        ("IMG-12-1-_jpg.rf.0123456789abcdef.jpg", "IMG 12 (1).jpg"),
        ("film/frame_000001", "frame_000001.PNG"),
        ("/data/local-files/?d=ants%2Fmy%20ant.jpg", "ants/my ant.jpg"),
        ("?d=ant.jpg", "ant.jpg"),  # both in Label Studio's COCO
    ],
)
def test_a_name_that_one_file_alone_fits_is_that_file(written: str, file: str) -> None:
    assert meant([written], ["other.png", file]) == ({written: file}, {})


@pytest.mark.parametrize(
    ("written", "files"),
    [
        (["x/a.png"], ["b/a.png", "c/a.png"]),  # two files fit
        (["a/1.png", "b/1.png"], ["1.png"]),  # two names fit
        (["a.png", "x/a.png"], ["a.png"]),  # the file has its own name
        (["a.jpg"], ["a.png"]),  # another picture, for all that is known
        (["g1b2c3d4-a.png"], ["a.png"]),  # no upload's prefix
        (["a_1_1.png"], ["a_11.png"]),  # digits are kept apart
    ],
)
def test_where_it_cannot_be_told_nothing_is_taken_for_it(written: list[str], files: list[str]) -> None:
    pairs, several = meant(written, files)
    assert pairs == {} and set(several) == ({"x/a.png"} if len(files) > 1 else set())


def test_the_photograph_whose_whole_path_a_name_ends_in_goes_before_those_in_other_folders() -> None:
    assert meant(["photos/a.png"], ["a.png", "b/a.png"]) == ({"photos/a.png": "a.png"}, {})
    assert meant(["photos/b/a.png"], ["a.png", "b/a.png"]) == ({"photos/b/a.png": "b/a.png"}, {})


def test_the_surest_form_decides(tmp_path: Path) -> None:
    assert meant(["x%20/a.png"], ["x /a.png", "y/a.png"])[0] == {"x%20/a.png": "x /a.png"}
    assert meant(["/data/y/a.png"], ["x/a.png", "y/a.png", "a.png"])[0] == {"/data/y/a.png": "y/a.png"}


@pytest.mark.parametrize(
    ("mask", "photograph", "stem"),
    [
        ("a.jpg", "a.jpg", "a"),
        ("a", "a.jpg.png", "a.jpg"),
        ("a", "a_0000.png", "a_0000"),
        ("é", "e\u0301.png", "e\u0301"),
    ],
)
def test_masks_with_double_extensions_and_of_numbered_channels(mask: str, photograph: str, stem: str) -> None:
    assert meant_by_masks([mask], [photograph, "b.png"]) == {mask: stem}
    assert meant_by_masks([mask, stem], [photograph]) == {}, "it has a mask of its own"


def test_masks_of_two_channels_are_not_guessed() -> None:
    assert meant_by_masks(["a"], ["a_0000.png", "a_0000.jpg", "a_0001.png"]) in ({}, {"a": "a_0000"})
    assert meant_by_masks(["a_mask"], ["a.png"]) == {}


def read(folder: Path, names: list[str], files: list[str], mask_of: str = "{}.png") -> tuple[Any, list[Any]]:
    """A data set of photographs ``files`` with part masks and keypoints for images as ``names`` writes them."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for file in files:
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(folder / "images" / file)
        mask = np.zeros((12, 16), np.uint8)
        mask[2:6, 2:9] = 1
        Image.fromarray(mask).save(folder / "masks" / mask_of.format(Path(file).stem))
    images = [{"id": i, "file_name": name, "width": 16, "height": 12} for i, name in enumerate(names)]
    entries = [{"id": i, "image_id": i, "category_id": 1, "keypoints": [3 + i, 4, 2]} for i in range(len(names))]
    categories = [{"id": 1, "name": "ant", "keypoints": ["head"]}]
    (folder / "c.json").write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    source = "{split: train, images: images, part_masks: masks, coco: c.json}"
    (folder / "d.yaml").write_text(f"parts: [a]\nsources: [{source}]")
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    return records, problems


def test_labels_arrive_at_the_photograph_that_is_meant_and_that_is_told(tmp_path: Path) -> None:
    records, problems = read(tmp_path, ["images\\a%20b.png", "0a1b2c3d-c.png"], ["a b.png", "c.png"], "{}.png.png")
    assert [record.name for record in records] == ["a b", "c"]
    assert [sorted(record.has) for record in records] == [["keypoints", "parts"]] * 2
    assert [record.load()[0].labels["keypoints"][0, 0] for record in records] == [3, 4]
    assert not [p for p in problems if p.severity == "error"]
    told = [p.message for p in problems if "taken for the one that fits" in p.message]
    assert len(told) == 2 and "'images\\\\a%20b.png' for 'a b.png'" in told[0] and "2 files of part masks" in told[1]


def test_a_name_that_two_files_fit_is_an_error_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "images" / "x").mkdir(parents=True)
    (tmp_path / "images" / "y").mkdir()
    (tmp_path / "masks").mkdir()
    for sub in "xy":
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "images" / sub / "a.png")
    images = [{"id": 1, "file_name": "a.png"}]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}
    whole = {"images": images, "annotations": [entry], "categories": [{"id": 1, "name": "ant"}]}
    (tmp_path / "c.json").write_text(json.dumps(whole))
    (tmp_path / "d.yaml").write_text("parts: [a]\nsources: [{split: train, images: images, coco: c.json}]")
    _, problems, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    (error,) = [str(p) for p in problems if p.severity == "error" and "does not exist" in p.message]
    assert "(it might be x/a.png, y/a.png)" in error


@pytest.mark.parametrize(
    "name",
    ["a_png.rf.0123456789abcdef0123456789abcdef.jpg", "a1b2c3d4-a.png", "https:/host/data/a.png?token=1"],
)
def test_versions_uploads_and_addresses_are_the_photographs_they_were_made_of(name: str) -> None:
    assert meant([name], ["a.png", "b.png"]) == ({name: "a.png"}, {})


@pytest.mark.parametrize("name", ["C:\\Users\\eva\\a.png", "/home/eva/a.png", "../elsewhere/a.png"])
def test_a_path_of_another_machine_is_the_photograph_of_its_name(tmp_path: Path, name: str) -> None:
    lists = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": []}
    (tmp_path / "c.json").write_text(json.dumps(lists))
    coco = load_coco(tmp_path / "c.json", frozenset({"below/a.png", "b.png"}))
    assert coco.images["1"][0] == "below/a.png" and "taken for the one that fits" in coco.problems[0].message
    for others in ({"b.png"}, {"below/a.png", "above/a.png"}):
        assert not load_coco(tmp_path / "c.json", frozenset(others)).images
