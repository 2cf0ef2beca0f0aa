"""YOLO folders: shares become pixels of images that are looked at; poses, outlines and boxes are told apart."""

import json

import numpy as np
import pytest
import yaml
from documents import damaged, documents, objects_of, rle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judges import asked
from PIL import Image

from coarseparts.data.formats import yolo
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw
from coarseparts.system.problems import BadInput, errors

POSE = {"names": ["ant"], "train": "images", "kpt_shape": [3, 3], "flip_idx": [0, 2, 1]}
POSE |= {"kpt_names": {0: ["head", "left", "right"]}}
PLAIN = {"names": {0: "ant", 1: "bee"}, "nc": 2}


def folder(tmp_path, config: dict, labels: dict[str, str | None], sizes=(200, 100)):
    """A folder with an image of 200 x 100 pixels for each text of labels; None: without a file."""
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(config))
    for name, text in labels.items():
        image = tmp_path / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", sizes).save(image)
        if text is not None:
            file = tmp_path / name.replace("images", "labels").replace(".png", ".txt").replace(".jpg", ".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return tmp_path


def read(*given, **more) -> Document:
    there = folder(*given, **more)
    assert yolo.recognises(there) and yolo.recognises(there / "data.yaml")
    return yolo.read(there)


def said(document: Document) -> str:
    return "\n".join(map(str, document.problems))


def test_boxes_and_polygons_become_pixels(tmp_path):
    text = "0 0.5 0.5 0.1 0.2\n\n1 0.1 0.1 0.2 0.1 0.2 0.4 0.15 0.5 0.1 0.2\n"
    found = read(tmp_path, PLAIN, {"images/train/a.png": text})
    assert found.images == [{"id": 1, "file_name": "images/train/a.png", "width": 200, "height": 100}]
    box, polygon = found.annotations
    assert box["bbox"] == pytest.approx([90, 40, 20, 20]) and box["category_id"] == 1
    assert polygon["segmentation"] == [pytest.approx([20, 10, 40, 10, 40, 40, 30, 50, 20, 20])]
    assert found.problems == [] and [entry["name"] for entry in found.categories] == ["ant", "bee"]


def test_poses(tmp_path):
    found = read(tmp_path, POSE, {"images/a.png": "0 .5 .5 .1 .2 .5 .5 2 .25 .75 1 0 0 0"})
    (only,) = found.annotations
    assert only["keypoints"] == pytest.approx([100, 50, 2, 50, 75, 1, 0, 0, 0])
    assert found.categories == [{"id": 1, "name": "ant", "keypoints": ["head", "left", "right"]}]
    assert found.mirror == [("left", "right")] and found.problems == []


def test_poses_without_visibility(tmp_path):
    config = {"names": ["ant"], "train": "x", "kpt_shape": [3, 2]}
    found = read(tmp_path, config, {"images/a.png": "0 .5 .5 .1 .2 .5 .5 0 0 -1 .5"})
    assert found.annotations[0]["keypoints"] == [100, 50, 2, 0, 0, 0, 0, 0, 0]
    assert found.categories[0]["keypoints"] == ["keypoint_0", "keypoint_1", "keypoint_2"]
    assert "does not name its keypoints" in said(found)


def test_images_without_labels_are_unlabelled(tmp_path):
    found = read(tmp_path, PLAIN, {"images/a.png": "", "images/b.png": None, "images/c.png": "0 .5 .5 .1 .1"})
    assert len(found.images) == 3 and len(found.annotations) == 1
    assert "1 images have an empty file" in said(found) and "1 images have no file" in said(found)


@pytest.mark.parametrize(
    "image, labels",
    [
        ("images/train/a.png", "labels/train/a.txt"),
        ("train/images/a.png", "train/labels/a.txt"),
        ("images/images/b/a.png", "images/labels/b/a.txt"),
        ("obj_train_data/a.png", "obj_train_data/a.txt"),
    ],
)
def test_where_labels_lie(tmp_path, image, labels):
    folder(tmp_path, PLAIN, {image: None})
    (tmp_path / labels).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / labels).write_text("1 .5 .5 .5 .5")
    found = yolo.read(tmp_path)
    assert [entry["bbox"] for entry in found.annotations] == [[50, 25, 100, 50]] and found.problems == []


@pytest.mark.parametrize("image, split", [("train/images/a.png", "train"), ("images/train/a.png", "images/train")])
def test_a_split_alone(tmp_path, image, split):
    folder(tmp_path, PLAIN, {image: "1 .5 .5 .5 .5", image.replace("train", "val"): "0 .5 .5 .5 .5"})
    assert yolo.recognises(tmp_path / split)
    found = yolo.read(tmp_path / split)
    assert len(found.images) == 1 and found.categories[0]["name"] == "bee"


def test_a_list_of_classes_stands_in_for_data_yaml(tmp_path):
    folder(tmp_path, PLAIN, {"images/a.png": "1 .5 .5 .5 .5"})
    (tmp_path / "data.yaml").unlink()
    assert not yolo.recognises(tmp_path)
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    assert yolo.recognises(tmp_path) and yolo.read(tmp_path).categories[0]["name"] == "bee"


def test_the_image_is_taken_upright(tmp_path):
    folder(tmp_path, PLAIN, {"images/a.jpg": "1 .5 .5 .5 .5"})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "images/a.jpg", exif=exif)
    found = yolo.read(tmp_path)
    assert (found.images[0]["width"], found.images[0]["height"]) == (100, 200)
    assert found.annotations[0]["bbox"] == [25, 50, 50, 100]


def test_oriented_boxes_are_no_outlines(tmp_path):
    rectangle = "0 .1 .2 .2 .1 .25 .2 .15 .3"  # (20, 20), (40, 10), (50, 20), (30, 30): a rhomboid of no right angle
    found = read(tmp_path, PLAIN, {"images/a.png": rectangle})
    assert "segmentation" in found.annotations[0]
    turned = "0 .1 .2 .15 .1 .2 .2 .15 .3"  # (20, 20), (30, 10), (40, 20), (30, 30)
    found = read(tmp_path, PLAIN, {"images/a.png": turned})
    assert found.annotations[0]["bbox"] == pytest.approx([20, 10, 20, 20])
    assert "segmentation" not in found.annotations[0] and "all are rectangles" in said(found)


def test_a_line_may_have_a_score(tmp_path):
    assert read(tmp_path, PLAIN, {"images/a.png": "0 .5 .5 .1 .2 .75"}).annotations[0]["score"] == 0.75


@pytest.mark.parametrize(
    "config, line, message",
    [
        (PLAIN, "2 .5 .5 .1 .1", "class '2' is none of the 2"),
        (PLAIN, "0.5 .5 .5 .1 .1", "class '0.5'"),
        (PLAIN, "0 .5 .5 .1", "4 numbers, expected"),
        (PLAIN, "0", "1 numbers, expected"),
        (PLAIN, "0 .5 .5 .1 x", "'x' is no number"),
        (PLAIN, "0 .5 .5 .1 nan", "'nan' is no number"),
        (PLAIN, "0 .5 .5 0 .1", "expected an area"),
        (PLAIN, "0 90 40 20 20", "are these pixels"),
        (PLAIN, "0 20 10 40 10 40 40", "are these pixels"),
        (PLAIN, "0 .5 .5 .1 .2 .5 .5 2 .25 .75", "10 numbers"),
        (PLAIN, "0 .5 .5 .1 .2 .5 .5 2 .25 .75 1 0 0 0 .1 .1 2", "kpt_shape is missing"),
        (POSE, "0 .5 .5 .1 .2 .5 .5 2 .25 .75 1", "6 numbers of keypoints, expected 3 x 3"),
        (POSE, "0 .5 .5 .1 .2 .5 .5 2 .25 .75 0.9 0 0 0", "visibility 0.9"),
        (POSE, "0 .5 .5 .1 .2 .5 .5 2 25 75 1 0 0 0", "are these pixels"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_rest_is_read(tmp_path, config, line, message):
    found = read(tmp_path, config, {"images/a.png": f"{line}\n0 .5 .5 .2 .2"})
    (problem,) = errors(found.problems)
    assert message in str(problem) and "a.txt: line 1" in str(problem) and problem.remedy
    assert [entry["bbox"] for entry in found.annotations] == [[80, 40, 40, 20]]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"names": 3}, "names is 3"),
        ({"names": ["ant", None]}, "names is"),
        ({"kpt_shape": 17}, "kpt_shape is 17"),
        ({"kpt_shape": [17, 4]}, "expected [number of keypoints, 2 or 3]"),
        ({"kpt_shape": [10**9, 3]}, "kpt_shape"),
    ],
)
def test_a_data_yaml_that_makes_no_sense_is_refused(tmp_path, change, message):
    with pytest.raises(BadInput) as caught:
        read(tmp_path, POSE | change, {"images/a.png": ""})
    assert message in str(caught.value) and "data.yaml" in str(caught.value)


@pytest.mark.parametrize("flip", [[0, 1], [1, 2, 0], "x", [0, 0, 0], [0, 2, -1]])
def test_a_flip_that_is_none_is_told_and_not_used(tmp_path, flip):
    found = read(tmp_path, POSE | {"flip_idx": flip}, {"images/a.png": ""})
    assert found.mirror == [] and "flip_idx" in said(found)


@pytest.mark.parametrize("names", [{0: ["a"]}, [["a", "a", "b"]], 3])
def test_names_of_keypoints_that_are_none_are_told(tmp_path, names):
    found = read(tmp_path, POSE | {"kpt_names": names}, {"images/a.png": "0 .5 .5 .1 .2 .5 .5 2 0 0 0 0 0 0"})
    assert found.categories[0]["keypoints"][0] == "keypoint_0" and "kpt_names" in said(found)


def test_labels_without_an_image_are_an_error(tmp_path):
    folder(tmp_path, PLAIN, {"images/train/a.png": "0 .5 .5 .1 .1"})
    (tmp_path / "labels/val").mkdir()
    (tmp_path / "labels/val/b.txt").write_text("0 .5 .5 .1 .1")
    (problem,) = errors(yolo.read(tmp_path).problems)
    assert "1 files of labels have no image" in str(problem) and "b.txt" in str(problem)


def test_labels_without_any_image_are_refused(tmp_path):
    folder(tmp_path, PLAIN, {"images/a.png": "0 .5 .5 .1 .1"})
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(BadInput, match="holds no image"):
        yolo.read(tmp_path)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    folder(tmp_path, PLAIN, {"images/a.png": "0 .5 .5 .1 .1", "images/b.png": "0 .5 .5 .1 .1"})
    (tmp_path / "images/a.png").write_bytes(b"no image")
    found = yolo.read(tmp_path)
    assert [entry["file_name"] for entry in found.images] == ["images/b.png"] and "a.png" in str(errors(found.problems))


def test_other_folders_and_files_are_not_taken_for_it(tmp_path):
    (tmp_path / "ants.yaml").write_text("parts: [head]\nsources: [{split: train, images: images}]\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00names")
    for path in (tmp_path, tmp_path / "images", tmp_path / "ants.yaml", tmp_path / "x.yaml", tmp_path / "absent"):
        assert not yolo.recognises(path)
    with pytest.raises(BadInput, match="no YOLO data set"):
        yolo.read(tmp_path)


LINES = [
    "0 .5 .5 .1 .2",
    "0 .5 .5 .1 .2 .5 .5 2 .25 .75 1 0 0 0",
    "0 .1 .1 .2 .1 .2 .4",
    "-1 inf",
    "0 " * 99,
    "\0",
    "é",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120)
@given(damaged(POSE), st.lists(st.sampled_from(LINES), max_size=3))
def test_no_damage_crashes_the_reader(tmp_path, config, lines):
    folder(tmp_path, POSE, {"images/a.png": "\n".join(lines)})
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(config))
    yolo.recognises(tmp_path)
    try:
        found = yolo.read(tmp_path)
    except BadInput as error:
        assert "data.yaml" in str(error)
    else:
        json.dumps([found.images, found.categories, found.annotations], allow_nan=False)


def put_images(document: Document, out):
    for image in document.images:
        name = image["file_name"]
        at = out / name if name.startswith("images/") else out / "images" / name
        at.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (image["width"], image["height"])).save(at)


def written(document: Document, out) -> Document:
    yolo.write(document, out)
    put_images(document, out)
    again = yolo.read(out)
    assert errors(again.problems) == []
    for image in again.images:
        image["file_name"] = image["file_name"].removeprefix("images/")
    return again


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(documents(masks=False, parts=False, box=True))
def test_poses_and_boxes_that_are_written_are_read_again(tmp_path_factory, document):
    out = tmp_path_factory.mktemp("yolo") / "out"
    posed = Document(document.images, document.categories, [e for e in document.annotations if "keypoints" in e])
    assert objects_of(written(posed, out)) == objects_of(posed)
    boxes = [{k: v for k, v in entry.items() if k != "keypoints"} for entry in document.annotations]
    boxed = Document(document.images, document.categories, boxes)
    assert objects_of(written(boxed, out.with_name("boxes"))) == objects_of(boxed)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(documents(box=False))
def test_outlines_that_are_written_are_read_again(tmp_path_factory, document):
    out = tmp_path_factory.mktemp("yolo") / "out"
    outlined = [{k: v for k, v in e.items() if k != "keypoints"} for e in document.annotations if "segmentation" in e]
    outlined = Document(document.images, document.categories, outlined)
    again = written(outlined, out)
    assert masks_of(again) == masks_of(outlined)


def masks_of(document: Document) -> list:
    images = {entry["id"]: entry for entry in document.images}
    names = {entry["id"]: entry["name"] for entry in document.categories}
    found = []
    for entry in document.annotations:
        image = images[entry["image_id"]]
        mask = draw(entry["segmentation"], (image["width"], image["height"]))
        found.append((image["file_name"], names[entry["category_id"]], rle(mask)["counts"]))
    return sorted(found)


def example() -> Document:
    mask = np.zeros((30, 40), bool)
    mask[3:20, 5:31] = True
    mask[8:12, 9:14] = False
    mask[25:28, 1:4] = True
    return Document(
        images=[{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        categories=[{"id": 1, "name": "ant", "keypoints": ["head", "left", "right"]}, {"id": 2, "name": "head"}],
        annotations=[
            {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [7, 4, 2, 30, 19, 1, 0, 0, 0]}
            | {"bbox": [5, 3, 26, 17]},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": rle(mask)},
        ],
        mirror=[("left", "right")],
    )


def test_poses_and_outlines_are_written_apart(tmp_path):
    document = example()
    yolo.write(document, tmp_path / "out")
    assert sorted(at.name for at in (tmp_path / "out").iterdir()) == ["pose", "segment"]
    put_images(document, tmp_path / "out/pose")
    found = yolo.read(tmp_path / "out/pose")
    assert found.mirror == [("left", "right")] and found.annotations[0]["keypoints"][:3] == pytest.approx([7, 4, 2])


def test_nothing_is_written_over_what_is_there_or_where_it_cannot_be_read_again(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_text("mine")
    with pytest.raises(BadInput, match="there already"):
        yolo.write(example(), tmp_path / "out")
    document = example()
    document.images.append({"id": 2, "file_name": "a.jpg", "width": 3, "height": 3})
    document.images[0]["width"] = None
    with pytest.raises(BadInput) as caught:
        yolo.write(document, tmp_path / "new")
    assert "size is not known" in str(caught.value) and "one file of labels" in str(caught.value)
    assert [at.name for at in tmp_path.iterdir()] == ["out"]


def test_sleap_io_reads_the_poses_that_are_written(tmp_path):
    yolo.write(example(), tmp_path / "out")
    out = tmp_path / "out/pose"
    put_images(example(), out)
    script = """
import json, sys, sleap_io as sio
labels = sio.load_ultralytics(sys.argv[1], split="train")
(one,) = [instance for frame in labels for instance in frame.instances]
print(json.dumps([[node.name for node in one.skeleton.nodes], one.numpy(invisible_as_nan=False).tolist()]))
"""
    names, points = asked("sleap_io", script, out)
    assert len(names) == 3 and np.allclose(points[:2], [[7, 4], [30, 19]], atol=1e-4)


def test_poses_that_sleap_io_writes_are_read(tmp_path):
    script = """
import sys, numpy as np, sleap_io as sio
from PIL import Image
Image.new("RGB", (60, 40)).save(sys.argv[1] + "/photo.png")
skeleton = sio.Skeleton(["head", "left", "right"], symmetries=[("left", "right")])
ants = [sio.Instance.from_numpy(np.array(p), skeleton=skeleton) for p in
        ([[1.5, 2], [3, 4], [5, 6]], [[21, 22], [23, 24], [np.nan, np.nan]])]
frame = sio.LabeledFrame(video=sio.Video.from_filename([sys.argv[1] + "/photo.png"]), frame_idx=0, instances=ants)
sio.save_ultralytics(sio.Labels([frame]), sys.argv[1] + "/out", split_ratios={"train": 1.0})
print("{}")
"""
    asked("sleap_io", script, tmp_path)
    assert yolo.recognises(tmp_path / "out")
    found = yolo.read(tmp_path / "out")
    assert errors(found.problems) == [], json.dumps([str(p) for p in found.problems])
    points = np.array([entry["keypoints"] for entry in found.annotations]).reshape(2, 3, 3)
    np.testing.assert_allclose(points[0, :, :2], [[1.5, 2], [3, 4], [5, 6]], atol=1e-3)
    np.testing.assert_allclose(points[1, :2, :2], [[21, 22], [23, 24]], atol=1e-3)
    assert points[1, 2, 2] == 0


def test_decimal_commas_are_read_and_told(tmp_path):
    text = "0 0,5 0,5 0,1 0,2\n1 0,1 0,1 0,2 0,1 0,2 0,4 0,15 5,00E-01 0,1 0,2\n"
    found = read(tmp_path, PLAIN, {"images/a.png": text, "images/b.png": "0 0.5 0.5 0.1 0.2"})
    box, other, polygon = found.annotations
    assert box["bbox"] == other["bbox"] == pytest.approx([90, 40, 20, 20])
    assert polygon["segmentation"] == [pytest.approx([20, 10, 40, 10, 40, 40, 30, 50, 20, 20])]
    (note,) = found.problems
    assert note.severity == "note" and note.message == "2 lines have decimal commas, which are read as points"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0;0,5;0,5;0,1;0,2", "line 1: its numbers are parted by ';', expected spaces"),
        ("0,0.5,0.5,0.1,0.2", "line 1: its numbers are parted by ',', expected spaces"),
        ("0, 0.5, 0.5, 0.1, 0.2", "line 1: its numbers are parted by ',', expected spaces"),
        ("0 0.5 0,5 0.1 0.2", "line 1: its numbers are parted by ',', expected spaces"),
        ("0 120,5 60,5 20,0 20,0", "are these pixels?"),
        ("0 0.5 0.5 0.1 −0.2", "is no number"),
    ],
)
def test_other_signs_between_numbers_are_told(tmp_path, line, says):
    found = read(tmp_path, PLAIN, {"images/a.png": line})
    assert found.annotations == [] and says in said(found) and "a.txt" in said(found)
