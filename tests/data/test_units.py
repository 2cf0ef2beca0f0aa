"""Boxes that are corners and coordinates that are no pixels are told; right ones never."""

import json

import numpy as np
import pytest
from real_data import SHARED, needs_shared

from coarseparts.data.formats import units
from coarseparts.data.formats.coco import read_coco, read_of_parts
from coarseparts.labels import PartBoxes

WIDTH, HEIGHT = 200, 120


def objects(box=lambda x0, y0, x1, y1: [x0, y0, x1 - x0, y1 - y0], scale=(1.0, 1.0), polygons=True, count=6):
    """A COCO file of ``count`` objects with keypoints, outline and box; ``box`` says how the box is written."""
    random = np.random.default_rng(1)
    whole = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "ant", "keypoints": ["a", "b", "c"]}]}
    for i in range(count):
        x0, y0 = random.uniform(5, 80, 2).tolist()
        x1, y1 = x0 + random.uniform(60, 110), y0 + random.uniform(20, 35)
        sides = scale * 2
        corners = [v * s for v, s in zip((x0, y0, x1, y1), sides, strict=True)]
        x, y, right, bottom = corners
        entry = {"id": i, "image_id": i, "category_id": 1, "bbox": box(*corners)}
        entry["keypoints"] = [x, y, 2, right, y, 2, x, y + 0.7 * (bottom - y), 2]
        if polygons:
            entry["segmentation"] = [[x, y, right, y, right, bottom, (x + right) / 2, bottom]]
        whole["images"].append({"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT})
        whole["annotations"].append(entry)
    return whole


def problems(tmp_path, whole):
    (tmp_path / "c.json").write_text(json.dumps(whole))
    return [(p.severity, p.message) for p in read_coco(tmp_path / "c.json")[1]]


def as_corners(x0, y0, x1, y1):
    return [x0, y0, x1, y1]


@pytest.mark.parametrize("polygons", [True, False])
def test_boxes_as_coco_has_them_are_in_order(tmp_path, polygons):
    assert problems(tmp_path, objects(polygons=polygons)) == []


@pytest.mark.parametrize("polygons", [True, False])
def test_boxes_that_are_corners_are_told(tmp_path, polygons):
    ((severity, message),) = problems(tmp_path, objects(as_corners, polygons=polygons))
    assert severity == "error" and "corners" in message and "of 6 boxes" in message


def test_boxes_that_are_centres_are_told(tmp_path):
    def as_centres(x0, y0, x1, y1):
        return [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]

    ((severity, message),) = problems(tmp_path, objects(as_centres))
    assert severity == "error" and "only if they are centres" in message and "6 of 6 boxes" in message


def test_boxes_of_truncated_objects_are_no_corners():
    image = (WIDTH, HEIGHT)
    beyond = [np.array([150.0, 60, 210, 130])] * 3  # as corners they would be turned inside out
    assert units.corners(beyond, [image] * 3, [None] * 3) == []


def test_shares_of_the_image_are_taken_for_them_where_all_labels_agree(tmp_path):
    ((severity, message),) = problems(tmp_path, objects(scale=(1 / WIDTH, 1 / HEIGHT)))
    assert severity == "note" and message == "all coordinates of keypoints, segmentation, bbox lie between 0 and 1"


def test_shares_beside_pixels_are_told_of_every_label(tmp_path):
    whole = objects(scale=(1 / WIDTH, 1 / HEIGHT))
    for entry in whole["annotations"]:
        entry["bbox"] = [10, 12, 60, 30]
    found = problems(tmp_path, whole)
    assert {severity for severity, _ in found} == {"error"}
    assert [m.split("coordinates of ")[1].split()[0] for _, m in found] == ["keypoints", "segmentation"]


def test_coordinates_up_to_100_in_large_images_are_asked_for(tmp_path):
    whole = objects(scale=(100 / WIDTH, 100 / HEIGHT))
    for image in whole["images"]:
        image |= {"width": 640, "height": 480}
    ((severity, message),) = problems(tmp_path, whole)
    assert severity == "error" and message.startswith("all coordinates lie between 0 and 100, in 6 images")
    assert read_coco(tmp_path / "c.json", coordinates="pixels")[1] == []
    whole["images"][0]["width"] = 150
    assert [severity for severity, _ in problems(tmp_path, whole)] == ["note"]
    whole["images"][0]["width"] = 105
    assert problems(tmp_path, whole) == []


def test_a_point_in_the_first_pixel_is_no_share(tmp_path):
    assert units.fractions("keypoints", [np.array([[0.5, 0.5]])], 6) == []
    assert units.fractions("keypoints", [np.full((9, 2), 0.5), np.array([[2.0, 0.5]])], 6) == []
    assert units.fractions("keypoints", [np.ones((9, 2))], 6) == []


def test_boxes_of_parts(tmp_path):
    whole = objects(as_corners, polygons=False)
    (tmp_path / "b.json").write_text(json.dumps(whole))
    assert "corners" in str(read_of_parts(tmp_path / "b.json", ("ant",), PartBoxes)[1][-1])
    (tmp_path / "b.json").write_text(json.dumps(objects(scale=(1 / WIDTH, 1 / HEIGHT))))
    assert "between 0 and 1" in str(read_of_parts(tmp_path / "b.json", ("ant",), PartBoxes)[1][-1])


def test_overlap():
    a = np.array([0.0, 0, 2, 2])
    assert units.box_iou(a, a) == 1 and units.box_iou(a, np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)
    assert units.box_iou(a, np.array([5.0, 5, 6, 6])) == 0


@needs_shared
def test_real_ants_are_in_pixels():
    for split in ("train_parts", "train_coarse", "val"):
        assert read_coco(SHARED / "data" / "ants" / split / "coarse.json")[1] == []
