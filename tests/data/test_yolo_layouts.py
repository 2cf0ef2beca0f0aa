"""YOLO folders as people keep them: labels beside images, splits that data.yaml alone names, outlines of rectangles."""

import numpy as np
import pytest
import yaml
from judges import asked
from test_yolo import PLAIN, example, folder, put_images, read, said

from coarseparts.data.formats import yolo
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.registry import read_export
from coarseparts.data.proposal.survey import survey
from coarseparts.system.problems import BadInput

SQUARE = "0 .1 .2 .2 .2 .2 .4 .1 .4"


def test_rectangles_are_outlines_where_data_yaml_says_so(tmp_path):
    told = said(read(tmp_path, PLAIN, {"images/a.png": SQUARE}))
    assert "write `task: segment` into data.yaml" in told
    found = read(tmp_path, PLAIN | {"task": "segment"}, {"images/a.png": SQUARE})
    assert found.annotations[0]["segmentation"] == [pytest.approx([20, 20, 40, 20, 40, 40, 20, 40])]
    assert found.problems == []


@pytest.mark.parametrize("names", ["photos/classes.txt", "photos/labels/classes.txt"])
def test_a_list_of_classes_beside_the_labels(tmp_path, names):
    below = "photos/labels" if "labels/" in names else "photos"
    folder(tmp_path, PLAIN, {"photos/images/a.png" if "labels/" in names else "photos/a.png": None})
    (tmp_path / "data.yaml").unlink()
    (tmp_path / below).mkdir(exist_ok=True)
    (tmp_path / below / "a.txt").write_text("1 0.5 0.5 0.1 0.2")
    (tmp_path / names).write_text("ant\nbee\n")
    found = read_export(tmp_path / "photos")
    assert found.format == "YOLO" and found.annotations[0]["bbox"] == pytest.approx([90, 40, 20, 20])
    assert [one["name"] for one in found.categories] == ["bee"] and not found.problems
    assert [(one.path, one.split) for one in survey([tmp_path]).exports] == [(tmp_path / "photos", None)]


def test_texts_beside_photographs_without_their_names_are_no_data_set(tmp_path):
    folder(tmp_path, PLAIN, {"photos/a.png": None})
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "photos" / "classes.txt").write_text("ant\n")
    (tmp_path / "photos" / "readme.txt").write_text("x")
    assert not yolo.recognises(tmp_path / "photos") and not survey([tmp_path]).exports


def test_splits_are_those_of_data_yaml(tmp_path):
    config = PLAIN | {"path": "D:\\ants", "train": ["../night", "ants/day/images"], "val": "ants/dusk/images"}
    labels = {f"{where}/a.png": "0 .5 .5 .1 .2" for where in ("night", "day/images", "dusk/images")}
    folder(tmp_path, config, labels)
    found = {one.path.relative_to(tmp_path).as_posix(): one.split for one in survey([tmp_path]).exports}
    assert found == {"night": "train", "day/images": "train", "dusk/images": "val"}
    for place in found:
        document = yolo.read(tmp_path / place)
        assert len(document.annotations) == 1 and np.prod(document.annotations[0]["bbox"][2:]) == pytest.approx(400)


def test_lists_of_images_are_told(tmp_path):
    folder(tmp_path, PLAIN | {"train": "train.txt", "val": "lists/val.txt"}, {"images/a.png": "0 .5 .5 .1 .2"})
    assert "divides its images by lists: train.txt, lists/val.txt" in said(yolo.read(tmp_path))
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(PLAIN | {"train": {"a": 1}, "val": 3}))
    assert not yolo.read(tmp_path).problems


def test_labels_and_photographs_that_a_tool_keeps_apart_are_brought_together(tmp_path):
    folder(tmp_path, PLAIN, {"photos/a.png": None, "photos/b 1.png": None, "photos/c.png": None})
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    (tmp_path / "notes.json").write_text('{"categories": [{"id": 0, "name": "ant"}], "info": {"version": "1.0"}}')
    (tmp_path / "labels").mkdir()
    for name in ("0a1b2c3d-a", "0a1b2c3d-b_1", "0a1b2c3d-d"):
        (tmp_path / "labels" / f"{name}.txt").write_text("0 .5 .5 .1 .2")
    found = read_export(tmp_path)
    files = {one["id"]: one["file_name"] for one in found.images}
    assert sorted(files[one["image_id"]] for one in found.annotations) == ["photos/a.png", "photos/b 1.png"]
    told = said(found)
    assert "2 files of labels lie elsewhere" in told and "1 files of labels have no image" in told


def test_a_stray_file_of_labels_is_not_given_to_an_image_of_another_split(tmp_path):
    found = read(tmp_path, PLAIN, {"images/train/a.png": None, "images/val/b.png": "0 .5 .5 .1 .2"})
    (tmp_path / "labels" / "val" / "a.txt").write_text("0 .5 .5 .1 .2")
    found = yolo.read(tmp_path)
    assert len(found.annotations) == 1 and "1 files of labels have no image" in said(found)


def test_classes_that_begin_at_1_are_told_with_what_to_write(tmp_path):
    names = ["head", "rump", "eye"]
    labels = {"images/a.png": "1 .5 .5 .1 .1\n3 .2 .2 .1 .1", "images/b.png": "2 .5 .5 .1 .1"}
    (problem,) = read(tmp_path, {"names": names, "nc": 3}, labels).problems
    assert problem.severity == "error" and "no line has the class 0 (head), and 1 have 3" in problem.message
    assert "`names: {1: head, 2: rump, 3: eye}`" in problem.remedy
    found = read(tmp_path, {"names": {1: "head", 2: "rump", 3: "eye"}, "nc": 3}, labels)
    assert [entry["name"] for entry in found.categories] == ["head", "eye", "rump"] and found.problems == []
    labels = {name: text.partition("\n3")[0] for name, text in labels.items()}
    (problem,) = read(tmp_path, {"names": names, "nc": 3}, labels).problems
    assert problem.severity == "note" and "do the classes begin at 1?" in problem.message
    assert read(tmp_path, {"names": ["background", *names[1:]], "nc": 3}, labels).problems == []
    labels["images/a.png"] += "\n0 .5 .5 .1 .1\n3 .5 .5 .1 .1"
    (problem,) = read(tmp_path, {"names": names, "nc": 3}, labels).problems
    assert "line 3: class '3' is none of the 3" in problem.message


def test_corners_in_pixels_with_a_name_are_told_as_what_they_are(tmp_path):
    found = read(tmp_path, PLAIN, {"images/a.png": "10.0 10.0 60.0 10.0 60.0 40.0 10.0 40.0 head 0"})
    assert "is corners and a name (DOTA), expected a class and shares: Roboflow's YOLOv8 OBB" in said(found)


def test_the_file_called_data_counts_among_several(tmp_path):
    folder(tmp_path, PLAIN, {"images/a.png": "0 .5 .5 .1 .2"})
    (tmp_path / "args.yaml").write_text("task: segment\ntrain: x\nnames: [another]\n")
    assert yolo.read(tmp_path).categories[0]["name"] == PLAIN["names"][0]


def test_a_file_that_says_how_many_classes_there_are_and_not_their_names_is_told(tmp_path):
    folder(tmp_path, {"nc": 2, "train": "images"}, {"images/a.png": "0 .5 .5 .1 .2"})
    with pytest.raises(BadInput, match="names is None, expected a list of names"):
        yolo.read(tmp_path)


def test_supervision_reads_the_outlines_that_are_written(tmp_path):
    """It draws an outline's border, too: at 32 times the size, where that is thin."""
    document = example()
    yolo.write(document, tmp_path / "out")
    put_images(document, tmp_path / "out/segment")
    drawn = [entry for entry in yolo.read(tmp_path / "out/segment").annotations if "segmentation" in entry]
    width, height = document.images[0]["width"], document.images[0]["height"]
    script = """
import json, os, sys
from PIL import Image
from supervision import DetectionDataset
folder, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.mkdir(folder + "/large")
Image.new("RGB", (32 * width, 32 * height)).save(folder + "/large/" + sys.argv[4])
labels = [folder + "/labels", folder + "/data.yaml"]
((_, _, found),) = DetectionDataset.from_yolo(folder + "/large", *labels, force_masks=True)
masks = [mask.reshape(height, 32, width, 32).mean((1, 3)) >= 0.5 for mask in found.mask]
print(json.dumps([mask.tolist() for mask in masks]))
"""
    given = (tmp_path / "out/segment", width, height, document.images[0]["file_name"])
    masks = np.array(asked("supervision", script, *given))
    assert len(masks) == len(drawn) > 0
    for mask, entry in zip(masks, drawn, strict=True):
        own = draw(entry["segmentation"], (width, height))
        assert (mask & own).sum() >= 0.97 * (mask | own).sum()


def test_a_yaml_above_the_folders_that_its_path_leads_to_names_their_splits(tmp_path):
    config = PLAIN | {"path": "/home/ana/work/ants", "train": "images/train", "val": "images/dusk"}
    labels = {f"work/ants/images/{split}/a.png": "0 .5 .5 .1 .2" for split in ("train", "dusk")}
    folder(tmp_path, config, labels)
    found = {one.path.relative_to(tmp_path).as_posix(): one.split for one in survey([tmp_path]).exports}
    assert found == {"work/ants/images/train": "train", "work/ants/images/dusk": "val"}
    for place in found:
        document = yolo.read(tmp_path / place)
        assert len(document.annotations) == 1 and np.prod(document.annotations[0]["bbox"][2:]) == pytest.approx(400)


def test_hidden_files_that_macs_leave_are_no_labels(tmp_path):
    folder(tmp_path, PLAIN, {"images/a.png": "0 .5 .5 .1 .2"})
    (tmp_path / "labels" / "._a.txt").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    found = yolo.read(tmp_path)
    assert not found.problems and len(found.annotations) == 1


def test_backslashes_in_double_quotes_are_told_with_what_to_write(tmp_path):
    folder(tmp_path, PLAIN, {"train/images/a.png": "0 .5 .5 .1 .2", "val/images/b.png": None})
    (tmp_path / "data.yaml").write_text('path: "C:\\Users\\ana"\ntrain: train\nval: val\nnames: [ant]\n')
    with pytest.raises(BadInput, match="write / in their place") as refused:
        survey([tmp_path])
    assert len(refused.value.problems) == 1
