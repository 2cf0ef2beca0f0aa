"""Label Studio's tasks answered: the photograph that one means, the labels that it has already, parts as its regions.

A task's address of an image is never followed: the photographs lie in folders that the server was given, and the name
says which one is meant; or the task carries the picture itself.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from coarseparts.app.errors import Refused
from coarseparts.app.requests import picture_of
from coarseparts.data import loading
from coarseparts.data.formats import label_studio_rle
from coarseparts.data.formats.label_studio_images import addresses, image_path
from coarseparts.data.formats.outlines import outer_rings, simplified
from coarseparts.data.images import allowed, read_photograph, stem
from coarseparts.data.namesakes import meant
from coarseparts.data.sample import Sample
from coarseparts.data.source_keys import Crop
from coarseparts.inference.label_files import read_labels
from coarseparts.inference.model import Model
from coarseparts.system.documents import DocumentError, load_xml
from coarseparts.system.problems import BadInput, errors
from coarseparts.system.text import listed, short

TOLERANCE = 0.5
"""Pixels by which a polygon may differ from the part's outline."""

MOST_XML = 1_000_000


@dataclass(frozen=True)
class Controls:
    """The names in a labelling interface: of the control that takes parts, its kind of region, and of the image;
    ``value``: what that image is called in a task, "" where the interface does not say it; ``images``: all images of
    the interface."""

    name: str = "mask"
    kind: str = "brushlabels"
    image: str = "image"
    value: str = "image"
    images: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config: str, parts: tuple[str, ...]) -> list[Controls]:
        """For each image the control for masks, else for polygons, that has the most parts among its labels; our own
        export's names where there is none."""
        try:
            root = _parsed(config)
        except DocumentError:
            return [cls()]
        values = {
            one.get("name") or "image": one.get("value") or one.get("valueList") or "" for one in root.iter("Image")
        }
        own = values.get("image", "" if values else "image").removeprefix("$")
        best: dict[str, tuple[tuple[int, int], Controls]] = {}
        for tag, kind in (("BrushLabels", "brushlabels"), ("PolygonLabels", "polygonlabels")):
            for control in root.iter(tag):
                image = control.get("toName") or "image"
                shared = len({label.get("value") for label in control.iter("Label")} & set(parts))
                value = values.get(image, "").removeprefix("$")
                named = cls(control.get("name") or "mask", kind, image, value, frozenset(values))
                rank = shared, int(kind == "brushlabels")
                if shared and (image not in best or rank > best[image][0]):
                    best[image] = rank, named
        return [named for _, named in best.values()] or [cls(value=own, images=frozenset(values))]


def _parsed(config: str) -> Element:
    if len(config) > MOST_XML:
        raise DocumentError("is too long")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.xml")
        file.write_bytes(config.encode("utf-8", "replace"))
        return load_xml(file)


def asked_of(interface: Sequence[Controls], drawn: Sequence[Any]) -> list[Controls]:
    """The controls that are answered for: those of the images on which somebody is drawing, all where nobody is."""
    used = {one.get("to_name") for one in drawn if isinstance(one, dict)}
    return [each for each in interface if each.image in used] or list(interface)


def samples_of(
    model: Model, task: Mapping[str, Any], photographs: Mapping[str, Path], controls: Controls
) -> list[Sample]:
    """The objects of the photograph of a task that the ``controls`` are of, with their labels; the photograph alone
    where it has none. Raises Refused."""
    url = _url(task.get("data"), controls)
    with tempfile.TemporaryDirectory() as folder:
        if url.startswith("data:"):
            name, path = "image.png", Path(folder, "image.png")
            picture_of(url, ("PNG", "JPEG", "WEBP", "BMP", "TIFF"), allowed()).convert("RGB").save(path)
        else:
            name, path = _meant(url, photographs)
        export = Path(folder, "task.json")
        kept = {key: task[key] for key in ("id",) if key in task}
        known = {**task, "annotations": task.get("annotations") or []}
        kept |= {key: _drawn_on(known[key], controls) for key in ("annotations", "predictions") if key in known}
        export.write_text(json.dumps([kept | {"data": {"image": name}}]))
        try:
            labels = read_labels(model.schema, Crop(**model.crop), {name: path}, {"coco": export})
            if wrong := errors(labels.problems):
                raise BadInput(wrong)
            objects = [loading.load(recipe, stem(name))[0] for recipe in labels.objects.get(name, [])]
            return objects or [Sample(stem(name), read_photograph(path).array)]
        except BadInput as error:
            first = error.problems[0]
            raise Refused(422, f"{first.message}; {first.remedy}" if first.remedy else first.message) from None


def _url(data: Any, controls: Controls) -> str:
    """The address of the image that the controls are of. Raises Refused."""
    given = data.get(controls.value) if isinstance(data, dict) else None
    if isinstance(given, list):
        raise Refused(422, "The task's image is several pages; make each a task of its own to have it answered.")
    if isinstance(given, str):
        return given
    urls = addresses(data)
    if not urls:
        raise Refused(422, "The task names no image.")
    if len(controls.images) > 1 or len(set(urls.values())) > 1:
        raise Refused(
            422,
            "The task has several images, and the labelling interface does not say which one is meant: give the "
            "control of the parts an Image whose value is called as in the task.",
        )
    return next(iter(urls.values()))


def _drawn_on(given: Any, controls: Controls) -> Any:
    """Annotations, or predictions, without the regions that are of other images of the interface. Raises Refused where
    that cannot be told."""
    if len(controls.images) < 2 or not isinstance(given, list):
        return given
    found = []
    for one in given:
        results = one.get("result") if isinstance(one, dict) else None
        if isinstance(results, list):
            kept = []
            for each in results:
                drawn = isinstance(each, dict) and "original_width" in each
                if drawn and str(each.get("to_name")) not in controls.images:
                    raise Refused(422, "The task has regions whose to_name is no Image of the labelling interface.")
                if not drawn or each["to_name"] == controls.image:
                    kept.append(each)
            one = one | {"result": kept}
        found.append(one)
    return found


def _meant(url: str, photographs: Mapping[str, Path]) -> tuple[str, Path]:
    """The photograph that an address means: of that relative path, or else of that name. Raises Refused."""
    name, _ = image_path(url)
    if name not in photographs:
        pairs, several = meant([name], photographs)
        if name in several:
            alike = listed(map(short, several[name]), 3)
            raise Refused(422, f"The task's image may be any of {alike}: name its folder in the task, too.")
        name = pairs.get(name, "")
    if name not in photographs:
        raise Refused(404, "The task's image is in none of the folders that this server was given with --images.")
    return name, photographs[name]


def regions(controls: Controls, parts: Mapping[str, tuple[np.ndarray, float]], group: str) -> list[dict[str, Any]]:
    """An object's parts, name -> ((H, W) bool, score 0..1), as Label Studio's results; ``group`` begins their ids."""
    found: list[dict[str, Any]] = []
    for name, (mask, score) in parts.items():
        height, width = mask.shape
        for value in _values(controls.kind, mask):
            result: dict[str, Any] = {
                "id": f"{group}-{len(found)}",
                "type": controls.kind,
                "from_name": controls.name,
                "to_name": controls.image,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "score": score,
                "value": value | {controls.kind: [name]},
            }
            if found:
                result["parentID"] = found[0]["id"]
            found.append(result)
    return found


def _values(kind: str, mask: np.ndarray) -> list[dict[str, Any]]:
    if not mask.any():
        return []
    if kind == "brushlabels":
        return [{"format": "rle", "rle": label_studio_rle.encode(mask)}]
    height, width = mask.shape
    outlines = (np.array(simplified(ring, TOLERANCE)) * 100 / (width, height) for ring in outer_rings(mask))
    return [{"points": points.tolist(), "closed": True} for points in outlines]
