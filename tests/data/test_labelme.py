"""labelme: a JSON file an image, with shapes of all kinds, read and written."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import damaged, documents, objects_of
from hypothesis import given, settings
from hypothesis import strategies as st
from judges import asked
from PIL import Image
from test_cvat import single

from coarseparts.data.formats import labelme
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw
from coarseparts.system.problems import BadInput


def shape(label: str, kind: str, *points: list[float], **more: Any) -> dict:
    return {"label": label, "shape_type": kind, "points": list(points), "group_id": None, "flags": {}} | more


def written(folder: Path, *shapes: Any, name: str = "a.json", path: str = "a.png") -> Path:
    about = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": path, "imageData": None}
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(about | {"imageHeight": 10, "imageWidth": 20}))
    return file


def picture(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_shapes_of_all_kinds_are_read(tmp_path):
    mask = np.array([[True, False], [True, True]])
    written(
        tmp_path,
        shape("head", "polygon", [1, 1], [5, 1], [5, 5]),
        shape("ant", "rectangle", [8, 6], [2, 3]),
        shape("ant", "circle", [10, 5], [13, 5]),
        shape("tail", "mask", [18, 8], [19, 9], mask=picture(mask)),
        shape("eye", "point", [3, 4], group_id=2),
        shape("foot", "point", [4, 4], group_id=2, flags={"occluded": True}),
        shape("ant", "linestrip", [1, 1], [2, 2]),
    )
    assert labelme.recognises(tmp_path)
    document = labelme.read(tmp_path)
    polygon, box, circle, drawn, points = document.annotations
    assert polygon["segmentation"] == [[1, 1, 5, 1, 5, 5]] and box["bbox"] == [2, 3, 6, 3]
    assert draw(circle["segmentation"], (20, 10)).sum() == pytest.approx(np.pi * 9, rel=0.1)
    assert np.argwhere(draw(drawn["segmentation"], (20, 10))).tolist() == [[8, 18], [9, 18], [9, 19]]
    assert points["keypoints"] == [3, 4, 2, 4, 4, 1] and points["group"] == "2"
    assert [p.severity for p in document.problems] == ["note"] and "linestrip" in document.problems[0].message


@pytest.mark.parametrize(
    "path, name",
    [
        ("C:\\Users\\me\\photos\\a.png", "a.png"),
        ("/home/me/a.png", "a.png"),
        ("../images/a.png", "images/a.png"),
        ("..\\a.png", "a.png"),
    ],
)
def test_the_path_of_another_machine_leads_nowhere_else(tmp_path, path, name):
    document = labelme.read(written(tmp_path, path=path))
    assert [one["file_name"] for one in document.images] == [name]


def test_files_in_folders_name_images_there(tmp_path):
    written(tmp_path, name="one/a.json")
    written(tmp_path, name="two/a.json", path="/elsewhere/a.png")
    (tmp_path / "settings.json").write_text("{}")
    assert [one["file_name"] for one in labelme.read(tmp_path).images] == ["one/a.png", "two/a.png"]


@pytest.mark.parametrize(
    "bad, said",
    [
        (shape("a", "polygon", [1, 1], [2, 2]), "expected 3 or more"),
        (shape("a", "mask", [1, 1], mask="!!"), "mask cannot be read"),
        (shape("a", "mask", [1, 1], mask=base64.b64encode(b"x" * 50).decode()), "mask cannot be read"),
        (shape("a", "rectangle", [1, 1], [1, 5]), "without an area"),
        (shape("", "point", [1, 1]), "label is ''"),
        (5, "expected an object"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, bad, said):
    file = written(tmp_path, bad)
    (problem,) = labelme.read(file).problems
    assert said in problem.message and problem.file == str(file) and problem.remedy and problem.severity == "error"


@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
@pytest.mark.parametrize("names", [("eye", "eye"), ("eye", "tail")])
def test_points_that_no_group_ties_belong_to_the_figure_that_they_lie_in(tmp_path, kind, names):
    corners = [[[x, 1], [x + 8, 9]] if kind == "rectangle" else [[x, 1], [x + 8, 1], [x + 8, 9]] for x in (1, 11)]
    shapes = [shape("ant", kind, *own) for own in corners]
    for x in (5, 15):  # a part of each, which holds its point as well
        shapes.append(shape("head", "polygon", [x, 2], [x + 3, 2], [x + 3, 6]))
    shapes += [shape(name, "point", [x, 3]) for name, x in zip(names, (6, 16), strict=True)]
    document = labelme.read(written(tmp_path, *shapes))
    groups = [entry.get("group") for entry in document.annotations if entry["category_id"] != 2]
    apart = kind == "rectangle" or names[0] == names[1]
    assert len(groups) == (4 if apart else 3) and (groups[:2] == groups[2:]) == apart
    assert not [p for p in document.problems if p.severity == "error"]
    assert any("in which they lie" in p.message for p in document.problems) == apart


def test_an_image_that_was_renamed_with_its_file_is_the_one_beside_it(tmp_path):
    for name in ("one/a", "two/b"):
        written(tmp_path, name=f"{name}.json", path="DSC_1.png")
        Image.new("RGB", (20, 10)).save(tmp_path / f"{name}.PNG")
    document = labelme.read(tmp_path)
    assert [one["file_name"] for one in document.images] == ["one/a.PNG", "two/b.PNG"]
    (note,) = document.problems
    assert note.severity == "note" and note.message.startswith("2 files name an image that is not there")
    Image.new("RGB", (20, 10)).save(tmp_path / "one/DSC_1.png")
    document = labelme.read(tmp_path)
    assert [one["file_name"] for one in document.images] == ["one/DSC_1.png", "two/b.PNG"]
    assert any("1 files name another image than the one beside them" in p.message for p in document.problems)


def test_two_files_of_one_image_are_told(tmp_path):
    written(tmp_path)
    written(tmp_path, name="b.json")
    assert ["a second file of the image a.png" in p.message for p in labelme.read(tmp_path).problems] == [True]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_told_and_never_a_crash(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("labelme")
    whole = json.loads(written(folder, shape("a", "point", [1, 1]), shape("a", "mask", [1, 1], mask="xx")).read_text())
    (folder / "a.json").write_text(json.dumps(data.draw(damaged(whole))))
    try:
        assert isinstance(labelme.read(folder), Document)
    except BadInput as bad:
        assert all(problem.remedy for problem in bad.problems)


@settings(max_examples=40, deadline=None)
@given(documents())
def test_what_is_written_is_read_again(tmp_path_factory, document):
    out = tmp_path_factory.mktemp("labelme") / "out"
    labelme.write(document, out)
    again = labelme.read(out)
    assert again.problems == [] and labelme.recognises(out)
    assert single(objects_of(again)) == single(objects_of(document))


def test_a_folder_with_corrected_files_is_not_written_over(tmp_path):
    written(tmp_path)
    with pytest.raises(BadInput, match="new or empty folder"):
        labelme.write(Document([{"id": 1, "file_name": "b.png", "width": 3, "height": 3}], [], []), tmp_path)


def test_labelme_reads_what_is_written(tmp_path):
    mask = np.zeros((10, 20), bool)
    mask[3:6, 4:9] = True
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    from documents import rle

    image = {"id": 1, "file_name": "a.png", "width": 20, "height": 10, "path": str(tmp_path / "a.png")}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "group": "x", "segmentation": rle(mask), "score": 0.5}
    labelme.write(Document([image], [{"id": 1, "name": "head"}], [entry]), tmp_path / "out")
    script = """
import json, sys
from labelme import _label_file as files
whole = json.load(open(sys.argv[1]))
shapes = [files._load_shape_json_obj(one) for one in whole["shapes"]]
import os
print(json.dumps([os.path.isfile(os.path.join(os.path.dirname(sys.argv[1]), whole["imagePath"])),
                  [[s["label"], s["group_id"], s["points"], s["mask"].tolist()] for s in shapes]]))
"""
    there, ((label, group, points, pixels),) = asked("labelme", script, tmp_path / "out" / "a.json")
    assert there and (label, group, points) == ("head", 1, [[4, 3], [8, 5]]) and np.array(pixels).shape == (3, 5)


def test_files_that_end_in_capitals_are_one_export(tmp_path):
    for name in ("a", "b"):
        written(tmp_path, shape(f"eye {name}", "point", [1, 2]), name=f"{name}.JSON", path=f"{name}.png")
    found = labelme.read(tmp_path)
    assert [entry["keypoints"] for entry in found.categories] == [["eye a", "eye b"]]


@pytest.mark.parametrize(
    ("more", "visibility"),
    [
        ({"flags": {"Not visible": True}}, 1),
        ({"flags": {"visible": False}}, 1),
        ({"flags": {"visible": True, "invisible": False}}, 2),
        ({"attributes": {"visibility": "occluded"}}, 1),
        ({"description": "hidden"}, 1),
        ({"difficult": True}, 1),
        ({"difficult": False, "description": "hidden half", "flags": {"occluded": False}}, 2),
    ],
)
def test_however_it_is_said_that_a_point_cannot_be_seen(tmp_path, more, visibility):
    written(tmp_path, shape("eye", "point", [3, 4], **more))
    assert labelme.read(tmp_path).annotations[0]["keypoints"] == [3, 4, visibility]


def test_the_photograph_in_a_file_says_how_large_it_is_where_nothing_else_does(tmp_path):
    file = written(tmp_path, shape("head", "polygon", [1, 1], [5, 1], [5, 5]))
    upright, turned = (photograph(tmp_path, orientation) for orientation in (1, 6))
    for data, size in ((upright, (30, 20)), (turned, (None, None)), ("damaged", (None, None)), (None, (None, None))):
        about = json.loads(file.read_text()) | {"imageHeight": None, "imageWidth": None, "imageData": data}
        file.write_text(json.dumps(about))
        (image,) = labelme.read(tmp_path).images
        assert (image["width"], image["height"]) == size


def photograph(folder: Path, orientation: int) -> str:
    image, tags = Image.new("RGB", (30, 20)), Image.Exif()
    tags[0x0112] = orientation
    image.save(folder / "photograph.jpg", exif=tags)
    return base64.b64encode((folder / "photograph.jpg").read_bytes()).decode()


def test_turned_rectangles_groups_of_whole_floats_and_masks_of_another_size(tmp_path):
    corners = [2, 4], [6, 2], [8, 5], [4, 7]
    mask = shape("tail", "mask", [1, 1], [4, 3], mask=picture(np.ones((6, 8), bool)))
    written(tmp_path, shape("ant", "oriented_rectangle", *corners, group_id=1.0), shape("eye", "point", [3, 4]), mask)
    found = labelme.read(tmp_path)
    assert found.annotations[0]["segmentation"] == [[2, 4, 6, 2, 8, 5, 4, 7]] and found.annotations[0]["group"] == "1"
    assert "shape 3: its mask has 8x6 pixels, and its box 3x2" in str(found.problems[0])
