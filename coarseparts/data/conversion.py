"""An export of one tool as what another one imports: read, put in order, written; and what is lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.coco import objects_of
from coarseparts.data.formats.coco_file import of_lists, where_of
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import RESIZED, draw
from coarseparts.data.formats.registry import WRITERS, read_export
from coarseparts.data.images import allowed, list_images, probe
from coarseparts.data.namesakes import meant, renamed
from coarseparts.labels.given import Given
from coarseparts.system.problems import BadInput, Problem, capped, errors, unwritable
from coarseparts.system.text import abridged, nearest

FOLDERS = ("labelme", "yolo")
"""Exports that are folders; the others are files."""


@dataclass(frozen=True)
class Conversion:
    """Where it was written, how many images and annotations it has; ``problems``: notes on what was read otherwise
    than written, and on what the target has no place for."""

    path: Path
    images: int
    annotations: int
    problems: list[Problem]


def convert(source: Path, target: Path, to: str, images: Path | None = None) -> Conversion:
    """Writes what the export ``source`` says in the format of a name of ``WRITERS``: to the file or folder ``target``,
    or into a folder that is there. ``images``: the folder of the photographs, which tell the sizes that the export does
    not.

    Raises BadInput with everything that is wrong with the export, and where the target is there already; nothing is
    written then.
    """
    if to not in WRITERS:
        raise BadInput(Problem("--to", f"got {abridged(to)}", nearest(to, WRITERS)))
    write, name = WRITERS[to]
    out = target / name if target.is_dir() and (to not in FOLDERS or any(target.iterdir())) else target
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BadInput(Problem(str(out), "is there and would be written over", "move it away, or name another place"))
    if not source.exists():
        raise BadInput(Problem(str(source), "does not exist", "name the export of an annotation tool"))
    if images is not None and not images.is_dir():
        raise BadInput(Problem(f"--images {images}", "is no folder", "name the folder of the photographs"))
    document = read_export(source)
    if images is not None:
        names = [name for name, _ in list_images(images)]
        entries, told = renamed(document.images, names, str(source), outside_alone=True)
        document = replace(document, images=entries, problems=[*document.problems, *told])
    document = _in_order(source, document)
    document = _with_sizes(document, images)
    lacking = _lacking_size(document)
    if lacking:
        message = f"the sizes of {len(lacking)} images are not known: {abridged(lacking[0], 200)}, ..."
        remedy = "name the folder of the photographs: --images FOLDER"
        document.problems.append(Problem(str(source), message, remedy))
    if wrong := errors([*document.problems, *_unfit_masks(source, document)]):
        raise BadInput(capped(wrong))
    try:
        write(document, out)
    except OSError as error:
        raise unwritable(out.parent, error, "name another place", out.name) from error
    notes = [Problem(str(out), lost, severity="note") for lost in losses(document, to)]
    return Conversion(out, len(document.images), len(document.annotations), [*capped(document.problems), *notes])


def losses(document: Document, to: str) -> list[str]:
    """What an export of a name of ``WRITERS`` has no place for, as far as the document has it."""
    entries = document.annotations
    scores = sum("score" in entry for entry in entries)
    groups = Counter((entry["image_id"], entry["group"]) for entry in entries if entry.get("group"))
    posed = [entry for entry in entries if any(entry.get("keypoints") or ())]
    loose = [entry for entry in posed if not entry.get("segmentation") and not entry.get("bbox")]
    boxed = sum(bool(entry.get("bbox") and entry.get("segmentation")) for entry in entries)
    together = sum(number > 1 for number in groups.values())
    said = {
        f"the scores of {scores} annotations": scores and to in ("cvat", "yolo"),
        f"which annotations are one object, of {together} objects": together and to == "yolo",
        f"the boxes of {boxed} annotations with an outline": boxed and to == "yolo",
        f"the category of the keypoints of {len(posed)} annotations": posed and to in ("labelme", "via"),
        f"the category of the keypoints of {len(loose)} annotations without a box": loose and to == "label-studio",
        f"{len(document.mirror)} pairs of keypoints that swap on a flip": document.mirror and to != "yolo",
    }
    return [f"has no place for {what}: not written" for what, true in said.items() if true]


def _in_order(source: Path, document: Document) -> Document:
    """A document of which every entry makes sense: of COCO files they come as they stand. What is wrong is among its
    problems."""
    coco = of_lists(source, {key: getattr(document, key) for key in ("images", "annotations", "categories")})
    raw = {where_of(entry["id"], coco.images[entry["image_id"]][0]): entry for entry in coco.annotations}
    objects, problems = objects_of(coco)
    shares = [one.image for one in objects if any(each.of and not each.size for each in one.labels.values())]
    if shares:
        message = f"coordinates are shares of images whose sizes it does not say: {abridged(shares[0], 200)}, ..."
        problems = [*problems, Problem(str(source), message, "export it with the images' width and height")]
    image_ids = {key: number for number, key in enumerate(coco.images, 1)}
    category_ids = {key: number for number, key in enumerate(coco.categories, 1)}
    categories = [
        {"id": category_ids[key], "name": name} | ({"keypoints": list(names)} if names else {})
        for key, (name, names) in coco.categories.items()
    ]
    images = [
        {"id": image_ids[key], "file_name": name} | dict(zip(("width", "height"), size or (None, None), strict=True))
        for key, (name, size) in coco.images.items()
    ]
    entries = []
    for number, one in enumerate(objects, 1):
        entry = raw[one.where]
        own = {"id": number, "image_id": image_ids[entry["image_id"]]}
        own["category_id"] = category_ids[entry["category_id"]]
        own |= {key: entry[key] for key in ("group", "score", "layer") if _is_fit(key, entry.get(key))}
        entries.append(own | _labels(one))
    return Document(images, categories, entries, [*document.problems, *problems], document.mirror)


def _is_fit(key: str, value: Any) -> bool:
    if key == "layer":
        return type(value) is int
    return isinstance(value, str) if key == "group" else type(value) in (int, float) and 0 <= value <= 1


def _labels(one: Annotation) -> dict[str, Any]:
    """The labels of an annotation as a document has them."""
    found: dict[str, Any] = {}
    if (given := one.labels.get("keypoints")) is not None:
        points = given.value.xyv.astype(np.float64).copy()
        points[:, :2] *= _scale(given)
        found["keypoints"] = [n for x, y, v in points.tolist() for n in ((x, y, int(v)) if v else (0, 0, 0))]
    if (given := one.labels.get("mask")) is not None:
        outline = given.value.segmentation
        if isinstance(outline, list):
            outline = [(np.array(polygon).reshape(-1, 2) * _scale(given)).ravel().tolist() for polygon in outline]
        else:
            outline = {key: value for key, value in outline.items() if key != RESIZED}
        found["segmentation"] = outline
    if (given := one.labels.get("box")) is not None:
        x0, y0, x1, y1 = (np.array(given.value, np.float64) * np.tile(_scale(given), 2)).tolist()
        found["bbox"] = [x0, y0, x1 - x0, y1 - y0]
    return found


def _scale(given: Given) -> np.ndarray:
    """(2,) what coordinates are to be multiplied with to become pixels."""
    if given.of is None or given.size is None:
        return np.ones(2)
    return np.array(given.size, np.float64) / np.array(given.of, np.float64)


def _with_sizes(document: Document, folder: Path | None) -> Document:
    """The document with the sizes of photographs in a folder, where it does not say them, and with their places."""
    if folder is None:
        return document
    there = dict(list_images(folder))
    names = [entry["file_name"] for entry in document.images]
    pairs, _ = meant(names, there)
    images, problems = [], list(document.problems)
    for entry in document.images:
        path = there.get(pairs.get(entry["file_name"], entry["file_name"]))
        if path is None:
            problems.append(Problem(str(folder), f"has no {abridged(entry['file_name'], 200)}", "", "note"))
        else:
            entry = entry | {"path": str(path)}
            if not (entry.get("width") and entry.get("height")):
                try:
                    entry |= dict(zip(("width", "height"), probe(path), strict=True))
                except BadInput as bad:
                    problems += bad.problems
        images.append(entry)
    return replace(document, images=images, problems=problems)


def _unfit_masks(source: Path, document: Document) -> list[Problem]:
    """Images too large to draw in, and run-length codes that are broken or of another size than their image."""
    images = {entry["id"]: entry for entry in document.images}
    problems, large = [], set()
    for key, entry in images.items():
        if (entry.get("width") or 0) * (entry.get("height") or 0) > allowed():
            large.add(key)
            message = (
                f"image {abridged(entry['file_name'], 200)}: {entry['width']}x{entry['height']} pixels are too many"
            )
            problems.append(Problem(str(source), message, f"correct its size, expected at most {allowed():,} pixels"))
    for entry in document.annotations:
        image, outline = images[entry["image_id"]], entry.get("segmentation")
        if not isinstance(outline, dict) or image["id"] in large or not image.get("width"):
            continue
        try:
            draw(outline, (image["width"], image["height"]))
        except ValueError as error:
            where = where_of(str(entry["id"]), image["file_name"])
            problems.append(Problem(str(source), f"{where}: {error}", "draw it again or remove it"))
    return problems


def _lacking_size(document: Document) -> list[str]:
    """The images with annotations whose sizes are not known."""
    used = {entry["image_id"] for entry in document.annotations}
    images: Iterable[dict] = (entry for entry in document.images if entry["id"] in used)
    return [entry["file_name"] for entry in images if not (entry.get("width") and entry.get("height"))]
