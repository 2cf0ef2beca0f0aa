"""Documents to write and read again, and what they say whichever way they are written."""

from collections import defaultdict

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from coarseparts.data.formats.document import Document

NAMES = ("head", "left eye", "right eye", "tail")


def rle(mask: np.ndarray) -> dict:
    """COCO's run-length code of an (H, W) bool mask."""
    return {"size": list(mask.shape), "counts": coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()}


def objects_of(document: Document, decimals: int = 4) -> dict[str, list]:
    """By image the objects that a document describes: figures by category, and the keypoints that are labelled."""
    categories = {entry["id"]: entry for entry in document.categories}
    names = {entry["id"]: entry["file_name"] for entry in document.images}
    together: dict[tuple, list[dict]] = defaultdict(list)
    for entry in document.annotations:
        together[names[entry["image_id"]], entry.get("group", entry["id"])].append(entry)
    found: dict[str, list] = {name: [] for name in names.values()}
    for (name, _), entries in together.items():
        figures, points = [], {}
        for entry in entries:
            category = categories[entry["category_id"]]
            if entry.get("bbox"):
                figures.append((category["name"], "box", tuple((np.round(entry["bbox"], decimals) + 0.0).tolist())))
            outline = entry.get("segmentation")
            if isinstance(outline, dict):
                figures.append((category["name"], "mask", (tuple(outline["size"]), outline["counts"])))
            elif outline:
                polygons = sorted(tuple(np.round(polygon, decimals).tolist()) for polygon in outline)
                figures.append((category["name"], "polygons", tuple(polygons)))
            numbers = np.array(entry.get("keypoints") or [], np.float64).reshape(-1, 3)
            for which, (x, y, visibility) in zip(category.get("keypoints", ()), numbers, strict=False):
                if visibility:
                    points[which] = (round(x, decimals), round(y, decimals), int(visibility))
        found[name].append((sorted(figures), sorted(points.items())))
    return {name: sorted(objects, key=repr) for name, objects in found.items()}


@st.composite
def documents(draw, masks: bool = True, parts: bool = True, box: bool | None = None) -> Document:
    """Documents of one to three images with up to three objects each: a box, keypoints, an outline or mask in any
    mix, and a part's outline. ``box``: whether each object has one, None for either."""
    images, annotations = [], []
    for number in range(draw(st.integers(1, 3))):
        width, height = draw(st.integers(8, 40)), draw(st.integers(8, 40))
        name = draw(st.sampled_from(["a{}.png", "ants/b {}.png", "ö/c#{}.png"])).format(number)
        images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
        for _ in range(draw(st.integers(0, 3))):
            group = f"object {len(annotations)}"
            whole = draw(_of_object((width, height), masks, box))
            entry = {"image_id": number + 1, "category_id": 1, "group": group} | whole
            annotations.append(entry | {"id": len(annotations) + 1})
            if parts and draw(st.booleans()):
                entry = {"image_id": number + 1, "category_id": 2, "group": group}
                entry["segmentation"] = draw(_outline((width, height)))
                annotations.append(entry | {"id": len(annotations) + 1})
    categories = [{"id": 1, "name": "ant", "keypoints": list(NAMES)}, {"id": 2, "name": "head"}]
    return Document(images=images, categories=categories, annotations=annotations)


@st.composite
def _of_object(draw, size, masks, box):
    width, height = size
    labels = {}
    if draw(st.booleans()) if box is None else box:
        x, y = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
        labels["bbox"] = [x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y))]
    if masks and draw(st.booleans()):
        labels["segmentation"] = draw(st.one_of(_outline(size), _mask(size)))
    named = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=0 if labels else 2))
    if named:
        labels["keypoints"] = []
        for name in NAMES:
            x, y = draw(st.floats(1.5, width)), draw(st.floats(0.5, height))  # up to 1 all may be shares
            visibility = draw(st.sampled_from([1, 2]))
            labels["keypoints"] += [x, y, visibility] if name in named else [0, 0, 0]
    return labels


@st.composite
def _outline(draw, size):
    """One or two triangles that are apart."""
    width, height = size
    found = []
    for left in range(draw(st.integers(1, 2))):
        x, y = left * (width // 2), draw(st.integers(0, height - 4))
        found.append([float(x), float(y), float(x + draw(st.integers(2, width // 2 - 1))), float(y), float(x), y + 3.0])
    return found


@st.composite
def _mask(draw, size):
    mask = np.zeros(size[::-1], bool)
    x, y = draw(st.integers(0, size[0] - 2)), draw(st.integers(0, size[1] - 2))
    mask[y : y + draw(st.integers(1, 9)), x : x + draw(st.integers(1, 9))] = True
    mask[draw(st.integers(0, size[1] - 1)), draw(st.integers(0, size[0] - 1))] ^= True
    mask[y, x] = True
    return rle(mask)


VALUES = st.sampled_from(
    [None, True, -1, 0, 1e400, 10**50, "", "x", "1", "../x", [], {}, [[]], [None], {"x": 1}, "\ud800"]
)


@st.composite
def damaged(draw, value):
    """A JSON value with one to three of the values in it replaced by something else."""
    for _ in range(draw(st.integers(1, 3))):
        value = draw(_with_damage(value))
    return value


@st.composite
def _with_damage(draw, value):
    if not isinstance(value, list | dict) or not value or draw(st.integers(0, 7)) == 0:
        return draw(VALUES)
    keys = list(range(len(value)) if isinstance(value, list) else value)
    key = draw(st.sampled_from(keys))
    copy = value.copy()
    copy[key] = draw(_with_damage(value[key]))
    return copy
