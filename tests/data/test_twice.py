"""Objects and parts that are labelled twice: told, and used once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.records import read_dataset

Entry = dict[str, Any]
ANT, BEE = (5.0, 5.0), (32.0, 8.0)


def figure(at: tuple[float, float], of: str = "ant", points: bool = False, group: str = "") -> list[Entry]:
    """An outline with a cut corner, its box and two parts; and keypoints."""
    x, y = at
    whole = [x, y, x + 20, y, x + 20, y + 16, x + 4, y + 16, x, y + 12]
    entry: Entry = {"of": of, "segmentation": [whole], "bbox": [x, y, 20, 16]}
    if points:
        entry["keypoints"] = [x + 2, y + 8, 2, x + 18, y + 8, 2]
    head, body = [[x, y, x + 6, y, x + 6, y + 12, x, y + 12]], [[x + 6, y, x + 20, y, x + 20, y + 16, x + 6, y + 15]]
    entries = [entry, {"of": "head", "segmentation": head}, {"of": "body", "segmentation": body}]
    return [one | {"group": group} for one in entries] if group else entries


def write(file: Path, entries: list[Entry], name: str = "0.png") -> None:
    names = ["ant", "head", "body"]
    categories = [{"id": i, "name": name, "keypoints": ["eye", "tail"] * (not i)} for i, name in enumerate(names)]
    annotations = [
        {"id": i, "image_id": 0, "category_id": names.index(one["of"]), **one} for i, one in enumerate(entries)
    ]
    images = [{"id": 0, "file_name": name, "width": 60, "height": 40}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def read(folder: Path, keys: str) -> tuple[list[Any], list[str]]:
    """The samples, and what is told but for errors, of which there is none."""
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(folder / "images" / "0.png")
    (folder / "d.yaml").write_text(f"parts: [head, body]\nsources: [{{split: train, images: images, {keys}}}]\n")
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    assert not [p for p in problems if p.severity == "error"], problems
    return [record.load()[0] for record in records], [p.message for p in problems]


def areas(sample: Any) -> list[int]:
    found: list[int] = np.bincount(sample.parts.ravel(), minlength=3)[1:3].tolist()
    return found


def moved(at: tuple[float, float], by: float = 0.8) -> tuple[float, float]:
    return at[0] + by, at[1] + by


@pytest.mark.parametrize("key", ["coco", "labels"])
def test_a_list_that_was_put_together_twice_is_used_once(tmp_path: Path, key: str) -> None:
    write(tmp_path / "c.json", [*figure(ANT, points=True), *figure(BEE)] * 2)
    found, told = read(tmp_path, f"{key}: c.json")
    assert [set(one.labels) for one in found] == [{"keypoints", "mask", "box"}, {"mask", "box"}]
    assert sum("2 objects are labelled twice, and the later labels are used: 0.png" in one for one in told) == 1
    assert sum("4 outlines of parts are drawn twice, and the later ones are used" in one for one in told) == 1


@pytest.mark.parametrize("key", ["coco: [anna.json, bob.json]", "labels: lab"])
def test_of_two_annotators_the_later_file_counts_and_is_named(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "lab" if "labels" in key else tmp_path
    folder.mkdir(exist_ok=True)
    write(folder / "anna.json", figure(ANT, points=True))
    write(folder / "bob.json", figure(moved(ANT)))
    (one,), told = read(tmp_path, key)
    assert set(one.labels) == {"keypoints", "mask", "box"}, "and what the other one alone has"
    assert one.labels["box"].tolist() == pytest.approx([5.8, 5.8, 25.8, 21.8])
    alone, _ = read(tmp_path, f"coco: {folder.relative_to(tmp_path)}/bob.json")
    assert areas(one) == areas(alone[0]), "no union of both"
    where = "labelled twice" if "labels" in key else "bob.json, too, whose labels are used"
    assert any(one.startswith("1 objects are labelled") and where in one for one in told)
    assert any("outlines of" in one and "used" in one for one in told)


def test_two_annotators_may_share_the_animals_of_a_photograph(tmp_path: Path) -> None:
    write(tmp_path / "anna.json", figure(ANT))
    write(tmp_path / "bob.json", figure(BEE))
    found, told = read(tmp_path, "coco: [anna.json, bob.json]")
    write(tmp_path / "one.json", [*figure(ANT), *figure(BEE)])
    expected, _ = read(tmp_path, "coco: one.json")
    assert [areas(one) for one in found] == [areas(one) for one in expected] and len(found) == 2
    assert not any("twice" in one or "whose labels" in one or "other files" in one for one in told)


@pytest.mark.parametrize(
    "second",
    [
        [{"of": "ant", "segmentation": [[5, 21, 25, 21, 25, 5, 21, 5, 5, 19]], "bbox": [5, 5, 20, 16]}],  # across it
        [{"of": "ant", "keypoints": [23, 13, 2, 7, 13, 2], "bbox": [5, 5, 20, 16]}],  # the other way round
        [{"of": "ant", "bbox": [7, 7, 20, 16]}],
    ],
)
def test_animals_that_lie_over_each_other_stay_two(tmp_path: Path, second: list[Entry]) -> None:
    first = {key: value for key, value in figure(ANT, points=True)[0].items() if key == "of" or key in second[0]}
    if "segmentation" in first:
        first["segmentation"] = [[5, 5, 25, 21, 23, 21, 5, 7]]
    write(tmp_path / "c.json", [first, *second])
    found, told = read(tmp_path, "coco: c.json")
    assert len(found) == 2 and not any("twice" in one for one in told)


def test_objects_of_two_groups_and_those_that_are_not_to_be_joined_stay_two(tmp_path: Path) -> None:
    write(tmp_path / "c.json", figure(ANT) + figure(ANT))
    assert len(read(tmp_path, "coco: c.json, join: none")[0]) == 2
    write(tmp_path / "c.json", figure(ANT, group="a") + figure(ANT, group="b"))
    assert len(read(tmp_path, "labels: c.json")[0]) == 2
