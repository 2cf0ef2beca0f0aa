"""Masks called as public data sets call them: Cityscapes' pairs of names, Open Images' files of one object each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_mask_layouts import HEAD, PARTS, errors, photographs, read, save
from test_proposal import SIZE, proposed
from test_proposal import photographs as six_photographs

from coarseparts.data.check import check
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.namesakes import by_beginning, ending_of, meant_by_masks
from coarseparts.data.proposal.propose import propose
from coarseparts.data.records import read_dataset
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


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("below", ["photos/label", "label"])
def test_eiseg_s_pictures_of_masks_are_neither_masks_nor_photographs(tmp_path: Path, listed: bool, below: str) -> None:
    six_photographs(tmp_path / "photos")
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[5:15, 5:15], mask[5:15, 15:32] = 2, 1
    for i in range(1, 7):
        pixels = np.random.default_rng(i).integers(0, 255, (*SIZE[::-1], 4), np.uint8)
        save(tmp_path / below / f"{i}.png", mask)
        save(tmp_path / below / f"{i}_pseudo.png", colours[mask])
        save(tmp_path / below / f"{i}_cutout.png", np.where(mask[..., None] > 0, pixels, np.uint8(255)))
    if listed:
        (tmp_path / below / "autosave_label.txt").write_text("1 rump 255 0 0 \n2 head 0 255 0 \n")
    paths = dict.fromkeys(["photos", below])
    found, proposal = proposed(tmp_path, *paths, parts=() if listed else ("rump", "head"))
    assert found["parts"] == ["rump", "head"] and "suffix" not in found["sources"][0]
    assert {one["images"] for one in found["sources"]} == {"photos"}
    report = check(tmp_path / "d.yaml")
    assert report.splits["train"]["parts"] == 5
    assert report.part_share["train"]["rump"] == pytest.approx(1.7 * report.part_share["train"]["head"], rel=0.1)
    assert any("12 files ending in _cutout, _pseudo are pictures of masks" in line for line in proposal.assumed)
    for i in range(1, 7):  # the masks in colours alone
        (tmp_path / below / f"{i}.png").unlink()
    (tmp_path / "d.yaml").unlink()
    names = () if listed else ("rump=#ff0000", "head=#00ff00")
    for file in tmp_path.glob("d-*.txt"):
        file.unlink()
    found, _ = proposed(tmp_path, *paths, parts=names)
    assert found["parts"] == ["rump", "head"] and found["sources"][0]["suffix"] == "_pseudo"
    share = check(tmp_path / "d.yaml").part_share["train"]
    assert share["rump"] == pytest.approx(1.7 * share["head"], rel=0.1)


def test_open_images_as_datumaro_writes_them(tmp_path: Path) -> None:
    six_photographs(tmp_path / "photos")
    for i in range(1, 7):
        for number, part in enumerate(("head", "rump")):
            save(tmp_path / f"masks/{i}_{part}_{number:08}.png", np.full(SIZE[::-1], 255, np.uint8))
    with pytest.raises(BadInput, match=r"masks that are Open Images'.*call them PHOTOGRAPH_PART.png"):
        propose([tmp_path / "photos", tmp_path / "masks"], tmp_path / "d.yaml")


@pytest.mark.parametrize("ends", ["1-brush-head-0", "3-tag-a b-0"])
def test_label_studio_s_files_of_brush_masks_name_no_photograph(tmp_path: Path, ends: str) -> None:
    six_photographs(tmp_path / "photos")
    for i in range(1, 7):
        save(tmp_path / "masks" / f"task-{i}-annotation-1{i}-by-{ends}.png", np.full(SIZE[::-1], 255, np.uint8))
    with pytest.raises(BadInput, match=r"brush masks, which name no photograph.*export them as JSON"):
        propose([tmp_path / "photos", tmp_path / "masks"], tmp_path / "d.yaml")


@pytest.mark.parametrize(
    ("photograph", "mask"),
    [("1a2b3c4d-{}.png", "{}.png"), ("{}.png", "0{}b3c4d5-{}.png"), ("Ant_{}.PNG", "ant_{}.png")],
)
def test_uploads_and_capitals_on_one_side_alone(tmp_path: Path, photograph: str, mask: str) -> None:
    six_photographs(tmp_path / "ants" / "photos")
    for i in range(1, 7):
        file = tmp_path / "ants" / "photos" / f"{i}.png"
        file.rename(file.with_name(photograph.format(i)))
        parts = np.zeros(SIZE[::-1], np.uint8)
        parts[5:15, 5 : 6 + i], parts[5:15, 20:30] = 1, 2
        save(tmp_path / "ants" / "masks" / mask.format(i, i), parts)
    found, _ = proposed(tmp_path, "ants", parts=("head", "rump"))
    assert found["sources"][0]["part_masks"] == "ants/masks" and "suffix" not in found["sources"][0]
    records, problems, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    areas = {Path(str(record.image)).name: int((record.load()[0].parts == 1).sum()) for record in records}
    assert areas == {photograph.format(i): 10 * (1 + i) for i in range(1, 7)}
    assert any("part masks are not named as their photographs are" in problem.message for problem in problems)


def test_a_mask_of_the_same_name_comes_before_one_of_an_upload() -> None:
    assert meant_by_masks(["a", "1a2b3c4d-a"], ["a.png", "b.png"]) == {}
    assert meant_by_masks(["1a2b3c4d-a", "5a2b3c4d-a"], ["a.png"]) == {}, "which of the two?"
    assert meant_by_masks(["x/1a2b3c4d-a"], ["x/a.png", "y/a.png"]) == {"x/1a2b3c4d-a": "x/a"}
    assert meant_by_masks(["20240503-1"], ["20240504-1.png"]) == {}, "dates look like what is put before uploads"


@pytest.mark.parametrize(
    ("masks", "stems", "pairs"),
    [
        (["mask_1", "mask_2"], ["1", "2", "3"], {"mask_1": "1", "mask_2": "2"}),
        (["seg_01", "seg_02"], ["rgb_01", "rgb_02"], {"seg_01": "rgb_01", "seg_02": "rgb_02"}),
        (["a/Mask of x", "b/Mask of x"], ["a/x", "b/x"], {"a/Mask of x": "a/x", "b/Mask of x": "b/x"}),
        (["mask_ant_1", "mask_ant_2"], ["img_ant_1", "img_ant_2"], {f"mask_ant_{i}": f"img_ant_{i}" for i in (1, 2)}),
        (["mask_1", "mask_2"], ["rgb_0", "rgb_1"], {}),  # of other numbers: one is of no photograph
        (["head_1", "head_2"], ["1", "2"], {}),  # names a part
        (["mask_1", "head_2"], ["1", "2"], {}),
        (["mask_1"], ["1"], {}),
    ],
)
def test_masks_that_begin_with_a_word_that_says_so(masks: list[str], stems: list[str], pairs: dict[str, str]) -> None:
    assert by_beginning(masks, stems) == pairs


@pytest.mark.parametrize(("mask", "photograph"), [("mask_{}", "{}"), ("seg_{}", "rgb_{}"), ("Mask of {}", "{}")])
def test_they_are_those_of_the_photographs(tmp_path: Path, mask: str, photograph: str) -> None:
    for number in range(1, 7):
        pixels = np.random.default_rng(number).integers(0, 255, (*PARTS.shape, 3), np.uint8)
        save(tmp_path / f"photos/{photograph.format(number)}.png", pixels)
        save(tmp_path / f"masks/{mask.format(number)}.png", (PARTS == number % 2 + 1).astype(np.uint8) * 2)
    found, _ = proposed(tmp_path, "photos", "masks", parts=("head", "rump"))
    assert all(source["part_masks"] == "masks" for source in found["sources"])
    records, problems, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    assert errors(problems) == [] and len(records) == 6
    for record in records:
        assert record.image is not None
        number = int(record.image.stem.split("_")[-1])
        assert ((record.load()[0].parts == 2) == (PARTS == number % 2 + 1)).all()
    assert any("files of part masks are not named as their photographs are" in str(p) for p in problems)


def test_masks_among_photographs_that_begin_so_are_told(tmp_path: Path) -> None:
    for number in range(1, 7):
        pixels = np.random.default_rng(number).integers(0, 255, (*PARTS.shape, 3), np.uint8)
        save(tmp_path / f"set/image_{number}.png", pixels)
        save(tmp_path / f"set/mask_{number}.png", PARTS.astype(np.uint8))
    with pytest.raises(BadInput, match=r"masks among photographs \(mask_1 for image_1\): put the masks into another"):
        propose([tmp_path], tmp_path / "d.yaml")
