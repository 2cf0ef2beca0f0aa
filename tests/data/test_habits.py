"""What tools write out of habit: noted, and not taken for labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.coco import read_coco, read_part_coco
from coarseparts.data.objects import join
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import Problem

NAMES = ["head", "neck", "tail"]


def coco(file: Path, *keypoints: list[Any], boxes: list[list[float]] | None = None) -> Path:
    images = [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 40} for i in range(len(keypoints))]
    annotations: list[dict[str, Any]] = [
        {"id": i, "image_id": i, "category_id": 1, "keypoints": points} for i, points in enumerate(keypoints)
    ]
    for entry, box in zip(annotations, boxes or [], strict=False):
        entry["bbox"] = box
    categories = [{"id": 1, "name": "ant", "keypoints": NAMES}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def notes(problems: list[Problem]) -> list[str]:
    assert all(problem.severity == "note" for problem in problems), problems
    return [problem.message for problem in problems]


def test_keypoints_without_coordinates_are_not_labelled(tmp_path: Path) -> None:
    nan = float("nan")
    odd = [[5, 6, 2, None, None, None, nan, nan, 2], [5, 6, 2, 7, 8, 2, None, 3, 1]]
    objects, problems = read_coco(coco(tmp_path / "c.json", *odd))
    first, second = (one.keypoints for one in objects)
    assert first is not None and first[:, 2].tolist() == [2, 0, 0] and not first[1:].any()
    assert second is not None and second[:, 2].tolist() == [2, 2, 0]
    assert notes(problems) == ["keypoints that have no coordinates are taken as not labelled: 'tail' in 2 of 2 objects"]


def test_the_nan_of_a_table_is_nothing(tmp_path: Path) -> None:
    nan = float("nan")
    content = json.loads(coco(tmp_path / "c.json", [5, 6, 2, 7, 8, 2, 9, 9, 2]).read_text())
    content["annotations"][0] |= {"iscrowd": nan, "area": nan, "bbox": nan, "num_keypoints": nan}
    content["categories"].append({"id": 2, "name": "leaf", "keypoints": nan, "skeleton": nan})
    (tmp_path / "c.json").write_text(json.dumps(content))
    (found,), problems = read_coco(tmp_path / "c.json")
    assert problems == [] and found.labels.keys() == {"keypoints"}


def test_keypoints_that_another_category_alone_names_are_called_so(tmp_path: Path) -> None:
    content = json.loads(
        coco(tmp_path / "c.json", [5, 6, 2, 7, 8, 2, 9, 9, 2], [1, 2, 2, 3, 4, 2, 0, 0, 0]).read_text()
    )
    content["annotations"][1]["category_id"] = 2
    content["categories"].append({"id": 2, "name": "bee"})
    (tmp_path / "c.json").write_text(json.dumps(content))
    objects, problems = read_coco(tmp_path / "c.json")
    assert [one.keypoint_names for one in objects] == [tuple(NAMES)] * 2
    assert "the categories bee do not name their keypoints" in notes(problems)[0]
    content["categories"].append({"id": 3, "name": "fly", "keypoints": ["a", "b", "c"]})  # which of the two it is?
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert read_coco(tmp_path / "c.json")[0][1].keypoint_names == ("keypoint_0", "keypoint_1", "keypoint_2")


def rectangles(count: int, scale: float = 1.0, closed: bool = False) -> dict[str, Any]:
    """A COCO file of objects whose outlines are their boxes, drawn."""
    entries = []
    for i in range(count):
        x, y, w, h = (scale * v for v in (3 + i, 4, 20.5, 9 + i))
        corners = [x, y, x + w, y, x + w, y + h, x, y + h]
        entries.append({"id": i, "image_id": i, "category_id": 1, "bbox": [x, y, w, h], "segmentation": [corners]})
        entries[i]["segmentation"][0] += corners[:2] * closed
    images = [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 40} for i in range(count)]
    return {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "ant"}]}


@pytest.mark.parametrize("how", [{}, {"closed": True}, {"scale": 1 / 40}])
def test_outlines_that_are_the_boxes_are_no_masks(tmp_path: Path, how: dict[str, Any]) -> None:
    content = rectangles(4, **how)
    (tmp_path / "c.json").write_text(json.dumps(content))
    objects, problems = read_coco(tmp_path / "c.json")
    assert [set(one.labels) for one in objects] == [{"box"}] * 4
    assert notes(problems)[0] == "all outlines of ant are rectangles, their boxes, and taken for boxes alone"
    found, problems = read_coco(tmp_path / "c.json", ("ant", "head"), several=True)
    assert all(set(one.labels) == {"part_boxes"} for one in found) and len(found) == 4
    corners = content["annotations"][2]["segmentation"][0]
    corners[2:2] = [corners[0] + 0.5 * content["annotations"][2]["bbox"][2], corners[1]]  # drawn by hand, one is
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert [set(one.labels) for one in read_coco(tmp_path / "c.json")[0]] == [{"mask", "box"}] * 4


@pytest.mark.parametrize("corner", [[0, 0, 2], [-1, -1, 2], [0, -1, 1]])
def test_keypoints_in_the_corner_are_not_labelled(tmp_path: Path, corner: list[int]) -> None:
    objects, problems = read_coco(coco(tmp_path / "c.json", [5, 6, 2, 0, 9, 2, *corner], [5, 6, 2, 7, 8, 2, 9, 9, 2]))
    assert objects[0].keypoints is not None and objects[0].keypoints[:, 2].tolist() == [2, 2, 0], "an edge is no corner"
    expected = "keypoints that lie at (0, 0) or beyond are taken as not labelled: 'tail' in 1 of 2 objects"
    assert notes(problems) == [expected]


def test_a_file_that_knows_hidden_keypoints_alone_is_told_and_can_be_read_otherwise(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(2):
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "images" / f"{i}.png")
    _, problems = read_coco(coco(tmp_path / "c.json", [5, 6, 1, 7, 8, 1, 0, 0, 0], [5, 6, 1, 3, 3, 1, 9, 9, 1]))
    (message,) = notes(problems)
    assert "all 5 labelled keypoints have visibility 1" in message and "visible: 1" in problems[0].remedy
    for visible, expected in (("", [1, 1, 0]), (", visible: 1", [2, 2, 0])):
        source = f"{{split: train, images: images, coco: c.json{visible}}}"
        (tmp_path / "d.yaml").write_text(f"parts: [a]\ncrop: {{to: none}}\nsources: [{source}]")
        records, _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
        assert records[0].load()[0].labels["keypoints"][:, 2].tolist() == expected
    assert not read_coco(coco(tmp_path / "c.json", [5, 6, 1, 7, 8, 2, 0, 0, 0]))[1]


def test_boxes_that_are_the_hulls_of_keypoints_are_not_the_objects(tmp_path: Path) -> None:
    points = [[5, 6, 2, 20, 18, 2, 0, 0, 0], [8, 9, 2, 20, 30, 1, 15, 12, 2], [3, 10, 2, 30, 10, 2, 0, 0, 0]]
    hulls = [[5, 6, 15, 12], [8, 9, 12, 21], [3, 10, 27, 0]]
    objects, problems = read_coco(coco(tmp_path / "c.json", *points, *points, boxes=hulls + hulls))
    assert len(objects) == 6 and not any("box" in one.labels for one in objects)
    (message,) = notes(problems)
    assert message == "the boxes of all 4 objects with keypoints are the hulls of these, not the objects' boxes"
    other = [[4, 2, 20, 22], *hulls[1:]]  # one that is not
    objects, problems = read_coco(coco(tmp_path / "c.json", *points, boxes=other))
    assert ["box" in one.labels for one in objects] == [True, True, False] and notes(problems) == []


def test_a_category_that_no_annotation_uses_is_a_note(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": 40, "height": 40}]
    categories = [{"id": 0, "name": "everything"}, {"id": 1, "name": "head"}]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"images": images, "annotations": [entry], "categories": categories}))
    found, problems = read_part_coco(file, ("head",))
    assert len(found) == 1
    assert notes(problems) == ["has no annotation of the categories everything, which are not among `parts`"]


def test_regions_of_parts_with_iscrowd_are_regions(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.png", "width": 4, "height": 4} for i in range(3)]
    rle = {"size": [4, 4], "counts": [2, 6, 8]}
    places = [(0, 1, 1), (0, 2, "1"), (1, 1, 1), (1, 1, 1), (1, 2, 0), (2, 1, "0")]  # image, category, iscrowd
    entries = [
        {"id": i, "image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": rle}
        | ({"segmentation": {"size": [4, 4], "counts": [9, 2, 5]}} if i == 3 else {})
        for i, (image, category, crowd) in enumerate(places)
    ]
    categories = [{"id": 1, "name": "head"}, {"id": 2, "name": "tail"}]
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    found, problems = read_part_coco(file, ("head", "tail"))
    assert {one.image: [segment.index for segment in one.part_segments] for one in found} == {
        "0.png": [1, 2],
        "1.png": [2, 1, 1],
        "2.png": [1],
    }
    first, second = notes(problems)
    assert first.startswith("2 annotations with iscrowd 1 are their image's only ones of their category")
    assert second == "2 annotations with iscrowd 1 are of parts, and are taken for regions of these"


def test_rings_that_look_like_holes_are_told(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.png", "width": 40, "height": 40}
    outer, inner = [2, 2, 30, 2, 30, 30, 2, 30], [10, 10, 10, 20, 20, 20, 20, 10]
    same_way = [10, 10, 20, 10, 20, 20, 10, 20]
    for ring, said in ((inner, True), (same_way, False), ([number + 15 for number in inner], False)):
        entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [outer, ring]}
        file = tmp_path / "p.json"
        file.write_text(
            json.dumps({"images": [image], "annotations": [entry], "categories": [{"id": 1, "name": "head"}]})
        )
        for problems in (read_coco(file)[1], read_part_coco(file, ("head",))[1]):
            assert any("as holes do: it is filled" in message for message in notes(problems)) == said


def test_categories_that_are_all_crowds_are_brush_masks_and_others_crowds(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.png", "width": 4, "height": 4} for i in range(2)]
    categories = [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}]
    rle = {"size": [4, 4], "counts": [2, 6, 8]}
    places = [(0, 1, 1), (0, 1, 1), (1, 1, 1), (1, 2, 1), (1, 2, 1), (0, 2, 0)]  # image, category, iscrowd
    entries = [
        {"id": i, "image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": rle}
        | ({"segmentation": {"size": [4, 4], "counts": [9, 2, 5]}} if i == 3 else {})
        for i, (image, category, crowd) in enumerate(places)
    ]
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    found, problems = read_coco(file)
    assert sorted(one.object_id for one in found) == ["0", "1", "2", "5"]
    assert any(message == "2 annotations are crowds (iscrowd) and left out" for message in notes(problems))


def of_points(file: Path, *more: dict[str, Any], **said: Any) -> Path:
    """A category for each of the keypoints NAMES, a point of each in two images; ``said`` by a keypoint's number."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 40} for i in range(2)]
    entries = [
        {"id": 3 * i + j, "image_id": i, "category_id": j} | {key: value(j) for key, value in said.items()}
        for i in range(2)
        for j in range(3)
    ]
    names = {"keypoints": ["it"]} if "keypoints" in said else {}
    categories = [{"id": j, "name": name, **names} for j, name in enumerate(NAMES)] + [{"id": 9, "name": "ant"}]
    file.write_text(json.dumps({"images": images, "annotations": [*entries, *more], "categories": categories}))
    return file


@pytest.mark.parametrize(
    "said",
    [
        {"bbox": lambda j: [5.0 * j + 1, 7.0, 1, 1], "segmentation": lambda j: []},
        {"bbox": lambda j: [5.0 * j + 1.5, 7.5, 0, 0]},
        {"segmentation": lambda j: [[5.0 * j + 1.5, 7.5]], "bbox": lambda j: [5.0 * j + 1, 7, 1, 1]},
        {"keypoints": lambda j: [5.0 * j + 1.5, 7.5, 2], "bbox": lambda j: [5.0 * j + 1.5, 7.5, 0, 0]},
    ],
)
def test_a_category_for_each_keypoint_gives_one_object_with_all(tmp_path: Path, said: dict[str, Any]) -> None:
    outline = {
        "id": 70,
        "image_id": 1,
        "category_id": 9,
        "segmentation": [[0, 5, 20, 5, 20, 12]],
        "bbox": [0, 5, 20, 7],
    }
    objects, problems = read_coco(of_points(tmp_path / "c.json", outline, **said))
    told = ["6 annotations are of a pixel or so, of 3 categories: they are taken for the keypoints head, neck, tail"]
    assert [note.partition(" of one object")[0] for note in notes(problems)] == told
    drawn, *skeletons = sorted(objects, key=lambda one: "mask" not in one.labels)
    assert "keypoints" not in drawn.labels and len(skeletons) == 2
    for one in skeletons:
        assert one.keypoint_names == ("head", "neck", "tail") and one.labels.keys() == {"keypoints"}
        assert one.keypoints is not None and one.keypoints.tolist() == [[1.5, 7.5, 2], [6.5, 7.5, 2], [11.5, 7.5, 2]]
    assert {one.image for one in join(objects)[0]} == {"0.png", "1.png"}, "and the skeleton is the outline's"


def test_two_points_of_one_category_in_an_image_are_one_error(tmp_path: Path) -> None:
    twice = {"id": 70, "image_id": 1, "category_id": 2, "bbox": [30, 30, 1, 1]}
    found, (problem,) = read_coco(of_points(tmp_path / "c.json", twice, bbox=lambda j: [5.0 * j, 7.0, 1, 1]))
    assert found == [] and problem.severity == "error"
    assert "7 annotations are of a pixel or so, of 3 categories: it seems to have a category per" in problem.message


def test_small_boxes_in_shares_of_the_image_are_boxes(tmp_path: Path) -> None:
    found, _ = read_coco(of_points(tmp_path / "c.json", bbox=lambda j: [0.2, 0.1 * j, 0.5, 0.25]))
    assert len(found) == 6 and all(one.labels["box"].of == (1000, 1000) for one in found)


@pytest.mark.parametrize(
    "written",
    [
        [5, 6, 7, 8, 0, 0],
        [[5, 6], [7, 8], [-1, -1]],
        [5, 6, None, 7, 8, None, None, None, None],
    ],
)
def test_keypoints_without_a_visibility_are_visible(tmp_path: Path, written: list[Any]) -> None:
    (one,), problems = read_coco(coco(tmp_path / "c.json", written))
    assert one.keypoints is not None and one.keypoints.tolist() == [[5, 6, 2], [7, 8, 2], [0, 0, 0]]
    assert all(problem.severity == "note" for problem in problems)
    assert any("have no visibility" in note for note in notes(problems))


def one_of(file: Path, **changes: Any) -> tuple[list[Any], list[Problem]]:
    """What is read of a file with one annotation of an image of 8 x 6."""
    image = {"id": 1, "file_name": "a.png", "width": 8, "height": 6} | changes.pop("image", {})
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 3], **changes}
    category = {"id": 1, "name": "ant", "keypoints": []}
    file.write_text(json.dumps({"images": [image], "annotations": [entry], "categories": [category]}))
    return read_coco(file)


@pytest.mark.parametrize("segmentation", [[1, 1, 5, 1, 5, 4], [[], [1, 1, 5, 1, 5, 4]]])
def test_a_polygon_may_be_flat_or_stand_beside_empty_ones(tmp_path: Path, segmentation: list[Any]) -> None:
    (found,), problems = one_of(tmp_path / "c.json", segmentation=segmentation)
    assert problems == [] and found.label("mask").segmentation == [[1, 1, 5, 1, 5, 4]]


@pytest.mark.parametrize("nothing", [[[]], [], {}, None, float("nan")])
def test_an_empty_polygon_or_the_nan_of_a_table_is_no_label(tmp_path: Path, nothing: Any) -> None:
    (found,), problems = one_of(tmp_path / "c.json", segmentation=nothing)
    assert problems == [] and set(found.labels) == {"box"}
    keypoints = nothing if not isinstance(nothing, dict) else None
    assert one_of(tmp_path / "c.json", keypoints=keypoints)[1] == []


@pytest.mark.parametrize(
    "changes", [{"image_id": 1.0}, {"image_id": "1.0"}, {"image_id": " 1"}, {"category_id": "1.0"}]
)
def test_ids_that_went_through_a_table_are_the_same_ids(tmp_path: Path, changes: dict[str, Any]) -> None:
    (found,), problems = one_of(tmp_path / "c.json", **changes)
    assert problems == [] and found.image == "a.png"


def test_sizes_may_be_texts(tmp_path: Path) -> None:
    (found,), problems = one_of(tmp_path / "c.json", image={"width": "8", "height": "6.0"})
    assert problems == [] and found.size == (8, 6)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_run_length_mask_without_a_box_has_a_place(tmp_path: Path, as_text: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = np.zeros((6, 8), np.uint8, order="F")
        x, y, w, h = rng.integers(0, 8), rng.integers(0, 6), rng.integers(1, 9), rng.integers(1, 7)
        mask[y : y + h, x : x + w] = 1
        rle: dict[str, Any] = coco_mask.encode(mask)
        counts: Any = rle["counts"].decode()
        if not as_text:
            flat = mask.T.ravel()
            edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [flat[-1]]]))).tolist()
            counts = np.diff([0, *edges, flat.size]).tolist()
        (found,), _ = one_of(tmp_path / "c.json", bbox=None, segmentation={"size": [6, 8], "counts": counts})
        rows, columns = np.nonzero(mask)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found.label("mask").extent.tolist() == expected
    (found,), _ = one_of(tmp_path / "c.json", bbox=None, segmentation={"size": [6, 8], "counts": [5, 3]})
    assert found.label("mask").extent is None, "its runs do not add up"


def test_keypoints_and_a_run_length_mask_without_a_box_are_one_object(tmp_path: Path) -> None:
    entries = [
        {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [2, 2, 2, 3, 3, 2, 4, 2, 2]},
        {
            "id": 2,
            "image_id": 1,
            "category_id": 1,
            "segmentation": {"size": [6, 8], "counts": [7, 4, 2, 4, 2, 4, 2, 4, 19]},
        },
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}]
    categories = [{"id": 1, "name": "ant", "keypoints": NAMES}]
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    (joined,), _ = join(read_coco(file)[0])
    assert set(joined.labels) == {"keypoints", "mask"} and joined.alone


def unnamed(file: Path, *keypoints: list, of: list[int] | None = None) -> Path:
    """A COCO file whose categories name no keypoints, an object an image."""
    of = of or [1] * len(keypoints)
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(len(keypoints))],
        "annotations": [
            {"id": i, "image_id": i, "category_id": of[i], "keypoints": value} for i, value in enumerate(keypoints)
        ],
        "categories": [{"id": key, "name": f"ant{key}"} for key in sorted(set(of))],
    }
    file.write_text(json.dumps(content))
    return file


def test_keypoints_without_names_are_numbered_and_that_is_told(tmp_path: Path) -> None:
    objects, problems = read_coco(unnamed(tmp_path / "c.json", [5, 6, 2, 7, 8, 1], [[1, 2, 2], [3, 4, 2]]))
    assert [one.keypoint_names for one in objects] == [("keypoint_0", "keypoint_1")] * 2
    assert [problem.severity for problem in problems][:1] == ["note"] and "does not name its 2" in problems[0].message
    objects, _ = read_coco(unnamed(tmp_path / "c.json", [5, 6, 2, 7, 8, 1], [1, 2, 2] * 3, of=[1, 2]))
    assert [one.keypoint_names[0] for one in objects] == ["ant1 keypoint_0", "ant2 keypoint_0"]


def test_keypoints_without_names_that_are_not_as_many_are_an_error(tmp_path: Path) -> None:
    _, problems = read_coco(unnamed(tmp_path / "c.json", [5, 6, 2, 7, 8, 1], [1, 2, 2]))
    assert len(problems) == 2 and all("for 0 keypoint names" in problem.message for problem in problems)
