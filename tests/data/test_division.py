"""What `init` makes of lists that say which images are for training, validation and test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_proposal import ants, masks, photographs, proposed

from coarseparts.data.formats.registry import write_export


def lists(folder: Path, **names: str) -> None:
    """A text file for each split, one name a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, said in names.items():
        (folder / f"{split}.txt").write_text("\n".join(said.split()) + "\n")


def splits(tmp_path: Path, found: dict) -> dict[str, str]:
    """The images of each split as the lists beside the dataset file have them."""
    return {one["split"]: " ".join((tmp_path / one["only"]).read_text().split()) for one in found["sources"]}


def test_voc_lists_divide_the_images(tmp_path: Path) -> None:
    photographs(tmp_path / "voc/JPEGImages")
    masks(tmp_path / "voc/SegmentationClass")
    lists(tmp_path / "voc/ImageSets/Segmentation", train="1 3 5", val="2 4", trainval="1 2 3 4 5", test="6")
    lists(tmp_path / "voc/ImageSets/Main", train="1 3 5", head_train="1 -1")
    found, proposal = proposed(tmp_path, "voc", parts=("head", "rump"))
    assert splits(tmp_path, found) == {"train": "1.png 3.png 5.png", "val": "2.png 4.png", "test": "6.png"}
    (said,) = [line for line in proposal.assumed if line.startswith("split:")]
    assert "ImageSets/Segmentation/val.txt" in said and "3 for train, 2 for val, 1 for test" in said


@pytest.mark.parametrize("written", ["./images/{}.png", "/data/mine/images/{}.png", "C:\\mine\\images\\{}.png", "{}"])
def test_lists_of_paths_of_another_machine(tmp_path: Path, written: str) -> None:
    photographs(tmp_path / "set/images")
    masks(tmp_path / "set/masks")
    lists(tmp_path / "set", train=" ".join(map(written.format, "124")), valid=" ".join(map(written.format, "35")))
    found, proposal = proposed(tmp_path, "set", parts=("head", "rump"))
    assert splits(tmp_path, found) == {"train": "1.png 2.png 4.png 6.png", "val": "3.png 5.png"}
    assert any("1 that none names are for train" in line for line in proposal.assumed)


def test_an_image_of_several_lists_is_in_one_split_alone(tmp_path: Path) -> None:
    photographs(tmp_path / "set/images")
    write_export("coco", ants(), tmp_path / "set/labels.json")
    lists(tmp_path / "set", train="1 2 3 4 5 6", val="5 6", test="6")
    found, proposal = proposed(tmp_path, "set")
    assert splits(tmp_path, found) == {"train": "1.png 2.png 3.png 4.png", "val": "5.png", "test": "6.png"}
    assert any("2 that several lists name are in the last of these alone" in line for line in proposal.assumed)


def test_where_lists_say_none_for_validation_some_of_those_for_training_are(tmp_path: Path) -> None:
    photographs(tmp_path / "set/images")
    masks(tmp_path / "set/masks")
    lists(tmp_path / "set", train="1 2 3 4 5", test="6")
    found, _ = proposed(tmp_path, "set", parts=("head", "rump"))
    assert splits(tmp_path, found) == {"train": "1.png 2.png 3.png 4.png", "val": "5.png", "test": "6.png"}


def test_texts_that_name_no_image_divide_nothing(tmp_path: Path) -> None:
    photographs(tmp_path / "set/images")
    masks(tmp_path / "set/masks")
    lists(tmp_path / "set", train="0 0.5 0.5 0.1 0.1")
    (tmp_path / "set/val.txt").write_bytes(b"\xff\xfe\x00\xd8\x00")
    found, proposal = proposed(tmp_path, "set", parts=("head", "rump"))
    assert splits(tmp_path, found)["val"] == "5.png"
    assert any("every 5th by name" in line for line in proposal.assumed)


@pytest.mark.parametrize("listed", [False, True])
def test_copies_of_a_photograph_are_all_for_validation(tmp_path: Path, listed: bool) -> None:
    photographs(tmp_path / "set/images")
    if listed:
        lists(tmp_path / "set", train="1 2 3 4 4-again 5 6")
    masks(tmp_path / "set/masks")
    for kind in ("images", "masks"):
        shutil.copy(tmp_path / f"set/{kind}/4.png", tmp_path / f"set/{kind}/4-again.png")
    found, proposal = proposed(tmp_path, "set", parts=("head", "rump"))
    assert splits(tmp_path, found)["val"] == "4-again.png 4.png"
    assert any("images with part masks: 1 and 1 copies of these are for validation" in x for x in proposal.assumed)
