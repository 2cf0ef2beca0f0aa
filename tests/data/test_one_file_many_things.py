"""Objects and parts in one COCO file, or an object's labels in several: the same labels as in a file for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.records import read_contents, read_dataset

OBJECT = [[2, 2, 14, 2, 14, 10, 2, 10]]
HEAD, BODY = [[2, 2, 6, 2, 6, 10, 2, 10]], [[6, 2, 14, 2, 14, 10, 6, 10]]
POINTS = [4, 6, 2, 12, 6, 2]


def coco(file: Path, names: list[str], entries: list[dict[str, Any]], images: int = 2) -> None:
    """A COCO file of categories ``names``, each entry having "of", its category's, and standing in each image."""
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 16, "height": 12} for i in range(images)],
        "annotations": [
            {"id": 10 * i + j, "image_id": i, "category_id": names.index(entry["of"]), **entry}
            for i in range(images)
            for j, entry in enumerate(entries)
        ],
        "categories": [
            {"id": i, "name": name, "keypoints": ["eye", "sting"] if name in ("bee", "skeleton") else []}
            for i, name in enumerate(names)
        ],
    }
    file.write_text(json.dumps(content))


def read(folder: Path, keys: str, parts: str = "head, body", **how: Any) -> tuple[list[Any], list[str], list[str]]:
    """The records, errors and notes of a data set of two photographs, ``keys`` of its one source."""
    (folder / "images").mkdir(exist_ok=True)
    for i in range(2):
        Image.fromarray(np.full((12, 16, 3), 40 * i, np.uint8)).save(folder / "images" / f"{i}.png")
    (folder / "d.yaml").write_text(
        f"parts: [{parts}]\ncrop: {{to: none}}\nsources: [{{split: train, images: images, {keys}}}]"
    )
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"), **how)
    told = {which: [str(p) for p in problems if p.severity == which] for which in ("error", "note")}
    return records, told["error"], told["note"]


def areas(record: Any) -> list[int]:
    return np.bincount(record.load()[0].parts.ravel(), minlength=3)[1:].tolist()


ALL = [
    {"of": "bee", "segmentation": OBJECT, "keypoints": POINTS},
    {"of": "head", "segmentation": HEAD},
    {"of": "body", "segmentation": BODY},
]


@pytest.mark.parametrize("keys", ["coco: c.json", "coco: c.json, part_coco: c.json"])
def test_polygons_of_parts_beside_the_objects_are_its_part_masks(tmp_path: Path, keys: str) -> None:
    coco(tmp_path / "c.json", ["bee", "head", "body"], ALL)
    records, errors, notes = read(tmp_path, keys, for_training=True)
    assert errors == [] and [sorted(record.has) for record in records] == [["keypoints", "mask", "parts"]] * 2
    assert all(areas(record) == [32, 64] for record in records)
    assert any("categories body, head are taken for part masks, those of bee for objects" in note for note in notes)


def test_parts_alone_are_no_objects(tmp_path: Path) -> None:
    coco(tmp_path / "c.json", ["head", "body"], ALL[1:])
    records, errors, _ = read(tmp_path, "coco: c.json", for_training=True)
    assert errors == [] and [record.has for record in records] == [{"parts"}] * 2


@pytest.mark.parametrize("key", ["coco", "labels"])
def test_categories_that_are_neither_parts_nor_named_as_objects_are_left_out(tmp_path: Path, key: str) -> None:
    leaf = {"of": "leaf", "bbox": [0, 0, 2, 2]}
    coco(tmp_path / "c.json", ["bee", "head", "body", "leaf"], [*ALL, leaf])
    records, errors, notes = read(tmp_path, f"{key}: c.json, objects: [Bee]")
    assert errors == [] and [sorted(record.has) for record in records] == [["keypoints", "mask", "parts"]] * 2
    assert any("categories that are none of `objects` are left out: leaf (2)" in note for note in notes)
    records, _, _ = read(tmp_path, f"{key}: c.json")
    assert len(records) == 4
    _, (error,), _ = read(tmp_path, f"{key}: c.json, objects: [beee]")
    assert "category bee is none of `objects` and `parts`; did you mean beee?" in error
    records, errors, _ = read(tmp_path, f"{key}: c.json, objects: []")
    assert errors == [] and [record.has for record in records] == [{"parts"}] * 2
    with pytest.raises(ValueError, match="objects belongs to coco or labels"):
        read(tmp_path, "part_coco: c.json, objects: [bee]")


def test_what_lies_elsewhere_than_the_parts_is_not_their_object(tmp_path: Path) -> None:
    coco(tmp_path / "c.json", ["scale", "head", "body"], [{"of": "scale", "bbox": [0, 11, 9, 1]}, *ALL[1:]])
    records, errors, _ = read(tmp_path, "coco: c.json")
    assert errors == []
    with pytest.raises(ValueError, match=r"lies elsewhere than the part masks .* `objects: \[...\]`"):
        records[0].load()


def test_an_object_that_is_called_as_its_only_part_stays_an_object(tmp_path: Path) -> None:
    coco(tmp_path / "c.json", ["bee"], ALL[:1])
    records, errors, _ = read(tmp_path, "coco: c.json", parts="bee")
    assert errors == [] and [sorted(record.has) for record in records] == [["keypoints", "mask"]] * 2


def test_a_part_that_is_misspelt_is_not_taken_for_an_object(tmp_path: Path) -> None:
    coco(tmp_path / "c.json", ["bee", "head", "bodi"], [*ALL[:2], ALL[2] | {"of": "bodi"}])
    _, errors, _ = read(tmp_path, "coco: c.json")
    assert any("category 'bodi' is taken for an object's; did you mean the part 'body'?" in error for error in errors)


def test_part_masks_in_two_places_are_told(tmp_path: Path) -> None:
    coco(tmp_path / "c.json", ["bee", "head", "body"], ALL)
    coco(tmp_path / "p.json", ["head", "body"], [ALL[1]])
    records, errors, notes = read(tmp_path, "coco: c.json, part_coco: p.json")
    assert errors == [] and all(areas(record) == [32, 0] for record in records)
    assert any("has part masks of 2 images, too; those of" in note for note in notes)


def test_several_files_of_a_source_are_joined_by_image_and_place(tmp_path: Path) -> None:
    coco(tmp_path / "s.json", ["skeleton"], [{"of": "skeleton", "keypoints": POINTS}])
    coco(tmp_path / "m.json", ["bee"], [{"of": "bee", "segmentation": OBJECT}])
    records, errors, notes = read(tmp_path, "coco: [s.json, m.json]")
    assert errors == [] and [sorted(record.has) for record in records] == [["keypoints", "mask"]] * 2
    assert any("2 objects are written as two annotations each" in note for note in notes)
    records, errors, _ = read(tmp_path, "coco: [s.json, m.json], join: none")
    assert [sorted(record.has) for record in records] == [["keypoints"], ["mask"]] * 2
    assert len({record.name for record in records}) == 4, "two objects in each photograph"


def test_every_file_that_is_missing_is_told_with_its_place(tmp_path: Path) -> None:
    coco(tmp_path / "s.json", ["skeleton"], [])
    with pytest.raises(ValueError, match=r"sources\[0\]\.coco\[1\]: .*none\.json does not exist"):
        read(tmp_path, "coco: [s.json, none.json]")


MOVED = [
    one | {"segmentation": [[number + 0.5 for number in polygon] for polygon in one["segmentation"]]}
    for one in ALL
    if isinstance(one["segmentation"], list)
]
"""The same, half a pixel beside it."""

TWO = "coco: c.json}, {split: train, images: images, "
"""The keys of two sources of the same photographs."""


def test_labels_of_a_photograph_in_two_sources_become_one_sample(tmp_path: Path) -> None:
    coco(tmp_path / "c.json", ["bee"], ALL[:1])
    coco(tmp_path / "p.json", ["head", "body"], ALL[1:])
    records, errors, notes = read(tmp_path, TWO + "part_coco: p.json")
    assert errors == [] and [record.name for record in records] == ["0", "1"]
    assert all(record.has == {"parts", "mask", "keypoints"} for record in records) and areas(records[0]) == [32, 64]
    (told,) = [note for note in notes if "become one sample" in note]
    assert "sources[0] and sources[1] have labels of 2 same photographs" in told
    contents = read_contents(load_dataset_file(tmp_path / "d.yaml"))
    assert [(one.images, one.used, one.left_out.total()) for one in contents.accounts] == [(2, 2, 0), (2, 0, 2)]


def test_objects_of_two_sources_are_joined_by_place(tmp_path: Path) -> None:
    left, right = [[1, 1, 6, 1, 6, 10, 1, 10]], [[9, 1, 15, 1, 15, 10, 9, 10]]
    skeletons = [{"of": "skeleton", "keypoints": [x, 4, 2, x + 1, 8, 2]} for x in (3, 11)]
    coco(tmp_path / "c.json", ["skeleton"], skeletons)
    coco(tmp_path / "m.json", ["bee"], [{"of": "bee", "segmentation": outline} for outline in (right, left)])
    (tmp_path / "images").mkdir()
    (tmp_path / "deep").symlink_to("images")
    records, errors, _ = read(
        tmp_path, TWO.replace("}, {split: train, images: images", "}, {split: train, images: deep") + "coco: m.json"
    )
    assert errors == [] and len(records) == 4 and all(record.has == {"mask", "keypoints"} for record in records)
    for record in records:
        labels = record.load()[0].labels
        points = labels["keypoints"].astype(int)
        assert (labels["mask"][points[:, 1], points[:, 0]] > 128).all()


@pytest.mark.parametrize(
    ("second", "keys"),
    [(MOVED[:1], ""), ([{"of": "bee", "segmentation": OBJECT}], ", visible: 1"), (MOVED, "")],
)
def test_labels_that_exclude_each_other_stay_apart_and_that_is_told(
    tmp_path: Path, second: list[dict[str, Any]], keys: str
) -> None:
    coco(tmp_path / "c.json", ["bee", "head", "body"], ALL)
    coco(tmp_path / "d.json", ["bee", "head", "body"], second)
    records, errors, notes = read(tmp_path, f"{TWO}coco: d.json{keys}")
    assert errors == [] and len(records) == 4
    (told,) = [note for note in notes if "become samples of their own" in note]
    assert ("write the same visible" if keys else "exclude each other of 2 same photographs") in told


def test_labels_that_two_sources_have_alike_count_once(tmp_path: Path) -> None:
    coco(tmp_path / "c.json", ["bee", "head", "body"], ALL)
    coco(tmp_path / "d.json", ["bee", "head", "body"], [ALL[0] | {"bbox": [2, 2, 9, 8]}, *ALL[1:]])
    records, errors, notes = read(tmp_path, f"{TWO}coco: d.json")
    assert errors == [] and len(records) == 2 and any("which become one sample" in note for note in notes)
    assert all(record.has == {"parts", "mask", "keypoints", "box"} for record in records)


def test_a_mask_of_the_image_is_nobody_s_where_another_source_has_several_objects(tmp_path: Path) -> None:
    two = [{"of": "bee", "bbox": [x, 1, 6, 8]} for x in (1, 9)]
    coco(tmp_path / "c.json", ["bee"], two)
    (tmp_path / "m").mkdir()
    for i in range(2):
        Image.fromarray(np.eye(12, 16, dtype=np.uint8) * 255).save(tmp_path / f"m/{i}.png")
    records, errors, notes = read(tmp_path, TWO + "masks: m")
    assert errors == [] and [sorted(record.has) for record in records] == [["box"]] * 4 + [["mask"]] * 2
    assert any("exclude each other" in note for note in notes)


def test_of_two_objects_with_keypoints_each_has_the_pieces_on_which_its_own_lie(tmp_path: Path) -> None:
    points = [
        {"of": "skeleton", "keypoints": [1.5, 2.5, 2, 4.5, 7, 2]},
        {"of": "skeleton", "keypoints": [12, 1, 2, 0, 0, 0]},
    ]
    coco(tmp_path / "s.json", ["skeleton"], points)
    (tmp_path / "masks").mkdir()
    mask = np.zeros((12, 16), np.uint8)
    mask[1:4, 1:4], mask[4:7, 2:4], mask[3:6, 12:14], mask[9:, :2] = 1, 2, 1, 2  # two animals, and a piece of nobody's
    for i in range(2):
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
    records, errors, notes = read(tmp_path, "coco: s.json, part_masks: masks")
    assert errors == [] and [areas(record)[:2] for record in records] == [[9, 6], [6, 0]] * 2
    assert [int((record.load()[0].parts == 255).sum()) for record in records] == [6 + 6, 9 + 6 + 6] * 2
    assert any("2 images show several objects with keypoints" in note for note in notes)


@pytest.mark.parametrize("files", [{"h": [1], "b": [2], "o": [0]}, {"h": [1], "ob": [0, 2]}, {"hb": [1, 2], "o": [0]}])
def test_parts_of_an_image_in_several_files_are_all_its_own(tmp_path: Path, files: dict[str, list[int]]) -> None:
    for name, which in files.items():
        coco(tmp_path / f"{name}.json", [ALL[i]["of"] for i in which], [ALL[i] for i in which])
    named = ", ".join(f"{name}.json" for name in files)
    for order in (named, ", ".join(reversed(named.split(", ")))):
        records, errors, notes = read(tmp_path, f"coco: [{order}]", for_training=True)
        assert errors == [] and [sorted(record.has) for record in records] == [["keypoints", "mask", "parts"]] * 2
        assert all(areas(record) == [32, 64] for record in records)
        assert not any("not to be seen" in note or "the same parts" in note for note in notes)


def test_of_a_part_that_two_files_draw_the_last_one_counts_and_that_is_told(tmp_path: Path) -> None:
    coco(tmp_path / "a.json", ["head", "body"], ALL[1:])
    coco(tmp_path / "b.json", ["bee", "head"], [ALL[0], ALL[1] | {"segmentation": [[2, 2, 4, 2, 4, 10, 2, 10]]}])
    records, errors, notes = read(tmp_path, "coco: [a.json, b.json]", for_training=True)
    assert errors == [] and all(areas(record) == [16, 64] for record in records)
    assert any("b.json: 2 images have outlines of the same parts in other files, too" in note for note in notes)


def test_several_files_of_one_category_stay_objects(tmp_path: Path) -> None:
    for name in "ab":
        coco(tmp_path / f"{name}.json", ["head"], [ALL[1]], images=2)
    records, _, _ = read(tmp_path, "coco: [a.json, b.json]", parts="head")
    assert all(record.has == {"mask"} for record in records)
