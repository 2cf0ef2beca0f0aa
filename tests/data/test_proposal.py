"""`coarseparts init`: a dataset file from folders and exports, and what it assumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from documents import rle
from PIL import Image

from coarseparts.data.check import check
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import write_export
from coarseparts.data.proposal.part_names import mirrored
from coarseparts.data.proposal.propose import Proposal, propose
from coarseparts.system.problems import BadInput

SIZE = (40, 30)


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], bool)
    mask[y : y + side, x : x + side] = True
    return mask


def photographs(folder: Path, count: int = 6, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(1, count + 1):
        pixels = np.random.default_rng([i, *folder.name.encode()]).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}{suffix}")


def masks(folder: Path, values: tuple[int, ...] = (0, 1, 2), count: int = 6, ending: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(1, count + 1):
        mask = np.zeros(SIZE[::-1], np.uint8)
        for place, value in enumerate(values):
            mask[5:15, 8 * place : 8 * place + 8] = value
        Image.fromarray(mask).save(folder / f"{i}{ending}.png")


def ants(count: int = 6) -> Document:
    """An ant in each picture: skeleton, mask, and two parts."""
    images = [{"id": i, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]} for i in range(1, count + 1)]
    categories = [{"id": 1, "name": "ant", "keypoints": ["eye_L", "eye_R"]}, {"id": 2, "name": "body"}]
    categories += [{"id": 3, "name": "head"}, {"id": 4, "name": "rump"}]
    entries = []
    for image in range(1, count + 1):
        of = {"image_id": image, "group": "a"}
        entries.append(of | {"category_id": 1, "keypoints": [4, 6, 2, 14, 8, 1]})
        entries.append(of | {"category_id": 2, "segmentation": rle(square(2, 3, 15))})
        entries.append(of | {"category_id": 3, "segmentation": rle(square(2, 3, 6))})
        entries.append(of | {"category_id": 4, "segmentation": rle(square(9, 7, 7))})
    return Document(images, categories, [entry | {"id": i} for i, entry in enumerate(entries, start=1)])


def proposed(tmp_path: Path, *paths: str, parts: tuple[str, ...] = ()) -> tuple[dict, Proposal]:
    """The dataset file of paths below a folder, written, and found to be without an error."""
    proposal = propose([tmp_path / path for path in paths], tmp_path / "d.yaml", parts)
    proposal.write()
    report = check(tmp_path / "d.yaml")
    assert not report.errors, report.errors
    return yaml.safe_load((tmp_path / "d.yaml").read_text()), proposal


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "label-studio", "via"])
def test_an_export_and_photographs_make_a_dataset_file_that_can_be_trained_on(tmp_path, name):
    photographs(tmp_path / "photos")
    export = write_export(name, ants(), tmp_path / "export")
    found, proposal = proposed(tmp_path, "photos", str(export))
    assert found["parts"] == ["head", "rump"] and found["keypoint_mirror"] == [["eye_L", "eye_R"]]
    assert [(source["split"], source["images"]) for source in found["sources"]] == [
        ("train", "photos"),
        ("val", "photos"),
    ]
    assert all(source["labels"] == f"export/{export.name}" for source in found["sources"])
    assert (tmp_path / "d-val.txt").read_text() == "5.png\n" and "5.png" not in (tmp_path / "d-train.txt").read_text()
    assert any("every 5th by name" in line for line in proposal.assumed)
    assert any("body" in line and "whole objects" in line for line in proposal.assumed)
    assert (tmp_path / "d.yaml").read_text().startswith("# train: photographs in ")


def test_a_folder_that_holds_everything_is_enough(tmp_path):
    photographs(tmp_path / "ants" / "images")
    write_export("cvat", ants(), tmp_path / "ants")
    masks(tmp_path / "ants" / "silhouettes", (0, 255))
    found, _ = proposed(tmp_path, "ants")
    assert found["sources"][0]["masks"] == "ants/silhouettes"
    assert found["sources"][0]["labels"] == "ants/annotations.xml"


def test_photographs_are_looked_for_beside_an_export(tmp_path):
    photographs(tmp_path / "ants")
    export = write_export("coco", ants(), tmp_path / "ants")
    found, _ = proposed(tmp_path, str(export))
    assert found["sources"][0]["images"] == "ants"


def test_several_coco_files_of_one_folder_are_joined(tmp_path):
    photographs(tmp_path / "photos")
    document = ants()
    for name, which in (("keypoints", [1]), ("masks", [2, 3, 4])):
        lists = {
            "images": document.images,
            "categories": [entry for entry in document.categories if entry["id"] in which],
            "annotations": [entry for entry in document.annotations if entry["category_id"] in which],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(lists))
    found, _ = proposed(tmp_path, "photos", "keypoints.json", "masks.json")
    assert found["sources"][0]["coco"] == ["keypoints.json", "masks.json"] and found["parts"] == ["head", "rump"]


def test_names_that_are_spelt_otherwise_are_one_part(tmp_path):
    photographs(tmp_path / "photos")
    document = ants()
    document.categories.extend([{"id": 8, "name": "Head"}, {"id": 9, "name": "rump "}])
    for entry in document.annotations:
        if entry["image_id"] % 2:
            entry["category_id"] = {3: 8, 4: 9}.get(entry["category_id"], entry["category_id"])
    write_export("coco", document, tmp_path / "export")
    found, proposal = proposed(tmp_path, "photos", "export")
    assert [name.lower() for name in found["parts"]] == ["head", "rump"]
    assert any("spelt otherwise are taken for one part" in line for line in proposal.assumed)
    counts = check(tmp_path / "d.yaml").part_samples["train"]
    assert set(counts.values()) == {5}


def test_images_for_validation_keep_all_their_labels(tmp_path):
    photographs(tmp_path / "photos")
    whole = ants()
    for name, which in (("cvat", (1, 2)), ("labelme", (3, 4))):
        own = [entry for entry in whole.annotations if entry["category_id"] in which]
        write_export(name, replace(whole, annotations=own), tmp_path / name)
    proposed(tmp_path, "photos", "cvat", "labelme")
    of_val = check(tmp_path / "d.yaml").splits["val"]
    assert {name: of_val[name] for name in ("samples", "parts", "keypoints", "mask")} == dict.fromkeys(
        ("samples", "parts", "keypoints", "mask"), 1
    )


def test_splits_are_told_from_the_names_of_folders(tmp_path):
    for split in ("train", "valid", "test"):
        photographs(tmp_path / "set" / split)
        export = write_export("coco", ants(), tmp_path / "set" / split)
        export.rename(export.with_name("_annotations.coco.json"))
    found, proposal = proposed(tmp_path, "set")
    assert [source["split"] for source in found["sources"]] == ["train", "val", "test"]
    assert [source["images"] for source in found["sources"]] == ["set/train", "set/valid", "set/test"]
    assert not proposal.lists


def test_a_yolo_folder_gives_its_splits_and_mirror_pairs(tmp_path):
    root = tmp_path / "yolo"
    for split in ("train", "val"):
        photographs(root / "images" / split, 5)
        (root / "labels" / split).mkdir(parents=True)
        for i in range(1, 6):
            (root / "labels" / split / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5 0.4 0.4 2 0.6 0.6 2\n")
    (root / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [ant]\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\n"
    )
    masks(tmp_path / "part_masks")
    photographs(tmp_path / "photos")
    found, _ = proposed(tmp_path, "yolo", "photos", "part_masks", parts=("head", "rump"))
    assert found["keypoint_mirror"] == [["keypoint_0", "keypoint_1"]]
    by_labels = {source.get("labels"): source["split"] for source in found["sources"]}
    assert by_labels["yolo/images/train"] == "train" and by_labels["yolo/images/val"] == "val"


def test_index_masks_without_names_get_numbers_and_it_is_said(tmp_path):
    photographs(tmp_path / "photos", suffix=".jpg")
    masks(tmp_path / "masks", (0, 1, 2, 3, 255))
    found, proposal = proposed(tmp_path, "photos", "masks")
    assert found["parts"] == ["part 1", "part 2", "part 3"] and found["sources"][0]["part_masks"] == "masks"
    assert any("nothing names them" in line for line in proposal.assumed)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_labelmap_names_the_parts_of_colour_masks(tmp_path, suffix):
    photographs(tmp_path / "voc" / "JPEGImages", suffix=suffix)
    (tmp_path / "voc" / "labelmap.txt").write_text(
        "# label:color:parts:actions\nbackground:0,0,0::\nleft wing:200,0,0::\nright wing:0,200,0::\n"
    )
    for folder in ("SegmentationClass", "SegmentationObject"):
        (tmp_path / "voc" / folder).mkdir()
        for i in range(1, 7):
            colours = np.zeros((*SIZE[::-1], 3), np.uint8)
            colours[5:10, 5:10, 0] = colours[15:20, 5:10, 1] = 200
            Image.fromarray(colours).save(tmp_path / "voc" / folder / f"{i}.png")
    found, proposal = proposed(tmp_path, "voc")
    assert found["parts"] == ["left wing", "right wing"] and found["mirror"] == [["left wing", "right wing"]]
    assert found["sources"][0]["part_masks"] == "voc/SegmentationClass"
    assert any("tells objects apart" in line for line in proposal.assumed)


def test_a_folder_for_each_part_names_them(tmp_path):
    photographs(tmp_path / "photos", suffix=".jpg")
    for part in ("head", "rump"):
        masks(tmp_path / "masks" / part, (0, 255))
    found, _ = proposed(tmp_path, "photos", "masks")
    assert found["parts"] == ["head", "rump"] and found["sources"][0]["part_masks"] == "masks"


@pytest.mark.parametrize("folder", ["masks", "photos"])
def test_an_ending_of_the_masks_becomes_the_suffix(tmp_path, folder):
    photographs(tmp_path / "photos", suffix=".jpg")
    masks(tmp_path / folder, ending="_mask")
    found, _ = proposed(tmp_path, *dict.fromkeys(["photos", folder]), parts=("head", "rump"))
    assert found["sources"][0]["suffix"] == "_mask" and found["sources"][0]["part_masks"] == folder
    assert found["parts"] == ["head", "rump"]


def test_photographs_without_labels_are_a_source_of_their_own(tmp_path):
    photographs(tmp_path / "photos")
    photographs(tmp_path / "more", 3)
    for file in (tmp_path / "more").iterdir():
        file.rename(file.with_name(f"new{file.name}"))
    found, _ = proposed(tmp_path, "photos", "more", str(write_export("coco", ants(), tmp_path / "export")))
    assert {"split": "train", "images": "more"} in found["sources"]


def test_nothing_is_written_over(tmp_path):
    photographs(tmp_path / "photos")
    write_export("coco", ants(), tmp_path)
    for name in ("d.yaml", "d-val.txt"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(BadInput, match="is there and would be written over"):
            proposed(tmp_path, "photos", "coco.json")
        assert (tmp_path / name).read_text() == "mine" and not (tmp_path / "d-train.txt").exists()
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "paths, said",
    [
        (["nowhere"], "does not exist"),
        (["photos"], "nothing here is an export of labels"),
        (["photos", "grey"], "holds the values 0, 128, which are no part indices"),
        (["photos", "colours"], r"in the colours #c8005a \(100.0 %\) that nothing names.*--parts 'NAME=#c8005a'"),
        (["photos/1.png"], "is an image; name its folder"),
        (["old.yaml"], "is a dataset file already"),
        (["photos", "body.json"], "no part masks were found; body are taken for whole objects.*--parts"),
        (["photos", "coco.json", "masks"], "part indices up to 2, and other labels name the parts head, rump"),
        (["other", "coco.json"], "none of the 6 photographs that it names is there"),
    ],
)
def test_what_cannot_be_proposed_is_told_with_the_remedy(tmp_path, paths, said):
    photographs(tmp_path / "photos")
    (tmp_path / "other").mkdir()
    Image.new("RGB", SIZE).save(tmp_path / "other" / "x.png")
    masks(tmp_path / "masks")
    masks(tmp_path / "grey", (0, 128))
    masks(tmp_path / "colours", (0, 1))
    for file in (tmp_path / "colours").iterdir():
        mask = np.asarray(Image.open(file))
        Image.fromarray(np.stack([200 * mask, 0 * mask, 90 * mask], -1)).save(file)
    (tmp_path / "old.yaml").write_text("parts: [a]\nsources: []\n")
    document = ants()
    write_export("coco", document, tmp_path)
    body = [entry for entry in document.annotations if entry["category_id"] == 2]
    (write_export("coco", Document(document.images, document.categories[:2], body), tmp_path / "b")).rename(
        tmp_path / "body.json"
    )
    with pytest.raises(BadInput, match=said):
        proposed(tmp_path, *paths)
    assert not (tmp_path / "d.yaml").exists()


@pytest.mark.parametrize(
    "key", ["id", "name", "category_id", "image_id", "file_name", "keypoints", "segmentation", "group"]
)
@pytest.mark.parametrize("value", [None, True, -1, float("nan"), "\x1b[31m", [], {"a": 1}, [[None]], "../x"])
def test_hostile_entries_are_told_or_passed_over(tmp_path, key, value):
    photographs(tmp_path / "photos", 2)
    document = ants(2)
    document.annotations.extend([entry | {"id": entry["id"] + 99, "group": "b"} for entry in document.annotations])
    whole = vars(document)
    for name in ("images", "categories", "annotations"):
        whole[name] = [entry | {key: value} if key in entry else entry for entry in whole[name]]
    lists = {name: whole[name] for name in ("images", "categories", "annotations")}
    (tmp_path / "a.json").write_text(json.dumps(lists))
    try:
        propose([tmp_path / "photos", tmp_path / "a.json"], tmp_path / "d.yaml")
    except BadInput as bad:
        assert all("\x1b" not in str(problem) for problem in bad.problems)


def test_names_mirror_each_other_in_whatever_spelling():
    assert mirrored(["left eye", "right eye", "tail"]) == [("left eye", "right eye")]
    assert mirrored(["wing_L", "wing_R"]) == [("wing_L", "wing_R")]
    assert mirrored(["rightEye", "leftEye", "l"]) == [("rightEye", "leftEye")]
    assert mirrored(["LHip", "RHip", "Lip", "Rip"]) == [("LHip", "RHip")]


def test_one_folder_of_masks_and_one_export_of_several_folders_of_photographs(tmp_path):
    photographs(tmp_path / "photos" / "train")
    (tmp_path / "photos" / "val").mkdir()
    for i in (5, 6):
        (tmp_path / "photos" / "train" / f"{i}.png").rename(tmp_path / "photos" / "val" / f"{i}.png")
    masks(tmp_path / "part_masks")
    export = write_export("cvat", replace(ants(), annotations=ants().annotations[::4]), tmp_path / "export")
    found, _ = proposed(tmp_path, "photos", "part_masks", str(export), parts=("head", "rump"))
    assert [(each["split"], each["images"], each["part_masks"]) for each in found["sources"]] == [
        ("train", "photos/train", "part_masks"),
        ("val", "photos/val", "part_masks"),
    ]
    report = check(tmp_path / "d.yaml")
    assert [report.splits[split]["keypoints"] for split in ("train", "val")] == [4, 2]
    assert [report.splits[split]["parts"] for split in ("train", "val")] == [4, 2]
    (tmp_path / "photos" / "val" / "6.png").unlink()
    messages = [problem.message for problem in check(tmp_path / "d.yaml").errors]
    assert len(messages) == 2 and all("does not exist, but" in message for message in messages), messages


def test_photographs_that_a_server_named_otherwise_are_found(tmp_path):
    photographs(tmp_path / "photos")
    for i in range(1, 7):
        (tmp_path / "photos" / f"{i}.png").rename(tmp_path / "photos" / f"ant {i} (2).png")
    document = ants()
    for image in document.images:
        image["file_name"] = f"0a1b2c3d-ant_{image['id']}_2.png"
    found, _ = proposed(tmp_path, "photos", str(write_export("cvat", document, tmp_path / "export")))
    assert {source["images"] for source in found["sources"]} == {"photos"}


def test_a_name_of_a_part_that_is_misspelt_is_told_before_anything_is_written(tmp_path):
    photographs(tmp_path / "photos")
    write_export("coco", ants(), tmp_path)
    given = [tmp_path / "photos", tmp_path / "coco.json"]
    with pytest.raises(BadInput, match=r"--parts haed: no category is called so; did you mean head\?"):
        propose(given, tmp_path / "d.yaml", ("haed", "rump"))
    assert propose(given, tmp_path / "d.yaml", ("Head", "rump")).keys["parts"] == ["Head", "rump"]


def test_the_size_where_no_photograph_can_be_read(tmp_path: Path) -> None:
    masks(tmp_path / "masks")
    (tmp_path / "images").mkdir()
    for i in range(1, 7):
        (tmp_path / f"images/{i}.jpg").write_text("broken")
    made = propose([tmp_path / "images", tmp_path / "masks"], tmp_path / "d.yaml")
    assert "size: 256 pixels, for no photograph tells how large its object is" in made.assumed
