"""Labels of photographs from COCO files and exports: whose they are, what is misspelt, what is left out and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import write_export
from coarseparts.data.source_keys import Crop
from coarseparts.inference.label_files import Labels, read_labels
from coarseparts.labels.schema import Schema
from coarseparts.system.problems import BadInput, errors

SCHEMA = Schema(parts=("head", "tail"), keypoints=("beak", "crown"))


def read(folder: Path, names: list[str], named: list[str], schema: Schema = SCHEMA, **more: object) -> Labels:
    """One object in each image, with keypoints so ``named``, all visible, and ``more``. There are photographs a.png and
    b/c.png."""
    images = [{"id": i, "file_name": name, "width": 48, "height": 48} for i, name in enumerate(names)]
    points = [v for k in range(len(named)) for v in (k + 1, 5, 2)]
    entries = [{"id": i, "image_id": i, "category_id": 1, "keypoints": points, **more} for i in range(len(names))]
    category = {"id": 1, "name": "bird", "keypoints": named}
    file = folder / "coarse.json"
    file.write_text(json.dumps({"images": images, "annotations": entries, "categories": [category]}))
    photographs = {name: folder / "photos" / name for name in ("a.png", "b/c.png")}
    return read_labels(schema, Crop(), photographs, {"coco": file})


def test_labels_go_to_the_photographs_that_they_name(tmp_path: Path) -> None:
    found = read(tmp_path, ["a.png", "b/../b/c.png", "elsewhere.png"], ["beak", "crown"], bbox=[1, 2, 3, 4])
    assert {name: one.use for name, (one,) in found.objects.items()} == {
        "a.png": {"keypoints", "box"},
        "b/c.png": {"keypoints", "box"},
    }
    assert found.objects["a.png"][0].image == tmp_path / "photos" / "a.png"
    assert (found.problems, found.elsewhere, found.styles()) == ([], 1, {"keypoints", "box"})


def test_a_misspelt_photograph_is_an_error_with_the_right_name(tmp_path: Path) -> None:
    found = read(tmp_path, ["a.jpg"], ["beak", "crown"])
    (problem,) = found.problems
    assert problem.severity == "error" and "(there is a.png)" in problem.message and not found.objects


@pytest.mark.parametrize("name", ["photos/a.png", "photos\\a.png", "0a1b2c3d-a.png"])
def test_a_photograph_that_is_written_otherwise_is_the_one_that_fits(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, [name], ["beak", "crown"])
    (problem,) = found.problems
    assert problem.severity == "note" and "taken for the one that fits" in problem.message
    assert list(found.objects) == ["a.png"]


def test_keypoints_that_the_model_does_not_know_are_told(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, ["a.png"], ["beak", "corwn"]).problems
    assert problem.severity == "error"
    assert "keypoint 'corwn' is none of the model's; did you mean 'crown'?" in str(problem)
    (problem,) = read(tmp_path, ["a.png"], ["beak", "crown", "toe"]).problems
    assert problem.severity == "note" and "keypoints toe are none of the model's; they are left out" in str(problem)
    (problem,) = read(tmp_path, ["a.png"], ["crown"]).problems
    assert problem.severity == "note" and "has no keypoints beak" in str(problem)


def test_a_model_without_keypoints_takes_them_to_find_the_object(tmp_path: Path) -> None:
    found = read(tmp_path, ["a.png"], ["toe", "heel"], SCHEMA.model_copy(update={"keypoints": ()}))
    assert found.objects["a.png"][0].schema.keypoints == ("toe", "heel") and not found.problems


def test_objects_without_a_label_that_can_be_used_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, ["a.png", "b/c.png"], ["beak", "crown"], keypoints=[0] * 6)
    assert not found.objects and "2 objects have no keypoints that the model knows" in str(found.problems[0])


def test_a_missing_file_is_told_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is missing; name a COCO file with --labels part_boxes=PATH"):
        read_labels(SCHEMA, Crop(), {}, {"part_boxes": tmp_path / "none.json"})


@pytest.mark.parametrize("name", ["labelme", "yolo"])
def test_an_export_may_be_a_folder(tmp_path: Path, name: str) -> None:
    categories = [{"id": 1, "name": "bird", "keypoints": ["beak", "crown"]}]
    image = {"id": 1, "file_name": "a.png", "width": 48, "height": 40}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2, 8, 9, 2], "group": "bird"}
    export = write_export(name, Document([image], categories, [entry]), tmp_path)
    place = export / "images" if name == "yolo" else tmp_path / "photos"
    place.mkdir()
    Image.new("RGB", (48, 40)).save(place / "a.png")
    found = read_labels(SCHEMA, Crop(), {"a.png": place / "a.png"}, {"coco": export})
    assert "keypoints" in found.objects["a.png"][0].use and not errors(found.problems)


def test_a_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"project": {"vid_list": []}}')
    (problem,) = read_labels(SCHEMA, Crop(), {}, {"coco": tmp_path / "a.json"}).problems
    assert "VGG Image Annotator" in problem.message and problem.severity == "error"
