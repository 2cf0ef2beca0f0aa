"""VGG Image Annotator (VIA): the project and the annotations as JSON and CSV, whatever people call their attributes."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import damaged, documents
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coarseparts.data.build import build_store
from coarseparts.data.check import check
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats import via
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.registry import read_export
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput


def polygon(*points: tuple[float, float], name: str = "polygon") -> dict:
    xs, ys = zip(*points, strict=True)
    return {"name": name, "all_points_x": list(xs), "all_points_y": list(ys)}


def box(x: float, y: float, width: float, height: float) -> dict:
    return {"name": "rect", "x": x, "y": y, "width": width, "height": height}


def square(x: int, y: int, side: int) -> dict:
    return polygon((x, y), (x + side, y), (x + side, y + side), (x, y + side))


def point(x: float, y: float) -> dict:
    return {"name": "point", "cx": x, "cy": y}


def entries(regions: list[tuple[dict, dict]], *names: str) -> dict:
    """Annotations of images, with the same regions on each: (shape, attributes)."""
    drawn = [{"shape_attributes": shape, "region_attributes": own} for shape, own in regions]
    of = {name: {"filename": name, "size": 9, "regions": drawn, "file_attributes": {}} for name in names or ("a.png",)}
    return {f"{name}9": entry for name, entry in of.items()}


def project(found: dict, attributes: dict | None = None) -> dict:
    whole: dict[str, Any] = {"_via_settings": {"ui": {}}, "_via_img_metadata": found}
    return whole | {"_via_attributes": {"region": attributes or {}, "file": {}}, "_via_data_format_version": "2.0.10"}


def table(path: Path, found: dict, head: str = "filename") -> None:
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        columns = "file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
        rows.writerow([head, *columns.split(",")])
        for entry in found.values():
            own = entry["regions"]
            about = [entry["filename"], entry["size"], "{}", len(own)]
            for number, region in enumerate(own):
                cells = [json.dumps(region[key]) for key in ("shape_attributes", "region_attributes")]
                rows.writerow([*about, number, *cells])
            if not own:
                rows.writerow([*about, 0, "{}", "{}"])


def read(tmp_path: Path, whole: Any, name: str = "via.json") -> Document:
    (tmp_path / name).write_text(json.dumps(whole))
    return read_export(tmp_path / name)


def named(document: Document) -> list[tuple[str, str]]:
    """(category, group) of the annotations; of points what they are called."""
    categories = {entry["id"]: entry for entry in document.categories}
    return [
        (" ".join(own.get("keypoints", ())) if "keypoints" in one else own["name"], one.get("group", ""))
        for one in document.annotations
        for own in [categories[one["category_id"]]]
    ]


ALL = [
    (square(2, 3, 15), {"part": "body"}),
    (box(2, 3, 15, 15), {"part": "body"}),
    (square(2, 3, 6), {"part": "head"}),
    ({"name": "circle", "cx": 12, "cy": 12, "r": 3}, {"part": "rump"}),
    (point(4, 6), {"part": "left eye"}),
    (point(14, 8), {"part": "right eye", "visibility": "occluded"}),
]


@pytest.mark.parametrize("kind", ["project", "annotations", "VIA 1", "table", "table of VIA 1.0"])
def test_every_file_that_via_writes_says_the_same(tmp_path, kind):
    found = entries(ALL, "a.png", "b.png")
    if kind == "VIA 1":
        for entry in found.values():
            entry["regions"] = {str(i): region for i, region in enumerate(entry["regions"])}
            entry |= {"fileref": "", "base64_img_data": ""}
    path = tmp_path / ("via.csv" if kind.startswith("table") else "via.json")
    if kind.startswith("table"):
        table(path, found, "#filename" if kind.endswith("1.0") else "filename")
    else:
        path.write_text(json.dumps(project(found) if kind == "project" else found))
    document = read_export(path)
    assert document.format == "VGG Image Annotator" and document.problems == []
    assert [one["file_name"] for one in document.images] == ["a.png", "b.png"] and len(document.annotations) == 10
    body, around, head, rump, points = document.annotations[:5]
    assert body["segmentation"] == [[2, 3, 17, 3, 17, 18, 2, 18]] and around["bbox"] == [2, 3, 15, 15]
    assert draw(head["segmentation"], (40, 30)).sum() == 36
    assert draw(rump["segmentation"], (40, 30)).sum() == pytest.approx(np.pi * 9, rel=0.1)
    assert points["keypoints"] == [4, 6, 2, 14, 8, 1]


def test_ellipses_turn_clockwise_by_radians_and_closed_lines_are_outlines(tmp_path):
    slanted = {"name": "ellipse", "cx": 20, "cy": 15, "rx": 12, "ry": 2, "theta": np.pi / 4}
    flat = {"name": "ellipse", "cx": 20, "cy": 15, "rx": 12, "ry": 2}
    line = [(1, 1), (9, 1), (9, 9)]
    shapes = [slanted, flat, polygon(*line, line[0], name="polyline"), polygon(*line, name="polyline")]
    document = read(tmp_path, entries([(shape, {"part": "head"}) for shape in shapes]))
    slant, straight, closed = (draw(one["segmentation"], (40, 30)) for one in document.annotations)
    assert slant[21, 26] and not slant[9, 26] and straight[15, 30] and not straight[21, 26]
    assert np.array_equal(closed, draw([[1, 1, 9, 1, 9, 9]], (40, 30)))
    assert [str(p.message) for p in document.problems] == ["1 open lines enclose nothing: passed over"]


def test_shapes_that_nobody_knows_are_told(tmp_path):
    document = read(tmp_path, entries([({"name": "spiral"}, {"part": "head"}), (square(1, 1, 3), {"part": "head"})]))
    (note,) = document.problems
    assert "regions of the shape spiral are passed over" in note.message and len(document.annotations) == 1


CALLED = [
    ("the only one", {"nature": "head"}, "head"),
    ("a checkbox", {"what": {"head": True, "rump": False}}, "head"),
    ("part before the others", {"label": "x", "Body_Part": "head"}, "head"),
    ("label before what nobody knows", {"label": "head", "species": "Atta"}, "head"),
    ("not what is not said", {"name": "not_defined", "type": "head", "image_quality": {"good": True}}, "head"),
    ("an object's name", {"object": "head"}, "head"),
]


@pytest.mark.parametrize("attributes, name", [case[1:] for case in CALLED], ids=[case[0] for case in CALLED])
def test_what_a_region_is_called(tmp_path, attributes, name):
    other = {key: value if key in ("name", "image_quality") else f"{key} too" for key, value in attributes.items()}
    document = read(tmp_path, entries([(square(1, 1, 5), attributes), (square(9, 9, 5), other)]))
    assert named(document)[0][0] == name and len(document.annotations) == 2


def test_attributes_of_which_no_region_has_two_are_all_names(tmp_path):
    regions = [(square(1, 1, 5), {"part": "head", "landmark": ""}), (point(3, 3), {"part": "", "landmark": "eye"})]
    assert [name for name, _ in named(read(tmp_path, entries(regions)))] == ["head", "eye"]


def test_the_one_whose_values_differ_is_the_name(tmp_path):
    regions = [(square(1, 1, 5), {"class": "ant", "name": "head"}), (square(9, 9, 5), {"class": "ant", "name": "rump"})]
    document = read(tmp_path, entries(regions))
    assert [name for name, _ in named(document)] == ["head", "rump"]
    (note,) = document.problems
    assert "by their name; not by their class" in note.message and note.severity == "note"


def test_where_several_attributes_may_be_the_name_it_is_asked(tmp_path):
    regions = [(square(1, 1, 5), {"name": "Plato", "type": "a"}), (square(9, 9, 5), {"name": "Solon", "type": "b"})]
    with pytest.raises(BadInput, match=r'name \(Plato, Solon\), type \(a, b\).*write "part" in the place of the one'):
        read(tmp_path, entries(regions))


def test_numbers_of_options_are_what_the_project_says(tmp_path):
    options = {"part": {"type": "dropdown", "options": {"1": "head", "2": "rump"}}}
    regions = [(square(1, 1, 5), {"part": "1"}), (square(9, 9, 5), {"part": "2"})]
    assert [name for name, _ in named(read(tmp_path, project(entries(regions), options)))] == ["head", "rump"]
    assert [name for name, _ in named(read(tmp_path, entries(regions)))] == ["1", "2"]


def test_a_region_without_a_name_among_others_is_an_error(tmp_path):
    document = read(tmp_path, entries([(square(1, 1, 5), {"part": "head"}), (square(9, 9, 5), {"part": ""})]))
    (problem,) = document.problems
    assert problem.severity == "error" and problem.message == (
        "image a.png, region 2: has no part, which the others are called by"
    )


def test_regions_that_are_all_nameless_are_objects(tmp_path):
    document = read(tmp_path, entries([(square(1, 1, 5), {}), (box(1, 1, 5, 5), {})]))
    assert [name for name, _ in named(document)] == ["object", "object"]
    assert ["regions have no name" in p.message for p in document.problems] == [True]


@pytest.mark.parametrize("key", ["animal_id", "Object", "id", "track", "specimen"])
@pytest.mark.parametrize("ids", [("1", "2"), (1, 2), ("ant1", "ant2")])
def test_regions_of_one_animal_are_one_object(tmp_path, key, ids):
    own = [(square(1, 1, 9), {"part": "body", key: ids[0]}), (point(3, 3), {"part": "eye", key: ids[0]})]
    own += [(square(20, 1, 9), {"part": "body", key: ids[1]}), (point(23, 3), {"part": "eye", key: ids[1]})]
    groups = [group for _, group in named(read(tmp_path, entries(own)))]
    assert groups == [str(ids[0]), str(ids[1])] * 2


@pytest.mark.parametrize(
    "why, said",
    [
        ("numbers of names", [("head", "1"), ("rump", "2"), ("head", "1"), ("rump", "2")]),
        ("numbers of regions", [("head", "1"), ("rump", "2"), ("head", "3"), ("rump", "4")]),
        ("what kind of animal", [("head", "ant"), ("rump", "ant"), ("head", "ant"), ("rump", "ant")]),
    ],
)
def test_what_is_no_group_is_none(tmp_path, why, said):
    regions = [(square(1 + 8 * i, 1, 5), {"part": name, "animal": own}) for i, (name, own) in enumerate(said)]
    assert [group for _, group in named(read(tmp_path, entries(regions)))] == [""] * 4, why


def test_words_tell_animals_apart_where_they_divide_regions_of_one_name(tmp_path):
    said = [("head", "left"), ("rump", "left"), ("head", "right"), ("rump", "right")]
    regions = [(square(1 + 8 * i, 1, 5), {"part": name, "animal": own}) for i, (name, own) in enumerate(said)]
    assert [group for _, group in named(read(tmp_path, entries(regions)))] == ["left", "left", "right", "right"]


@pytest.mark.parametrize(
    "attributes",
    [{"visibility": "hidden"}, {"occluded": "yes"}, {"visible": "no"}, {"state": {"occluded": True, "blurred": False}}],
)
def test_points_that_cannot_be_seen(tmp_path, attributes):
    document = read(tmp_path, entries([(point(3, 4), {"part": "eye"} | attributes)]))
    assert document.annotations[0]["keypoints"] == [3, 4, 1]


@pytest.mark.parametrize(
    "written, there",
    [
        ("https://example.org/photos/a.png?size=2", "a.png"),
        ("C:\\Users\\me\\photos\\a.png", "a.png"),
        ("/home/me/a.png", "a.png"),
        ("ants/a.png", "ants/a.png"),
        ("a#1.png", "a#1.png"),
    ],
)
def test_addresses_and_paths_of_other_machines_lead_to_the_photograph(tmp_path, written, there):
    document = read(tmp_path, entries([(square(1, 1, 5), {"part": "head"})], written))
    assert [one["file_name"] for one in document.images] == [there]


def test_an_image_that_stands_twice(tmp_path):
    one, other = (entries([(square(1, 1, side), {"part": "head"})]) for side in (5, 6))
    again = {"a.png7": next(iter(other.values())) | {"size": 7}}
    document = read(tmp_path, one | again)
    (problem,) = document.problems
    assert "a.png stands there several times, of files of 9 and 7 bytes" in problem.message and not document.annotations
    bare = {"a.png7": next(iter(other.values())) | {"regions": []}}
    document = read(tmp_path, bare | one)
    assert document.problems == [] and len(document.annotations) == 1


BAD = [
    (polygon((1, 1), (2, 2)), "has 2 and 2 numbers for x and y"),
    ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "has 3 and 2 numbers"),
    ({"name": "polygon", "all_points_x": [1, 2, "x"], "all_points_y": [1, 2, 3]}, "expected as many of both"),
    ({"name": "circle", "cx": 1, "cy": 2, "r": 0}, "without an area"),
    ({"name": "ellipse", "cx": 1, "cy": 2, "rx": -1, "ry": 2}, "without an area"),
    (box(1, 1, 0, 5), "without an area"),
    ({"name": "rect", "x": 1, "y": 1, "width": None, "height": 3}, "width is None, expected a number"),
    ({"name": "point", "cx": 1}, "cy is None"),
    (5, "its shape is 5"),
]


@pytest.mark.parametrize("shape, said", BAD)
@pytest.mark.parametrize("kind", ["via.json", "via.csv"])
def test_what_cannot_be_used_is_named(tmp_path, shape, said, kind):
    found = entries([(square(1, 1, 5), {"part": "head"}), (shape, {"part": "head"})])
    (tmp_path / "via.json").write_text(json.dumps(found))
    table(tmp_path / "via.csv", found)
    (problem,) = read_export(tmp_path / kind).problems
    where = "region 2" if kind.endswith("json") else "row 3"
    assert f"image a.png, {where}: " in problem.message and said in problem.message and problem.remedy
    assert problem.severity == "error" and problem.file == str(tmp_path / kind)


@pytest.mark.parametrize(
    "text, said",
    [
        ('{"_via_settings": {}}', "holds no images"),
        ('{"_via_img_metadata": []}', "holds no images"),
        ('{"_via_img_metadata": {"a": {"filename": ""}}}', "its filename is ''"),
        ('{"_via_img_metadata": {"a": 5}}', "its filename is None"),
        ('{"_via_img_metadata": {"a": {"filename": "a.png", "regions": 5}}}', "its regions are 5"),
        ('{"_via_img_metadata": {', "is not valid JSON"),
        ("filename,region_shape_attributes,region_attributes\nä", "no text in UTF-8"),
        ("filename,region_shape_attributes,region_attributes\n,{},{}", "row 2: names no file"),
        ('filename,region_shape_attributes,region_attributes\na.png,"{""name"": ",{}', "its shape is"),
        ("filename,region_shape_attributes_,region_attributes\n", "has no column region_shape_attributes"),
    ],
)
def test_a_broken_file_is_told_with_its_name(tmp_path, text, said):
    (tmp_path / "via").write_bytes(text.encode("latin-1"))
    try:
        problems = read_export(tmp_path / "via").problems
    except BadInput as bad:
        problems = bad.problems
    assert any(said in p.message and p.severity == "error" and p.remedy and "via" in p.file for p in problems), problems


def test_tables_with_semicolons_and_a_byte_order_mark(tmp_path):
    table(tmp_path / "via.csv", entries(ALL))
    rows = list(csv.reader((tmp_path / "via.csv").read_text().splitlines()))
    with open(tmp_path / "excel.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    one, other = (read_export(tmp_path / name) for name in ("via.csv", "excel.csv"))
    assert one.annotations == other.annotations and len(one.annotations) == 5


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_is_told_and_never_a_crash(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("via")
    whole = project(entries(ALL), {"part": {"type": "radio", "options": {"1": "head"}}})
    (folder / "a.json").write_text(json.dumps(data.draw(damaged(whole))))
    try:
        assert isinstance(via.read(folder / "a.json"), Document)
    except BadInput as bad:
        assert all(problem.remedy for problem in bad.problems)


def seen(document: Document) -> dict[str, list]:
    """By image the objects: masks as they are drawn, boxes and keypoints by name."""
    categories = {entry["id"]: entry for entry in document.categories}
    images = {entry["id"]: entry for entry in document.images}
    objects: dict[tuple, dict] = defaultdict(dict)
    for entry in document.annotations:
        image, category = images[entry["image_id"]], categories[entry["category_id"]]
        own = objects[image["file_name"], entry.get("group", entry["id"])]
        if entry.get("segmentation"):
            mask = draw(entry["segmentation"], (image["width"], image["height"]))
            own[category["name"], "mask"] = own.get((category["name"], "mask"), mask & False) | mask
        if entry.get("bbox"):
            own[category["name"], "box"] = [float(number) for number in entry["bbox"]]
        points = np.array(entry.get("keypoints") or []).reshape(-1, 3)
        own |= {name: xyv.tolist() for name, xyv in zip(category.get("keypoints", ()), points, strict=False) if xyv[2]}
    found: dict[str, list] = {name: [] for name in sorted(entry["file_name"] for entry in document.images)}
    for (name, _), own in objects.items():
        plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in own.items()}
        found[name].append(sorted(plain.items(), key=repr))
    return {name: sorted(own, key=repr) for name, own in found.items()}


@settings(max_examples=40, deadline=None)
@given(documents())
def test_what_is_written_is_read_again(tmp_path_factory, document):
    out = tmp_path_factory.mktemp("via") / "out.json"
    via.write(document, out)
    again = via.read(out)
    assert via.recognises(out) and not [p for p in again.problems if p.severity == "error"]
    assert seen(again) == seen(document)


def test_a_mask_with_a_hole_is_one_polygon(tmp_path):
    from documents import rle

    mask = np.zeros((30, 40), bool)
    mask[5:20, 5:30], mask[8:12, 9:13], mask[25:28, 2:6] = True, False, True
    image = {"id": 1, "file_name": "a.png", "width": 40, "height": 30}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": rle(mask)}
    via.write(Document([image], [{"id": 1, "name": "head"}], [entry]), tmp_path / "v.json")
    (one,) = via.read(tmp_path / "v.json").annotations
    assert np.array_equal(draw(one["segmentation"], (40, 30)), mask)


LARGE = [(square(2, 3, 24), {"part": "body"}), *ALL[2:]]


def photographs(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        pixels = np.random.default_rng([*name.encode()]).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


def test_a_folder_for_each_split_with_its_annotations_becomes_a_dataset_file(tmp_path):
    for split, names in (("train", "abcde"), ("val", "fg")):
        names = [f"{name}.png" for name in names]
        photographs(tmp_path / split, *names)
        (tmp_path / split / "via_region_data.json").write_text(json.dumps(entries(LARGE, *names)))
    proposal = propose([tmp_path], tmp_path / "d.yaml")
    proposal.write()
    report = check(tmp_path / "d.yaml")
    assert not report.errors and {name: own["parts"] for name, own in report.splits.items()} == {"train": 5, "val": 2}
    assert set(proposal.keys["parts"]) == {"head", "rump"}


def test_a_project_and_its_exports_in_one_folder_are_one_set_of_labels(tmp_path):
    names = [f"{name}.png" for name in "abcdef"]
    photographs(tmp_path / "photos", *names)
    found = entries(LARGE, *names)
    (tmp_path / "via_project.json").write_text(json.dumps(project(found)))
    table(tmp_path / "via_export_csv.csv", found)
    propose([tmp_path], tmp_path / "d.yaml").write()
    report = check(tmp_path / "d.yaml")
    assert not report.errors and sum(own["samples"] for own in report.splits.values()) == 6
    store, _ = build_store(load_dataset_file(tmp_path / "d.yaml"), tmp_path / "cache")
    assert len(store) == 6
    (source, _) = (one for one in load_dataset_file(tmp_path / "d.yaml").sources)
    assert source.labels is not None
    document = read_export(source.labels.parent)
    assert len(document.annotations) == 24 and any(
        "24 annotations stand in several files" in p.message for p in document.problems
    )
