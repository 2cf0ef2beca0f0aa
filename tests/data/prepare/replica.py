"""Miniatures of the archives that PASCUB is made of, in exactly their layouts; and what must come of such archives."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from coarseparts.data.loading import Recipe, load
from coarseparts.data.prepare.archives import Archives
from coarseparts.data.source_keys import Crop
from coarseparts.data.synthetic.anatomy import PARTS
from coarseparts.labels import STYLES

LABELS = ("image", "parts", "mask", "keypoints", "box", "crop", "part_boxes")

PASCAL_NAMES = ("beak", "head", "leye", "lleg", "lwing", "reye", "rleg", "rwing", "tail", "torso")
CUB_KEYPOINTS = (
    "back",
    "beak",
    "belly",
    "breast",
    "crown",
    "forehead",
    "left eye",
    "left leg",
    "left wing",
    "nape",
    "right eye",
    "right leg",
    "right wing",
    "tail",
    "throat",
)
ARCHIVE_ORDER = (
    "head",
    "torso",
    "beak",
    "left_eye",
    "right_eye",
    "left_leg",
    "right_leg",
    "left_wing",
    "right_wing",
    "tail",
)
CELL = 22
BIRD = (5 * CELL, 2 * CELL)  # width, height: ten parts as cells in two rows

# Images of CUB: number, species and name, whether for training, split of its part mask.
CUB = [
    (1, "001.Black_footed_Albatross/Black_Footed_Albatross_0001_1.jpg", 1, "train"),
    (2, "001.Black_footed_Albatross/Black_Footed_Albatross_0002_2.jpg", 1, "val"),
    (3, "001.Black_footed_Albatross/Black_Footed_Albatross_0003_3.jpg", 1, "test"),
    (4, "002.Laysan_Albatross/Laysan_Albatross_0001_4.jpg", 1, ""),
    (5, "002.Laysan_Albatross/Laysan_Albatross_0002_5.jpg", 0, "train"),
    (6, "002.Laysan_Albatross/Laysan_Albatross_0003_6.jpg", 0, "val"),
    (7, "002.Laysan_Albatross/Laysan_Albatross_0004_7.jpg", 0, ""),
    (8, "002.Laysan_Albatross/Laysan_Albatross_0005_8.jpg", 0, ""),
]
CUB_SIZE = (160, 100)


def cell(part: str, corner: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a part of a bird whose top-left corner is at (x, y)."""
    i = PARTS.index(part)
    x, y = corner[0] + CELL * (i % 5), corner[1] + CELL * (i // 5)
    return slice(y, y + CELL), slice(x, x + CELL)


def photograph(path: Path, size: tuple[int, int], seed: int) -> None:
    """A JPEG of smooth noise."""
    small = np.random.default_rng(seed).integers(0, 256, (size[1] // 20, size[0] // 20, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def parts_of(corner: tuple[int, int], size: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
    """PASCAL-Part's names and masks of a bird of ten cells, with a neck upon the torso and feet at the legs' ends."""
    areas = []
    for name, part in zip(PASCAL_NAMES, PARTS, strict=True):
        areas.append((name, rectangle(size, *cell(part, corner))))
    rows, columns = cell("torso", corner)
    areas.append(("neck", rectangle(size, slice(rows.start, rows.start + 4), columns)))
    rows, columns = cell("left_leg", corner)
    areas.append(("lfoot", rectangle(size, slice(rows.stop, rows.stop + 2), columns)))
    return areas


def rectangle(size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    area = np.zeros(size[::-1], np.uint8)
    area[rows, columns] = 1
    return area


def whole(areas: list[tuple[str, np.ndarray]]) -> np.ndarray:
    return np.max([area for _, area in areas], 0)


def write_mat(path: Path, objects: list[tuple[str, np.ndarray, list[tuple[str, np.ndarray]]]]) -> None:
    """PASCAL-Part's file: 1 x 1 struct `anno` with `imname` and a 1 x N struct `objects`."""
    found = np.zeros((1, len(objects)), [(name, object) for name in ("class", "class_ind", "mask", "parts")])
    for i, (category, mask, parts) in enumerate(objects):
        inner = np.zeros((1, len(parts)) if parts else (0, 0), [("part_name", object), ("mask", object)])
        for j, (name, area) in enumerate(parts):
            inner[0, j] = name, area
        found[0, i] = category, {"bird": 3, "dog": 12}[category], mask, inner if parts else np.zeros((0, 0))
    anno = np.zeros((1, 1), [("imname", object), ("objects", object)])
    anno[0, 0] = path.stem, found
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"anno": anno}, do_compression=True)


def write_pascal(folder: Path) -> None:
    """Seven photographs with ten objects, of which four birds are left."""
    size = (320, 240)
    small = [(n, a * rectangle(size, slice(60, 75), slice(0, size[0]))) for n, a in parts_of((100, 60), size)[:2]]
    head = parts_of((30, 60), size)
    rows, columns = cell("torso", (30, 60))
    head = [
        ("torso", rectangle(size, slice(rows.start, rows.start + 10), columns)) if name == "torso" else (name, area)
        for name, area in head
        if name != "neck"
    ]
    one, other = parts_of((30, 30), size), parts_of((180, 140), size)
    touching = parts_of((40, 60), size)
    worlds = {
        "2008_000001": [("bird", one)],
        "2008_000002": [("bird", small)],
        "2008_000003": [("bird", head)],
        "2008_000004": [("bird", [])],
        "2008_000005": [("bird", one), ("bird", touching)],
        "2008_000006": [("bird", one), ("dog", other[-3:-2])],
        "2008_000007": [("bird", one), ("bird", other)],
    }
    for seed, (name, objects) in enumerate(worlds.items()):
        photograph(folder / "VOC2010" / "JPEGImages" / f"{name}.jpg", size, seed)
        found = [(category, whole(parts or one), parts) for category, parts in objects]
        write_mat(folder / "Annotations_Part" / f"{name}.mat", found)
    lists = folder / "VOC2010" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2008_000001\n2008_000002\n")
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in list(worlds)[2:]))


def write_cub(folder: Path) -> None:
    """CUB_200_2011, segmentations and CUB_Parts."""
    cub = folder / "CUB_200_2011"
    (cub / "parts").mkdir(parents=True)
    lines: dict[str, list[str]] = {name: [] for name in ("images", "train_test_split", "bounding_boxes", "locs")}
    for number, name, train, split in CUB:
        corner = (10 + number, 20)
        photograph(cub / "images" / name, CUB_SIZE, 100 + number)
        grey = np.zeros(CUB_SIZE[::-1], np.uint8)
        grey[20 : 20 + BIRD[1], corner[0] : corner[0] + BIRD[0]] = 204
        grey[24 : 20 + BIRD[1], corner[0] : corner[0] + BIRD[0]] = 255
        mask = folder / "segmentations" / Path(name).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(mask)
        lines["images"].append(f"{number} {name}")
        lines["train_test_split"].append(f"{number} {train}")
        lines["bounding_boxes"].append(f"{number} {corner[0]}.0 20.0 {BIRD[0]}.0 {BIRD[1]}.0")
        for k, keypoint in enumerate(CUB_KEYPOINTS, 1):
            part = keypoint.replace(" ", "_")
            part = {"crown": "head", "forehead": "head", "nape": "head"}.get(part, part)
            rows, columns = cell(part if part in PARTS else "torso", corner)
            seen = int(keypoint != "throat" and (number, keypoint) != (1, "left eye"))
            x, y = (columns.start + CELL / 2, rows.start + CELL / 2) if seen else (0, 0)
            lines["locs"].append(f"{number} {k} {float(x)} {float(y)} {seen}")
        if split:
            write_pair(folder / "CUB_Parts", split, cub / "images" / name, corner)
    (cub / "parts" / "parts.txt").write_text("".join(f"{k} {name}\n" for k, name in enumerate(CUB_KEYPOINTS, 1)))
    (cub / "parts" / "part_locs.txt").write_text("\n".join(lines.pop("locs")) + "\n")
    for file, text in lines.items():
        (cub / f"{file}.txt").write_text("\n".join(text) + "\n")


def write_pair(folder: Path, split: str, image: Path, corner: tuple[int, int]) -> None:
    """An image of CUB Parts, the same bytes, and its mask in the archive's order of parts."""
    for kind in ("images", "parts"):
        (folder / f"{kind}_{split}").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image, folder / f"images_{split}" / image.name)
    values = np.zeros(CUB_SIZE[::-1], np.uint8)
    for index, part in enumerate(ARCHIVE_ORDER, 1):
        values[cell(part, corner)] = index
    Image.fromarray(values).save(folder / f"parts_{split}" / f"{image.stem}.png")


def write_archives(folder: Path) -> Archives:
    """All of it, and where it lies."""
    write_pascal(folder)
    write_cub(folder)
    found = Archives(folder / "CUB_200_2011", folder / "CUB_Parts", folder / "VOC2010", folder / "Annotations_Part")
    return replace(found, segmentations=folder / "segmentations")


def assert_same(records, annotations, images: Path) -> None:
    """That records give, to the bit, the samples that the archive's own tables and masks give."""
    assert len(records) == len(annotations)
    by_image = {images / found.image: found for found in annotations}
    for record in records:
        sample, told = record.load()
        recipe = Recipe(record.image, by_image[record.image], record.schema, Crop(), frozenset(STYLES))
        expected, told_then = load(recipe, record.name)
        assert len(told) == len(told_then)
        for label in LABELS:
            got, wanted = (each.parts if label == "parts" else each.labels.get(label) for each in (sample, expected))
            assert (got is None) == (wanted is None), (record.name, label)
            if wanted is not None:
                assert got.dtype == wanted.dtype
                np.testing.assert_array_equal(got, wanted)
