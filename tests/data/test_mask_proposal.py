"""`coarseparts init` and folders of masks: colours that nothing names, a folder for each photograph, JPEGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_proposal import SIZE, masks, photographs, proposed

from coarseparts.data.check import check
from coarseparts.data.proposal.mask_kinds import kind_of
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput

RED, BLUE, WHITE, VOID = (255, 0, 0), (0, 0, 255), (255, 255, 255), (224, 224, 192)


def coloured(folder: Path, background: tuple[int, int, int] = (0, 0, 0), suffix: str = ".png") -> None:
    """Masks of two parts, the blue one twice as large, with a line that is not labelled."""
    folder.mkdir()
    for i in range(1, 7):
        mask = np.full((*SIZE[::-1], 3), background, np.uint8)
        mask[5:15, 10:20], mask[5:15, 20 : 40 if background == (0, 0, 0) else 39] = RED, BLUE
        mask[5:15, 9] = VOID
        Image.fromarray(mask).save(folder / f"{i}{suffix}")


@pytest.mark.parametrize("background", [(0, 0, 0), WHITE])
def test_masks_in_colours_are_parts_called_after_them(tmp_path, background):
    photographs(tmp_path / "photos")
    coloured(tmp_path / "masks", background)
    found, proposal = proposed(tmp_path, "photos", "masks")
    assert found["parts"] == ["part #0000ff", "part #ff0000"], "the larger one first"
    expected = {"part #0000ff": "#0000ff", "part #ff0000": "#ff0000", "ignore": "#e0e0c0"}
    expected |= {"background": "#ffffff"} if background == WHITE else {}
    assert all(source["colours"] == expected for source in found["sources"])
    told = "\n".join(proposal.assumed)
    assert "--parts 'NAME=#0000ff,NAME=#ff0000'" in told and "#ff0000 (3" in told


def test_names_with_their_colours_are_the_parts(tmp_path):
    photographs(tmp_path / "photos")
    coloured(tmp_path / "masks")
    found, _ = proposed(tmp_path, "photos", "masks", parts=("head=#ff0000", "rump=#0000ff"))
    assert found["parts"] == ["head", "rump"] and found["sources"][0]["colours"]["head"] == "#ff0000"
    share = check(tmp_path / "d.yaml").part_share["train"]
    assert share["rump"] == pytest.approx(2 * share["head"], rel=0.1)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("head", "rump"), r"masks in the colours #0000ff \(6.*nothing says which part each is.*NAME=#0000ff"),
        (("head=#ff0000", "rump"), "nothing says which part each is"),
        (("head=#ff0000", "rump=reddish"), "rump=reddish names no colour"),
    ],
)
def test_which_colour_is_which_name_is_not_guessed(tmp_path, parts, said):
    photographs(tmp_path / "photos")
    coloured(tmp_path / "masks")
    with pytest.raises(BadInput, match=said):
        propose([tmp_path], tmp_path / "d.yaml", parts)


def test_colours_beside_other_labels_of_parts_are_passed_over(tmp_path):
    photographs(tmp_path / "photos")
    coloured(tmp_path / "colours")
    for part in ("head", "rump"):
        masks(tmp_path / "parts" / part, (0, 255))
    found, proposal = proposed(tmp_path, "photos", "colours", "parts")
    assert found["parts"] == ["head", "rump"] and "colours" not in found["sources"][0]
    assert any("that nothing names, passed over" in line for line in proposal.assumed)


def test_a_folder_for_each_photograph_with_a_file_for_each_part(tmp_path):
    photographs(tmp_path / "photos")
    masks(tmp_path / "head", (0, 255))
    for i in range(1, 7):
        (tmp_path / "masks" / str(i)).mkdir(parents=True)
        for part in ("head", "rump"):
            mask = np.asarray(Image.open(tmp_path / "head" / f"{i}.png"))
            Image.fromarray(mask if part == "head" else np.roll(mask, 12, 0)).save(
                tmp_path / "masks" / str(i) / f"{part}.png"
            )
    found, _ = proposed(tmp_path, "photos", "masks")
    assert found["parts"] == ["head", "rump"] and found["sources"][0]["part_masks"] == "masks"
    assert check(tmp_path / "d.yaml").splits["train"]["parts"] == 5


def test_masks_saved_as_jpeg_are_no_photographs(tmp_path):
    photographs(tmp_path / "photos")
    coloured(tmp_path / "masks", suffix=".jpg")
    masks(tmp_path / "parts")
    found, proposal = proposed(tmp_path, "photos", "masks", "parts", parts=("head", "rump"))
    assert {source["images"] for source in found["sources"]} == {"photos"}
    assert any("holds JPEGs called as the photographs are" in line for line in proposal.assumed)


def test_photographs_called_alike_in_several_folders_get_the_masks_beside_them(tmp_path):
    for day in ("day1", "day2", "day3"):
        (tmp_path / "all" / day).mkdir(parents=True)
        photographs(tmp_path / "all" / day / "images")
        masks(tmp_path / "all" / day / "masks")
    (tmp_path / "all" / "day2" / "images" / "3.png").unlink()  # its mask is of no photograph of another day
    sources = propose([tmp_path / "all"], tmp_path / "d.yaml", ("head", "rump")).keys["sources"]
    assert {(source["images"], source["part_masks"]) for source in sources} == {
        (f"all/{day}/images", f"all/{day}/masks") for day in ("day1", "day2", "day3")
    }


def test_camvid_s_layout(tmp_path):
    for split in ("train", "val"):
        photographs(tmp_path / "set" / split)
        coloured(tmp_path / "set" / f"{split}annot")
    (tmp_path / "set" / "label_colors.txt").write_text(
        "0 0 0 background\n255 0 0 head\n0 0 255 rump\n224 224 192 void\n"
    )
    found, _ = proposed(tmp_path, "set")
    assert found["parts"] == ["head", "rump"]
    assert {(one["split"], one["images"], one["part_masks"]) for one in found["sources"]} == {
        (split, f"set/{split}", f"set/{split}annot") for split in ("train", "val")
    }
    share = check(tmp_path / "d.yaml").part_share["val"]
    assert share["rump"] == pytest.approx(2 * share["head"], rel=0.1)


@pytest.mark.parametrize(
    ("photograph", "mask", "where"),
    [
        ("photos/{i}.png", "photos/{i}/{part}.png", "photos"),
        ("photos/a{i}/photo.png", "photos/a{i}/{part}.png", "photos"),
        ("photos/{i}.png", "masks/{i}/{i}_{part}.png", "masks"),
    ],
)
def test_masks_in_folders_of_their_photographs(tmp_path, photograph, mask, where):
    photographs(tmp_path / "made")
    masks(tmp_path / "head", (0, 255))
    for i in range(1, 7):
        for old, new in (
            (f"made/{i}.png", photograph.format(i=i)),
            *((f"head/{i}.png", mask.format(i=i, part=part)) for part in ("head", "rump")),
        ):
            values = np.asarray(Image.open(tmp_path / old))
            (tmp_path / new).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(values, 12, 0) if "rump" in new else values).save(tmp_path / new)
    found, _ = proposed(tmp_path, *dict.fromkeys(["photos", where]))
    assert found["parts"] == ["head", "rump"]
    assert all((one["images"], one["part_masks"]) == ("photos", where) for one in found["sources"])
    assert check(tmp_path / "d.yaml").splits["train"]["parts"] == 5


def test_of_two_folders_of_masks_of_the_same_photographs_one_is_used_and_that_is_told(tmp_path):
    photographs(tmp_path / "photos")
    for name in ("masks_a", "masks_b"):
        masks(tmp_path / name)
    found, proposal = proposed(tmp_path, "photos", "masks_a", "masks_b", parts=("head", "rump"))
    assert {one["part_masks"] for one in found["sources"]} == {"masks_a"}
    assert any("masks_b has masks of the photographs of which" in line for line in proposal.assumed)


@pytest.mark.parametrize("key", ["part_masks", "masks"])
def test_folders_of_masks_of_other_photographs_are_all_used(tmp_path, key):
    photographs(tmp_path / "photos")
    masks(tmp_path / "all")
    for i in range(1, 7):
        (tmp_path / "batches" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        values = np.asarray(Image.open(tmp_path / "all" / f"{i}.png"))
        Image.fromarray(values if key == "part_masks" else (values > 0).astype(np.uint8)).save(
            tmp_path / "batches" / "ab"[i % 2] / f"{i}.png"
        )
    paths = ["photos", "batches", *(["all"] if key == "masks" else [])]
    found, _ = proposed(tmp_path, *paths, parts=("head", "rump"))
    assert {one[key] for one in found["sources"] if key in one} == {"batches/a", "batches/b"}
    report = check(tmp_path / "d.yaml")
    counts = report.splits["train"]["parts" if key == "part_masks" else "mask"]
    assert counts + (report.splits["val"]["parts" if key == "part_masks" else "mask"]) in (5, 6)


def test_labelme_s_two_copies_of_each_mask_and_its_masks_of_objects(tmp_path):
    photographs(tmp_path / "voc" / "JPEGImages")
    masks(tmp_path / "voc" / "SegmentationClass")
    for folder in ("SegmentationClassNpy", "SegmentationObjectNpy"):
        (tmp_path / "voc" / folder).mkdir()
        for i in range(1, 7):
            values = np.asarray(Image.open(tmp_path / "voc" / "SegmentationClass" / f"{i}.png"))
            np.save(tmp_path / "voc" / folder / f"{i}.npy", values.astype(np.int32))
    (tmp_path / "voc" / "class_names.txt").write_text("_background_\nhead\nrump\n")
    found, _ = proposed(tmp_path, "voc")
    assert {one["part_masks"] for one in found["sources"]} == {"voc/SegmentationClass"}


def test_endings_that_no_two_masks_share_are_no_parts(tmp_path):
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks", (0, 255))
    for i, file in enumerate(sorted((tmp_path / "masks").iterdir())):
        file.rename(file.with_name(f"{file.stem}_head_{i:08x}.png"))
    with pytest.raises(BadInput, match="another ending for each file"):
        propose([tmp_path / "photos", tmp_path / "masks"], tmp_path / "d.yaml")


def test_a_folder_called_as_one_photograph_by_chance_makes_no_parts(tmp_path):
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks" / "1", (0, 255))
    for file in sorted((tmp_path / "masks" / "1").iterdir()):
        file.rename(file.with_name(f"{int(file.stem):05}_head.png"))
    with pytest.raises(BadInput, match="holds masks of no photograph that is there"):
        propose([tmp_path / "photos", tmp_path / "masks"], tmp_path / "d.yaml")


@pytest.mark.parametrize("how", ["RGB", "RGBA", "LA"])
def test_a_part_a_folder_painted_in_a_colour_of_its_own_or_on_nothing(tmp_path, how):
    photographs(tmp_path / "photos")
    masks(tmp_path / "made", (0, 255))
    for part, colour in (("head", (255, 0, 0)), ("rump", (0, 0, 90))):
        (tmp_path / "masks" / part).mkdir(parents=True)
        for i in range(1, 7):
            mask = np.asarray(Image.open(tmp_path / "made" / f"{i}.png"))
            mask = np.roll(mask, 12, 0) if part == "rump" else mask
            painted = (
                np.where(mask[..., None] > 0, np.uint8(colour), 0) if how == "RGB" else np.full((*mask.shape, 3), 90)
            )
            clear = painted.astype(np.uint8) if how == "RGB" else np.dstack([painted, mask]).astype(np.uint8)
            image = Image.fromarray(clear if how != "LA" else clear[..., 2:])
            image.save(tmp_path / "masks" / part / f"{i}.png")
    found, _ = proposed(tmp_path, "photos", "masks")
    assert found["parts"] == ["head", "rump"] and found["sources"][0]["part_masks"] == "masks"
    share = check(tmp_path / "d.yaml").part_share["train"]
    assert share["head"] == pytest.approx(share["rump"], rel=0.2) and share["head"] > 1


def make_background_clear(folder):
    for file in sorted(folder.iterdir()):
        grey = np.asarray(Image.open(file))
        Image.fromarray(np.dstack([grey, np.where(grey > 0, 255, 0)]).astype(np.uint8)).save(file)


def test_part_indices_on_a_transparent_background(tmp_path):
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks", (0, 1, 2))
    make_background_clear(tmp_path / "masks")
    found, _ = proposed(tmp_path, "photos", "masks", parts=("head", "rump"))
    assert found["sources"][0]["part_masks"] == "masks" and found["parts"] == ["head", "rump"]
    share = check(tmp_path / "d.yaml").part_share["train"]
    assert min(share["head"], share["rump"]) > 1


def test_a_silhouette_on_a_transparent_background_with_grey_edges_holds_no_part_indices(tmp_path):
    masks(tmp_path / "masks", (0, 128, 190, 255))
    make_background_clear(tmp_path / "masks")
    assert kind_of(tmp_path / "masks", sorted((tmp_path / "masks").iterdir())) == "figures"


@pytest.mark.parametrize(
    ("endings", "kept"),
    [
        (("_label_gt", "_label_gt_semantic"), "_label_gt_semantic"),
        (("_bw2",), "_bw2"),
    ],
)
def test_masks_beside_their_photographs_with_an_ending_of_whatever_name(tmp_path, endings, kept):
    photographs(tmp_path / "photos", suffix=".jpg")
    for ending in endings:
        masks(tmp_path / "photos", ending=ending)
    found, _ = proposed(tmp_path, "photos", parts=("head", "rump"))
    assert {(one["images"], one["part_masks"], one["suffix"]) for one in found["sources"]} == {
        ("photos", "photos", kept)
    }
    assert check(tmp_path / "d.yaml").splits["train"]["parts"] == 5


def test_a_file_for_each_part_beside_the_photograph(tmp_path):
    photographs(tmp_path / "photos")
    masks(tmp_path / "made", (0, 255))
    for i in range(1, 7):
        values = np.asarray(Image.open(tmp_path / "made" / f"{i}.png"))
        for part, shift in (("head", 0), ("rump", 12)):
            Image.fromarray(np.roll(values, shift, 0)).save(tmp_path / "photos" / f"{i}-{part}.png")
    found, _ = proposed(tmp_path, "photos")
    assert found["parts"] == ["head", "rump"] and found["sources"][0]["part_masks"] == "photos"
    assert check(tmp_path / "d.yaml").splits["train"]["parts"] == 5


def test_photographs_numbered_behind_their_names_are_no_masks(tmp_path):
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks")
    for folder in ("photos", "masks"):
        for file in sorted((tmp_path / folder).iterdir()):
            values = np.asarray(Image.open(file))
            Image.fromarray(values[::-1].copy()).save(file.with_name(f"{file.stem}_2.png"))
    found, _ = proposed(tmp_path, "photos", "masks", parts=("head", "rump"))
    assert {one["part_masks"] for one in found["sources"]} == {"masks"} and "suffix" not in found["sources"][0]


def test_a_folder_for_each_part_whose_files_are_called_after_it_too(tmp_path):
    photographs(tmp_path / "photos")
    for part in ("Head", "rump"):
        masks(tmp_path / "masks" / part, (0, 255) if part == "rump" else (0, 0, 255), ending=f"_{part.lower()}")
    found, _ = proposed(tmp_path, "photos", "masks")
    assert found["parts"] == ["Head", "rump"] and "suffix" not in found["sources"][0]
    report = check(tmp_path / "d.yaml")
    assert report.part_samples["train"]["Head"] == report.part_samples["train"]["rump"] == 5


def test_of_two_folders_that_may_be_silhouettes_none_is_taken_for_that(tmp_path):
    photographs(tmp_path / "all" / "photos")
    for part in ("head", "rump"):
        masks(tmp_path / "all" / part, (0, 255))
    masks(tmp_path / "parts")
    found, proposal = proposed(tmp_path, "all", "parts", parts=("head", "rump"))
    assert not any("masks" in source for source in found["sources"])
    assert any("if they are parts, put their folders into one folder" in line for line in proposal.assumed)


def test_what_labelme_makes_of_its_files_is_told(tmp_path):
    photographs(tmp_path / "made")
    masks(tmp_path / "masks")
    for i in range(1, 4):
        (tmp_path / "out" / f"{i}_json").mkdir(parents=True)
        for name, of in (("img", "made"), ("label", "masks"), ("label_viz", "made")):
            (tmp_path / of / f"{i}.png").rename(tmp_path / "out" / f"{i}_json" / f"{name}.png")
            (tmp_path / of / f"{i}.png").write_bytes((tmp_path / "out" / f"{i}_json" / f"{name}.png").read_bytes())
    with pytest.raises(BadInput, match=r"\(and 2 more\) is what labelme makes of a JSON: name those instead"):
        propose([tmp_path / "out"], tmp_path / "d.yaml", ("head", "rump"))


def test_of_several_endings_of_masks_one_is_looked_at(tmp_path):
    photographs(tmp_path / "photos", suffix=".jpg")
    coloured(tmp_path / "colours")
    for i in range(1, 7):
        (tmp_path / "colours" / f"{i}.png").rename(tmp_path / "photos" / f"{i}_color_mask.png")
    masks(tmp_path / "photos", ending="_watershed_mask")
    found, _ = proposed(tmp_path, "photos", parts=("rump=#0000ff", "head=#ff0000"))
    assert {one["suffix"] for one in found["sources"]} == {"_color_mask"}


@pytest.mark.parametrize(
    ("parts", "names", "background"),
    [((), ["part 2", "part 3"], 1), (("head", "rump"), ["head", "rump"], 1), (("skin", "head", "rump"), None, 0)],
)
def test_masks_that_begin_at_1_with_the_background_or_without_any(tmp_path, parts, names, background):
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks")
    for file in sorted((tmp_path / "masks").iterdir()):
        Image.fromarray(np.asarray(Image.open(file)) + np.uint8(1)).save(file)
    found, proposal = proposed(tmp_path, "photos", "masks", parts=parts)
    assert found["parts"] == (names or list(parts))
    numbers = {part: i for i, part in enumerate(found["parts"], background + 1)}
    assert found["sources"][0]["colours"] == {"background": background} | numbers
    assert any("nothing is 0 and 1 fills the borders, so" in line for line in proposal.assumed)
    share = check(tmp_path / "d.yaml").part_share["train"]
    assert share[found["parts"][-1]] > 1 and (share["background"] > 50) == bool(background)


@pytest.mark.parametrize("given", [(), ("head=#323232", "rump=#969696")])
def test_grey_levels_that_are_no_indices_are_colours(tmp_path, given):
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks", (0, 50, 150))
    found, proposal = proposed(tmp_path, "photos", "masks", parts=given)
    names = ["head", "rump"] if given else ["part #323232", "part #969696"]
    assert sorted(found["parts"]) == names
    assert found["sources"][0]["colours"] == {names[0]: "#323232", names[1]: "#969696"}
    assert "&id" not in (tmp_path / "d.yaml").read_text(), "colours of both splits are spelt out"
    assert given or any("--parts 'NAME=#" in line for line in proposal.assumed)
    share = check(tmp_path / "d.yaml").part_share["train"]
    assert all(share[name] > 5 for name in names)
    with pytest.raises(BadInput, match="nothing says which part each is"):
        propose([tmp_path / "photos", tmp_path / "masks"], tmp_path / "e.yaml", ("head", "rump"))


def test_supervisely_s_masks_with_their_list_of_colours(tmp_path):
    photographs(tmp_path / "proj" / "ds" / "img")
    masks(tmp_path / "proj" / "ds" / "masks_machine", (0, 20, 10))
    photographs(tmp_path / "proj" / "ds" / "masks_human")
    (tmp_path / "proj" / "obj_class_to_machine_color.json").write_text('{"head": [10, 10, 10], "rump": [20, 20, 20]}')
    found, proposal = proposed(tmp_path, "proj")
    assert found["parts"] == ["head", "rump"]
    assert {one["part_masks"] for one in found["sources"]} == {"proj/ds/masks_machine"}
    mask = np.asarray(Image.open(tmp_path / "proj" / "ds" / "masks_machine" / "1.png"))
    share = check(tmp_path / "d.yaml").part_share["train"]
    assert share["rump"] > 5 and share["head"] > 5 and set(np.unique(mask)) == {0, 10, 20}
    assert any("masks_human holds pictures called as the photographs are" in line for line in proposal.assumed)
    (tmp_path / "proj" / "obj_class_to_machine_color.json").write_text('{"head": [10, 10], "rump": 7}')
    with pytest.raises(BadInput, match=r"nothing says which part each is.*--parts 'NAME=#"):
        propose([tmp_path / "proj"], tmp_path / "e.yaml", ("head", "rump"))


def test_what_cannot_be_read_as_masks_is_no_folder_of_photographs(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    photographs(tmp_path / "all" / "photos")
    (tmp_path / "all" / "labels").mkdir()
    for i in range(1, 7):
        values = np.random.default_rng(i).random((*SIZE[::-1], 4), np.float32)
        kind = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(tmp_path / "all" / "labels" / f"{i}_Probabilities.tiff", values, **kind)
    masks(tmp_path / "masks")
    found, proposal = proposed(tmp_path, "all", "masks", parts=("head", "rump"))
    assert {one["images"] for one in found["sources"]} == {"all/photos"}
    assert any("1_Probabilities.tiff, which is a TIFF of 4 channels of float32" in line for line in proposal.assumed)


@pytest.mark.parametrize("before", ["rump_", "head-"])
def test_masks_with_something_before_the_photograph_s_name_are_told(tmp_path, before):
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks")
    for file in sorted((tmp_path / "masks").iterdir()):
        file.rename(file.with_name(f"{before}{file.name}"))
    with pytest.raises(BadInput, match=rf"before the photographs' names \({before}1\).*behind, as in 1_{before[:-1]}"):
        propose([tmp_path / "photos", tmp_path / "masks"], tmp_path / "d.yaml", ("head", "rump"))


def test_what_was_taken_for_photographs_is_told_where_there_is_nothing_else(tmp_path):
    photographs(tmp_path / "photos")
    photographs(tmp_path / "others")
    with pytest.raises(BadInput, match=r"taken for photographs: .*photos \(6 images\), .*others \(6 images\)"):
        propose([tmp_path / "photos", tmp_path / "others"], tmp_path / "d.yaml", ("head", "rump"))


def test_nnunet_s_folders_for_testing(tmp_path):
    for split in ("Tr", "Ts"):
        photographs(tmp_path / "D" / f"images{split}")
        masks(tmp_path / "D" / f"labels{split}")
    (tmp_path / "D" / "dataset.json").write_text('{"labels": {"background": 0, "head": 1, "rump": 2}}')
    found, _ = proposed(tmp_path, "D")
    assert {(one["split"], one["images"], one["part_masks"]) for one in found["sources"]} == {
        (split, f"D/images{ending}", f"D/labels{ending}")
        for split, ending in (("train", "Tr"), ("val", "Tr"), ("test", "Ts"))
    }
