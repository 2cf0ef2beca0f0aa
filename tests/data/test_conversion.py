"""`coarseparts convert`: from tool to tool, with what is lost told and nothing written over."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from documents import documents, objects_of, rle
from hypothesis import HealthCheck, given, settings
from PIL import Image
from test_proposal import ants, photographs, square

from coarseparts.data.build import build_store
from coarseparts.data.conversion import convert
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import WRITERS, read_export, write_export
from coarseparts.labels import STYLES
from coarseparts.system.problems import BadInput


@pytest.mark.parametrize("to", ["coco", "cvat", "labelme", "label-studio"])
@pytest.mark.parametrize("source", ["coco", "cvat", "labelme", "label-studio"])
def test_masks_and_keypoints_arrive_from_each_tool_in_each_other(tmp_path, source, to):
    export = write_export(source, ants(2), tmp_path / "in")
    done = convert(export, tmp_path / f"out-{to}", to)
    assert done.images == 2 and not [p for p in done.problems if p.severity == "error"]
    (before, after) = (objects_of(read_export(at)) for at in (export, done.path))
    for name in ("1.png", "2.png"):
        drawn = [[one[2] for own in at[name] for one in own[0] if one[1] == "mask"] for at in (before, after)]
        assert sorted(drawn[0]) == sorted(drawn[1]) and len(drawn[0]) == 3
        points = [one for own in after[name] for one in own[1]]
        assert points == [("eye_L", (4, 6, 2)), ("eye_R", (14, 8, 1))]


@given(document=documents())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_coco_to_cvat_and_back_has_the_same_objects(tmp_path_factory, document):
    folder = tmp_path_factory.mktemp("round")
    export = write_export("coco", document, folder)
    there = convert(export, folder / "there.xml", "cvat")
    back = convert(there.path, folder / "back.json", "coco")
    sizes = [{n: len(own) for n, own in objects_of(read_export(at)).items()} for at in (there.path, back.path)]
    assert sizes[0] == sizes[1]


def test_what_the_target_has_no_place_for_is_told(tmp_path):
    document = ants(2)
    document.annotations[2]["score"] = 0.5
    document.mirror.append(("eye_L", "eye_R"))
    export = write_export("coco", document, tmp_path)
    said = {to: " ".join(map(str, convert(export, tmp_path / to, to).problems)) for to in WRITERS}
    assert "the scores of 1 annotations" in said["cvat"] and "scores" not in said["labelme"]
    assert "which annotations are one object, of 2 objects" in said["yolo"]
    assert "the category of the keypoints of 2 annotations" in said["labelme"]
    assert "without a box" in said["label-studio"] and "no place" not in said["coco"]


def test_sizes_that_an_export_does_not_say_come_from_the_photographs(tmp_path):
    document = ants(2)
    bare = [{"id": entry["id"], "file_name": f"up\\{entry['file_name']}"} for entry in document.images]
    points = [entry for entry in document.annotations if "keypoints" in entry]
    export = write_export("coco", replace(document, images=bare, annotations=points), tmp_path)
    with pytest.raises(BadInput, match=r"sizes of 2 images are not known.*--images FOLDER"):
        convert(export, tmp_path / "a.xml", "cvat")
    assert not (tmp_path / "a.xml").exists()
    photographs(tmp_path / "photos", 2)
    convert(export, tmp_path / "a.xml", "cvat", tmp_path / "photos")
    assert [entry["width"] for entry in read_export(tmp_path / "a.xml").images] == [40, 40]


def test_labels_in_shares_become_pixels(tmp_path):
    document = ants(1)
    for entry in document.annotations:
        entry.pop("segmentation", None)
        entry["keypoints"] = [0.1, 0.2, 2, 0.5, 0.4, 2]
        entry["category_id"] = 1
    done = convert(write_export("coco", document, tmp_path), tmp_path / "a.xml", "cvat")
    points = read_export(done.path).annotations[0]["keypoints"]
    np.testing.assert_allclose(points, [4, 6, 2, 20, 12, 2], atol=0.01)


def test_nothing_is_written_over_and_broken_exports_are_refused_whole(tmp_path):
    export = write_export("coco", ants(2), tmp_path / "in")
    for to, (_, name) in WRITERS.items():
        (tmp_path / to).mkdir()
        (tmp_path / to / "mine.txt").write_text("mine")
        if to in ("labelme", "yolo"):
            (tmp_path / to / name).mkdir()
            (tmp_path / to / name / "mine.txt").write_text("mine")
        else:
            (tmp_path / to / name).write_text("mine")
        with pytest.raises(BadInput, match="is there and would be written over"):
            convert(export, tmp_path / to, to)
    whole = json.loads(export.read_text())
    whole["annotations"][0]["image_id"] = 99
    whole["annotations"][1]["segmentation"] = "nonsense"
    export.write_text(json.dumps(whole))
    with pytest.raises(BadInput) as bad:
        convert(export, tmp_path / "new.xml", "cvat")
    assert len(bad.value.problems) == 2 and not (tmp_path / "new.xml").exists()
    with pytest.raises(BadInput, match="expected one of coco"):
        convert(export, tmp_path / "new.xml", "pascal")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"counts": [6]}, "runs add up to 6"),
        ({"counts": "..."}, "mask is broken"),
        ({"size": [30, 41]}, "the RLE mask is 41x30 pixels, the image is 40x30"),
    ],
)
def test_broken_masks_are_told_and_nothing_is_written(tmp_path, change, said):
    export = write_export("coco", ants(1), tmp_path / "in")
    whole = json.loads(export.read_text())
    whole["annotations"][1]["segmentation"] |= change
    export.write_text(json.dumps(whole))
    for to in WRITERS:
        with pytest.raises(BadInput, match=said):
            convert(export, tmp_path / to, to)
        assert not (tmp_path / to).exists()


def test_sizes_beyond_all_images_are_refused_before_anything_is_drawn(tmp_path):
    export = write_export("coco", ants(1), tmp_path / "in")
    whole = json.loads(export.read_text())
    whole["images"][0] |= {"width": 1_000_000, "height": 1_000_000}
    export.write_text(json.dumps(whole))
    with pytest.raises(BadInput, match="1000000x1000000 pixels are too many"):
        convert(export, tmp_path / "yolo", "yolo")


def test_labelme_leads_to_the_photographs(tmp_path):
    photographs(tmp_path / "photos", 1)
    done = convert(write_export("coco", ants(1), tmp_path), tmp_path / "labelme", "labelme", tmp_path / "photos")
    leads = json.loads((done.path / "1.json").read_text())["imagePath"]
    with Image.open(done.path / leads) as image:
        assert image.size == (40, 30)


def drawn_ants(count: int) -> Document:
    """Two ants to a picture, each with a skeleton, an outline and the masks of two parts; numbers that no decimal
    fraction writes."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(1, count + 1)]
    categories = [{"id": 1, "name": "ant", "keypoints": ["eye_L", "eye_R"]}, {"id": 2, "name": "body"}]
    categories += [{"id": 3, "name": "head"}, {"id": 4, "name": "rump"}]
    entries = []
    for image in range(1, count + 1):
        for which, x in (("a", 1), ("b", 21)):
            of = {"image_id": image, "group": which}
            entries.append(of | {"category_id": 1, "keypoints": [x + 1 / 3, 6 + 1 / 7, 2, x + 9.1, 8, 1]})
            entries.append(of | {"category_id": 2, "segmentation": [[x, 2.5, x + 15, 2.5, x + 15.25, 22, x, 22]]})
            entries.append(of | {"category_id": 3, "segmentation": rle(square(x, 3, 6))})
            entries.append(of | {"category_id": 4, "segmentation": rle(square(x + 7, 7, 6))})
    return Document(images, categories, [entry | {"id": i} for i, entry in enumerate(entries, start=1)])


@pytest.mark.parametrize("to", ["cvat", "labelme", "label-studio", "via"])
def test_an_export_gives_the_same_store_bit_by_bit_as_the_coco_file_that_it_was_made_of(tmp_path, to):
    photographs(tmp_path / "photos", 3)
    original = write_export("coco", drawn_ants(3), tmp_path / "in")
    made = convert(original, tmp_path / to, to).path
    stores = []
    for labels in (original, made):
        (tmp_path / "d.yaml").write_text(
            "parts: [head, rump]\nsize: 32\nkeypoints: [eye_L, eye_R]\n"
            f"sources: [{{split: train, images: photos, labels: {labels}}}]\n"
        )
        store, _ = build_store(load_dataset_file(tmp_path / "d.yaml"), tmp_path / "cache")
        stores.append(store)
    first, second = stores
    assert len(first) == 6 and first.styles == second.styles == ("keypoints", "mask")
    for name in ("image", "parts", "crops", "native", "keypoints", "mask"):
        one, other = (store.label(name) if name in STYLES else getattr(store, name) for store in stores)
        assert one.tobytes() == other.tobytes() and one.any(), name
    assert all((first.present[name] == second.present[name]).all() for name in first.present)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(BadInput, match=r"gone\.json: does not exist; name the export"):
        convert(tmp_path / "gone.json", tmp_path / "x.xml", "cvat")
    write_export("coco", ants(), tmp_path)
    with pytest.raises(BadInput, match=r"--images .*gone: is no folder"):
        convert(tmp_path / "coco.json", tmp_path / "x.xml", "cvat", tmp_path / "gone")
    assert not (tmp_path / "x.xml").exists()
