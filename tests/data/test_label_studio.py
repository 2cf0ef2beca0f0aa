"""Label Studio: objects come as a person tied them, in pixels; nothing is read otherwise in silence."""

import base64
import io
import json
import math
import time

import numpy as np
import pytest
from documents import damaged, objects_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from coarseparts.data.formats import label_studio, label_studio_rle
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw
from coarseparts.system.problems import BadInput, errors

SIZE = (200, 100)


def region(key: str, kind: str, labels: list[str], **value) -> dict:
    """A result as Label Studio writes it, of an image of 200 x 100 pixels."""
    own = {"id": key, "type": kind, "original_width": 200, "original_height": 100, "image_rotation": 0}
    tied = {name: value.pop(name) for name in ("parentID", "meta", "score") if name in value}
    return own | tied | {"from_name": "x", "to_name": "image", "value": value | {kind: labels}}


def point(key: str, name: str, x: float, y: float, **tied) -> dict:
    return region(key, "keypointlabels", [name], x=x, y=y, width=0.5, **tied)


def box(key: str, label: str, x: float, y: float, width: float, height: float, **tied) -> dict:
    return region(key, "rectanglelabels", [label], x=x, y=y, width=width, height=height, **{"rotation": 0} | tied)


def task(*results: dict, image: str = "/data/upload/7/0a1b2c3d-ant.jpg", **more) -> dict:
    return {"id": 1, "data": {"image": image}, "annotations": [{"id": 5, "result": list(results)}]} | more


def read(tmp_path, *tasks: dict) -> Document:
    file = tmp_path / "export.json"
    file.write_text(json.dumps(tasks))
    assert label_studio.recognises(file)
    return label_studio.read(file)


def said(document: Document) -> str:
    return "\n".join(map(str, document.problems))


def test_percent_becomes_pixels(tmp_path):
    polygon = region("p", "polygonlabels", ["head"], points=[[0, 0], [10, 0], [10, 20]], closed=True)
    found = read(tmp_path, task(box("b", "ant", 10, 20, 30, 40), polygon))
    assert found.images == [{"id": 1, "file_name": "0a1b2c3d-ant.jpg", "width": 200, "height": 100}]
    first, second = found.annotations
    assert first["bbox"] == pytest.approx([20, 20, 60, 40])
    assert second["segmentation"] == [pytest.approx([0, 0, 20, 0, 20, 20])]
    assert [entry["name"] for entry in found.categories] == ["ant", "head"]
    assert "group" not in first and found.problems == []


def test_predictions_that_an_export_names_by_number_say_nothing(tmp_path):
    document = read(tmp_path, task(box("a", "ant", 10, 20, 30, 40), predictions=[12, 13]))
    assert len(document.annotations) == 1


def test_a_parent_holds_its_object_together(tmp_path):
    found = read(
        tmp_path,
        task(
            box("a", "ant", 0, 0, 40, 100),
            point("a1", "head", 10, 10, parentID="a"),
            point("a2", "tail", 20, 50, parentID="a", meta={"text": ["hidden"]}),
            region("a3", "polygonlabels", ["eye"], points=[[1, 1], [2, 1], [2, 2]], parentID="a"),
            box("b", "ant", 50, 0, 40, 100),
            point("b1", "tail", 70, 10, parentID="b"),
        ),
    )
    objects = objects_of(found)["0a1b2c3d-ant.jpg"]
    assert [([figure[0] for figure in figures], points) for figures, points in objects] == [
        (["ant", "eye"], [("head", (20, 10, 2)), ("tail", (40, 50, 1))]),
        (["ant"], [("tail", (140, 10, 2))]),
    ]
    of_ants = [entry for entry in found.annotations if entry["category_id"] == 1]
    assert [entry["keypoints"] for entry in of_ants] == [[20, 10, 2, 40, 50, 1], [0, 0, 0, 140, 10, 2]]


def test_relations_hold_an_object_together(tmp_path):
    tied = [{"type": "relation", "from_id": key, "to_id": "b", "direction": "right"} for key in ("h", "m")]
    mask = np.zeros((100, 200), bool)
    mask[20:40, 30:60] = True
    brush = region("m", "brushlabels", ["thorax"], format="rle", rle=label_studio_rle.encode(mask))
    found = read(tmp_path, task(box("b", "ant", 0, 0, 50, 50), point("h", "head", 10, 10), brush, *tied))
    ant, thorax = found.annotations
    assert ant["keypoints"] == [20, 10, 2] and ant["group"] == thorax["group"]
    np.testing.assert_array_equal(draw(thorax["segmentation"], SIZE), mask)


def test_boxes_of_one_label_stay_two_objects(tmp_path):
    tied = {"type": "relation", "from_id": "a", "to_id": "b"}
    found = read(tmp_path, task(box("a", "ant", 0, 0, 20, 20), box("b", "ant", 50, 0, 20, 20), tied))
    assert ["group" in entry for entry in found.annotations] == [False, False]
    assert "taken for two objects" in said(found)


def test_keypoints_that_nothing_ties_are_one_object_where_no_name_comes_twice(tmp_path):
    (only,) = read(tmp_path, task(point("1", "head", 10, 10), point("2", "tail", 20, 20))).annotations
    assert only["keypoints"] == [20, 10, 2, 40, 20, 2]


def test_keypoints_that_nothing_ties_belong_to_the_box_that_they_lie_in(tmp_path):
    boxes = box("a", "ant", 0, 0, 40, 100), box("b", "ant", 50, 0, 50, 100)
    for names in (("head", "head"), ("head", "tail")):
        found = read(tmp_path, task(*boxes, point("1", names[0], 10, 10), point("2", names[1], 60, 20)))
        both = [[numbers for _, numbers in points] for _, points in objects_of(found)["0a1b2c3d-ant.jpg"]]
        assert both == [[(20, 10, 2)], [(120, 20, 2)]]
        assert "in which they lie" in said(found)


def test_keypoints_of_several_objects_that_nothing_tells_apart_are_an_error(tmp_path):
    found = read(tmp_path, task(point("1", "head", 10, 10), point("2", "head", 60, 20), box("a", "ant", 0, 0, 90, 90)))
    assert [problem.severity for problem in found.problems] == ["error"] and "head" in said(found)
    assert all("keypoints" not in entry for entry in found.annotations)


def test_a_turned_box_becomes_the_upright_box_around_it(tmp_path):
    # 30 percent of 200 pixels wide, turned a quarter about its corner (60, 20): 20 pixels to the left, 60 down.
    found = read(tmp_path, task(box("b", "ant", 30, 20, 30, 20, rotation=90)))
    assert found.annotations[0]["bbox"] == pytest.approx([40, 20, 20, 60])
    assert "turned" in said(found)


def test_an_ellipse_becomes_a_polygon_of_its_area(tmp_path):
    ellipse = region("e", "ellipselabels", ["eye"], x=50, y=50, radiusX=10, radiusY=30, rotation=90)
    (only,) = read(tmp_path, task(ellipse)).annotations
    corners = np.array(only["segmentation"][0]).reshape(-1, 2)
    np.testing.assert_allclose(np.abs(corners - [100, 50]).max(0), [30, 20], atol=1e-9)
    assert draw(only["segmentation"], SIZE).sum() == pytest.approx(math.pi * 20 * 30, rel=0.02)


def test_a_bitmask_is_what_is_not_transparent(tmp_path):
    pixels = np.zeros((100, 200, 4), np.uint8)
    pixels[10:20, 30:50, 3] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    found = read(tmp_path, task(region("m", "bitmasklabels", ["ant"], imageDataURL=url)))
    np.testing.assert_array_equal(draw(found.annotations[0]["segmentation"], SIZE), pixels[..., 3] > 0)


def test_shape_and_label_may_come_as_two_results_of_one_region(tmp_path):
    shape = box("b", "ant", 10, 20, 30, 40)
    shape = shape | {"type": "rectangle", "value": {k: v for k, v in shape["value"].items() if k != "rectanglelabels"}}
    label = shape | {"type": "labels", "value": shape["value"] | {"labels": ["ant"]}}
    choice = shape | {"type": "choices", "value": shape["value"] | {"choices": ["occluded"]}}
    found = read(tmp_path, task(shape, label, choice))
    assert objects_of(found) == {"0a1b2c3d-ant.jpg": [([("ant", "box", (20, 20, 60, 40))], [])]}


def test_the_last_annotation_counts_that_was_not_cancelled(tmp_path):
    of = [{"created_at": f"2026-0{i}-01", "result": [box("b", "ant", i, 0, 50, 50)]} for i in (1, 3, 2, 4)]
    of[3]["was_cancelled"] = True
    of_task = task(annotations=of, predictions=[{"result": [box("b", "bee", 0, 0, 9, 9)]}])
    found = read(tmp_path, of_task)
    assert [entry["bbox"][0] for entry in found.annotations] == [6]
    assert "several annotations" in said(found) and [entry["name"] for entry in found.categories] == ["ant"]


def test_predictions_count_where_nobody_annotated_anything(tmp_path):
    guess = task(annotations=[], predictions=[{"result": [box("b", "ant", 0, 0, 50, 50, score=0.25)]}], image="x/a.jpg")
    found = read(tmp_path, guess)
    assert found.annotations[0]["score"] == 0.25 and "predictions are used" in said(found)
    found = read(tmp_path, guess, task(box("b", "ant", 0, 0, 50, 50), image="x/b.jpg"))
    assert [entry["image_id"] for entry in found.annotations] == [2] and "count as unlabelled" in said(found)


@pytest.mark.parametrize(
    "image, name",
    [
        ("/data/upload/3/1a2b3c4d-my%20ant.jpg", "1a2b3c4d-my ant.jpg"),
        ("data/upload/1a2b3c4d-ant.jpg", "1a2b3c4d-ant.jpg"),
        ("T10:20:30.jpg", "T10:20:30.jpg"),
        ("/data/local-files/?d=ants/7/my%20ant.jpg", "ants/7/my ant.jpg"),
        ("http://localhost:8080/data/local-files/?d=ants%5Cant.jpg", "ants/ant.jpg"),
        ("s3://bucket/deep/ant.jpg", "ant.jpg"),
        ("https://example.org/a/b/ant.jpg?token=1", "ant.jpg"),
        ("C:\\Users\\me\\ant.jpg", "ant.jpg"),
        ("/home/me/ants/ant.jpg", "ant.jpg"),
        ("ants/50%.jpg", "ants/50%.jpg"),
    ],
)
def test_names_of_images(tmp_path, image, name):
    assert read(tmp_path, task(image=image)).images[0]["file_name"] == name


def test_images_of_one_name_keep_their_folders(tmp_path):
    found = read(tmp_path, task(image="s3://x/a/1.jpg"), task(image="s3://x/b/1.jpg"))
    assert [entry["file_name"] for entry in found.images] == ["a/1.jpg", "b/1.jpg"]


def test_json_min(tmp_path):
    row = {
        "image": "/data/upload/1/0a1b2c3d-ant.jpg",
        "id": 3,
        "box": [{"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["ant"]}],
        "kp": [{"x": 20, "y": 30, "width": 0.5, "keypointlabels": ["head"], "id": "k", "parentID": None}],
        "kind": "ant",
        "annotator": 1,
        "annotation_id": 4,
        "created_at": "2026-01-01",
    }
    for region in row["box"] + row["kp"]:
        region |= {"original_width": 200, "original_height": 100}
    found = read(tmp_path, row)
    assert errors(found.problems) == []
    assert found.annotations[0]["bbox"] == pytest.approx([20, 20, 60, 40])
    assert found.annotations[1]["keypoints"] == [40, 30, 2]


def test_a_folder_with_a_file_for_each_task(tmp_path):
    (tmp_path / "1.json").write_text(json.dumps(task(box("b", "ant", 0, 0, 50, 50), image="a.jpg")))
    (tmp_path / "2.json").write_text(json.dumps(task(image="b.jpg")))
    assert label_studio.recognises(tmp_path)
    found = label_studio.read(tmp_path)
    assert [entry["file_name"] for entry in found.images] == ["a.jpg", "b.jpg"] and len(found.annotations) == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_rotation": 90}, "turned by 90 degrees"),
        ({"original_width": 0}, "original size is 0"),
        ({"value": {"x": 1, "y": "2", "width": 3, "height": 4, "rectanglelabels": ["ant"]}}, "y is '2'"),
        ({"value": {"x": 1, "y": 2, "width": 0, "height": 4, "rectanglelabels": ["ant"]}}, "expected an area"),
        ({"value": {"points": [[1, 1], [2, 2]], "polygonlabels": ["ant"]}}, "2 points"),
        ({"value": {"points": [[1, 1], [2, 2], [3]], "polygonlabels": ["ant"]}}, "a point of its polygon is [3]"),
        ({"value": {"points": [[1, 1], [2, 2], [1e308, math.nan]], "polygonlabels": ["ant"]}}, "a point of its"),
        ({"value": {"points": [[1, 1], [2000, 2], [3, 3]], "polygonlabels": ["ant"]}}, ""),
        ({"value": {"format": "rle", "rle": [0, 0, 0, 1, 2], "brushlabels": ["ant"]}}, "ends too early"),
        ({"value": {"format": "rle", "rle": [255] * 90, "brushlabels": ["ant"]}}, "expected 80,000"),
        ({"value": {"format": "rle", "rle": [300], "brushlabels": ["ant"]}}, "no list of bytes"),
        ({"value": {"imageDataURL": "data:image/png;base64,AAAA", "bitmasklabels": ["ant"]}}, "no whole PNG"),
    ],
)
def test_what_cannot_be_used_is_named_and_the_rest_is_read(tmp_path, change, message):
    found = read(tmp_path, task(box("bad", "ant", 0, 0, 9, 9) | change, box("good", "bee", 0, 0, 50, 50)))
    assert "bee" in [entry["name"] for entry in found.categories]
    if message:
        (problem,) = found.problems
        assert message in str(problem) and "bad" in str(problem) and problem.severity == "error" and problem.remedy


def test_what_says_nothing_of_objects_is_counted(tmp_path):
    choice = {"type": "choices", "value": {"choices": ["good"]}, "from_name": "c", "to_name": "image", "id": "q"}
    vector = region("v", "cubelabels", ["ant"], sides=[])
    nameless = region("n", "polygonlabels", [], points=[[0, 0], [10, 0], [10, 20]])
    told = said(read(tmp_path, task(choice, choice | {"id": "r"}, vector, nameless)))
    assert "2 results of the type choices" in told and "type cubelabels" in told and "no label" in told


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "[1]",
        '[{"annotations": [1], "data": {"image": "a.jpg"}}]',
        '[{"annotations": [{"result": 3}], "data": {"image": "a.jpg"}}]',
        '[{"annotations": [{"result": [3, {"value": {"x": 1}}]}], "data": {"image": "a.jpg"}}]',
        '[{"annotations": [], "data": {"image": ["a"]}}]',
        '[{"annotations": [], "data": {"image": "../../../a.jpg"}}]',
        '[{"annotations": [], "data": {"image": "http://[a.jpg"}}]',
        '[{"annotations": [], "data": 3}]',
        '{"images": [], "annotations": [], "categories": []}',
        "[" * 100_000,
        "\x00\xff",
        "",
    ],
)
def test_hostile_files_are_refused_or_told(tmp_path, content):
    file = tmp_path / "a.json"
    file.write_text(content)
    label_studio.recognises(file)
    try:
        found = label_studio.read(file)
    except BadInput as error:
        assert "a.json" in str(error)
    else:
        assert errors(found.problems) and not found.annotations


def test_other_formats_are_not_taken_for_it(tmp_path):
    for i, content in enumerate(
        [
            {"images": [], "annotations": [{"id": 1, "result": 1}], "categories": []},
            {"version": "5.0", "shapes": [], "imagePath": "a.jpg"},
            [{"a": 1}],
        ]
    ):
        (tmp_path / f"{i}.json").write_text(json.dumps(content))
        assert not label_studio.recognises(tmp_path / f"{i}.json")
    assert not label_studio.recognises(tmp_path / "absent.json")


def test_a_mask_that_was_erased_is_no_mask(tmp_path):
    empty = label_studio_rle.encode(np.zeros((100, 200), bool))
    found = read(tmp_path, task(region("m", "brushlabels", ["ant"], format="rle", rle=empty)))
    assert found.annotations == [] and "1 masks are empty" in said(found) and errors(found.problems) == []


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_brush_masks_survive_their_code(width, height, seed):
    generator = np.random.default_rng(seed)
    mask = generator.random((height, width)) < generator.random()
    np.testing.assert_array_equal(label_studio_rle.decode(label_studio_rle.encode(mask), (width, height)), mask)


@given(st.lists(st.integers(0, 255), max_size=80))
def test_no_code_of_a_brush_mask_does_harm(code):
    try:
        label_studio_rle.decode([0, 0, 0, 4 * 12, 56 + code[0] // 64 if code else 0, *code], (4, 3))
    except ValueError as error:
        assert str(error)


def test_a_large_brush_mask_is_read_quickly():
    mask = np.zeros((2000, 3000), bool)
    mask[500:1500, 400:2500] = True
    begin = time.process_time()
    assert label_studio_rle.decode(label_studio_rle.encode(mask), (3000, 2000)).sum() == mask.sum()
    assert time.process_time() - begin < 2


WHOLE = [
    task(
        box("a", "ant", 0, 0, 40, 40, score=0.5),
        point("a1", "head", 10, 10, parentID="a", meta={"text": ["hidden"]}),
        region("m", "brushlabels", ["thorax"], format="rle", rle=label_studio_rle.encode(np.eye(100, 200) > 0)),
        region("p", "polygonlabels", ["head"], points=[[0, 0], [10, 0], [10, 20]], closed=True),
        region("e", "ellipselabels", ["eye"], x=50, y=50, radiusX=10, radiusY=30, rotation=90),
        {"type": "relation", "from_id": "a", "to_id": "m"},
    ),
    {"id": 3, "image": "b.jpg", "annotation_id": 3, "k": [{"x": 1, "y": 1, "width": 1, "keypointlabels": ["head"]}]},
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(damaged(WHOLE))
def test_no_damage_crashes_the_reader(tmp_path, whole):
    (tmp_path / "a.json").write_text(json.dumps(whole))
    label_studio.recognises(tmp_path / "a.json")
    try:
        found = label_studio.read(tmp_path / "a.json")
    except BadInput as error:
        assert "a.json" in str(error)
    else:
        json.dumps([found.images, found.categories, found.annotations], allow_nan=False)


def pages(document: Document) -> dict[str, list[str]]:
    """By image the categories of what is drawn on it."""
    names = {one["id"]: one["name"] for one in document.categories}
    found: dict[str, list[str]] = {one["file_name"]: [] for one in document.images}
    files = {one["id"]: one["file_name"] for one in document.images}
    for one in document.annotations:
        found[files[one["image_id"]]].append(names[one["category_id"]])
    return found


def test_of_several_images_each_region_is_on_the_one_that_its_control_is_called_as(tmp_path):
    both = [box("a", "ant", 1, 2, 3, 4) | {"to_name": "Left"}, box("b", "bee", 1, 2, 3, 4) | {"to_name": "right"}]
    data = {"left": "/data/upload/7/0a1b2c3d-1.jpg", "right": "/data/upload/7/0a1b2c3d-2.jpg"}
    found = read(tmp_path, task(*both, data=data))
    assert pages(found) == {"0a1b2c3d-1.jpg": ["ant"], "0a1b2c3d-2.jpg": ["bee"]} and not found.problems
    old = [one | {"to_name": "x", "source": f"${key}"} for one, key in zip(both, data, strict=True)]
    assert pages(read(tmp_path, task(*old, data=data))) == pages(found)
    assert pages(read(tmp_path, task(both[1], data=data))) == {"0a1b2c3d-2.jpg": ["bee"]}


def test_where_nothing_says_on_which_image_a_region_is_it_is_an_error(tmp_path):
    two = [box("a", "ant", 1, 2, 3, 4) | {"to_name": "x"}, box("b", "bee", 1, 2, 3, 4) | {"to_name": "y"}]
    data = {"left": "1.jpg", "right": "2.jpg"}
    for results in (two, two[:1]):
        found = read(tmp_path, task(*results, data=data))
        assert "has several images (left: 1.jpg, right: 2.jpg), and nothing says which one" in said(found)
        assert errors(found.problems) and not found.annotations
    same = {"url": "https://a.b/1.jpg?x=1", "name": "1.jpg"}
    assert pages(read(tmp_path, task(two[0], data=same))) == {"1.jpg": ["ant"]}


def test_pages_of_a_task_are_images(tmp_path):
    results = [box("a", "ant", 1, 2, 3, 4) | {"item_index": 0}, box("b", "bee", 1, 2, 3, 4) | {"item_index": 1}]
    data = {"pages": ["/data/upload/7/1a1b2c3d-1.jpg", "/data/upload/7/2a1b2c3d-2.jpg"]}
    found = read(tmp_path, task(*results, data=data))
    assert pages(found) == {"1a1b2c3d-1.jpg": ["ant"], "2a1b2c3d-2.jpg": ["bee"]}


def test_a_closed_vector_is_a_polygon(tmp_path):
    corners = [(10, 10), (30, 10), (30, 50), (10, 50)]
    vertices = [
        {"id": str(i), "x": x, "y": y, "prevPointId": str(i - 1) if i else None} for i, (x, y) in enumerate(corners)
    ]
    shuffled = [vertices[i] for i in (2, 0, 3, 1)]
    found = read(tmp_path, task(region("v", "vectorlabels", ["head"], vertices=shuffled, closed=True)))
    assert sorted(np.reshape(found.annotations[0]["segmentation"], (-1, 2)).tolist()) == [
        [20, 10],
        [20, 50],
        [60, 10],
        [60, 50],
    ]
    bent = [one | {"isBezier": True} for one in vertices]
    bent[0]["controlPoint2"], bent[1]["controlPoint1"] = {"x": 15, "y": 0}, {"x": 25, "y": 0}
    found = read(tmp_path, task(region("v", "vectorlabels", ["head"], vertices=bent, closed=True)))
    points = np.reshape(found.annotations[0]["segmentation"], (-1, 2))
    assert points[:, 1].min() == pytest.approx(2.5) and len(points) == 16 + 3, "one side is a curve to the top"
    found = read(tmp_path, task(region("v", "vectorlabels", ["head"], vertices=vertices, closed=False)))
    assert "open vectors" in said(found) and not errors(found.problems)


def test_the_eyes_of_an_animal_are_no_animals(tmp_path):
    def eye(key: str, x: float) -> dict:
        return region(key, "polygonlabels", ["eye"], points=[[x, 10], [x + 9, 10], [x + 9, 19], [x, 19]])

    body = region("b", "polygonlabels", ["ant"], points=[[0, 0], [60, 0], [60, 60], [0, 60]])
    points = point("1", "left", 15, 15), point("2", "right", 35, 15)
    for drawn in ((body, eye("l", 10), eye("r", 30)), (eye("l", 10), eye("r", 30))):
        found = read(tmp_path, task(*drawn, *points))
        assert [one["keypoints"] for one in found.annotations if "keypoints" in one] == [[30, 15, 2, 70, 15, 2]]


def test_keypoints_that_nothing_ties_lie_in_boxes_and_masks_of_one_label(tmp_path):
    regions = []
    for i, x in enumerate((10, 60)):
        outline = [[x, 10], [x + 20, 10], [x + 20, 40], [x, 40]]
        regions += [box(f"b{i}", "ant", x, 10, 20, 30), region(f"p{i}", "polygonlabels", ["ant"], points=outline)]
        regions += [point(f"e{i}", "eye", x + 5, 20), point(f"t{i}", "tail", x + 15, 20)]
    found = read(tmp_path, task(*regions))
    assert not errors(found.problems) and "belong to the figures in which they lie" in said(found)
    assert sum("keypoints" in one for one in found.annotations) == 2
