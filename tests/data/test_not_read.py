"""Formats that are not read: named, with what to export in their place, by all that read labels and by `init`."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from coarseparts.data.formats.registry import read_export
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput

DARWIN_1 = '{"dataset": "b", "image": {"width": 1, "original_filename": "a.png"}, "annotations": [{"name": "head"}]}'
NAMED = [
    ("a.xml", "<annotation><folder>x</folder></annotation>", "Pascal VOC"),
    ("a.json", '{"project": {"pid": "x", "vid_list": ["1"]}, "metadata": {}}', "VIA 3 .*whose projects are read"),
    ("a.csv", "# Exported using VGG Image Annotator (https://x)\n# Notes:\n", "VIA 3"),
    ("samples.json", '{"samples": [{"filepath": "a.png", "x": {"_cls": "Detections"}}]}', "FiftyOne's own data set"),
    ("a.csv", "track,frame_idx,instance.score,eye.x,eye.y\n", "SLEAP's analysis table"),
    ("a.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "a table of boxes"),
    ("a.json", '{"version": "2.0", "schema_ref": "x", "item": {"slots": []}, "annotations": [{"name": "head"}]}', "V7"),
    ("a.json", DARWIN_1, "V7 Darwin.*export it as COCO"),
    ("a.json", '{"images": [], "annotations": [{"segments_info": []}], "categories": []}', "COCO panoptic"),
    ("a.json", '{"info": {}, "categories": {"label": {"labels": []}}, "items": []}', "Datumaro"),
    ("a.json", '{"size": {}, "objects": [{"classId": 1, "geometryType": "polygon", "classTitle": "head"}]}', "Superv"),
    (
        "meta.json",
        '{"classes": [{"title": "head", "shape": "polygon", "geometry_config": {}}], "tags": []}',
        "Supervisely",
    ),
    ("a.json", '{"metadata": {}, "instances": [{"classId": 1, "points": [], "className": "head"}]}', "SuperAnnotate"),
    (
        "a.json",
        '{"version": "2.0", "item": {"name": "a", "slots": []}, "annotations": []}',
        "V7 Darwin.*export it as COCO",
    ),
    ("a.json", '{"project_name": "x", "export_format_version": "1.1", "images": []}', "Hasty.*export it as COCO"),
    ("a.json", '{"name": "v1", "dataset": {"labelsets": [], "samples": []}}', "Segments.ai's release"),
    ("a.geojson", '{"type": "FeatureCollection", "features": []}', "QuPath.*label images"),
    ("a.roi", "Iout\0\0", "ImageJ's regions.*masks"),
    ("a.csv", "index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,1,1\n", "napari's shapes"),
    ("a.mat", "MATLAB 5.0 MAT-file, Platform: PCWIN64", "MATLAB's own file.*imwrite"),
    ("a.json", '{"version": 1.3, "people": [{"pose_keypoints_2d": [1, 2, 0.9]}]}', "OpenPose"),
    (
        "a.json",
        '{"imgHeight": 3, "imgWidth": 4, "objects": [{"label": "head", "polygon": []}]}',
        "Cityscapes' polygons",
    ),
    ("a.json", '{"info": {"description": "ISAT", "name": "a.png"}, "objects": [{"category": "head"}]}', "ISAT"),
    ("a.json", '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "COCO's results"),
    ("a.json", '{"asset": {"name": "a.png"}, "regions": []}', "VoTT"),
    ("a.json", '[{"image": "a.png", "annotations": [{"label": "b", "coordinates": {"x": 1}}]}]', "CreateML"),
    ("a.json", '[{"version": 0, "tags": [], "shapes": [{"type": "polygon"}], "tracks": []}]', "a backup of CVAT's"),
    ("part_locs.txt", "1 1 312.0 182.0 1\n1 2 0.0 0.0 0\n", "CUB's tables.*coarseparts prepare cub"),
    ("a.tps", "LM=2\n1 2\n3 4\nIMAGE=a.jpg\nID=0\n", "tpsDig's landmarks.*y runs upwards"),
    ("a.json", '[{"file_name": "a", "image_id": 1, "annotations": [{"bbox_mode": 1}]}]', "Detectron2's dictionaries"),
    ("a.json", '{"images": {"1": "a.jpg"}, "annotations": [{"image_id": 1}], "categories": []}', "Animal-Pose"),
    ("a.json", '[{"img_path": "a.jpg", "joints": [[1, 2, 1]], "seg": {}}]', "StanfordExtra"),
    ("a.json", '{"image": {"image_id": 1}, "annotations": [{"predicted_iou": 0.9}]}', "Segment Anything"),
    ("metadata.jsonl", '{"file_name": "a.jpg", "objects": {"bbox": []}}\n', "Hugging Face"),
    ("a.nii", "x", "NIfTI's volumes"),
    ("a.json", '[{"label_hash": "x", "data_units": {}}]', "Encord"),
    ("a.json", '[{"externalId": "a", "labels": [{"jsonResponse": {"JOB_0": {}}}]}]', "Kili"),
    ("a.jsonl", '{"image": "a.jpg", "spans": [], "_input_hash": 1}\n', "Prodigy"),
    ("a.json", '[{"task_id": "x", "params": {}, "response": {"annotations": []}}]', "Scale"),
    ("a.json", '{"annotations": [{"type": "segment", "datasetId": "x"}], "filename": "/a.jpg"}', "Dataloop"),
    ("a.ndjson", '{"type": "dataset", "task": "pose", "class_names": {"0": "ant"}}\n', "Ultralytics' NDJSON.*as YOLO"),
    ("train.csv", "ImageId,ClassId,EncodedPixels\na.jpg,1,3 4\n", "Kaggle's table of run lengths"),
    ("a.json", '{"openlabel": {"metadata": {}}}', "OpenLABEL"),
    ("a.csv", "classification_id,user_name,annotations,subject_data\n", "Zooniverse"),
    ("a.xml", '<?xml version="1.0"?><ASAP_Annotations><Annotations/></ASAP_Annotations>', "ASAP"),
    ("a.json", '[{"@context": "http://www.w3.org/ns/anno.jsonld", "id": "#1"}]', "Web Annotations"),
    ("a.labeling", '{"interval": {"min": [0, 0], "max": [9, 9], "n": 2}, "labels": {"head": [[1, 2]]}}', "Labkit"),
    ("a.csv", "ImageID,Source,LabelName,Confidence,XMin\n", "Open Images' tables"),
    ("a.json", '[{"ID": "c", "Labeled Data": "https://", "Label": {"objects": []}}]', "Labelbox"),
]


def photographs(folder, count=2):
    folder.mkdir(exist_ok=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


@pytest.mark.parametrize("name, text, said", NAMED)
def test_it_is_named_with_what_to_choose(tmp_path, name, text, said):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(text)
    for path in (tmp_path / "in" / name, tmp_path / "in"):
        with pytest.raises(BadInput, match=said):
            read_export(path)
    photographs(tmp_path / "in")
    with pytest.raises(BadInput, match=said):
        propose([tmp_path / "in"], tmp_path / "d.yaml")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_files_are_recognised_in_every_unicode(tmp_path, encoding):
    coco = {"images": [{"id": 1, "file_name": "ä.png"}], "annotations": [], "categories": [{"id": 1, "name": "head"}]}
    labelme = {"shapes": [], "imagePath": "ä.png", "imageWidth": 3, "imageHeight": 2}
    for name, whole in (("COCO", coco), ("labelme", labelme)):
        (tmp_path / "a.json").write_bytes(json.dumps(whole, ensure_ascii=False).encode(encoding))
        found = read_export(tmp_path / "a.json")
        assert found.format == name and found.images[0]["file_name"] == "ä.png"
    (tmp_path / "a.json").write_bytes('[{"ID": "c", "Labeled Data": "https://", "Label": {}}]'.encode(encoding))
    with pytest.raises(BadInput, match="looks like Labelbox"):
        read_export(tmp_path / "a.json")


@pytest.mark.parametrize("name, text", [("a.json", '{"x": 1}'), ("a.bin", "")])
def test_what_nobody_knows_is_told_with_what_is_read(tmp_path, name, text):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(text)
    for path in (tmp_path / "in" / name, tmp_path / "in"):
        with pytest.raises(BadInput, match="no format that is known; export it as one of these: CVAT for images"):
            read_export(path)


def test_init_says_what_it_passes_over_beside_labels_that_it_reads(tmp_path):
    photographs(tmp_path / "photos")
    (tmp_path / "masks").mkdir()
    for i in range(2):
        mask = np.zeros((20, 30), np.uint8)
        mask[5:9, 5:9], mask[9:12, 5:9] = 1, 2
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
    (tmp_path / "CollectedData_me.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "export.ndjson").write_text('{"data_row": {}}\n{"data_row": {}}\n')
    (tmp_path / "points.csv").write_text("frame_idx,node,x,y\n0,eye,1,2\n")
    told = "\n".join(propose([tmp_path], tmp_path / "d.yaml", ("head", "rump")).assumed)
    assert "points.csv has no format that is known, and is passed over" in told
    assert "CollectedData_me.h5 looks like HDF5" in told and "export.ndjson looks like Labelbox" in told
    (tmp_path / "CollectedData_me.csv").write_text("scorer,me\n")
    assert "HDF5" not in "\n".join(propose([tmp_path], tmp_path / "e.yaml", ("head", "rump")).assumed)


def test_why_an_export_without_labels_is_passed_over_is_told(tmp_path):
    photographs(tmp_path / "photos")
    tasks = '[{"id": 7, "data": {"text": "x"}, "annotations": [{"id": 1, "result": []}]}]'
    (tmp_path / "photos" / "e.json").write_text(tasks)
    with pytest.raises(BadInput, match="task 7 names no image file"):
        propose([tmp_path / "photos"], tmp_path / "d.yaml")


def test_an_archive_of_masks_is_to_be_unpacked(tmp_path):
    photographs(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.writestr("labelmap.txt", "head:1,2,3::\n")
        archive.write(tmp_path / "photos" / "0.png", "SegmentationClass/0.png")
    with pytest.raises(BadInput, match=r"holds images, and no labels.*unpack"):
        read_export(tmp_path / "masks.zip")


def test_an_export_that_is_named_and_says_nothing_is_refused(tmp_path):
    photographs(tmp_path / "photos")
    (tmp_path / "masks").mkdir()
    for i in range(2):
        Image.fromarray(np.full((20, 30), i + 1, np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    (tmp_path / "e.json").write_text('[{"id": 7, "data": {"text": "x"}, "annotations": [{"id": 1, "result": []}]}]')
    with pytest.raises(BadInput, match="task 7 names no image file"):
        propose([tmp_path / "photos", tmp_path / "e.json", tmp_path / "masks"], tmp_path / "d.yaml", ("a", "b"))


def test_files_of_no_known_format_are_named_where_nothing_else_is_found(tmp_path):
    photographs(tmp_path / "photos")
    for name in ("a.csv", "b.json"):
        (tmp_path / "photos" / name).write_text("what,ever\n1,2\n")
    with pytest.raises(BadInput, match=r"a\.csv: has no format that is known \(and 1 more files\); if it holds labels"):
        propose([tmp_path / "photos"], tmp_path / "d.yaml")


def test_an_archive_of_regions_of_imagej_is_named(tmp_path):
    photographs(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / "RoiSet.zip", "w") as archive:
        archive.writestr("0001-head.roi", b"Iout" + bytes(60))
    with pytest.raises(BadInput, match="ImageJ's regions"):
        read_export(tmp_path / "RoiSet.zip")


@pytest.mark.parametrize("line", ["0 .5 0.5 1 1e-05", "12 0.5 0.5 0.1 0.1 0.250000 0.25 2"])
def test_yolo_s_labels_without_the_names_of_classes_are_told(tmp_path, line):
    photographs(tmp_path / "photos")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "0.txt").write_text("")
    (tmp_path / "labels" / "1.txt").write_text(f"{line}\r\n{line}")
    said = r"without the names of the classes.*put a classes\.txt, a name a line, into the folder of the labels"
    with pytest.raises(BadInput, match=said):
        propose([tmp_path], tmp_path / "d.yaml")
    (tmp_path / "labels" / "1.txt").write_text("0 is the number of the ant that one sees here, 5 mm long")
    with pytest.raises(BadInput) as refused:
        propose([tmp_path], tmp_path / "d.yaml")
    assert "classes.txt" not in str(refused.value)
