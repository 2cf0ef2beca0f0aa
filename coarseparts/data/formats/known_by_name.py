"""Formats of labels that are not read, but known by name: what to export in their place can be told."""

from __future__ import annotations

import re
from pathlib import Path

from coarseparts.data.formats.document_builder import head

UNREAD = (
    *(".h5", ".hdf5", ".nwb", ".ilp", ".mat", ".ndjson", ".jsonl", ".geojson", ".labeling", ".roi", ".tps"),
    *(".nii", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", "part_locs.txt"),
)
"""How files end that may be labels of these formats, besides those that are read."""

NAMELESS = rb"^\d{1,4}(?: \d?\.?\d+(?:[eE][+-]?\d+)?){4,}\s*(?:\n|$)"
"""How YOLO's files of labels begin, which name their classes by numbers: some line's class and shares."""

_NOT_READ = (
    (rb"^(?:\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!)|^.{257}ustar", "an archive that is no zip", "a zip, or unpack it"),
    (rb'^\s*\{"file_name"\s*:[^\n]*\}', "Hugging Face's metadata of images", "COCO by a converter"),
    (rb"^\d+ \d+ -?\d+\.\d+ -?\d+\.\d+ [01]\r?\n", "CUB's tables", "COCO: coarseparts prepare cub FOLDER does that"),
    (rb'^\s*\{"type"\s*:\s*"dataset"', "Ultralytics' NDJSON", "YOLO, with the images (convert_ndjson_to_yolo)"),
    (
        rb"^[^\n]*\bEncodedPixels\b",
        "Kaggle's table of run lengths",
        "masks, or COCO by a converter: y before x, from 1",
    ),
    (
        NAMELESS,
        "YOLO's labels without the names of the classes",
        "YOLO with its data.yaml; or put a classes.txt, a name a line, into the folder of the labels",
    ),
    (rb"^\s*LM=\d+", "tpsDig's landmarks (TPS)", "COCO by a converter; y runs upwards in TPS"),
    (rb'"bbox_mode"\s*:', "Detectron2's dictionaries", "COCO, by its convert_to_coco_json"),
    (rb'"images"\s*:\s*\{\s*"\d+"\s*:\s*"', "Animal-Pose's file", "COCO: a list of images, boxes x, y, width, height"),
    (rb'"img_path"\s*:.*"joints"\s*:', "StanfordExtra's file", "COCO, joints as keypoints, seg as segmentation"),
    (rb'"predicted_iou"\s*:', "Segment Anything's masks without names", "COCO from a tool in which they are named"),
    (rb'"label_hash"|"data_units"', "Encord", "COCO"),
    (rb'"jsonResponse"\s*:', "Kili", "COCO"),
    (rb'"_input_hash"\s*:', "Prodigy", "COCO by a converter, or label in another tool"),
    (rb'"callback_url"\s*:|"task_id"\s*:.*"response"\s*:', "Scale", "COCO by a converter"),
    (rb'"itemMetadata"|"annotations".*"datasetId"|"datasetId".*"annotations"', "Dataloop", "COCO by its converter"),
    (rb'"openlabel"\s*:', "OpenLABEL", "COCO by a converter"),
    (rb"^[^\n]*\bclassification_id\b[^\n]*\bsubject_data\b", "Zooniverse's classifications", "COCO by a converter"),
    (rb"<ASAP_Annotations|<Annotations MicronsPerPixel", "ASAP's or Aperio's XML", "label images, one a photograph"),
    (rb'"@context"\s*:\s*"[^"]*anno', "Web Annotations (Annotorious)", "COCO by a converter"),
    (rb'"interval"\s*:\s*\{[^{}]*"max".*"labels"\s*:', "Labkit's labeling", "a label image (Save as TIFF)"),
    (rb"^(?:MaskPath|ImageID),", "Open Images' tables", "COCO by a converter (datumaro)"),
    (rb"<annotation\b(?!s)", "Pascal VOC or LabelMe XML, an XML file an image", "COCO, or the tool's own format"),
    (rb'"asset"\s*:\s*\{|"assets"\s*:\s*\{', "VoTT", "COCO by a converter, or label in another tool"),
    (
        rb'"vid_list"\s*:|"fid_list"\s*:|^# Exported using VGG Image Annotator',
        "VIA 3 (VGG Image Annotator)",
        "COCO by a converter, or label in VIA 2, whose projects are read",
    ),
    (
        rb"^\x89HDF",
        "HDF5 (of DeepLabCut, SLEAP's analysis, ilastik, ...)",
        "the table CollectedData_NAME.csv of DeepLabCut, SLEAP's project .slp, or label images",
    ),
    (rb"<dataset\b.*<image_metadata|imglab", "dlib's XML", "COCO"),
    (rb'"(?:systemMetadata|dataRow|data_row|Labeled Data)"', "Labelbox", "COCO by its converter"),
    (rb'"classTitle"|"geometry_config"|"geometryType"', "Supervisely", "COCO (its app Export to COCO)"),
    (rb'"classId"\s*:.*"className"|"className".*"classId"|"attribute_groups"', "SuperAnnotate", "COCO"),
    (
        rb'"schema_ref"|"slot_names"|"slots"\s*:|"image"\s*:\s*\{[^{}]*"original_filename"',
        "V7 Darwin",
        "COCO (the format of that name when a dataset is exported)",
    ),
    (rb'"export_format_version"', "Hasty", "COCO"),
    (
        rb'"labelsets"\s*:|"segmentation_bitmap"',
        "Segments.ai's release",
        "COCO, or semantic masks, by its export_dataset",
    ),
    (rb'"FeatureCollection"', "GeoJSON (QuPath)", "label images, a PNG or TIFF for each photograph"),
    (rb"^Iout", "ImageJ's regions (ROI)", "masks: Edit > Selection > Create Mask, or a label image"),
    (
        rb"^index,(?:shape-type,vertex-index,)?axis-0",
        "napari's shapes or points",
        "a labels layer saved as TIFF or PNG",
    ),
    (rb"^MATLAB \d", "MATLAB's own file", "masks by imwrite, as PNG, or COCO"),
    (rb'"description"\s*:\s*"ISAT"', "ISAT", "COCO (its menu Tools > ISAT to COCO)"),
    (
        rb'^\s*\[\s*\{[^{}]*"image_id"[^\[\]]*',
        "COCO's results, which name no images",
        "COCO with images and categories",
    ),
    (rb'"pose_keypoints_2d"', "OpenPose's predictions", "COCO"),
    (rb'"imgHeight".*"objects"\s*:', "Cityscapes' polygons", "its index masks, *_labelIds.png"),
    (rb'"segments_info"', "COCO panoptic", "COCO with instances (panopticapi converts it)"),
    (rb'"coordinates"\s*:\s*\{', "CreateML", "COCO"),
    (
        rb'"tracks"\s*:\s*\[.*"shapes"\s*:\s*\[|"shapes"\s*:\s*\[.*"tracks"\s*:\s*\[|"bug_tracker"',
        "a backup of CVAT's",
        "CVAT for images 1.1 (Export task dataset)",
    ),
    (rb'"dm_format_version"|"categories"\s*:\s*\{\s*"label"', "Datumaro", "COCO or CVAT for images 1.1"),
    (rb'"(?:_cls|sample_fields)"', "FiftyOne's own data set", "COCODetectionDataset or CVATImageDataset"),
    (rb"^[^\n]*\binstance\.score\b", "SLEAP's analysis table", "the project .slp, or COCO"),
    (rb"^filename,width,height,class,xmin", "a table of boxes", "COCO"),
)
"""What begins formats that are not read: their names, and what to choose in their place."""


def known_by_name(file: Path) -> tuple[str, str] | None:
    """The name of a file's format that is not read, and what to choose in its place; None where it is another or no
    file. Raises OSError."""
    if file.name.lower().endswith((".nii", ".nii.gz")):
        return "NIfTI's volumes", "PNG or TIFF, an image for each slice"
    begin = head(file)
    found = (told for pattern, *told in _NOT_READ if re.search(pattern, begin, re.DOTALL))
    name, instead = next(found, ("", ""))
    return (name, instead) if name else None
