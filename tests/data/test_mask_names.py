"""Masks called as public data sets call them: Cityscapes' pairs of names, Open Images' files of one object each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_mask_layouts import HEAD, PARTS, errors, photographs, read, save
from test_proposal import SIZE, proposed

from coarseparts.data.check import check
from coarseparts.data.namesakes import ending_of, meant_by_masks
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput


def cityscapes(root: Path, split: str, seed: int) -> None:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[5:15, 5:15], mask[5:15, 15:32] = 1, 2
    rng = np.random.default_rng(seed)
    for i in range(1, 7):
        name = f"aachen/aachen_{i:06}_000019"
        pixels = rng.integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        save(root / f"leftImg8bit/{split}/{name}_leftImg8bit.png", pixels)
        at = f"gtFine/{split}/{name}_gtFine"
        save(root / f"{at}_labelIds.png", mask)
        save(root / f"{at}_instanceIds.png", mask.astype(np.uint16) * 1000)
        save(root / f"{at}_color.png", np.array([[0, 0, 0], [70, 70, 70], [250, 0, 0]], np.uint8)[mask])


def test_cityscapes_pairs_of_names(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val")):
        cityscapes(tmp_path / "cs", split, seed)
    found, proposal = proposed(tmp_path, "cs", parts=("head", "rump"))
    assert [(one["split"], one["images"], one["part_masks"], one["suffix"]) for one in found["sources"]] == [
        (split, f"cs/leftImg8bit/{split}", f"cs/gtFine/{split}", "_gtFine_labelIds") for split in ("train", "val")
    ]
    report = check(tmp_path / "d.yaml")
    assert report.splits["train"]["parts"] == report.splits["val"]["parts"] == 6
    assert report.part_share["val"]["rump"] > report.part_share["val"]["head"] > 0
    assert any("the index masks are used, 12 other files" in line for line in proposal.assumed)
    assert any("12 files do not end in _gtFine_labelIds" in p.message for p in report.problems)


def test_other_files_of_a_folder_are_passed_over_where_a_suffix_says_which_are_masks(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        save(tmp_path / f"masks/{name}_ids.png", PARTS.astype(np.uint8))
        save(tmp_path / f"masks/{name}_preview.png", np.zeros((2, 2, 3), np.uint8))
    records, problems = read(tmp_path, "part_masks: masks, suffix: _ids")
    assert errors(problems) == [] and all((record.load()[0].parts == PARTS).all() for record in records)
    assert any("2 files do not end in _ids and are passed over: a_preview, b_preview" in str(p) for p in problems)
    save(tmp_path / "masks/b.png", PARTS.astype(np.uint8))  # is the mask of a photograph, too
    assert any("b_preview" in error for error in errors(read(tmp_path, "part_masks: masks, suffix: _ids")[1]))


@pytest.mark.parametrize(
    ("stems", "names", "end"),
    [
        (["a_1_rgb", "b_1_rgb"], ["a_1", "b_1"], "_rgb"),
        (["a_1_rgb", "b_1_rgb"], ["a", "b"], "_1_rgb"),
        (["a_left", "a_right"], ["a"], ""),
        (["a_rgb"], ["a"], ""),
        (["a_rgb", "b"], ["a"], ""),
    ],
)
def test_the_ending_that_all_photographs_have(stems: list[str], names: list[str], end: str) -> None:
    assert ending_of(stems, names) == end
    meant = meant_by_masks(names, [f"{stem}.jpg" for stem in stems])
    assert meant == ({name: name + end for name in names} if end else {})


@pytest.mark.parametrize("classes", [("m01g317",), ("m01g317", "m0k65p")])
def test_open_images_masks_are_told(tmp_path: Path, classes: tuple[str, ...]) -> None:
    names = [f"{i:016x}" for i in range(4)]
    photographs(tmp_path / "images", tuple(f"{name}.jpg" for name in names))
    for i, name in enumerate(names):
        for each in classes:
            (tmp_path / "masks").mkdir(exist_ok=True)
            Image.fromarray(HEAD).save(tmp_path / f"masks/{name}_{each}_7690e8e{i}.png")
    (error,) = errors(read(tmp_path, parts="head")[1])
    assert f"{4 * len(classes)} part masks like this one are Open Images'" in error and "convert them to COCO" in error
    with pytest.raises(BadInput, match=r"masks that are Open Images'.*PHOTOGRAPH_PART\.png"):
        propose([tmp_path / "images", tmp_path / "masks"], tmp_path / "e.yaml", ("head",))
