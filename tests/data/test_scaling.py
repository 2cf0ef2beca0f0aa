"""Labels that are not pixels of the photographs: scaled where that is said or sure, asked for where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import BadInput

WIDTH, HEIGHT = 320, 240


def shape(i: int, by: float = 1.0) -> tuple[list[float], list[float], list[float]]:
    """Polygon, box and keypoints of the object of photograph i, on sides that are ``by`` times the photograph's."""
    x0, y0, x1, y1 = (v * by for v in (60.0 + 10 * i, 40.0, 220.0 + 10 * i, 200.0))
    polygon, box = [x0, y0, x1, y0, x1, y1, x0, y1], [x0, y0, x1 - x0, y1 - y0]
    return polygon, box, [x0 + 10 * by, y0 + 10 * by, 2, x1 - 10 * by, y1 - 10 * by, 2]


def world(
    folder: Path, stated: Any, scale: Any = 1.0, keys: str = "", rle: bool = False
) -> tuple[list[Any], list[Any]]:
    """Records and problems of four photographs of 320 x 240, with labels of an object and its one part in coordinates
    that are ``scale`` times pixels (a number, or one for x and y), the file saying ``stated`` (width, height)."""
    (folder / "images").mkdir(exist_ok=True)
    sx, sy = scale if isinstance(scale, tuple) else (scale, scale)
    content: dict[str, Any] = {"images": [], "annotations": []}
    for i in range(4):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 40 * i, np.uint8)).save(folder / "images" / f"{i}.png")
        image = {"id": i, "file_name": f"{i}.png"}
        content["images"].append(image | ({"width": stated[0], "height": stated[1]} if stated else {}))
        polygon, box, points = shape(i)
        xy = [sx, sy]
        part: Any = [[v * xy[j % 2] for j, v in enumerate(polygon)]]
        if rle:
            code = coco_mask.merge(coco_mask.frPyObjects(part, stated[1], stated[0]))
            part = {"size": [stated[1], stated[0]], "counts": code["counts"].decode()}
        entry = {"id": 2 * i, "image_id": i, "category_id": 0, "bbox": [v * xy[j % 2] for j, v in enumerate(box)]}
        entry["keypoints"] = [v * (*xy, 1)[j % 3] for j, v in enumerate(points)]
        part_entry = {"id": 2 * i + 1, "image_id": i, "category_id": 1, "segmentation": part}
        content["annotations"] += [entry, part_entry]
    content["categories"] = [{"id": 0, "name": "bee", "keypoints": ["a", "b"]}, {"id": 1, "name": "head"}]
    (folder / "c.json").write_text(json.dumps(content))
    source = f"{{split: train, images: images, coco: c.json{keys}}}"
    (folder / "d.yaml").write_text(f"parts: [head]\nsources: [{source}]")
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    return records, problems


def errors(problems: list[Any]) -> list[str]:
    return [str(problem) for problem in problems if problem.severity == "error"]


def assert_right(records: list[Any]) -> list[str]:
    """All labels are where they were drawn; what had to be repaired."""
    told = []
    assert len(records) == 4
    for i, record in enumerate(records):
        sample, problems = record.load()
        _, box, points = shape(i)
        x, y, w, h = box
        np.testing.assert_allclose(sample.labels["box"], [x, y, x + w, y + h], atol=0.01)
        np.testing.assert_allclose(sample.labels["keypoints"], np.reshape(points, (2, 3)), atol=0.01)
        assert abs(int((sample.parts == 1).sum()) - w * h) <= 0.03 * w * h
        assert (sample.parts[int(y) + 4 : int(y + h) - 4, int(x) + 4 : int(x + w) - 4] == 1).all()
        told += [str(problem) for problem in problems]
    return told


@pytest.mark.parametrize("stated", [(WIDTH, HEIGHT), None])
def test_shares_of_the_sides_are_placed_and_told(tmp_path: Path, stated: Any) -> None:
    records, problems = world(tmp_path, stated, (1 / WIDTH, 1 / HEIGHT))
    assert errors(problems) == []
    assert sum("lie between 0 and 1" in problem.message for problem in problems) == 2, "parts, and objects"
    assert_right(records)


def test_percent_are_asked_for_and_placed_when_that_is_said(tmp_path: Path) -> None:
    scale = (100 / WIDTH, 100 / HEIGHT)
    _, problems = world(tmp_path, (WIDTH, HEIGHT), scale)
    assert errors(problems) and all("write `coordinates: percent`" in error for error in errors(problems))
    records, problems = world(tmp_path, (WIDTH, HEIGHT), scale, ", coordinates: percent")
    assert errors(problems) == []
    assert_right(records)


@pytest.mark.parametrize("scale", [0.5, (100 / WIDTH, 100 / HEIGHT)])
def test_without_sizes_labels_in_the_upper_left_of_every_photograph_are_asked_for(tmp_path: Path, scale: Any) -> None:
    _, problems = world(tmp_path, None, scale)
    (error,) = errors(problems)
    assert "states no sizes of its images, and all labels lie in the upper left" in error
    assert ("`coordinates: percent` if they are percent" in error) == (scale != 0.5)
    size = "[160, 120]" if scale == 0.5 else "percent"
    records, problems = world(tmp_path, None, scale, f", coordinates: {size}")
    assert errors(problems) == []
    assert_right(records)
    assert errors(world(tmp_path, None, scale, ", coordinates: pixels")[1]) == []


def test_without_sizes_labels_beyond_every_photograph_are_asked_for(tmp_path: Path) -> None:
    _, problems = world(tmp_path, None, 3.0)
    (error,) = [error for error in errors(problems) if "states no sizes" in error]
    assert "all labels reach beyond the photographs" in error and "`coordinates: [width, height]`" in error
    records, problems = world(tmp_path, None, 3.0, f", coordinates: [{3 * WIDTH}, {3 * HEIGHT}]")
    assert errors(problems) == []
    assert_right(records)


def test_without_sizes_labels_all_over_the_photographs_are_in_order(tmp_path: Path) -> None:
    records, problems = world(tmp_path, None)
    assert errors(problems) == []
    assert assert_right(records) == []


@pytest.mark.parametrize("rle", [False, True])
def test_another_size_than_the_photograph_s_is_an_error_and_scaled_where_that_is_said(
    tmp_path: Path, rle: bool
) -> None:
    records, problems = world(tmp_path, (160, 120), 0.5, rle=rle)
    assert errors(problems) == []
    with pytest.raises(BadInput, match="was made on 160x120 pixels") as caught:
        records[0].load()
    assert "write `coordinates: stated` in this source to scale the labels" in str(caught.value)
    assert len(caught.value.problems) == 2, "the object's, and the part's"
    records, problems = world(tmp_path, (160, 120), 0.5, ", coordinates: stated", rle=rle)
    assert errors(problems) == []
    told = assert_right(records)
    assert len(told) == 8 and all("was made on 160x120 pixels, scaled to 320x240" in line for line in told)


def test_a_part_s_polygon_of_another_size_is_no_label_in_silence(tmp_path: Path) -> None:
    world(tmp_path, (160, 120), 0.5)
    (tmp_path / "d.yaml").write_text(
        "parts: [head, tail]\nsources: [{split: train, images: images, part_coco: p.json}]"
    )
    content = json.loads((tmp_path / "c.json").read_text())
    content["annotations"] = [entry for entry in content["annotations"] if "segmentation" in entry]
    content["categories"] = content["categories"][1:]
    (tmp_path / "p.json").write_text(json.dumps(content))
    records, _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    with pytest.raises(BadInput, match="was made on 160x120 pixels"):
        records[0].load()


def test_a_size_of_another_shape_is_refused(tmp_path: Path) -> None:
    records, _ = world(tmp_path, (160, 160), 0.5, ", coordinates: stated")
    with pytest.raises(BadInput, match="the photograph of 320x240 has another shape"):
        records[0].load()


@pytest.mark.parametrize("value", ["[160]", "[0, 120]", "per cent", "[0.5, 1]", "true"])
def test_what_coordinates_may_be_is_told(tmp_path: Path, value: str) -> None:
    with pytest.raises(BadInput, match=r"sources\[0\]\.coordinates"):
        world(tmp_path, None, 1.0, f", coordinates: {value}")


def test_labels_that_lie_elsewhere_than_the_part_masks_are_told(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    parts = np.zeros((HEIGHT, WIDTH), np.uint8)
    parts[150:230, 200:250] = 1
    for i in range(2):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 40 * i, np.uint8)).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(parts).save(tmp_path / "masks" / f"{i}.png")
    entry = {"category_id": 0, "bbox": [62, 62, 34, 33], "keypoints": [3, 4, 2, 90, 70, 2, 80, 90, 2]}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(2)],
        "annotations": [{"id": i, "image_id": i, **entry} for i in range(2)],
        "categories": [{"id": 0, "name": "bee", "keypoints": ["a", "b", "c"]}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    for unit in ("pixels", "percent"):
        source = f"{{split: train, images: images, part_masks: masks, coco: c.json, coordinates: {unit}}}"
        (tmp_path / "d.yaml").write_text(f"parts: [head]\nsources: [{source}]")
        records, _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
        if unit == "pixels":  # the box has nothing of the parts at all
            with pytest.raises(BadInput, match="lies elsewhere than the part masks of its image"):
                records[0].load()
            continue
        (told,) = [str(problem) for problem in records[0].load()[1]]
        assert "are the coordinates pixels of this image?" in told


@pytest.mark.parametrize("label", [{"bbox": [40, 60, 40, 30]}, {"keypoints": [41, 62, 2, 52, 61, 2, 53, 88, 2]}])
def test_labels_that_are_the_parts_in_percent_are_an_error(tmp_path: Path, label: dict[str, Any]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    parts = np.zeros((100, 150), np.uint8)
    parts[60:90, 60:120] = 1
    Image.fromarray(np.full((100, 150, 3), 40, np.uint8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(parts).save(tmp_path / "masks" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 150, "height": 100}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **label}],
        "categories": [{"id": 1, "name": "bee", "keypoints": ["a", "b", "c"]}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    source = "split: train, images: images, part_masks: masks, coco: c.json"
    for more, wrong in (("", True), (", coordinates: percent", False)):
        (tmp_path / "d.yaml").write_text(f"parts: [head]\nsources: [{{{source}{more}}}]")
        (record,), _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
        if wrong:
            with pytest.raises(BadInput, match=r"if coordinates are percent, .*write `coordinates: percent`"):
                record.load()
        else:
            assert record.load()[1] == []
