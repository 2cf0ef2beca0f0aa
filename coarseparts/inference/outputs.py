"""The files that a prediction writes: part maps, pictures to look at, a COCO file; and what they must not overwrite."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from coarseparts.data.formats import coco_document
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import rle
from coarseparts.data.formats.part_files import OVERLAY
from coarseparts.data.images import open_own, stem
from coarseparts.inference.predict import Prediction
from coarseparts.labels.schema import Schema
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import colours
from coarseparts.system import limits
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.problems import BadInput, Problem, capped
from coarseparts.training.claims import write

SEAL = "coarseparts"
"""A text in every PNG that is written: a hash of its pixels, by which it is told from what others draw or change."""

SCORES = "scores"
"""A text in every part map: the score of each part, as a list in JSON, for exports to tools that show it."""

OBJECTS = "objects"
"""A text in the first part map of an image with several labelled objects: of each its scores and its parts' run-length
codes by index, as JSON, for exports that tell objects apart."""


class Outputs:
    """What is written into ``folder`` for images by name (paths relative to theirs).

    ``<stem>.png`` holds part indices 0..P, with a palette so that any viewer shows colours; of parts that overlap there
    is a mask of 0 and 255 each, ``<part>/<stem>.png``, which a dataset file reads again. With ``pictures`` there is
    ``<stem>.overlay.png``, too.
    """

    def __init__(self, folder: Path, schema: Schema, pictures: bool):
        self.folder, self.schema, self.pictures = folder, schema, pictures
        self._colours = colours(len(schema.parts))
        self._folders = [folder / part for part in schema.maps.folders(schema.parts)] or [folder]

    def maps(self, name: str) -> list[Path]:
        """The part map of an image, or one for each of the parts that overlap."""
        return [folder / f"{stem(name)}.png" for folder in self._folders]

    def files(self, name: str) -> list[Path]:
        """Everything that is written for an image."""
        return self.maps(name) + ([self._picture(name)] if self.pictures else [])

    def _picture(self, name: str) -> Path:
        return self.folder / f"{stem(name)}{OVERLAY}"

    def joined(self, objects: Iterable[Prediction]) -> np.ndarray:
        """(H, W) uint8 part map of an image from what is predicted of its objects, later ones over earlier ones; bit
        fields where parts overlap. One object's is held at a time."""
        return functools.reduce(self.schema.maps.joined, (own.part_map() for own in objects))

    def save(
        self, name: str, image: np.ndarray, parts: np.ndarray, objects: Sequence[Prediction], size: tuple[int, int]
    ) -> None:
        """Writes the files of an image (H, W, 3) whose ``objects``' ``parts`` are ``joined``. The map is written at the
        photograph's own ``size`` (width, height), where the image was read at a smaller one."""
        maps, whole = self.schema.maps, _enlarged(parts, size)
        scores = [own.scores() for own in objects]
        texts: dict[str, Any] = {SCORES: _rounded(np.max(scores, axis=0))}
        if len(objects) > 1:
            codes = (self._codes(_enlarged(own.part_map(), size), whole) for own in objects)
            texts[OBJECTS] = [[_rounded(each), code] for each, code in zip(scores, codes, strict=True)]
        told = {key: json.dumps(text) for key, text in texts.items()}
        for file, picture in zip(self.maps(name), maps.pictures(whole, self._colours), strict=True):
            _write_sealed(file, picture, told)
            told.pop(OBJECTS, None)
        if self.pictures:
            _write_sealed(self._picture(name), Image.fromarray(overlay(image, parts, self._colours, maps)))

    def _codes(self, own: np.ndarray, whole: np.ndarray) -> dict[int, dict[str, Any]]:
        """Run-length codes, by index, of an object's ``own`` parts as far as the ``whole`` image's map shows them."""
        shows = self.schema.maps.shows
        masks = {index: shows(own, index) & shows(whole, index) for index in range(1, self.schema.channels)}
        return {index: rle(mask) for index, mask in masks.items() if mask.any()}

    def read_back(self, name: str) -> np.ndarray:
        """The part map (or bit field) that was written for an image. Raises BadInput naming a damaged file."""
        layers = []
        for file in self.maps(name):
            try:
                with open_own(file) as picture:
                    layers.append(np.asarray(picture))
            except (OSError, ValueError, SyntaxError) as error:
                if limits.is_machines(error):
                    raise
                message = f"cannot be read ({' '.join(str(error).split())})"
                raise BadInput(Problem(str(file), message, "delete it and run the same command again")) from error
        return self.schema.maps.of_pictures(layers)

    def _objects(
        self, name: str, parts: np.ndarray, apart: bool
    ) -> list[tuple[list[float], dict[int, dict[str, Any]]]]:
        """The scores (P,), zeros where there are none, and the parts' run-length codes by index, of each object that
        an image's first part map tells ``apart``, or of all of the part map in one."""
        told = _told(OBJECTS, self.maps(name)[0]) if apart else None
        found = told or [(_told(SCORES, self.maps(name)[0]), self._codes(parts, parts))]
        none = [0.0] * len(self.schema.parts)
        return [
            (scores if self._are_scores(scores) else none, {int(index): code for index, code in codes.items()})
            for scores, codes in found
        ]

    def _are_scores(self, found: object) -> bool:
        several = found if isinstance(found, list) else []
        return len(several) == len(self.schema.parts) and all(type(v) is float and 0 <= v <= 1 for v in several)

    def write_coco(self, file: Path, names: Iterable[str]) -> None:
        """A COCO file of the images whose part maps are there: a category per part, one RLE annotation per part that an
        image shows."""
        found = self.document((name, None) for name in names)
        annotations = [coco_document.with_area(entry) for entry in found.annotations]
        lists = {"images": found.images, "annotations": annotations, "categories": found.categories}
        info = {"description": "parts predicted by coarseparts", SEAL: _hash_of_lists(lists)}
        write(file, json.dumps({"info": info, **lists}))

    def document(self, photographs: Iterable[tuple[str, Path | None]], grouped: bool = False) -> Document:
        """The part maps that are there as annotations: a category per part, one RLE mask per part that an image (name,
        path) shows, with its score where it is known; ``grouped``: one for each of its labelled objects, in groups."""
        categories = [{"id": i, "name": name} for i, name in enumerate(self.schema.parts, start=1)]
        found = Document(categories=categories)
        for name, path in photographs:
            if not self.maps(name)[0].is_file():
                continue
            parts = self.read_back(name)
            size = {"width": parts.shape[1], "height": parts.shape[0]}
            about = {"id": len(found.images) + 1, "file_name": name} | size
            found.images.append(about | ({} if path is None else {"path": str(path)}))
            for group, (scores, codes) in enumerate(self._objects(name, parts, grouped), start=1):
                for index, code in codes.items():
                    keys = {"id": len(found.annotations) + 1, "image_id": about["id"], "category_id": index}
                    more: dict[str, object] = {"score": scores[index - 1]} if scores[index - 1] else {}
                    more |= {"group": str(group)} if grouped else {}
                    found.annotations.append(keys | {"segmentation": code} | more)
        return found

    def refuse_clashes(
        self, photographs: Sequence[tuple[str, Path]], labels: Mapping[str, Path], coco: Path | None
    ) -> None:
        """Raises BadInput naming every file to write that is an image (name, path) or the labels (by key), or that
        is to be written twice."""
        writers: dict[Path, list[str]] = defaultdict(list)  # by target: what is to be written there
        for name, path in photographs:
            for file in self.maps(name):
                writers[file].append(f"the part map of {path}")
            if self.pictures:
                writers[self._picture(name)].append(f"the overlay of {path}")
        if coco is not None:
            writers[coco].append("the COCO file of --coco")
        used = {_place(path): "one of the images" for _, path in photographs}
        used |= {_place(path): f"the file of --labels {key}" for key, path in labels.items()}
        inodes = {_inode(path) for path in [*(path for _, path in photographs), *labels.values()]}
        there: dict[Path, list[str]] = defaultdict(list)
        problems = []
        for target, what in writers.items():
            there[_place(target)] += what
            known = used.get(_place(target))
            if known is None and (inode := _inode(target)) is not None and inode in inodes:
                known = "the same file as one of the images or as the labels"  # other spelling, or a link
            if known is not None:
                message = f"is {known} and would be overwritten by {' and '.join(what)}"
                remedy = "choose a folder without images with --out, or another --coco"
                problems.append(Problem(str(target), message, remedy))
        for target, what in there.items():
            if len(what) > 1:
                message = f"would be written {len(what)} times: {', '.join(what)}"
                another = "" if coco is None else ", or choose another --coco"
                problems.append(Problem(str(target), message, f"rename one of the images{another}"))
        if problems:
            raise BadInput(capped(problems))

    def refuse_others(self, names: Iterable[str], coco: Path | None = None) -> None:
        """Raises BadInput naming every file of these images, and the COCO file, that is there and not as ``save`` and
        ``write_coco`` wrote it: drawn or corrected by hand."""
        problems = [
            Problem(
                str(file),
                "was not written by predict, or was changed since, and would be overwritten",
                "move it away, or choose another folder with --out",
            )
            for name in names
            for file in self.files(name)
            if os.path.lexists(file) and not _as_written(file)
        ]
        if coco is not None and coco.is_file() and not _is_sealed(coco):
            message = "was not written by predict --coco, or was changed since, and would be overwritten"
            remedy = "move it away, or choose another --coco; labels that the model is to use are named with --labels"
            problems.append(Problem(str(coco), message, remedy))
        if problems:
            raise BadInput(capped(problems))


def real(path: Path) -> Path:
    """Where a path leads, absolute; a link that leads in a circle leads to itself (``Path.resolve`` would fail)."""
    return Path(os.path.realpath(path))


def _rounded(scores: np.ndarray) -> list[float]:
    return [round(float(score), 4) for score in scores]


def _enlarged(parts: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A part map of an image that was read at a smaller size than its own (width, height); (0, 0): it was not."""
    if size in ((0, 0), parts.shape[::-1]):
        return parts
    return np.asarray(Image.fromarray(parts).resize(size, Image.Resampling.NEAREST))


def _told(key: str, file: Path) -> Any:
    """What a text of a part map says, None where it has none."""
    try:
        with Image.open(file) as picture:
            return json.loads(getattr(picture, "text", {}).get(key, ""))
    except (OSError, ValueError, SyntaxError) as error:
        if limits.is_machines(error):
            raise
        return None


def _write_sealed(path: Path, picture: Image.Image, texts: Mapping[str, str] | None = None) -> None:
    seal = PngInfo()
    for key, text in {SEAL: _hash_of(picture), **(texts or {})}.items():
        seal.add_text(key, text)
    write(path, lambda file: picture.save(file, "PNG", pnginfo=seal))


def _hash_of(picture: Image.Image) -> str:
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()[:16]


def _as_written(path: Path) -> bool:
    try:
        with open_own(path) as picture:
            return bool(getattr(picture, "text", {}).get(SEAL) == _hash_of(picture))
    except (OSError, ValueError, SyntaxError) as error:
        if limits.is_machines(error):
            raise
        return False


def _hash_of_lists(lists: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(lists, sort_keys=True).encode()).hexdigest()[:16]


def _is_sealed(coco: Path) -> bool:
    """Whether a COCO file is as ``write_coco`` wrote it."""
    try:
        found = load_json(coco)
        return bool(found.pop("info")[SEAL] == _hash_of_lists(found))
    except (OSError, DocumentError, AttributeError, LookupError, TypeError) as error:
        if limits.is_machines(error):
            raise
        return False


def _place(path: Path) -> Path:
    """Where a file lies, the same however its folder is spelled; a link stays a link."""
    return real(path.parent) / path.name


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
