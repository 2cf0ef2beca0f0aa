"""CVAT for images: what people draw there arrives as it was drawn, and goes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from documents import documents, objects_of
from hypothesis import given, settings
from hypothesis import strategies as st
from judges import asked
from PIL import Image
from pycocotools import mask as coco_mask

from coarseparts.data.conversion import convert
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats import cvat
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import BadInput

LABELS = """<meta><task><labels>
<label><name>ant</name><type>skeleton</type></label>
<label><name>head</name><type>points</type><parent>ant</parent></label>
<label><name>tail</name><type>points</type><parent>ant</parent></label>
<label><name>leg</name><type>points</type><parent>ant</parent></label>
</labels></task></meta>"""


def written(folder: Path, shapes: str, about: str = 'name="a.png" width="20" height="10"') -> Path:
    path = folder / "annotations.xml"
    image = f'<image id="0" {about}>{shapes}</image>'
    path.write_text(
        f"<?xml version='1.0' encoding='utf-8'?>\n<annotations><version>1.1</version>{LABELS}{image}</annotations>"
    )
    return path


def read(folder: Path, shapes: str) -> Document:
    path = written(folder, shapes)
    assert cvat.recognises(path) and cvat.recognises(folder)
    return cvat.read(path)


def test_a_skeleton_has_its_points_by_name_outside_and_occluded(tmp_path):
    document = read(
        tmp_path,
        '<skeleton label="ant" group_id="4"><points label="tail" outside="0" occluded="1" points="1.5,2.5"/>'
        '<points label="head" outside="0" occluded="0" points="3,4"/>'
        '<points label="leg" outside="1" occluded="0" points="9,9"/></skeleton>',
    )
    (one,) = document.annotations
    assert document.categories == [{"id": 1, "name": "ant", "keypoints": ["head", "tail", "leg"]}]
    assert one["keypoints"] == [3, 4, 2, 1.5, 2.5, 1, 0, 0, 0] and one["group"] == "4"
    assert document.images == [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}]


def test_a_mask_runs_along_the_rows_of_its_own_box(tmp_path):
    document = read(tmp_path, '<mask label="head" left="2" top="3" width="3" height="2" rle="1, 2, 2, 1"/>')
    mask = draw(document.annotations[0]["segmentation"], (20, 10))
    assert np.argwhere(mask).tolist() == [[3, 3], [3, 4], [4, 4]]


def test_boxes_ellipses_and_points_are_read_and_lines_are_told(tmp_path):
    document = read(
        tmp_path,
        '<box label="ant" xtl="4" ytl="4" xbr="8" ybr="6" rotation="90"/>'
        '<ellipse label="ant" cx="5" cy="5" rx="3" ry="2"/>'
        '<points label="head" points="1,2"/><points label="tail" points="3,2" occluded="1"/>'
        '<points label="ant" points="1,2;3,4"/><polyline label="ant" points="1,2;3,4"/>',
    )
    box, oval, points = document.annotations
    assert np.allclose(box["bbox"], [5, 3, 2, 4])
    assert draw(oval["segmentation"], (20, 10)).sum() == pytest.approx(np.pi * 6, rel=0.1)
    assert points["keypoints"] == [1, 2, 2, 3, 2, 1]
    told = " ".join(p.message for p in document.problems)
    assert {p.severity for p in document.problems} == {"note"}
    assert "1 boxes are turned" in told and "polyline" in told and "several points" in told


def test_shapes_of_a_higher_z_order_come_later(tmp_path):
    shapes = "".join(
        f'<polygon label="{n}" points="1,1;5,1;5,5" z_order="{z}"/>' for n, z in zip("abc", (2, -1, 0), strict=True)
    )
    document = read(tmp_path, shapes)
    names = {one["id"]: one["name"] for one in document.categories}
    assert [names[one["category_id"]] for one in document.annotations] == ["b", "c", "a"]


@pytest.mark.parametrize(
    "shape, said",
    [
        ('<mask label="a" left="0" top="0" width="2" height="2" rle="1,2"/>', "add up to 3, expected 4"),
        ('<mask label="a" left="0" top="0" width="9999999" height="9999999" rle="1"/>', "a mask of 9,999,999"),
        ('<mask label="a" left="90" top="0" width="2" height="2" rle="0,4"/>', "empty"),
        ('<polygon label="a" points="1,1;2,2"/>', "2 corners"),
        ('<polygon label="a" points="nan,1;2,2;3,3"/>', "expected x,y;x,y"),
        ('<box label="a" xtl="4" ytl="x" xbr="8" ybr="6"/>', "ytl is 'x'"),
        ('<points label="a" points="1,1"/><points label="a" points="2,2"/>', "a stand several times"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, shape, said):
    document = read(tmp_path, shape)
    (problem,) = document.problems
    assert said in problem.message and "a.png" in problem.message and problem.remedy and problem.severity == "error"
    assert document.annotations == []


def test_entities_links_tracks_and_other_xml_are_refused(tmp_path):
    bomb = '<!DOCTYPE annotations [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
    for text, said in (
        (f"{bomb}<annotations><version>&b;</version></annotations>", "declares a document type"),
        ("<annotations><version>1.1</version><track id='0'/></annotations>", "CVAT for video"),
        ("<annotations><version>1.1</version>", "not valid XML"),
        ("<annotations>" + "<meta>" * 500, "nested too deeply"),
        ("<other/>", "expected annotations"),
    ):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(BadInput, match=said):
            cvat.read(tmp_path / "a.xml")


def test_images_of_one_name_in_several_tasks_are_told(tmp_path):
    one = '<image name="a.png" width="9" height="9">{}</image>'
    box = '<box label="ant" xtl="1" ytl="1" xbr="{}" ybr="5"/>'
    for shapes, count in (((box.format(5), box.format(6)), 0), ((box.format(5), ""), 1), ((box.format(5),) * 2, 1)):
        images = "".join(one.format(shape) for shape in shapes)
        (tmp_path / "a.xml").write_text(f"<annotations><version>1.1</version>{images}</annotations>")
        document = cvat.read(tmp_path / "a.xml")
        assert len(document.annotations) == count
        assert ["a.png stands there 2 times" in p.message for p in document.problems] == [True] * (not count)


def single(found: dict) -> dict:
    """Objects with each polygon by itself, labels of shapes under their category's name: so CVAT has them."""

    def apart(figures: list) -> list:
        rings = [(c, t, (ring,)) for c, t, v in figures if t == "polygons" for ring in v]
        return sorted(
            (c.removesuffix(" shape"), t, v) for c, t, v in [f for f in figures if f[1] != "polygons"] + rings
        )

    return {name: sorted(((apart(f), p) for f, p in objects), key=repr) for name, objects in found.items()}


@settings(max_examples=40, deadline=None)
@given(documents())
def test_what_is_written_is_read_again(tmp_path_factory, document):
    out = tmp_path_factory.mktemp("cvat") / "annotations.xml"
    cvat.write(document, out)
    again = cvat.read(out)
    assert again.problems == [] and cvat.recognises(out)
    assert single(objects_of(again)) == single(objects_of(document))


def test_what_xml_cannot_hold_is_refused_before_writing(tmp_path):
    document = Document([{"id": 1, "file_name": "a\x01.png", "width": 3, "height": 3}], [], [])
    with pytest.raises(BadInput, match="cannot be written in XML"):
        cvat.write(document, tmp_path / "a.xml")
    assert not list(tmp_path.iterdir())


def test_datumaro_reads_the_masks_and_groups_that_are_written(tmp_path):
    mask = np.zeros((10, 20), bool)
    mask[3:6, 4:9], mask[4, 5] = True, False
    code = {"size": [10, 20], "counts": coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()}
    image = {"id": 1, "file_name": "a.png", "width": 20, "height": 10}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "group": "x"}
    parts = [entry | {"segmentation": code}, entry | {"id": 2, "segmentation": [[1, 1, 5, 1, 5, 4]]}]
    cvat.write(Document([image], [{"id": 1, "name": "head"}], parts), tmp_path / "annotations.xml")
    (tmp_path / "images").mkdir()
    from PIL import Image

    Image.new("RGB", (20, 10)).save(tmp_path / "images" / "a.png")
    script = """
import json, sys
from datumaro.components.dataset import Dataset
(item,) = Dataset.import_from(sys.argv[1], "cvat")
print(json.dumps([[a.type.name, a.group, a.image.tolist() if a.type.name == "mask" else list(a.points)]
                  for a in item.annotations]))
"""
    (kind, group, pixels), (other, same, points) = asked("datumaro", script, tmp_path)
    assert (kind, other) == ("mask", "polygon") and group == same != 0
    assert (np.array(pixels, bool) == mask).all() and points == [1, 1, 5, 1, 5, 4]


def test_cvat_s_own_library_decodes_the_masks_that_are_written_and_what_it_encodes_is_read(tmp_path):
    mask = np.random.default_rng(0).random((10, 20)) < 0.5
    code = {"size": [10, 20], "counts": coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": code}
    image = {"id": 1, "file_name": "a.png", "width": 20, "height": 10}
    cvat.write(Document([image], [{"id": 1, "name": "head"}], [entry]), tmp_path / "annotations.xml")
    script = """
import json, sys
from xml.etree import ElementTree
from cvat_sdk.masks import decode_mask, encode_mask
one = next(ElementTree.parse(sys.argv[1]).getroot().iter("mask"))
left, top, width, height = (int(one.get(key)) for key in ("left", "top", "width", "height"))
runs = [int(run) for run in one.get("rle").split(",")]
mask = decode_mask([*runs, left, top, left + width - 1, top + height - 1], image_width=20, image_height=10)
print(json.dumps([mask.tolist(), [int(number) for number in encode_mask(mask)]]))
"""
    pixels, (*runs, left, top, right, bottom) = asked("cvat_sdk", script, tmp_path / "annotations.xml")
    assert (np.array(pixels) == mask).all()
    place = f'left="{left}" top="{top}" width="{right - left + 1}" height="{bottom - top + 1}"'
    (again,) = read(tmp_path, f'<mask label="head" rle="{", ".join(map(str, runs))}" {place}/>').annotations
    assert (draw(again["segmentation"], (20, 10)) == mask).all()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_is_told_and_never_a_crash(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cvat")
    shapes = (
        '<skeleton label="ant"><points label="head" outside="0" points="3,4"/></skeleton>'
        '<mask label="head" left="2" top="3" width="3" height="2" rle="1, 2, 2, 1" z_order="1"/>'
        '<box label="ant" xtl="4" ytl="4" xbr="8" ybr="6" rotation="9"/><points label="a" points="1,1"/>'
    )
    text = written(folder, shapes).read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        more = data.draw(st.sampled_from(["", "-", "9" * 30, "nan", "&b;", "<", '"', "\x00", "label=", "1e9"]))
        text = text[:at] + more + text[at + data.draw(st.integers(0, 6)) :]
    (folder / "annotations.xml").write_text(text)
    try:
        document = cvat.read(folder)
    except BadInput as bad:
        assert all(problem.remedy for problem in bad.problems)
    else:
        assert all(problem.remedy or problem.severity == "note" for problem in document.problems)


def test_what_datumaro_writes_is_read(tmp_path):
    script = """
import json, sys
import numpy as np
from datumaro.components.annotation import Bbox, Polygon
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
shapes = [Polygon([1, 1, 5, 1, 5, 4], label=1, group=3), Bbox(2, 3, 6, 4, label=0, group=3)]
item = DatasetItem("a", media=Image.from_numpy(np.zeros((10, 20, 3), np.uint8)), annotations=shapes)
Dataset.from_iterable([item], categories=["ant", "head"]).export(sys.argv[1], "cvat", save_media=True)
print("true")
"""
    assert asked("datumaro", script, tmp_path / "out")
    (file,) = (tmp_path / "out").glob("*.xml")
    assert cvat.recognises(file)
    document = cvat.read(file)
    names = {one["id"]: one["name"] for one in document.categories}
    found = {names[one["category_id"]]: one for one in document.annotations}
    assert found["head"]["segmentation"] == [[1, 1, 5, 1, 5, 4]] and found["ant"]["bbox"] == [2, 3, 6, 4]
    assert found["head"]["group"] == found["ant"]["group"] == "3"


def test_attributes_and_subsets_that_may_be_meant_are_told(tmp_path):
    shapes = "".join(
        f'<polygon label="part" points="{x},1;{x + 3},1;{x + 3},5"><attribute name="which">{name}</attribute>'
        '<attribute name="seen">yes</attribute></polygon>'
        for x, name in ((1, "head"), (6, "rump"))
    )
    notes = [problem for problem in read(tmp_path, shapes).problems if "attribute" in problem.message]
    assert [f"{note.severity}: {note.message}" for note in notes] == [
        "note: shapes of the label part differ in the attribute which (head, rump), which is not read"
    ]
    path = written(tmp_path, shapes, 'name="a.png" width="20" height="10" subset="Train"')
    image = '<image id="1" name="b.png" width="20" height="10" subset="Validation"/>'
    path.write_text(path.read_text().replace("</annotations>", f"{image}</annotations>"))
    assert any("of the subsets Train (1), Validation (1)" in note.message for note in cvat.read(path).problems)


def test_a_part_of_a_higher_z_order_lies_over_smaller_ones(tmp_path):
    big, small = "0,0;16,0;16,8;0,8", "2,2;6,2;6,6;2,6"

    def parts(z: int, **more) -> np.ndarray:
        folder = tmp_path / f"{z}"
        folder.mkdir(exist_ok=True)
        shapes = f'<polygon label="wing" points="{big}" z_order="{z}"/>'
        shapes += f'<polygon label="leg" points="{small}" z_order="0"/>'
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (10, 20, 3), np.uint8)).save(folder / "a.png")
        written(folder, shapes)
        if more:
            convert(folder / "annotations.xml", folder / more["to"], more["to"], folder)
        labels = more.get("to", "annotations.xml")
        source = f"{{split: train, images: ., labels: {labels}}}"
        (folder / "d.yaml").write_text(f"parts: [leg, wing]\nsources: [{source}]\n")
        (record,) = read_dataset(load_dataset_file(folder / "d.yaml"))[0]
        return record.load()[0].parts

    assert (parts(0) == 1).sum() == 16, "the smaller one where nothing says otherwise"
    assert (parts(3) == 1).sum() == 0 and (parts(3) == 2).sum() == 128 and (parts(-1) == 1).sum() == 16
    assert (parts(3, to="cvat") == 1).sum() == 0, "and back"


def test_attributes_say_that_points_are_hidden_and_shapes_outside_are_not_there(tmp_path):
    points = '<points label="{}" points="1.5,2.5"><attribute name="{}">{}</attribute></points>'
    told = [("tail", "occluded", "true"), ("head", "visibility", "visible"), ("leg", "state", "Not visible")]
    skeleton = f'<skeleton label="ant">{"".join(points.format(*each) for each in told)}</skeleton>'
    outside = '<polygon label="rump" outside="1" points="1,1;5,1;5,5"/>'
    found = read(tmp_path, skeleton + outside + points.format("eye", "Hidden", "false"))
    assert [entry["keypoints"][2::3] for entry in found.annotations] == [[2, 1, 1], [2]]
    assert "1 shapes of tracks are outside their image" in str(found.problems[0])


def test_points_of_several_skeletons_that_are_called_by_the_same_numbers_are_told(tmp_path):
    skeletons = '<skeleton label="{}"><points label="1" points="1,2"/><points label="{}" points="3,4"/></skeleton>'
    found = read(tmp_path, skeletons.format("front", "2") + skeletons.format("back", "3"))
    (note,) = found.problems
    assert note.severity == "note" and "the skeletons front, back have points called 1, taken" in note.message
    named = skeletons.replace('1"', 'eye"')
    assert not read(tmp_path, named.format("male", "tail") + named.format("female", "tail")).problems
