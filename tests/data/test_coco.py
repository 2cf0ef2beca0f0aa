"""COCO files: what is right is read exactly, what is broken is named and never reaches pycocotools."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from real_data import SHARED, needs_shared

from coarseparts.data.formats.coco import read_coco, read_of_parts, read_part_coco
from coarseparts.data.formats.drawing import draw, draw_parts
from coarseparts.labels import PartBoxes
from coarseparts.labels.part_maps import ExclusiveMaps
from coarseparts.system.problems import BadInput

SQUARE = [[1, 1, 5, 1, 5, 4, 1, 4]]


def content(**changes) -> dict:
    annotation = {
        "id": 5,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 1, 4, 3],
        "keypoints": [1.5, 2, 2, 9, 9, 0, 4, 3.25, 1],
        "segmentation": SQUARE,
    }
    return {
        "images": [{"id": 1, "file_name": "a b.jpg", "width": 8, "height": 6}],
        "categories": [{"id": 1, "name": "ant", "keypoints": ["head", "eye", "tail"]}],
        "annotations": [annotation | changes],
    }


def read(tmp_path, whole: dict):
    (tmp_path / "c.json").write_text(json.dumps(whole))
    objects, problems = read_coco(tmp_path / "c.json")
    assert all(p.file == str(tmp_path / "c.json") for p in problems)
    return objects, problems


def test_numbers_as_text_are_numbers(tmp_path):
    def quoted(value):
        return [quoted(one) for one in value] if isinstance(value, list) else str(value)

    (plain,), _ = read(tmp_path, content())
    changes = {key: quoted(content()["annotations"][0][key]) for key in ("bbox", "keypoints", "segmentation")}
    (found,), problems = read(tmp_path, content(**changes))
    assert problems == [] and np.array_equal(found.keypoints, plain.keypoints)
    assert np.array_equal(found.label("box"), plain.label("box"))
    assert np.array_equal(found.label("mask").grey((8, 6)), plain.label("mask").grey((8, 6)))


@pytest.mark.parametrize(
    "as_written",
    [
        lambda code: (
            code | {"counts": str(code["counts"].encode())}
        ),  # json.dumps(default=str) of what pycocotools gives
        lambda code: code | {"size": [str(side) for side in code["size"]]},
        lambda code: code | {"size": [float(side) for side in code["size"]]},
    ],
)
def test_run_lengths_as_scripts_write_them(tmp_path, as_written):
    mask = np.random.default_rng(3).random((6, 8)) > 0.5
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    code = {"size": [6, 8], "counts": code["counts"].decode()}
    (found,), problems = read(tmp_path, content(segmentation=as_written(code)))
    assert problems == [] and np.array_equal(found.label("mask").grey((8, 6)) > 0, mask)


@pytest.mark.parametrize("named", [["head", "eye", "tail"], []])
def test_keypoints_by_name(tmp_path, named):
    whole = content(keypoints={"head": [1.5, 2, 2], "eye": None, "tail": ["4", "3.25"]})
    whole["categories"][0]["keypoints"] = named
    (found,), problems = read(tmp_path, whole)
    assert found.keypoint_names == ("head", "eye", "tail") and [p.severity for p in problems] == ["note"]
    assert found.keypoints.tolist() == [[1.5, 2, 2], [0, 0, 0], [4, 3.25, 2]]


def test_everything_of_an_annotation(tmp_path):
    (found,), problems = read(tmp_path, content())
    assert problems == []
    assert (found.image, found.object_id, found.alone, found.size) == ("a b.jpg", "5", True, (8, 6))
    assert found.keypoint_names == ("head", "eye", "tail")
    np.testing.assert_array_equal(found.keypoints, [[1.5, 2, 2], [0, 0, 0], [4, 3.25, 1]])
    np.testing.assert_array_equal(found.label("box"), [1, 1, 5, 4])
    assert found.label("mask").segmentation == SQUARE


@pytest.mark.parametrize(
    "changes, lacking",
    [
        ({"keypoints": [0] * 9}, {"keypoints"}),
        ({"keypoints": []}, {"keypoints"}),
        ({"bbox": [0, 0, 0, 0]}, {"box"}),
        ({"bbox": None, "segmentation": []}, {"box", "segmentation"}),
    ],
)
def test_what_counts_as_missing(tmp_path, changes, lacking):
    (found,), problems = read(tmp_path, content(**changes))
    assert problems == []
    names = {"keypoints": "keypoints", "box": "box", "mask": "segmentation"}
    assert {names[style] for style in names if found.label(style) is None} == lacking


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"keypoints": [1, 2, 2]}, "3 keypoint numbers for 3 keypoint names, expected 9"),
        ({"keypoints": [1, 2, float("nan")] * 3}, "keypoints holds nan"),
        ({"keypoints": [10**400, 1, 2] * 3}, "keypoints holds inf"),
        ({"keypoints": [1, 1, 3] * 3}, "visibility 3, expected 0, 1 or 2"),
        ({"keypoints": ["1,5", 1, 2] * 3}, "expected a flat list of numbers"),
        ({"keypoints": {"nose": [1, 1]}}, "it has the keypoint 'nose'"),
        ({"bbox": [1, 1, float("inf"), 2]}, "bbox holds inf"),
        ({"keypoints": [1e300, 1, 2] * 3}, "keypoints holds 1e+300"),
        ({"keypoints": [1, 1, -1e300] * 3}, "keypoints holds -1e+300"),
        ({"bbox": [1e300, 1, 3, 2]}, "bbox holds 1e+300"),
        ({"bbox": [3e38, 1, 3e38, 2]}, "bbox holds 3e+38"),
        ({"segmentation": [[1, 1, 5, 1, 1e300, 4]]}, "a polygon holds 1e+300"),
        ({"bbox": [1, 1, -3, 2]}, "box without an area"),
        ({"bbox": [1, 1, 3]}, "box without an area"),
        ({"bbox": "1 1 3 3"}, "expected a flat list of numbers"),
        ({"segmentation": [[1, 1, 5, 1]]}, "a polygon of 4 numbers"),
        ({"segmentation": [[1, 1, 5, 1, 5, 4, 1]]}, "a polygon of 7 numbers"),
        ({"segmentation": [[1, float("nan"), 5, 1, 5, 4]]}, "a polygon holds nan"),
        ({"segmentation": [1, 1, 5, 1, 5, "4"]}, "broken list"),
        ({"segmentation": [[1, 1, 5, 1, 5, 4], "x"]}, "broken list"),
        ({"segmentation": {"size": [6, 8]}}, "broken RLE"),
        ({"segmentation": {"size": [6, 8.5], "counts": [48]}}, "broken RLE"),
        ({"segmentation": {"size": [6, 8], "counts": [1.5, 46.5]}}, "broken RLE"),
        ({"image_id": 9}, "image 9 is not listed"),
        ({"image_id": [9]}, "image [9] is not listed"),
        ({"category_id": 9}, "category 9 is not listed"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_broken_annotations(tmp_path, changes, expected):
    objects, problems = read(tmp_path, content(**changes))
    assert objects == []
    (problem,) = problems
    assert expected in str(problem) and "annotation 5" in problem.message
    assert problem.severity == "error" and problem.remedy


def test_all_problems_of_an_annotation_come_at_once(tmp_path):
    objects, problems = read(tmp_path, content(keypoints=[1], bbox=[1], segmentation=[[1]]))
    assert objects == [] and len(problems) == 3


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "x/../../a.jpg", "/etc/passwd", "C:\\a.jpg", "..\\a.jpg", "x\\..\\..\\a.jpg", "", 7, "a\0b", ".."],
)
def test_names_that_climb_out_of_the_folder(tmp_path, name):
    whole = content()
    whole["images"][0]["file_name"] = name
    objects, problems = read(tmp_path, whole)
    assert objects == []
    assert "leads out of the image folder" in problems[0].message or "is not a file name" in problems[0].message
    assert repr(name) in problems[0].message


@pytest.mark.parametrize(
    "name, clean", [("./x//a.jpg", "x/a.jpg"), ("x/../a.jpg", "a.jpg"), ("..a.jpg", "..a.jpg"), ("ä ö.jpg", "ä ö.jpg")]
)
def test_names_inside_the_folder(tmp_path, name, clean):
    whole = content()
    whole["images"][0]["file_name"] = name
    assert read(tmp_path, whole)[0][0].image == clean


def test_duplicates(tmp_path):
    whole = content()
    again = {"id": 2, "file_name": "a b.jpg", "width": 9, "height": 6}
    whole["images"] += [{"id": 1, "file_name": "b.jpg"}, again]
    whole["annotations"] *= 2
    objects, problems = read(tmp_path, whole)
    assert len(objects) == 1
    said = [p.message for p in problems]
    assert "image id 1 stands twice" in said[0] and "listed twice, with the ids 1 and 2" in said[1]
    assert "annotation id 5 stands twice" in said[2]


def test_an_image_that_is_listed_once_more_is_one_image(tmp_path):
    whole = content(keypoints=None)
    whole["images"].append({"id": "2", "file_name": "a b.jpg"})
    whole["annotations"].append({"id": 6, "image_id": 2.0, "category_id": 1, "bbox": [5, 1, 2, 2]})
    objects, problems = read(tmp_path, whole)
    assert [(one.image, one.alone) for one in objects] == [("a b.jpg", False)] * 2
    assert [p.message for p in problems] == ["1 images are listed twice, with an id each, and taken for one each"]


@pytest.mark.parametrize("key", ["path", "image_path", "filename", "coco_url"])
def test_names_of_images_under_other_keys(tmp_path, key):
    whole = content()
    whole["images"][0][key] = whole["images"][0].pop("file_name")
    (found,), problems = read(tmp_path, whole)
    assert problems == [] and found.image == "a b.jpg"


@pytest.mark.parametrize("pairs", [[[1, 1], [5, 1], [5, 4], [1, 4]], [[[1, 1], [5, 1], [5, 4], [1, 4]], SQUARE[0]]])
def test_polygons_of_pairs(tmp_path, pairs):
    (found,), problems = read(tmp_path, content(segmentation=pairs))
    assert problems == [] and found.label("mask").segmentation == SQUARE[:1] * (1 + (len(pairs) == 2))


def test_several_objects_and_crowds(tmp_path):
    whole = content()
    second = whole["annotations"][0] | {"id": 6}
    whole["annotations"] += [second, second | {"id": 7, "iscrowd": 1}]
    objects, problems = read(tmp_path, whole)
    assert [(o.object_id, o.alone) for o in objects] == [("5", False), ("6", False)]
    assert [(p.severity, "1 annotations are crowds" in p.message) for p in problems] == [("note", True)]


def test_categories_keep_their_own_keypoints(tmp_path):
    whole = content()
    whole["categories"].append({"id": 2, "name": "bee", "keypoints": ["tail", "wing"]})
    whole["annotations"].append({"id": 6, "image_id": 1, "category_id": 2, "keypoints": [1, 1, 2, 2, 2, 2]})
    objects, _ = read(tmp_path, whole)
    assert [o.keypoint_names for o in objects] == [("head", "eye", "tail"), ("tail", "wing")]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "is not valid JSON"),
        ('{"images": [', "is not valid JSON"),
        ("[]", "holds a list"),
        ('{"images": [], "annotations": {}}', "has no list annotations, categories"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_files_that_are_no_coco(tmp_path, text, expected):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(BadInput, match=expected):
        read_coco(tmp_path / "c.json")


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "c.json").write_bytes(b'{"images": "\xff"}')
    with pytest.raises(BadInput, match="UTF-8"):
        read_coco(tmp_path / "c.json")
    with pytest.raises(BadInput, match="cannot be read"):
        read_coco(tmp_path / "none.json")


def test_entries_of_a_wrong_kind(tmp_path):
    whole = content()
    whole["images"] += ["x", {"file_name": "b.jpg"}]
    whole["categories"] += [7, {"id": 2, "keypoints": [1, 2]}, {"id": 3, "keypoints": ["a", "a"]}]
    whole["annotations"] += [None]
    objects, problems = read(tmp_path, whole)
    assert len(objects) == 1 and len(problems) == 6


@pytest.mark.parametrize("names", [5, "k12", {"head": 1}, True, ["a", 1], [["a"]], [" "], ""])
def test_keypoint_names_that_are_no_list_of_names(tmp_path, names):
    whole = content()
    whole["categories"] += [{"id": 2, "name": "x", "keypoints": names}, {"id": 3, "name": "y", "keypoints": None}]
    objects, (problem,) = read(tmp_path, whole)
    assert len(objects) == 1 and "categories[1]: keypoints is" in problem.message and "list of names" in problem.remedy


def test_polygons_are_filled(tmp_path):
    mask = draw(SQUARE, (8, 6))
    assert mask.shape == (6, 8) and mask.dtype == bool
    expected = np.zeros((6, 8), bool)
    expected[1:4, 1:5] = True
    np.testing.assert_array_equal(mask, expected)
    two = draw([*SQUARE, [6, 4, 8, 4, 8, 6, 6, 6]], (8, 6))
    assert two[1:4, 1:5].all() and two[4:, 6:].all() and two.sum() == 16
    assert draw([[-3, -3, 4, -3, 4, 3, -3, 3]], (8, 6)).sum() == 12, "cut off at the border"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_rle_is_read_as_pycocotools_reads_it(width, height, seed, share):
    mask = np.random.default_rng(seed).uniform(size=(height, width)) < share
    mask[0, 0] = True
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": [height, width], "counts": encoded["counts"].decode()}
    np.testing.assert_array_equal(draw(text, (width, height)), mask)
    flat = np.concatenate([[0], mask.T.ravel().astype(int)])
    changes = np.flatnonzero(np.diff(np.concatenate([flat[1:], [-1]]))) + 1
    counts = [int(c) for c in np.diff(np.concatenate([[0], changes]))]
    counts = [0, *counts] if mask[0, 0] else counts
    np.testing.assert_array_equal(draw({"size": [height, width], "counts": counts}, (width, height)), mask)


@pytest.mark.parametrize(
    "segmentation, expected",
    [
        ({"size": [6, 9], "counts": [54]}, "9x6 pixels, the image is 8x6"),
        ({"size": [6, 8], "counts": [10, 5]}, "runs add up to 15 of 48"),
        ({"size": [6, 8], "counts": [-10, 58]}, "runs add up"),
        ({"size": [6, 8], "counts": [10**30]}, "runs add up"),
        ({"size": [6, 8], "counts": [48]}, "empty"),
        ({"size": [6, 8], "counts": "\x7f\x7f"}, "broken"),
        ({"size": [6, 8], "counts": "ooooooooooooooooooooooooooooooo"}, "broken"),
        ({"size": [6, 8], "counts": "o"}, "ends inside a run"),
        ({"size": [6, 8], "counts": "ü"}, "broken"),
        ([[1e9, 1, 1e9, 2, 0, 0]], "far outside"),
        ([[1, -1e12, 2, 1, 0, 0]], "far outside"),
        ([[1, 1, 1, 1, 1, 1]], "empty"),
    ],
)
def test_masks_that_cannot_be_drawn(segmentation, expected):
    with pytest.raises(ValueError, match=expected):
        draw(segmentation, (8, 6))


def part_content() -> dict:
    whole = content()
    whole["categories"] = [{"id": 1, "name": "head"}, {"id": 2, "name": "eye"}]
    eye = {"id": 1, "image_id": 1, "category_id": 2, "segmentation": [[2, 2, 4, 2, 4, 3, 2, 3]]}
    head = {"id": 2, "image_id": 1, "category_id": 1, "segmentation": SQUARE}
    whole["annotations"] = [eye, head]
    return whole


def test_a_category_per_part(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(part_content()))
    (found,), problems = read_part_coco(tmp_path / "c.json", ("head", "tail", "eye"))
    assert [(p.severity, p.message) for p in problems] == [("note", "has no category for tail")]
    assert found.image == "a b.jpg"
    parts = draw_parts(found.part_segments, (8, 6), ExclusiveMaps(3))
    expected = np.zeros((6, 8), np.uint8)
    expected[1:4, 1:5] = 1
    expected[2, 2:4] = 3  # the eye, though it comes first in the file
    np.testing.assert_array_equal(parts, expected)


@pytest.mark.parametrize("complete", [True, False])
def test_a_style_says_what_is_known_of_parts_without_an_annotation(tmp_path, complete):
    style = type("Style", (PartBoxes,), {"complete": complete})
    (tmp_path / "c.json").write_text(json.dumps(content()))
    (found,), problems = read_of_parts(tmp_path / "c.json", ("ant", "tail"), style)
    assert [entry.value.tolist() for entry in found.labels["part_boxes"].value] == [[1, 1, 5, 4]]
    assert [p.remedy for p in problems] == ["they count as not to be seen in these images"] * complete


def test_unknown_and_broken_parts(tmp_path):
    whole = part_content()
    whole["annotations"][0]["segmentation"] = [[1]]
    (tmp_path / "c.json").write_text(json.dumps(whole))
    found, problems = read_part_coco(tmp_path / "c.json", ("heads",))
    assert found == []
    said = [str(p) for p in problems if p.severity == "error"]
    assert "category 'head' is not among `parts`; did you mean 'heads'?" in said[0] and "'eye'" in said[1]
    assert "a polygon of 1 numbers" in said[2]


def test_parts_that_cannot_be_drawn(tmp_path):
    whole = part_content()
    for annotation in whole["annotations"]:
        annotation["segmentation"] = {"size": [6, 8], "counts": [47]}
    (tmp_path / "c.json").write_text(json.dumps(whole))
    (found,), _ = read_part_coco(tmp_path / "c.json", ("head", "eye"))
    with pytest.raises(BadInput) as caught:
        draw_parts(found.part_segments, (8, 6), ExclusiveMaps(3))
    assert len(caught.value.problems) == 2 and "annotation 1 (a b.jpg)" in str(caught.value)


@needs_shared
def test_ants_as_pycocotools_reads_them():
    path = SHARED / "data" / "ants" / "val" / "coarse.json"
    objects, problems = read_coco(path)
    raw = json.loads(path.read_text())
    assert problems == [] and len(objects) == len(raw["annotations"]) == 60
    for found, entry in list(zip(objects, raw["annotations"], strict=True))[:8]:
        np.testing.assert_allclose(found.keypoints, np.array(entry["keypoints"]).reshape(-1, 3), rtol=1e-6)
        mask = draw(found.label("mask").segmentation, found.size)
        np.testing.assert_array_equal(mask, coco_mask.decode(entry["segmentation"]))
        assert mask.sum() == entry["area"]
        x, y, w, h = entry["bbox"]
        rows, columns = np.nonzero(mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x, y, x + w, y + h)
        np.testing.assert_array_equal(found.label("box"), [x, y, x + w, y + h])
