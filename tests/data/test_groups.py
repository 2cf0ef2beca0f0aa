"""Parts by the groups, sources and names under which tools keep them: whose they are, and that they are one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from documents import rle
from test_exports import ants, samples, square

from coarseparts.data.formats.registry import write_export


@pytest.mark.parametrize("name", ["cvat", "labelme", "via", "coco"])
def test_a_part_of_a_group_on_which_no_keypoint_lies_is_its_object_s_and_others_are_not_labelled(tmp_path, name):
    whole = ants(several=True)
    own = [entry for entry in whole.annotations if entry["category_id"] != 2]  # nothing but groups says whose
    for entry in (entry for entry in own if "keypoints" in entry):
        entry["keypoints"][3:] = [entry["keypoints"][0] + 1, 7, 2]  # both on the head
    export = write_export(name, replace(whole, annotations=own), tmp_path / "out")
    found, problems = samples(tmp_path, export)
    assert len(found) == 4 and not [p for p in problems if p.severity == "error"], problems
    for sample in found:
        x = 2 if sample.labels["keypoints"][0, 0] < 20 else 22
        assert np.array_equal(sample.parts == 1, square(x, 3, 6))
        assert np.array_equal(sample.parts == 2, square(x + 7, 7, 7))
        other = 24 - x
        assert np.array_equal(sample.parts == 255, square(other, 3, 6) | square(other + 7, 7, 7)), "no background"
        assert sample.crop[2] >= x + 14, "the crop holds all parts"


@pytest.mark.parametrize("name", ["cvat", "labelme"])
def test_groups_of_parts_alone_are_objects_where_they_have_the_same_parts(tmp_path, name):
    whole = ants(several=True)
    own = [entry for entry in whole.annotations if entry["category_id"] > 2]
    found, problems = samples(tmp_path, write_export(name, replace(whole, annotations=own), tmp_path / "out"))
    assert len(found) == 4 and not [p for p in problems if p.severity == "error"], problems
    for x, sample in zip((2, 22, 2, 22), sorted(found, key=lambda one: one.name), strict=True):
        assert np.array_equal(sample.parts == 1, square(x, 3, 6)) and sample.crop[0] <= x < sample.crop[2] < x + 20
        assert np.array_equal(sample.parts == 255, square(24 - x, 3, 6) | square(31 - x, 7, 7))
    for number, entry in enumerate(own):  # a group for each part says nothing
        entry["group"] = f"g{number}"
    found, _ = samples(tmp_path, write_export(name, replace(whole, annotations=own), tmp_path / "apart"))
    assert len(found) == 2 and all((sample.parts == 255).sum() == 0 for sample in found)


def test_parts_of_the_same_photographs_in_the_exports_of_two_sources_are_one_sample(tmp_path):
    whole = ants()
    for name, used in (("a", (1, 3)), ("b", (2, 4))):
        own = [entry for entry in whole.annotations if entry["category_id"] in used]
        write_export("cvat", replace(whole, annotations=own), tmp_path / name)
    found, problems = samples(tmp_path, tmp_path / "a", more="}, {split: train, images: images, labels: b")
    assert not [p for p in problems if p.severity == "error"], problems
    assert len(found) == 2 and any("which become one sample for each object" in p.message for p in problems)
    for sample in found:
        assert np.array_equal(sample.parts == 1, square(2, 3, 6)) and np.array_equal(sample.parts == 2, square(9, 7, 7))
        assert {"keypoints", "mask"} <= set(sample.labels)


@pytest.mark.parametrize("key", ["labels", "coco"])
def test_several_categories_that_spell_one_part_are_that_part(tmp_path, key):
    document = ants()
    document.categories.append({"id": 9, "name": " HEAD"})
    document.annotations[2]["category_id"] = 9
    found, problems = samples(tmp_path, write_export("coco", document, tmp_path / "out"), key=key)
    assert not [p for p in problems if p.severity == "error"], problems
    assert len(found) == 2 and all(np.array_equal(sample.parts == 1, square(2, 3, 6)) for sample in found)
    assert any("HEAD for head" in problem.message for problem in problems)


@pytest.mark.parametrize("drawn", ["masks", "polygons"])
def test_outlines_of_parts_that_reach_into_another_object_s_box_are_not_that_object_s(tmp_path, drawn):
    places = {"a": ((2, 3, 6), (9, 7, 7)), "b": ((13, 12, 6), (20, 16, 7))}  # b's head lies on a corner of a's box
    boxes = {"a": [2, 3, 14, 11], "b": [13, 12, 14, 11]}
    whole = ants()
    entries: list[dict] = []
    for image in (1, 2):
        for of, squares in places.items():
            entries.append({"image_id": image, "category_id": 2, "bbox": boxes[of]})
            for category, (x, y, side) in zip((3, 4), squares, strict=True):
                corners = [x, y, x + side, y, x + side, y + side, x, y + side, x, y + 1]
                outline = rle(square(x, y, side)) if drawn == "masks" else [corners]
                entries.append({"image_id": image, "category_id": category, "segmentation": outline})
    entries = [entry | {"id": i} for i, entry in enumerate(entries, 1)]
    found, problems = samples(tmp_path, write_export("coco", replace(whole, annotations=entries), tmp_path / "out"))
    assert len(found) == 4 and not [p for p in problems if p.severity == "error"], problems
    for sample in found:
        own, other = ("a", "b") if sample.labels["box"][0] < 10 else ("b", "a")
        head, rump = (square(*place) for place in places[own])
        others = square(*places[other][0]) | square(*places[other][1])
        assert np.array_equal(sample.parts == 1, head) and np.array_equal(sample.parts == 2, rump & ~head)
        assert np.array_equal(sample.parts == 255, others & ~head & ~rump)


@pytest.mark.parametrize("key", ["labels", "coco"])
def test_outlines_of_animals_that_touch_belong_to_the_one_whose_keypoints_lie_on_them(tmp_path, key):
    whole = ants()
    entries: list[dict] = []
    for image in (1, 2):
        for x in (2, 16):  # the first one's rump touches the second one's head
            entries.append({"image_id": image, "category_id": 1, "keypoints": [x + 2, 6, 2, x + 12, 8, 1]})
            entries.append({"image_id": image, "category_id": 3, "segmentation": rle(square(x, 3, 6))})
            entries.append({"image_id": image, "category_id": 4, "segmentation": rle(square(x + 7, 7, 7))})
    entries = [entry | {"id": i} for i, entry in enumerate(entries, 1)]
    export = write_export("coco", replace(whole, annotations=entries), tmp_path / "out")
    found, problems = samples(tmp_path, export, key=key)
    assert len(found) == 4 and not [p for p in problems if p.severity == "error"], problems
    for sample in found:
        x = 2 if sample.labels["keypoints"][0, 0] < 10 else 16
        assert np.array_equal(sample.parts == 1, square(x, 3, 6))
        assert np.array_equal(sample.parts == 2, square(x + 7, 7, 7))
        assert np.array_equal(sample.parts == 255, square(18 - x, 3, 6) | square(25 - x, 7, 7))
