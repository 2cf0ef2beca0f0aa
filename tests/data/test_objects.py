"""Annotations of one object that come apart are joined, by place, where there is no doubt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.records import read_dataset
from coarseparts.data.source_keys import Crop
from coarseparts.inference.label_files import read_labels
from coarseparts.labels.schema import Schema

NAMES = ["head", "tail"]
Entry = dict[str, Any]


def figure(x: float, y: float, image: int = 0, side: float = 10, outline: bool = True) -> Entry:
    corners = [x, y, x + side, y, x + side, y + side, x, y + side]
    box = {"bbox": [x, y, side, side]}
    return {"image_id": image, "category_id": 2} | ({"segmentation": [corners]} if outline else {}) | box


def skeleton(x: float, y: float, image: int = 0) -> Entry:
    """Two points, in a figure of side 10 at the same place."""
    return {"image_id": image, "category_id": 1, "keypoints": [x + 2, y + 5, 2, x + 9, y + 5, 2]}


def read(folder: Path, *entries: Entry, more: str = "") -> tuple[list[set[str]], list[str]]:
    """The labels of each sample, and the notes on joins."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 60, "height": 60} for i in range(3)]
    for i in range(3):
        (folder / "images").mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (60, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    categories = [{"id": 1, "name": "ant_points", "keypoints": NAMES}, {"id": 2, "name": "ant"}]
    annotations = [entry | {"id": i} for i, entry in enumerate(entries)]
    (folder / "c.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    source = f"{{split: train, images: images, coco: c.json{more}}}"
    (folder / "d.yaml").write_text(f"parts: [a]\nsources: [{source}]\n")
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    assert not [p for p in problems if p.severity == "error"], problems
    joins = [p.message for p in problems if "annotations each" in p.message or "the other way round" in p.message]
    return [set(record.has) for record in records], joins


def test_a_skeleton_and_the_mask_around_it_are_one_object(tmp_path: Path) -> None:
    found, joins = read(tmp_path, figure(5, 5), skeleton(5, 5), skeleton(20, 20, 1), figure(20, 20, 1, outline=False))
    assert found == [{"keypoints", "mask", "box"}, {"keypoints", "box"}]
    assert len(joins) == 1 and joins[0].startswith("2 objects are written as two annotations each")
    found, joins = read(tmp_path, figure(5, 5), skeleton(5, 5), more=", join: none")
    assert found == [{"mask", "box"}, {"keypoints"}] and joins == []


def test_each_belongs_to_its_own(tmp_path: Path) -> None:
    apart = [figure(2, 2), figure(30, 30), skeleton(30, 30), skeleton(2, 2), figure(2, 40)]
    found, joins = read(tmp_path, *apart)
    assert sorted(map(sorted, found)) == [["box", "keypoints", "mask"], ["box", "keypoints", "mask"], ["box", "mask"]]
    assert joins[0].startswith("2 objects")
    records, _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    for record in records:
        labels = record.load()[0].labels
        if "keypoints" in labels:
            x0, y0, x1, y1 = labels["box"]
            xy = labels["keypoints"][:, :2]
            assert ((xy > (x0, y0)) & (xy < (x1, y1))).all()


@pytest.mark.parametrize(
    "entries",
    [
        [figure(5, 5), figure(6, 6), skeleton(6, 6)],  # one figure over the other
        [figure(5, 5, side=30), skeleton(6, 6), skeleton(20, 20)],  # a group, of which there is one outline
    ],
)
def test_where_it_cannot_be_told_nothing_is_guessed(tmp_path: Path, entries: list[Entry]) -> None:
    found, joins = read(tmp_path, *entries)
    assert len(found) == 3 and not any({"keypoints", "mask"} <= labels for labels in found)
    assert joins == [
        "1 images have keypoints that lie in several masks or boxes, or the other way round: 0.png",
    ]


def test_what_lies_elsewhere_is_another_object(tmp_path: Path) -> None:
    found, joins = read(tmp_path, figure(2, 2), skeleton(40, 40))
    assert found == [{"mask", "box"}, {"keypoints"}] and joins == []


def test_the_lone_object_of_an_image_has_its_part_mask(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    parts = np.zeros((60, 60), np.uint8)
    parts[0:8, 0:8] = 1  # also beyond the figure: of several objects it would be another's
    Image.fromarray(parts).save(tmp_path / "masks" / "0.png")
    read(tmp_path, figure(5, 5), skeleton(5, 5), more=", part_masks: masks")
    (record,), _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    found = record.load()[0].parts
    assert found is not None and np.array_equal(found, parts)


def test_predictions_take_them_joined_too(tmp_path: Path) -> None:
    read(tmp_path, figure(5, 5), skeleton(5, 5))
    schema = Schema(parts=("a",), keypoints=("head", "tail"))
    labels = read_labels(schema, Crop(), {"0.png": tmp_path / "images" / "0.png"}, {"coco": tmp_path / "c.json"})
    (recipe,) = labels.objects["0.png"]
    assert recipe.use == {"keypoints", "mask", "box"}


def test_a_mask_a_box_and_a_skeleton_apart_are_one_object(tmp_path: Path) -> None:
    box = {"image_id": 0, "category_id": 2, "bbox": [4, 5, 11, 10]}
    found, joins = read(tmp_path, skeleton(5, 5), figure(5, 5), box)
    assert found == [{"keypoints", "mask", "box"}]
    assert [join.partition(":")[0].partition(", ")[2] for join in joins] == [
        "a mask and a box around it",
        "keypoints and a mask or box around them",
    ]
    several = [box, figure(30, 30), figure(5, 5), box | {"bbox": [30, 29, 10, 11]}, skeleton(30, 30)]
    found, joins = read(tmp_path, *several)
    assert sorted(map(len, found)) == [2, 3] and len(joins) == 2


def test_boxes_that_fit_one_mask_alike_stay_apart(tmp_path: Path) -> None:
    box = {"image_id": 0, "category_id": 2, "bbox": [5, 5, 10, 10]}
    found, joins = read(tmp_path, figure(5, 5), box, box | {"bbox": [4, 4, 12, 11]})
    assert len(found) == 3 and joins == ["1 images have boxes that fit several masks, or the other way round: 0.png"]


@pytest.mark.parametrize("outline", [True, False])
def test_the_object_of_which_no_part_is_labelled_has_no_part_mask(tmp_path: Path, outline: bool) -> None:
    (tmp_path / "masks").mkdir()
    parts = np.zeros((60, 60), np.uint8)
    parts[6:14, 6:14] = 1
    parts[14, 14:31] = 1  # an antenna that reaches into the other one's box
    Image.fromarray(parts).save(tmp_path / "masks" / "0.png")
    read(tmp_path, figure(5, 5, outline=outline), figure(30, 10, outline=outline), more=", part_masks: masks")
    records, _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    (first, _), (second, problems) = (record.load() for record in records)
    assert first.parts is not None and (first.parts == 1).sum() > 64
    assert second.parts is None and set(second.labels) == {"box"} | ({"mask"} if outline else set())
    assert [problem.message.partition(": ")[2] for problem in problems] == [
        "none of the part masks of its image lies in it: its parts count as not labelled"
    ]
