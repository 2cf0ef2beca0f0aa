"""The edges of JSON and YAML in labels and dataset files: read as meant, or told in a line with file and place."""

import errno
import json
import random
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from coarseparts.data import images
from coarseparts.data.build import load_all
from coarseparts.data.dataset_file import DatasetFile, load_dataset_file
from coarseparts.data.formats import coco_lists as reader
from coarseparts.data.formats.coco import read_coco, read_of_parts, read_part_coco
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.names import read_names
from coarseparts.data.records import read_contents, read_dataset
from coarseparts.labels import PartBoxes
from coarseparts.labels.given import fingerprint
from coarseparts.system.problems import BadInput, Problem

PARTS = ("head", "tail")


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


def content() -> dict:
    """Two objects, of two images; every one with all labels, its category being a part as well."""
    labels = {
        "bbox": [1, 1, 8, 7],
        "keypoints": [2, 2, 2, 5.5, 3, 1],
        "segmentation": [[1, 1, 9, 1, 9, 8, 1, 8]],
        "iscrowd": 0,
    }
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 16, "height": 12} for i in (1, 2)],
        "categories": [{"id": 1, "name": "head", "keypoints": ["left eye", "right eye"]}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, **labels} for i in (1, 2)],
    }


@pytest.fixture
def world(tmp_path) -> Path:
    """A folder with both images and two dataset files that name ``c.json`` in every way."""
    return make_world(tmp_path)


def make_world(folder: Path) -> Path:
    (folder / "im").mkdir()
    for i in (1, 2):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (12, 16, 3), np.uint8)).save(folder / f"im/{i}.png")
    (folder / "c.json").write_text("{}")
    source = "{split: train, images: im, part_boxes: c.json"
    (folder / "coarse.yaml").write_text(f"parts: [head, tail]\nsources: [{source}, coco: c.json}}]")
    (folder / "parts.yaml").write_text(f"parts: [head, tail]\nsources: [{source}, part_coco: c.json}}]")
    return folder


def told(world: Path, raw: bytes) -> list[Problem]:
    """What is said about ``raw`` as a COCO file in all places where one may stand; anything but BadInput gets out."""
    path = world / "c.json"
    path.write_bytes(raw)
    found: list[Problem] = []
    for read in (read_coco, lambda p: read_part_coco(p, PARTS), lambda p: read_of_parts(p, PARTS, PartBoxes)):
        try:
            found += read(path)[1]
        except BadInput as bad:
            found += bad.problems
    for name in ("coarse.yaml", "parts.yaml"):
        try:
            contents = read_contents(load_dataset_file(world / name))
            found += contents.problems
            found += [p for loaded in load_all(contents.records, 16) for p in loaded.problems]
        except BadInput as bad:
            found += bad.problems
    assert all(str(p).isprintable() and len(str(p)) < 6000 for p in found)
    return found


def objects(world: Path, whole: dict) -> tuple[list, list[str]]:
    """The images of the objects that are read, and the errors."""
    (world / "c.json").write_text(json.dumps(whole))
    found, problems = read_coco(world / "c.json")
    return [o.image for o in found], [str(p) for p in problems if p.severity == "error"]


def replaced(place: tuple, value) -> dict:
    whole = content()
    *way, last = place
    inner = whole
    for key in way:
        inner = inner[key]
    inner[last] = value
    return whole


FIRST = ("annotations", 0)


@pytest.mark.parametrize("written", [1, 1.0, "1", " 1", "1\n", -0.0 + 1])
@pytest.mark.parametrize("place", [("images", 0, "id"), (*FIRST, "image_id"), (*FIRST, "category_id"), (*FIRST, "id")])
def test_an_id_is_one_however_it_is_written(world, place, written):
    assert objects(world, replaced(place, written)) == (["1.png", "2.png"], [])
    assert read_coco(world / "c.json")[0][0].object_id == "1"


@pytest.mark.parametrize("written", [1, 1.0, "1", " 1"])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("images", 1, "id"), "image id 1 stands twice"),
        (("annotations", 1, "id"), "annotation id 1 stands twice at image 1"),
        (("categories", 1, "id"), "category id 1 stands twice"),
    ],
)
def test_ids_that_clash_stand_twice_however_they_are_written(world, place, said, written):
    whole = replaced(("categories",), [*content()["categories"], {"id": 2, "name": "tail"}])
    whole["annotations"][1]["image_id"] = 1
    whole[place[0]][1]["id"] = written
    _, errors = objects(world, whole)
    assert len([line for line in errors if said in line]) == 1


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        *[(("images", 0, "id"), v, "images[0]: id is ") for v in (None, True, [1], {}, float("nan"), 1.5, "", "a\0")],
        *[(("categories", 0, "id"), v, "categories[0]: id is ") for v in (None, False, [], 1e300, "\ud800")],
        *[((*FIRST, "id"), v, "annotations[0]: id is ") for v in (None, True, [1], float("inf"), "x" * 2000)],
        *[((*FIRST, "image_id"), v, "annotation 1: image ") for v in (None, True, [1], 1.5, deep(900), 9)],
        *[((*FIRST, "category_id"), v, "annotation 1: category ") for v in (None, True, {}, "one", deep(900))],
        (("images", 0), None, "images[0] is None, expected an object"),
        (("categories", 0), [], "categories[0] is [], expected an object"),
        ((*FIRST,), deep(900), "annotations[0] is [[["),
        (("images", 0, "file_name"), "\ud800.png", "image 1: file name '\\ud800.png' is not a file name"),
        (("images", 0, "file_name"), "a\0.png", "is not a file name"),
        (("images", 0, "file_name"), deep(900), "is not a file name"),
        (("images", 0, "file_name"), "x" * 5000, "has 5,000 characters, expected at most 4,096"),
        *[(("images", 0, "width"), v, "image 1: width is ") for v in ("16 px", -16, 1.5, True, [16], 10**40, 1e999)],
        (("images", 0, "height"), deep(900), "image 1: height is "),
        *[(("categories", 0, "name"), v, "categories[0]: name ") for v in (None, [], {}, True, "", "a\0b", "\udcff")],
        (("categories", 0, "name"), "x" * 1001, "categories[0]: name has 1,001 characters, expected at most 1,000"),
        (("categories", 0, "keypoints"), {"left eye": 1, "right eye": 2}, "categories[0]: keypoints is {"),
        (("categories", 0, "keypoints"), ["left eye", "\ud800"], "of which '\\ud800' is no name"),
        (("categories", 0, "keypoints"), ["left eye", "a\0"], "of which 'a\\x00' is no name"),
        (("categories", 0, "keypoints"), ["left eye", deep(900)], "is no name"),
        (("categories", 0, "keypoints"), ["left eye", "x" * 1001], "is no name"),
        ((*FIRST, "keypoints"), ["2", "2", "two", 1, 1, 1], "keypoints is [2.0, 2.0, 'two',"),
        ((*FIRST, "keypoints"), [2, 2, "2", 1, 1, 1], "keypoints is [2, 2, '2',"),
        ((*FIRST, "keypoints"), [1e999, 2, 2, 1, 1, 1], "keypoints holds inf"),
        ((*FIRST, "keypoints"), [10**40, 2, 2, 1, 1, 1], "keypoints holds 1e+40"),
        ((*FIRST, "keypoints"), [2, 2, 1e999, 1, 1, 1], "keypoints holds inf"),
        ((*FIRST, "keypoints"), deep(900), "keypoints is [[["),
        ((*FIRST, "keypoints"), {"left eye": [1, 1, "x"]}, "keypoints is [1, 1, 'x'"),
        ((*FIRST, "bbox"), ["1", "1", "8", "7px"], "bbox is [1.0, 1.0, 8.0, '7px'"),
        ((*FIRST, "bbox"), {"x": 1}, "bbox is {'x': 1}"),
        ((*FIRST, "bbox"), [None] * 4, "bbox is [None, None"),
        ((*FIRST, "bbox"), deep(900), "bbox is [[["),
        ((*FIRST, "segmentation"), [["1", "x"] * 6], "a polygon is [1.0, 'x'"),
        ((*FIRST, "segmentation"), deep(900), "a polygon is [[["),
        ((*FIRST, "segmentation"), {"size": [12, 16], "counts": deep(900)}, "segmentation is a broken RLE"),
        *[((*FIRST, "iscrowd"), v, "annotation 1: iscrowd is ") for v in ("2", "x", 2, [], deep(900))],
    ],
)
def test_what_makes_no_sense_is_told_with_its_place_and_the_rest_is_used(world, place, value, said):
    whole = replaced(place, value)
    found, errors = objects(world, whole)
    assert len([line for line in errors if said in line]) == 1 and all(str(world / "c.json") in e for e in errors)
    unlisted = place[-1] in ("id", 0) and place[0] != "annotations"  # what refers to it refers to nothing now
    assert len(errors) == 1 or unlisted, "each mistake is told once, where it is"
    assert found == ([] if place[0] == "categories" else ["2.png"])
    told(world, json.dumps(whole).encode())


@pytest.mark.parametrize(("value", "name"), [(7, "7"), (7.0, "7"), ("ä\u202e", "ä\u202e")])
def test_a_whole_number_is_a_category_s_name_as_text(world, value, name):
    (world / "c.json").write_text(json.dumps(replaced(("categories", 0, "name"), value)))
    found, problems = read_part_coco(world / "c.json", (name, "tail"))
    assert {a.image for a in found} == {"1.png", "2.png"} and [p.severity for p in problems] == ["note"]


@pytest.mark.parametrize("value", [None, 0, False, 0.0])
def test_what_says_nothing_stays_nothing(world, value):
    assert objects(world, replaced((*FIRST, "iscrowd"), value)) == (["1.png", "2.png"], [])
    if value is not False:
        assert objects(world, replaced(("images", 0, "width"), value)) == (["1.png", "2.png"], [])
    assert read_coco(world / "c.json")[0][0].size == (None if value is not False else (16, 12))


def test_a_name_whose_bytes_are_not_utf_8_is_a_file_name(world):
    (world / "im/1.png").rename(world / "im/\udcff.png")
    (world / "c.json").write_text(json.dumps(replaced(("images", 0, "file_name"), "\udcff.png")))
    records, problems, _ = read_dataset(load_dataset_file(world / "coarse.yaml"))
    assert sorted(r.name for r in records) == ["2", "\\xff"] and not [p for p in problems if p.severity == "error"]


def test_annotations_of_what_is_broken_are_counted_and_not_blamed(world):
    (world / "c.json").write_text(json.dumps(replaced(("images", 0, "file_name"), None)))
    _, problems = read_coco(world / "c.json")
    assert [p.severity for p in problems] == ["error", "note"]
    assert "1 annotations of images or categories with an error are left out" in problems[1].message


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"images": [], "images": []}', "the key 'images' stands twice"),
        (b'{"images": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply at line 1, column 75"),
        (b'{"images": [NaN', "is not valid JSON"),
        ("{}".encode("utf-16") + b"\0", "is not text in UTF-8 or UTF-16"),
        (b"null", "holds a NoneType"),
        (b'{"images": {}, "annotations": null, "categories": "x"}', "has no list images, annotations, categories"),
    ],
)
def test_files_that_are_no_coco_are_told(world, raw, said):
    found = told(world, raw)
    assert len([p for p in found if said in p.message]) >= 5


def as_floats(whole: dict) -> dict:
    """Every id as a float or a text."""
    for i, entry in enumerate(whole["images"] + whole["categories"]):
        entry["id"] = float(entry["id"]) if i % 2 else f" {entry['id']}"
    for entry in whole["annotations"]:
        entry |= {"image_id": str(entry["image_id"]), "category_id": float(entry["category_id"])}
    return whole


def backwards(value):
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("change", [lambda whole: whole, as_floats, backwards])
def test_an_undamaged_twin_gives_the_same_objects(world, encoding, change):
    whole = content()
    whole["annotations"][1]["segmentation"] = {"size": [12, 16], "counts": [10, 20, 162]}

    def everything():
        dataset = load_dataset_file(world / "coarse.yaml")
        records, problems, _ = read_dataset(dataset)
        boxes = read_of_parts(world / "c.json", PARTS, PartBoxes)
        return fingerprint(boxes), [(r.name, r.fingerprint) for r in records], [str(p) for p in problems]

    (world / "c.json").write_text(json.dumps(whole))
    plain = everything()
    (world / "c.json").write_bytes(json.dumps(change(whole), ensure_ascii=False).encode(encoding))
    assert everything() == plain and len(plain[1]) == 2


LISTS = {"images": 2, "categories": 1, "annotations": 2}
PLACES = [
    ("images",),
    ("categories",),
    ("annotations",),
    *[(name, i) for name, count in LISTS.items() for i in range(count)],
    *[(name, 0, key) for name in LISTS for key in content()[name][0]],
    *[("annotations", 0, key, 0) for key in ("bbox", "keypoints", "segmentation")],
    ("categories", 0, "keypoints", 0),
]
ANYTHING = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.floats(), st.integers(-(10**45), 10**45), st.text(st.characters(), max_size=5)),
        st.sampled_from(
            ["\ud800", "\udcff", "a\0", "1.png", "head", "left eye", " 1", 1, 2, 1.0, 1e9, 2**53, deep(900)]
        ),
    ),
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.dictionaries(st.sampled_from(["id", "size", "counts", "x"]), inner, max_size=3)
        | st.fixed_dictionaries({"size": st.just([12, 16]), "counts": inner})
    ),
    max_leaves=7,
)


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("edges"))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), min_size=1, max_size=3))
def test_any_value_in_any_place_of_a_coco_file_is_read_or_told(shared_world, changes):
    whole = content()
    for place, value in changes:
        inner = whole
        try:
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
        except (TypeError, KeyError, IndexError, AttributeError):
            continue  # an earlier change took the place away
    told(shared_world, json.dumps(whole).encode())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_to_the_bytes_of_a_coco_file_is_read_or_told(shared_world, data):
    raw = bytearray(json.dumps(content()).encode(data.draw(st.sampled_from(["utf-8", "utf-8", "utf-16"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        new = data.draw(st.binary(max_size=3) | st.sampled_from([b"1e999", b"NaN", b'"', b"[", b"}", b"\\ud800"]))
        raw[place : place + data.draw(st.integers(0, 3))] = new
    assert all(str(problem).isprintable() for problem in told(shared_world, bytes(raw)))


YAML_PLACES = [
    *[(key,) for key in DatasetFile.model_fields],
    ("crop", "to"),
    ("crop", "margin"),
    *[("sources", 0, key) for key in ("split", "images", "coco", "use", "limit", "only", "synthetic", "parts", "new")],
    ("parts", 0),
    ("sources", 0),
    ("new",),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(YAML_PLACES), ANYTHING.filter(lambda v: "[" * 60 not in json.dumps(v)))))
def test_any_value_in_any_place_of_a_dataset_file_is_read_or_told(shared_world, changes):
    whole = {"parts": list(PARTS), "crop": {}, "sources": [{"split": "train", "images": "im", "coco": "c.json"}]}
    for place, value in changes:
        inner = whole
        try:
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
        except (TypeError, KeyError, IndexError, AttributeError):
            continue
    (shared_world / "c.json").write_text(json.dumps(content()))
    file = shared_world / "any.yaml"
    file.write_text(json.dumps(whole))  # JSON is YAML
    try:
        dataset = load_dataset_file(file)
        if dataset.sources[0].synthetic is None:
            read_dataset(dataset)
    except BadInput as bad:
        assert bad.problems and all(str(p).isprintable() and len(str(p)) < 3000 for p in bad.problems)


def yaml_errors(world: Path, text: str) -> list[str]:
    (world / "d.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(BadInput) as caught:
        load_dataset_file(world / "d.yaml")
    assert time.process_time() - began < 10, "a few seconds, on a machine that does other things besides"
    return str(caught.value).splitlines()


MANY = ", ".join(f"name {i}" for i in range(20_000))
SOURCE = "sources: [{split: train, images: im, coco: c.json}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"parts: [{MANY}]\n{SOURCE}", "parts: 20,000 are too many, expected at most 254"),
        (f"parts: [a]\nkeypoints: [{MANY}]\n{SOURCE}", "keypoints: 20,000 are too many, expected at most 1,000"),
        ("parts: [a]\nsources:\n" + "- {split: train}\n" * 5000, "sources: 5,000 are too many, expected at most 1,000"),
        (f"parts: [a]\nkeypoint_parts: {{{MANY}}}\n{SOURCE}", "keypoint_parts: 20,000 are too many"),
        (f"parts: [a]\nsize: 100000\n{SOURCE}", "size: got 100000; input should be less than or equal to 4096"),
        (f"parts: [a]\nmirror: [[a, b{'b' * 5000}]]\n{SOURCE}", "is not among 'a'"),
        (f"parts: ['{'a' * 2000}']\n{SOURCE}", "a name has 2,000 characters, expected at most 1,000"),
        (f'parts: ["a\\0"]\n{SOURCE}', "a name holds a NUL"),
        (f"parts: [a, a, {MANY[:2000]}]\n{SOURCE}", "names must differ, but 'a' stand more than once"),
        (f"parts: !!set {{a, b}}\n{SOURCE}", "is not valid YAML: line 1"),
        (f"parts: [a]\n{SOURCE[:-2]}, limit: yes}}]", "sources[0].limit: got true, expected a number"),
        (f"parts: [a]\ncrop: {{margin: no}}\n{SOURCE}", "crop.margin: got false, expected a number"),
        (f"parts: [a]\ncrop: {{margin: .nan}}\n{SOURCE}", "crop.margin: got nan"),
        (f"parts: [a]\nsize: {10**39}\n{SOURCE}", "size: got 1000"),
    ],
)
def test_a_dataset_file_of_absurd_size_is_told_in_a_line(world, text, said):
    (line,) = yaml_errors(world, text)
    assert said in line and len(line) < 400


def test_very_many_unknown_keys_are_counted(world):
    lines = yaml_errors(world, "\n".join(f"key{i}: 1" for i in range(5000)) + f"\nparts: [a]\n{SOURCE}")
    assert len(lines) == 101 and "and 4,900 more mistakes" in lines[-1]
    lines = yaml_errors(world, "parts: [a]\nsources:\n" + "- {split: train, images: none, coco: c.json}\n" * 900)
    assert len(lines) == 21 and "and 880 more like those above" in lines[-1]


@pytest.mark.parametrize(
    ("text", "near"),
    [
        (f"prats: [a]\nparts: [a]\n{SOURCE}", "prats: unknown key; did you mean 'parts'?"),
        (f"parts: [a]\ncrop: {{margn: 1}}\n{SOURCE}", "crop.margn: unknown key; did you mean 'margin'?"),
        (
            f"parts: [a]\n{SOURCE[:-2]}, part_mask: im}}]",
            "sources[0].part_mask: unknown key; did you mean 'part_masks'?",
        ),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(world, text, near):
    (line,) = yaml_errors(world, text)
    assert near in line


def test_names_of_the_labels_that_the_dataset_file_lacks_are_told_with_the_nearest(world):
    whole = content()
    whole["categories"][0] |= {"name": "haed", "keypoints": ["left eye", "rigth eye"]}
    (world / "c.json").write_text(json.dumps(whole))
    text = (world / "coarse.yaml").read_text()
    (world / "coarse.yaml").write_text(f"keypoints: [left eye, right eye]\n{text}")
    said = [str(p) for p in read_dataset(load_dataset_file(world / "coarse.yaml"))[1]]
    assert any("category 'haed' is not among `parts`; did you mean 'head'?" in line for line in said)
    assert any("no source annotates 'right eye'; did you mean 'rigth eye'?" in line for line in said), said
    assert any("rigth eye (near 'right eye') of the sources are not listed and left out" in line for line in said)


def large_coco(**lists) -> dict:
    return content() | lists


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (
            large_coco(categories=[{"id": 1, "name": "a", "keypoints": [f"k{i}" for i in range(100_000)]}]),
            "categories[0] has 100,000 keypoints, expected at most 1,000",
        ),
        (
            large_coco(
                categories=[{"id": i, "name": "a", "keypoints": [f"{i}.{j}" for j in range(500)]} for i in range(3)]
            ),
            "has 1,500 names of keypoints in all its categories, expected at most 1,000",
        ),
        (
            large_coco(annotations=[{"id": i, "image_id": "1", "category_id": 1} for i in range(10_001)]),
            "image 1 has 10,001 annotations, expected at most 10,000",
        ),
        (
            large_coco(annotations=[{"image_id": 1, "category_id": 1, "segmentation": [[1, 2] * 100_001]}]),
            "polygons of 100,001 points, expected at most 100,000",
        ),
        (
            large_coco(
                annotations=[{"image_id": 1, "category_id": 1, "segmentation": {"size": [10**9] * 2, "counts": [5]}}]
            ),
            "an RLE of 1,000,000,000x1,000,000,000 pixels, expected at most 100,000,000",
        ),
        (
            large_coco(
                annotations=[
                    {"image_id": 1, "category_id": 1, "segmentation": {"size": [9, 9], "counts": "0" * 6_000_000}}
                ]
            ),
            "an RLE of 6,000,000 counts, expected at most 5,000,000",
        ),
    ],
)
def test_coco_files_of_absurd_size_are_told_in_a_line(world, whole, said):
    (world / "c.json").write_text(json.dumps(whole))
    began = time.process_time()
    try:
        problems = read_coco(world / "c.json")[1]
    except BadInput as bad:
        problems = bad.problems
    assert time.process_time() - began < 10
    (line,) = [str(p) for p in problems if p.severity == "error"]
    assert said in line and len(line) < 400


def test_a_million_annotations_of_an_image_are_seen_at_a_glance(world, monkeypatch):
    monkeypatch.setattr(reader, "LARGE", 1000)
    monkeypatch.setattr(reader, "load_json", lambda path: pytest.fail("it was parsed"))
    (world / "c.json").write_text('{"images": [{"file_name": "1.png"}], ' + '"image_id": 1, ' * 10_001)
    with pytest.raises(BadInput, match=r"10,001 annotations on 1 images, expected at most 10,000 of an image"):
        read_coco(world / "c.json")


def test_very_many_categories_that_are_no_parts_are_counted(world):
    whole = large_coco(categories=[{"id": i, "name": f"category {i}"} for i in range(50_000)])
    (world / "c.json").write_text(json.dumps(whole))
    began = time.process_time()
    _, problems = read_part_coco(world / "c.json", PARTS)
    assert time.process_time() - began < 10
    notes = [p for p in problems if "not among `parts`" in p.message and p.severity == "note"]
    assert len(notes) == 1 and "has no annotation of the categories category" in notes[0].message
    assert len(notes[0].message) < 1000


def test_an_outline_that_goes_to_and_fro_is_refused_before_memory_is_asked_for():
    zigzag = [v for i in range(40_000) for v in (0 if i % 2 else 63, i % 64)]
    with pytest.raises(ValueError, match=r"the outline is 2,5\d\d,\d\d\d pixels long, expected at most 2,000,000"):
        draw([zigzag], (64, 64))
    assert draw([zigzag[:8000]], (64, 64)).any()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOSPC])
@pytest.mark.parametrize("read", ["image", "coco", "yaml", "names"])
def test_what_the_machine_refuses_is_not_the_file_s_fault(world, monkeypatch, code, read):
    def refuse(*args, **more):
        raise OSError(code, "refused")

    monkeypatch.setattr(images.Image, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "read_text", refuse)
    call = {
        "image": lambda: images.decode(world / "im/1.png"),
        "coco": lambda: read_coco(world / "c.json"),
        "yaml": lambda: load_dataset_file(world / "coarse.yaml"),
        "names": lambda: read_names(world / "c.json"),
    }[read]
    with pytest.raises(OSError) as caught:
        call()
    assert not isinstance(caught.value, BadInput) and caught.value.errno == code


def test_seeded_damage_of_many_kinds_never_escapes(world):
    values = [None, True, -1, 1.5, "1", "", "\ud800", "a\0", 10**40, float("nan"), [], {}, [[]], deep(900), {"id": 1}]
    for seed in range(60):
        draws = random.Random(seed)
        whole = content()
        for _ in range(draws.randint(1, 3)):
            entry = draws.choice(whole[draws.choice(list(LISTS))])
            key = draws.choice(list(entry))
            if draws.random() < 0.3:
                del entry[key]
            else:
                entry[key] = draws.choice(values)
        assert all(str(problem).isprintable() for problem in told(world, json.dumps(whole).encode()))


def test_an_image_that_lost_an_annotation_is_not_taken_for_complete(world):
    whole = content()
    whole["annotations"].append(whole["annotations"][0] | {"id": 3, "category_id": 9})
    (world / "c.json").write_text(json.dumps(whole))
    assert [(o.image, o.alone) for o in read_coco(world / "c.json")[0]] == [("1.png", False), ("2.png", True)]
    for read in (read_part_coco, partial(read_of_parts, style=PartBoxes)):
        assert {a.image for a in read(world / "c.json", PARTS)[0]} == {"2.png"}, "a part would count as not to be seen"
