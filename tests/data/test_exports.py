"""`labels: export`: whatever tool it is from, parts become part masks and everything else coarse labels."""

from __future__ import annotations

import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from documents import rle
from PIL import Image

from coarseparts.data.check import check
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import WRITERS, read_export, write_export
from coarseparts.data.formats.unpacked import unpacked
from coarseparts.data.records import read_dataset
from coarseparts.data.sample import Sample
from coarseparts.data.source_keys import Crop
from coarseparts.inference.label_files import read_labels
from coarseparts.labels.schema import Schema
from coarseparts.system.problems import BadInput, Problem

SIZE = (40, 30)
NAMES = ["eye", "tip"]


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], bool)
    mask[y : y + side, x : x + side] = True
    return mask


def ants(several: bool = False, grouped: bool = True) -> Document:
    """An ant or two in each of two pictures: skeleton, mask, and two parts."""
    images = [{"id": i, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]} for i in (1, 2)]
    categories = [{"id": 1, "name": "ant", "keypoints": NAMES}, {"id": 2, "name": "body"}]
    categories += [{"id": 3, "name": "head"}, {"id": 4, "name": "rump"}]
    entries = []
    for image in (1, 2):
        for which in range(1 + several):
            x, group = 2 + 20 * which, {"group": f"g{which}"} if grouped else {}
            keypoints = [x + 2, 6, 2, x + 12, 8, 1]
            entries.append({"image_id": image, "category_id": 1, "keypoints": keypoints} | group)
            entries.append({"image_id": image, "category_id": 2, "segmentation": rle(square(x, 3, 15))} | group)
            entries.append({"image_id": image, "category_id": 3, "segmentation": rle(square(x, 3, 6))} | group)
            entries.append({"image_id": image, "category_id": 4, "segmentation": rle(square(x + 7, 7, 7))} | group)
    return Document(images, categories, [entry | {"id": i} for i, entry in enumerate(entries, start=1)])


def samples(folder: Path, export: Path, more: str = "", key: str = "labels") -> tuple[list[Sample], list[Problem]]:
    """What a dataset of two pictures and an export holds."""
    (folder / "images").mkdir(exist_ok=True)
    for i in (1, 2):
        pixels = np.random.default_rng(i).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    source = f"{{split: train, images: images, {key}: {json.dumps(str(export))}{more}}}"
    (folder / "d.yaml").write_text(f"parts: [head, rump]\nsources: [{source}]\n")
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    return [record.load()[0] for record in records], problems


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "label-studio", "via"])
def test_an_export_of_any_tool_gives_part_masks_keypoints_and_mask_of_one_object(tmp_path, name):
    export = write_export(name, ants(), tmp_path / "out")
    found, problems = samples(tmp_path, export)
    assert not [p for p in problems if p.severity == "error"], problems
    assert len(found) == 2
    for sample in found:
        assert {"keypoints", "mask"} <= set(sample.labels)
        assert sample.parts is not None and np.array_equal(sample.parts == 1, square(2, 3, 6))
        assert np.array_equal(sample.parts == 2, square(9, 7, 7))
        assert np.array_equal(sample.labels["mask"] > 0, square(2, 3, 15))
        np.testing.assert_allclose(sample.labels["keypoints"], [[4, 6, 2], [14, 8, 1]])


@pytest.mark.parametrize("name", ["cvat", "labelme", "via"])
def test_groups_say_whose_the_parts_are(tmp_path, name):
    export = write_export(name, ants(several=True), tmp_path / "out")
    found, problems = samples(tmp_path, export)
    assert not [p for p in problems if p.severity == "error"], problems
    assert len(found) == 4
    for sample in found:
        x = 2 if sample.labels["keypoints"][0, 0] < 20 else 22
        assert np.array_equal(sample.parts == 1, square(x, 3, 6)), "its own head alone"
        assert np.array_equal(sample.labels["mask"] > 0, square(x, 3, 15))


def test_groups_of_two_files_of_a_tool_are_not_the_same(tmp_path):
    whole = ants(several=True)
    for name, used in (("a", (1, 3, 4)), ("b", (2,))):
        own = [entry for entry in whole.annotations if entry["category_id"] in used]
        if name == "b":  # the other way round
            own = [entry | {"group": {"g0": "g1", "g1": "g0"}[entry["group"]]} for entry in reversed(own)]
        write_export("cvat", replace(whole, annotations=own), tmp_path / "out" / name)
    found, problems = samples(tmp_path, tmp_path / "out")
    assert len(found) == 4 and not [p for p in problems if p.severity == "error"], problems
    for sample in found:
        x = 2 if sample.labels["keypoints"][0, 0] < 20 else 22
        assert np.array_equal(sample.labels["mask"] > 0, square(x, 3, 15))


def test_without_groups_the_place_tells_and_join_none_leaves_apart(tmp_path):
    export = write_export("cvat", ants(several=True, grouped=False), tmp_path / "out")
    found, problems = samples(tmp_path, export)
    assert len(found) == 4 and all({"keypoints", "mask"} <= set(sample.labels) for sample in found)
    assert any("written as two annotations each" in p.message for p in problems)
    assert len(samples(tmp_path, export, ", join: none")[0]) == 8
    assert len(samples(tmp_path, export, ", join: id")[0]) == 8


def test_predictions_take_the_coarse_labels_of_an_export(tmp_path):
    export = write_export("cvat", ants(several=True), tmp_path / "out")
    schema = Schema(parts=("head", "rump"), keypoints=tuple(NAMES))
    photographs = {f"{i}.png": tmp_path / f"{i}.png" for i in (1, 2)}
    found = read_labels(schema, Crop(), photographs, {"coco": export})
    assert not [p for p in found.problems if p.severity == "error"], found.problems
    assert [[set(one.use) for one in objects] for objects in found.objects.values()] == [
        [{"keypoints", "mask"}] * 2
    ] * 2


@pytest.mark.parametrize(
    "name, called, how",
    [
        ("coco", "COCO", "4 joined by group"),
        ("cvat", "CVAT for images", "4 joined by group"),
        ("labelme", "labelme", "4 joined by group"),
        ("via", "VGG Image Annotator", "4 joined by group"),
        ("label-studio", "Label Studio", ""),
    ],
)
def test_check_names_the_format_and_says_how_annotations_became_objects(tmp_path, name, called, how):
    export = write_export(name, ants(several=True), tmp_path / "out")
    samples(tmp_path, export)
    report = check(tmp_path / "d.yaml")
    (told,) = report.recognised["sources[0] train"]
    said = str(told)
    assert said.startswith(f"labels {export} is {called}: ") and "= 8 outlines of parts + " in said and how in said
    assert "the coarse ones are 4 objects" in said
    (facts,) = json.loads(report.to_json())["recognised"]["sources[0] train"]
    assert facts["format"] == called and facts["objects"] == 4
    assert facts["annotations"] == facts["outlines"] + facts["coarse"] + facts["left_out"]
    assert facts["coarse"] == facts["objects"] + facts["by_group"] + facts["by_place"]


@pytest.mark.parametrize("key", ["labels", "coco", "part_boxes"])
def test_check_counts_boxes_of_parts_and_the_sums_add_up(tmp_path, key):
    document = boxed()
    if key == "part_boxes":
        of_parts = [one for one in document.annotations if one["category_id"] > 2]
        document = replace(document, annotations=of_parts, categories=document.categories[2:])
    samples(tmp_path, write_export("coco", document, tmp_path / "out"), key=key)
    (told,) = (report := check(tmp_path / "d.yaml")).recognised["sources[0] train"]
    whole = {"labels": "8 annotations = 4 boxes of parts + 4 coarse; the coarse ones are 2 objects"}
    assert whole.get(key, "4 boxes of parts") in str(told)
    (facts,) = json.loads(report.to_json())["recognised"]["sources[0] train"]
    assert facts["boxes"] == 4
    assert facts["annotations"] == sum(facts[kind] for kind in ("outlines", "boxes", "coarse", "left_out"))
    assert facts["coarse"] == sum(facts[kind] for kind in ("objects", "by_group", "by_place", "points"))


def test_points_that_are_keypoints_of_one_object_are_counted_as_such(tmp_path):
    images = [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (1, 2)]
    places = [(image, category) for image in (1, 2) for category in (1, 2)]
    entries = [
        {"id": i, "image_id": image, "category_id": category, "bbox": [5 * category, 6, 1, 1]}
        for i, (image, category) in enumerate(places)
    ]
    categories = [{"id": 1, "name": "eye"}, {"id": 2, "name": "tip"}]
    samples(tmp_path, write_export("coco", Document(images, categories, entries), tmp_path / "out"))
    (told,) = check(tmp_path / "d.yaml").recognised["sources[0] train"]
    assert str(told).endswith("4 annotations = 4 coarse; the coarse ones are 2 objects (2 keypoints of another)")


def test_a_group_with_two_skeletons_is_an_error(tmp_path):
    document = ants()
    document.annotations.append(document.annotations[0] | {"id": 99})
    _, problems = samples(tmp_path, write_export("cvat", document, tmp_path / "out"))
    (error,) = [p for p in problems if p.severity == "error"]
    assert "two labels of the kind keypoints" in error.message and "1.png" in error.message


@pytest.mark.parametrize("group", [["g0"], {"a": 1}, 7, None])
def test_a_group_that_is_no_name_leaves_the_parts_to_the_image(tmp_path, group):
    document = ants(several=True)
    document.annotations[2]["group"] = group
    found, problems = samples(tmp_path, write_export("coco", document, tmp_path / "out"))
    assert len(found) == 4 and not [p for p in problems if p.severity == "error"], problems


def test_parts_alone_are_part_masks_whatever_tool_corrected_them(tmp_path):
    document = ants()
    parts = [entry for entry in document.annotations if entry["category_id"] > 2]
    for name in WRITERS.keys() - {"yolo"}:
        only = Document(document.images, document.categories[2:], parts)
        found, problems = samples(tmp_path, write_export(name, only, tmp_path / name))
        assert not [p for p in problems if p.severity == "error"], problems
        assert [np.bincount(sample.parts.ravel()).tolist() for sample in found] == [[1115, 36, 49]] * 2, name


def test_yolo_segments_beside_their_images_are_part_masks(tmp_path):
    document = ants()
    stairs = rle(square(2, 3, 6) | square(8, 8, 1))  # rectangles alone would be taken for boxes
    parts = [entry | {"segmentation": stairs} for entry in document.annotations if entry["category_id"] == 3]
    export = write_export("yolo", Document(document.images, document.categories[2:], parts), tmp_path / "out")
    samples(tmp_path, export)
    (export / "images").mkdir(exist_ok=True)
    for i in (1, 2):
        (export / "images" / f"{i}.png").write_bytes((tmp_path / "images" / f"{i}.png").read_bytes())
    found, problems = samples(tmp_path, export)
    assert not [p for p in problems if p.severity == "error"], problems
    assert [np.bincount(sample.parts.ravel()).tolist() for sample in found] == [[1163, 37]] * 2


def test_pairs_that_an_export_names_swap_on_a_flip(tmp_path):
    document = ants()
    document.mirror.append(("eye", "tip"))
    poses = [entry for entry in document.annotations if entry["category_id"] == 1]
    export = write_export(
        "yolo", Document(document.images, document.categories[:1], poses, [], document.mirror), tmp_path
    )
    samples(tmp_path, export)
    (export / "images").mkdir(exist_ok=True)
    for i in (1, 2):
        (export / "images" / f"{i}.png").write_bytes((tmp_path / "images" / f"{i}.png").read_bytes())
    samples(tmp_path, export)
    _, problems, schema = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    assert not [p for p in problems if p.severity == "error"], problems
    assert schema.keypoint_mirror == (("eye", "tip"),)


def test_categories_that_are_no_parts_are_told(tmp_path):
    document = ants()
    document.categories[3]["name"] = "rumb"
    _, problems = samples(tmp_path, write_export("cvat", document, tmp_path / "out"))
    (told,) = [p for p in problems if "taken for objects" in p.message]
    assert "rumb may be meant to be rump" in told.remedy


def test_images_are_found_by_the_end_of_their_paths(tmp_path):
    document = ants()
    document.images[0]["file_name"] = "upload/batch 3/1.png"
    document.images[1]["file_name"] = "upload\\2.png"
    found, problems = samples(tmp_path, write_export("cvat", document, tmp_path / "out"))
    assert len(found) == 2 and any("taken for the one that fits" in p.message for p in problems)


def test_a_zip_as_the_tool_downloads_it_is_read_and_messages_name_it(tmp_path):
    export = write_export("cvat", ants(), tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.write(export, "annotations.xml")
        archive.writestr("images/1.png", b"x")
    found, problems = samples(tmp_path, tmp_path / "task.zip")
    assert len(found) == 2 and not [p for p in problems if p.severity == "error"]
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("annotations.xml", export.read_text().replace('rle="', 'rle="7, '))
    _, problems = samples(tmp_path, tmp_path / "bad.zip")
    assert {p.file for p in problems if "add up" in p.message} == {str(tmp_path / "bad.zip" / "annotations.xml")}


def test_several_coco_files_of_an_export_are_one(tmp_path):
    document = ants()
    for name, which in (("keypoints", [1]), ("masks", [2, 3, 4])):
        entries = [entry for entry in document.annotations if entry["category_id"] in which]
        categories = [entry for entry in document.categories if entry["id"] in which]
        lists = {"images": document.images, "categories": categories, "annotations": entries}
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / f"{name}.json").write_text(json.dumps(lists))
    found, problems = samples(tmp_path, tmp_path / "out")
    assert not [p for p in problems if p.severity == "error"], problems
    assert [set(sample.labels) >= {"keypoints", "mask"} and sample.parts is not None for sample in found] == [True] * 2


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio"])
def test_categories_that_spell_parts_otherwise_are_the_parts_and_that_is_told(tmp_path, name):
    document = ants()
    for entry in document.categories:
        entry["name"] = entry["name"].capitalize()
    found, problems = samples(tmp_path, write_export(name, document, tmp_path / "out"))
    assert len(found) == 2 and all(np.array_equal(sample.parts == 1, square(2, 3, 6)) for sample in found)
    assert any("Head for head, Rump for rump" in problem.message for problem in problems)


def test_a_category_is_no_part_where_another_one_has_its_name(tmp_path):
    document = ants()
    document.categories[0]["name"] = "Head"
    found, problems = samples(tmp_path, write_export("coco", document, tmp_path / "out"))
    assert len(found) == 2 and not any("spelt otherwise" in problem.message for problem in problems)


def test_two_formats_in_a_folder_are_not_guessed_between(tmp_path):
    write_export("cvat", ants(), tmp_path / "out" / "a")
    write_export("coco", ants(), tmp_path / "out" / "b")
    with pytest.raises(BadInput, match="several formats"):
        read_export(tmp_path / "out")


@pytest.mark.parametrize("name", ["../a.json", "/etc/a.json", "C:\\a.json", "x/../../a.json", "..\\a.json"])
def test_an_archive_that_leads_out_of_itself_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "{}")
    with pytest.raises(BadInput, match="leads out of the archive"):
        read_export(tmp_path / "a.zip")


def test_links_bombs_and_damage_in_an_archive_are_refused(tmp_path):
    link = zipfile.ZipInfo("a.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadInput, match="is a link"):
        read_export(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", bytes(120_000_000))
    with pytest.raises(BadInput, match="as no export does"), unpacked(tmp_path / "b.zip"):
        pass
    whole = bytearray((tmp_path / "b.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", bytes(range(256)) * 99)
    whole = bytearray((tmp_path / "c.zip").read_bytes())
    whole[60:70] = b"x" * 10
    (tmp_path / "c.zip").write_bytes(bytes(whole))
    with pytest.raises(BadInput, match="cannot be unpacked"):
        read_export(tmp_path / "c.zip")


def test_labels_and_coco_of_one_source_exclude_each_other(tmp_path):
    export = write_export("coco", ants(), tmp_path)
    with pytest.raises(BadInput, match="labels and coco exclude each other"):
        samples(tmp_path, export, f", coco: {export}")


def boxed(*outlined: int) -> Document:
    """An ant in each of two pictures, its parts as boxes; of the categories ``outlined`` as they were, in picture 1."""
    document = ants()
    for entry in document.annotations:
        if entry["category_id"] > 2 and not (entry["image_id"] == 1 and entry["category_id"] in outlined):
            del entry["segmentation"]
            entry["bbox"] = [2, 3, 6, 6] if entry["category_id"] == 3 else [9, 7, 7, 7]
    return document


@pytest.mark.parametrize("key", ["labels", "coco"])
@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "label-studio", "via"])
def test_boxes_of_parts_in_their_objects_group_are_part_boxes(tmp_path, name, key):
    if key == "coco" and name != "coco":
        pytest.skip("the key coco is of COCO files")
    export = write_export(name, boxed(), tmp_path / "out")
    found, problems = samples(tmp_path, export, key=key)
    assert not [p for p in problems if p.severity == "error"], problems
    assert any("4 annotations of parts that are boxes are taken for `part_boxes`" in p.message for p in problems)
    assert len(found) == 2
    for sample in found:
        assert {"keypoints", "mask", "part_boxes"} <= set(sample.labels) and sample.parts is None
        assert np.array_equal(sample.labels.get("box", [2, 3, 17, 18]), [2, 3, 17, 18]), "the object's own, if any"
        np.testing.assert_allclose(sample.labels["part_boxes"], [[2, 3, 8, 9], [9, 7, 16, 14]], atol=0.01)


@pytest.mark.parametrize("key", ["labels", "coco"])
def test_a_box_of_a_part_among_outlined_ones_is_an_error_that_names_it(tmp_path, key):
    export = write_export("coco", boxed(4), tmp_path / "out")
    found, problems = samples(tmp_path, export, key=key)
    (error,) = [p for p in problems if p.severity == "error"]
    assert error.file == str(export) and "annotation 3 (1.png): head has a box and no outline" in error.message
    assert "outline this part, too" in error.remedy
    assert all(sample.parts is None for sample in found)


def test_predictions_take_boxes_of_parts_as_part_boxes(tmp_path):
    export = write_export("coco", boxed(), tmp_path / "out")
    schema = Schema(parts=("head", "rump"), keypoints=tuple(NAMES))
    photographs = {f"{i}.png": tmp_path / f"{i}.png" for i in (1, 2)}
    found = read_labels(schema, Crop(), photographs, {"coco": export})
    assert {name: [set(one.use) for one in own] for name, own in found.objects.items()} == {
        name: [{"keypoints", "mask", "box", "part_boxes"}] for name in photographs
    }


@pytest.mark.parametrize("change", [{"keypoints": 5}, {"bbox": [0, 0, 0, 0]}, {"bbox": "x"}, {"group": [1]}])
@pytest.mark.parametrize("key", ["labels", "coco"])
def test_odd_annotations_of_boxed_parts_do_no_harm(tmp_path, change, key):
    document = boxed()
    document.annotations[2] |= change
    export = write_export("coco", document, tmp_path / "out")
    found, _ = samples(tmp_path, export, key=key)
    assert "part_boxes" in found[-1].labels
