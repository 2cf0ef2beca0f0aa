"""Made-up birds as somebody has them who labelled them in a tool: photographs, and what that tool writes."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import write_export
from coarseparts.data.synthetic import birds
from coarseparts.system.problems import BadInput, Problem, unwritable
from coarseparts.system.text import abridged, nearest

SIZE, COUNT, NEW, SEED = 96, 40, 4, 20
"""Pixels; photographs with labels, of which every other one has part masks; photographs without; which birds."""

PARTS = {
    "head": ("head", "beak", "left_eye", "right_eye"),
    "torso": ("torso",),
    "left_wing": ("left_wing",),
    "right_wing": ("right_wing",),
    "legs": ("left_leg", "right_leg"),
    "tail": ("tail",),
}
"""The parts of the examples, in terms of those that ``birds`` draws."""


@dataclass(frozen=True)
class Labelled:
    """What was drawn: ``names`` of the photographs, ``image`` (N, S, S, 3), ``parts`` (N, S, S) by ``PARTS``, and
    ``keypoints`` (N, 15, 3) and ``box`` (N, 4) as ``birds.render`` has them."""

    names: list[str]
    image: np.ndarray
    parts: np.ndarray
    keypoints: np.ndarray
    box: np.ndarray

    def photographs(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for name, pixels in zip(self.names, self.image, strict=True):
            Image.fromarray(pixels).save(folder / name, quality=92)

    def part_masks(self, folder: Path) -> None:
        """Of every other photograph a PNG, whose pixels are the numbers of the parts."""
        folder.mkdir(parents=True)
        for name, parts in list(zip(self.names, self.parts, strict=True))[::2]:
            Image.fromarray(parts).save((folder / name).with_suffix(".png"))

    def document(self, outlines: bool = True) -> Document:
        """The birds as annotations: keypoints and a box each and, with ``outlines``, a mask each and the parts of
        every other one."""
        images = [
            {"id": i, "file_name": name, "width": SIZE, "height": SIZE} for i, name in enumerate(self.names, start=1)
        ]
        categories: list[dict[str, Any]] = [{"id": 1, "name": "bird", "keypoints": list(birds.SCHEMA.keypoints)}]
        categories += [{"id": 2 + i, "name": name} for i, name in enumerate(PARTS if outlines else ())]
        entries: list[dict[str, Any]] = []
        for i, (parts, keypoints, box) in enumerate(zip(self.parts, self.keypoints, self.box, strict=True)):
            of = {"image_id": i + 1, "group": f"bird {i + 1}"}
            x0, y0, x1, y1 = box.tolist()
            whole = {"keypoints": keypoints.ravel().tolist(), "bbox": [x0, y0, x1 - x0, y1 - y0]}
            entries.append(of | {"category_id": 1} | whole | ({"segmentation": _rle(parts > 0)} if outlines else {}))
            for part in range(1, len(PARTS) + 1) if outlines and i % 2 == 0 else ():
                if (parts == part).any():
                    entries.append(of | {"category_id": 1 + part, "segmentation": _rle(parts == part)})
        entries = [entry | {"id": number} for number, entry in enumerate(entries, start=1)]
        return Document(images, categories, entries, [], [*birds.SCHEMA.keypoint_mirror])


def _rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's run-length code of an (H, W) bool mask."""
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def _drawn(count: int, first: int = 0) -> Labelled:
    made = birds.render(count, size=SIZE, seed=SEED, first=first)
    number = np.zeros(len(birds.SCHEMA.parts) + 1, np.uint8)
    for i, several in enumerate(PARTS.values(), start=1):
        number[[birds.SCHEMA.parts.index(name) + 1 for name in several]] = i
    names = [f"bird_{i:02d}.jpg" for i in range(first + 1, first + count + 1)]
    return Labelled(names, made["image"], number[made["parts"]], made["keypoints"], made["box"])


def _exported(name: str) -> Callable[[Labelled, Path], None]:
    """Photographs, and beside their folder the export of a ``name`` of ``registry.WRITERS``."""

    def write(labelled: Labelled, folder: Path) -> None:
        labelled.photographs(folder / "photos")
        write_export(name, labelled.document(), folder)

    return write


def _label_studio(labelled: Labelled, folder: Path) -> None:
    """As somebody's annotations, which we otherwise never write: what a model finds is a prediction."""
    _exported("label-studio")(labelled, folder)
    file = folder / "label_studio.json"
    tasks = json.loads(file.read_text())
    file.write_text(json.dumps([{"annotations": task.pop("predictions"), **task} for task in tasks]))
    (folder / "label_studio.xml").unlink(missing_ok=True)


def _labelme(labelled: Labelled, folder: Path) -> None:
    """A JSON file beside each photograph."""
    write_export("labelme", labelled.document(), folder).rename(folder / "photos")
    labelled.photographs(folder / "drawn")
    for file in sorted((folder / "drawn").iterdir()):
        file.rename(folder / "photos" / file.name)
    (folder / "drawn").rmdir()


def _yolo_pose(labelled: Labelled, folder: Path) -> None:
    write_export("yolo", labelled.document(outlines=False), folder)
    labelled.photographs(folder / "yolo" / "images")
    labelled.part_masks(folder / "part_masks")


def _deeplabcut(labelled: Labelled, folder: Path) -> None:
    """A project with a film, whose frames have keypoints; what is not seen is an empty cell."""
    film = folder / "project" / "labeled-data" / "film1"
    labelled.photographs(film)
    labelled.part_masks(folder / "part_masks" / "film1")
    names = birds.SCHEMA.keypoints
    with open(film / "CollectedData_Ann.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["scorer", *["Ann"] * (2 * len(names))])
        rows.writerow(["bodyparts", *(name for name in names for _ in "xy")])
        rows.writerow(["coords", *["x", "y"] * len(names)])
        for name, keypoints in zip(labelled.names, labelled.keypoints, strict=True):
            cells = [f"{value:.2f}" if v else "" for x, y, v in keypoints for value in (x, y)]
            rows.writerow([f"labeled-data/film1/{name}", *cells])


def _masks(labelled: Labelled, folder: Path) -> None:
    """Folders alone: photographs, part masks of every other one, figure-ground masks of all."""
    labelled.photographs(folder / "photos")
    labelled.part_masks(folder / "part_masks")
    (folder / "masks").mkdir()
    for name, parts in zip(labelled.names, labelled.parts, strict=True):
        Image.fromarray((255 * (parts > 0)).astype(np.uint8)).save((folder / "masks" / name).with_suffix(".png"))


NAMED = f"--parts {','.join(PARTS)}"

KINDS: dict[str, tuple[Callable[[Labelled, Path], None], str]] = {
    "cvat": (_exported("cvat"), "photos annotations.xml"),
    "label-studio": (_label_studio, "photos label_studio.json"),
    "labelme": (_labelme, "photos"),
    "via": (_exported("via"), "photos via_project.json"),
    "yolo-pose": (_yolo_pose, f"yolo part_masks {NAMED}"),
    "deeplabcut": (_deeplabcut, f"project part_masks {NAMED}"),
    "masks": (_masks, f"photos part_masks masks {NAMED}"),
    "coco": (_exported("coco"), "photos coco.json"),
}
"""By the name of an example: what writes it, and what ``coarseparts init`` is to be given in its folder."""


def write_example(kind: str, folder: Path) -> list[str]:
    """Writes the example ``kind``, one of ``KINDS``, into a new or empty ``folder``: ``COUNT`` photographs with labels
    as the tool writes them, and ``NEW`` without any in its folder new. Returns the commands to type there.

    Raises BadInput for another kind, and where the folder has something in it; nothing is written then.
    """
    if kind not in KINDS:
        raise BadInput(Problem("example", f"got {abridged(kind)}", nearest(kind, KINDS)))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadInput(Problem(str(folder), "is there already, expected a new or empty folder", "name another one"))
    write, given = KINDS[kind]
    part = folder.with_name(f".{folder.resolve().name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write(_drawn(COUNT), part)
        _drawn(NEW, first=COUNT).photographs(part / "new")
        os.replace(part, folder)  # which an empty folder gives way to
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise unwritable(folder.parent, error, "name another folder", folder.name) from error
        raise
    return [
        f"coarseparts init {given} --out birds.yaml",
        "coarseparts check birds.yaml",
        "coarseparts train birds.yaml --out runs/birds --minutes 2",
        "coarseparts predict runs/birds new --out parts --overlay",
    ]
