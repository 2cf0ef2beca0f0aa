"""What a judge is asked: run by a Python that has other tools' libraries, and none of ours.

    PYTHON asks.py QUESTION FOLDER

FOLDER/truth.json holds images, categories and annotations as COCO has them, masks as columns' runs. Questions that
write put the tool's files into FOLDER/out; those that read print what the tool found, as one line of JSON.
"""

import base64
import io
import json
import os
import sys

import numpy as np
from facts import fact, flat_points, mask_of, of_mask, truth


def coco_read(folder):
    from pycocotools.coco import COCO

    coco = COCO(f"{folder}/coco.json")
    for entry in coco.anns.values():
        image, category = coco.imgs[entry["image_id"]], coco.cats[entry["category_id"]]
        of = (image["file_name"], category["name"])
        group = entry.get("group", entry["id"])
        if entry.get("segmentation"):
            yield of_mask(*of, group, coco.annToMask(entry))
        if entry.get("bbox"):
            yield fact(*of, "box", group, entry["bbox"])
        if entry.get("keypoints"):
            rows = np.reshape(entry["keypoints"], (-1, 3)).tolist()
            named = {name: row for name, row in zip(category["keypoints"], rows, strict=True) if row[2]}
            yield fact(*of, "points", group, named)


def datumaro_items(folder, kind):
    from datumaro.components.dataset import Dataset

    dataset = Dataset.import_from(folder, kind)
    labels = [one.name for one in dataset.categories()[next(iter(dataset.categories()))]]
    for item in dataset:
        for one in item.annotations:
            yield item, labels[one.label], one


def cvat_read(folder):
    for item, label, one in datumaro_items(folder, "cvat"):
        of = (os.path.basename(item.media.path) or f"{item.id}.png", label)
        if one.type.name == "mask":
            yield of_mask(*of, one.group, one.image)
        elif one.type.name == "polygon":
            yield fact(*of, "outline", one.group, [list(one.points)], list(item.media.size))
        elif one.type.name == "bbox":
            yield fact(*of, "box", one.group, list(one.get_bbox()))


def datumaro_written(folder, kind, masks=True):
    from datumaro.components.annotation import Bbox, Mask, Polygon
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image

    items, labels = [], []
    for image, own in truth(folder):
        found = []
        for one in own:
            if one["of"]["name"] not in labels:
                labels.append(one["of"]["name"])
            more = {"label": labels.index(one["of"]["name"]), "group": one["number"] if kind == "cvat" else 0}
            if "runs" in one and masks:
                found.append(Mask(mask_of(one), **more))
            elif one.get("segmentation"):
                found += [Polygon(polygon, **more) for polygon in one["segmentation"]]
            elif one.get("bbox"):
                found.append(Bbox(*one["bbox"], **more))
        media = Image.from_numpy(np.zeros((image["height"], image["width"], 3), np.uint8), ext=".png")
        items.append(DatasetItem(image["file_name"][:-4], media=media, annotations=found))
    Dataset.from_iterable(items, categories=labels).export(f"{folder}/out", kind, save_media=True)


def coco_written(folder):
    datumaro_written(folder, "coco_instances")


def cvat_written(folder):
    datumaro_written(folder, "cvat", masks=False)


def voc_written(folder):
    datumaro_written(folder, "voc_segmentation")


def labelme_read(folder):
    from labelme._label_file import read_label_file

    for name in sorted(os.listdir(f"{folder}/labelme")):
        file = os.path.join(f"{folder}/labelme", name)
        if not name.endswith(".json"):
            continue
        found, by_group = read_label_file(file), {}
        with open(file) as opened:
            whole = json.load(opened)
        size = [whole["imageHeight"], whole["imageWidth"]]
        image = os.path.basename(found.image_path)
        for shape in found.shapes:
            of, points = (image, shape["label"]), shape["points"]
            if shape["shape_type"] == "mask":
                whole, (left, top) = np.zeros(size, bool), np.array(points[0], int)
                height, width = shape["mask"].shape
                whole[top : top + height, left : left + width] = shape["mask"]
                yield of_mask(*of, shape["group_id"], whole)
            elif shape["shape_type"] == "polygon":
                yield fact(*of, "outline", shape["group_id"], [np.ravel(points).tolist()], size)
            elif shape["shape_type"] == "rectangle":
                (x0, y0), (x1, y1) = points
                yield fact(*of, "box", shape["group_id"], [x0, y0, x1 - x0, y1 - y0])
            else:
                hidden = (shape["flags"] or {}).get("hidden") or (shape["flags"] or {}).get("occluded")
                by_group.setdefault(shape["group_id"], {})[shape["label"]] = [*points[0], 1 if hidden else 2]
        for group, named in by_group.items():
            yield fact(image, "", "points", group, named)


def labelme_written(folder):
    from labelme._label_file import write_label_file
    from PIL import Image

    os.makedirs(f"{folder}/out")
    for image, own in truth(folder):
        shapes = []
        for one in own:
            shape = {"label": one["of"]["name"], "group_id": one["number"], "flags": {}, "description": ""}
            if "runs" in one:
                mask = mask_of(one)
                ys, xs = np.nonzero(mask)
                picture = io.BytesIO()
                cut = mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
                Image.fromarray(cut.astype(np.uint8) * 255).convert("1").save(picture, "PNG")
                corners = [[int(xs.min()), int(ys.min())], [int(xs.max()), int(ys.max())]]
                code = base64.b64encode(picture.getvalue()).decode()
                shapes.append(shape | {"shape_type": "mask", "points": corners, "mask": code})
            elif one.get("segmentation"):
                points = np.reshape(one["segmentation"][0], (-1, 2)).tolist()
                shapes.append(shape | {"shape_type": "polygon", "points": points})
            if one.get("bbox"):
                x, y, width, height = one["bbox"]
                corners = [[x, y], [x + width, y + height]]
                shapes.append(shape | {"shape_type": "rectangle", "points": corners})
            for (x, y, v), name in zip(*flat_points(one), strict=True) if one.get("keypoints") else ():
                if v:
                    point = shape | {"label": name, "shape_type": "point", "points": [[float(x), float(y)]]}
                    shapes.append(point | {"flags": {"hidden": bool(v == 1)}})
        name = image["file_name"]
        size = {"image_height": image["height"], "image_width": image["width"]}
        write_label_file(f"{folder}/out/{name[:-4]}.json", shapes=shapes, image_path=name, **size)


def label_studio_read(folder):
    from label_studio_sdk.converter.brush import decode_rle
    from label_studio_sdk.label_interface import LabelInterface

    with open(f"{folder}/label_studio.json") as file:
        tasks = json.load(file)
    with open(f"{folder}/label_studio.xml") as file:
        interface = LabelInterface(file.read())
    for task in tasks:
        (given,) = task["predictions"]
        wrong = interface.validate_prediction(given, return_errors=True)
        assert not wrong, wrong
        image = os.path.basename(task["data"]["image"]).rpartition("=")[2]
        parents, points = {}, {}
        for one in given["result"]:
            parents[one["id"]] = one.get("parentID") or one["id"]
        ties = [one for one in given["result"] if one["type"] == "relation"]
        for tie in ties:
            parents[tie["from_id"]] = parents.get(tie["to_id"], tie["to_id"])
        for one in given["result"]:
            if one["type"] == "relation":
                continue
            value, width, height = one["value"], one["original_width"], one["original_height"]
            group, scale = parents[one["id"]], np.array([width, height]) / 100
            of = (image, (value.get(one["type"]) or [""])[0])
            if one["type"] == "brushlabels":
                yield of_mask(*of, group, decode_rle(value["rle"]).reshape(height, width, 4)[..., 3] > 0)
            elif one["type"] == "polygonlabels":
                outline = (np.array(value["points"]) * scale).ravel().tolist()
                yield fact(*of, "outline", group, [outline], [height, width])
            elif one["type"] == "rectanglelabels":
                box = np.array([value["x"], value["y"], value["width"], value["height"]]) * np.tile(scale, 2)
                yield fact(*of, "box", group, box.tolist())
            elif one["type"] == "keypointlabels":
                xy = (np.array([value["x"], value["y"]]) * scale).tolist()
                hidden = any(
                    "hidden" in str(text) or "occluded" in str(text) for text in (one.get("meta") or {}).values()
                )
                points.setdefault(group, {})[of[1]] = [*xy, 1 if hidden else 2]
        for group, named in points.items():
            yield fact(image, "", "points", group, named)


def label_studio_written(folder):
    from label_studio_sdk.converter import brush

    tasks = []
    for number, (image, own) in enumerate(truth(folder)):
        size = {"original_width": image["width"], "original_height": image["height"], "image_rotation": 0}
        percent = 100 / np.array([image["width"], image["height"]])
        regions, parents = [], {}
        for one in own:
            region = size | {"from_name": "label", "to_name": "image", "parentID": parents.get(one["number"])}
            label = one["of"]["name"]
            if one.get("bbox"):
                x, y, width, height = (np.array(one["bbox"]) * np.tile(percent, 2)).tolist()
                value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]}
                regions.append(region | {"id": f"r{len(regions)}", "type": "rectanglelabels", "value": value})
                parents[one["number"]] = region["parentID"] = regions[-1]["id"]
            if "runs" in one:
                code = brush.mask2rle(mask_of(one).astype(np.uint8) * 255)
                value = {"format": "rle", "rle": code, "brushlabels": [label]}
                regions.append(region | {"id": f"r{len(regions)}", "type": "brushlabels", "value": value})
            elif one.get("segmentation"):
                points = (np.reshape(one["segmentation"][0], (-1, 2)) * percent).tolist()
                value = {"points": points, "closed": True, "polygonlabels": [label]}
                regions.append(region | {"id": f"r{len(regions)}", "type": "polygonlabels", "value": value})
            for (x, y, v), name in zip(*flat_points(one), strict=True) if one.get("keypoints") else ():
                if v:
                    value = {"x": x * percent[0], "y": y * percent[1], "width": 0.5, "keypointlabels": [name]}
                    note = {"meta": {"text": ["hidden"]}} if v == 1 else {}
                    point = region | {"id": f"r{len(regions)}", "type": "keypointlabels", "value": value}
                    regions.append(point | note)
        data = {"image": f"/data/upload/1/0a1b2c3d-{image['file_name']}"}
        tasks.append({"id": number, "data": data, "annotations": [{"id": number, "result": regions}]})
    os.makedirs(f"{folder}/out")
    with open(f"{folder}/out/export.json", "w") as file:
        json.dump(tasks, file)


def sleap_frames(folder):
    import sleap_io as sio

    skeleton, names, frames = None, [], []
    for image, own in truth(folder):
        names.append(f"{folder}/images/{image['file_name']}")
        ants = []
        for one in own:
            if one.get("keypoints"):
                rows, nodes = flat_points(one)
                skeleton = skeleton or sio.Skeleton(list(nodes), name="ant")
                points = np.where(rows[:, 2:] > 0, rows[:, :2], np.nan)
                ants.append(sio.Instance.from_numpy(points, skeleton=skeleton))
        frames.append(ants)
    video = sio.Video.from_filename(names)
    return sio.Labels([sio.LabeledFrame(video=video, frame_idx=i, instances=own) for i, own in enumerate(frames)])


def sleap_written(folder):
    os.makedirs(f"{folder}/out")
    sleap_frames(folder).save(f"{folder}/out/ants.slp")


def yolo_written(folder):
    import sleap_io as sio

    sio.save_ultralytics(sleap_frames(folder), f"{folder}/out", split_ratios={"train": 1.0})


def yolo_read(folder):
    import sleap_io as sio

    names = next(truth(folder))[1][0]["of"]["keypoints"]  # it calls them point_0, point_1, ...
    for frame in sio.load_ultralytics(f"{folder}/yolo/pose", split="train"):
        file = frame.video.filename
        image = os.path.basename(str(file[0] if isinstance(file, list) else file))
        for number, one in enumerate(frame.instances):
            rows, named = one.numpy(invisible_as_nan=False).tolist(), {}
            for name, row in zip(names, rows, strict=True):
                if np.isfinite(row).all():
                    named[name] = [*row, 2]
            yield fact(image, "ant", "points", number, named)


LARGER = 32  # supervision draws an outline's border, too: at this size it is thin


def yolo_segment_read(folder):
    from PIL import Image
    from supervision import DetectionDataset

    data, large = f"{folder}/yolo/segment", f"{folder}/large"
    os.makedirs(large)
    for image, _ in truth(folder):
        size = (image["width"] * LARGER, image["height"] * LARGER)
        Image.new("RGB", size).save(f"{large}/{image['file_name']}")
    found = DetectionDataset.from_yolo(large, f"{data}/labels", f"{data}/data.yaml", force_masks=True)
    for path, _, drawn in found:
        for mask, label in zip(drawn.mask if len(drawn) else (), drawn.class_id, strict=True):
            height, width = np.array(mask.shape) // LARGER
            small = mask.reshape(height, LARGER, width, LARGER).mean((1, 3)) >= 0.5
            yield of_mask(os.path.basename(path), found.classes[label], "", small)


def yolo_segment_written(folder):
    from PIL import Image, ImageDraw
    from supervision import DetectionDataset, Detections

    labels, images, drawn = [], [], {}
    os.makedirs(f"{folder}/out/images")
    for image, own in truth(folder):
        path, size = f"{folder}/large/{image['file_name']}", (image["width"] * LARGER, image["height"] * LARGER)
        os.makedirs(f"{folder}/large", exist_ok=True)
        Image.new("RGB", size).save(path)
        Image.new("RGB", (image["width"], image["height"])).save(f"{folder}/out/images/{image['file_name']}")
        masks, classes = [], []
        for one in own:
            for polygon in one.get("segmentation", ()):
                canvas = Image.new("1", size)
                ImageDraw.Draw(canvas).polygon([number * LARGER for number in polygon], fill=1, outline=0)
                masks.append(np.asarray(canvas))
                labels += [one["of"]["name"]] if one["of"]["name"] not in labels else []
                classes.append(labels.index(one["of"]["name"]))
        ys, xs = ([np.nonzero(mask)[axis] for mask in masks] for axis in (0, 1))
        boxes = np.array([[x.min(), y.min(), x.max(), y.max()] for x, y in zip(xs, ys, strict=True)], float)
        drawn[path] = Detections(xyxy=boxes, mask=np.array(masks), class_id=np.array(classes))
        images.append(path)
    DetectionDataset(labels, images, drawn).as_yolo(None, f"{folder}/out/labels", f"{folder}/out/data.yaml")


def cvat_masks_read(folder):
    from xml.etree import ElementTree

    from cvat_sdk.masks import decode_mask

    for image in ElementTree.parse(f"{folder}/annotations.xml").getroot().iter("image"):
        size = {f"image_{side}": int(image.get(side)) for side in ("width", "height")}
        for mask in image.iter("mask"):
            left, top, width, height = (int(mask.get(key)) for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in mask.get("rle").split(",")]
            drawn = decode_mask([*runs, left, top, left + width - 1, top + height - 1], **size)
            yield of_mask(image.get("name"), mask.get("label"), mask.get("group_id"), drawn)


def cvat_masks_written(folder):
    from xml.etree.ElementTree import Element, ElementTree, SubElement

    from cvat_sdk.masks import encode_mask

    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    for number, (image, own) in enumerate(truth(folder)):
        about = {"id": number, "name": image["file_name"], "width": image["width"], "height": image["height"]}
        below = SubElement(root, "image", {key: str(value) for key, value in about.items()})
        for one in own:
            if "runs" in one:
                *runs, left, top, right, bottom = map(int, encode_mask(mask_of(one)))
                place = {"left": left, "top": top, "width": right - left + 1, "height": bottom - top + 1}
                said = place | {"label": one["of"]["name"], "group_id": one["number"], "rle": ", ".join(map(str, runs))}
                SubElement(below, "mask", {key: str(value) for key, value in said.items()})
    os.makedirs(f"{folder}/out")
    ElementTree(root).write(f"{folder}/out/annotations.xml")


def deeplabcut_written(folder):
    import pandas as pd

    rows, index, columns = [], [], None
    for image, own in truth(folder):
        ants = [one for one in own if one.get("keypoints")]
        nodes = ants[0]["of"]["keypoints"]
        parts = [["ann"], [f"ant{i}" for i in range(len(ants))], list(nodes), ["x", "y"]]
        columns = pd.MultiIndex.from_product(parts, names=["scorer", "individuals", "bodyparts", "coords"])
        points = [np.where(flat_points(one)[0][:, 2:] > 0, flat_points(one)[0][:, :2], np.nan) for one in ants]
        rows.append(np.ravel(points))
        index.append(("labeled-data", "film", image["file_name"]))
    os.makedirs(f"{folder}/out")
    table = pd.DataFrame(np.array(rows), index=pd.MultiIndex.from_tuples(index), columns=columns)
    table.to_csv(f"{folder}/out/CollectedData_ann.csv")


if __name__ == "__main__":
    found = globals()[sys.argv[1]](sys.argv[2])
    print(json.dumps(list(found or ()), default=float))
