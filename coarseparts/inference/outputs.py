"""The files that a prediction writes: part maps, pictures to look at, a COCO file; and what they must not overwrite."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from coarseparts.data.formats import coco_document
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import rle
from coarseparts.data.formats.part_files import OVERLAY
from coarseparts.data.images import open_own, stem
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

    def save(
        self, name: str, image: np.ndarray, parts: np.ndarray, scores: np.ndarray, size: tuple[int, int] = (0, 0)
    ) -> None:
        """Writes the files of an image (H, W, 3) with its part map (H, W) uint8, bit fields where parts overlap, and
        the ``scores`` (P,) of the parts. The map is written at the photograph's own ``size`` (width, height), where the
        image was read at a smaller one."""
        maps = self.schema.maps
        told = json.dumps([round(float(score), 4) for score in scores])
        whole = parts
        if size not in ((0, 0), parts.shape[::-1]):
            whole = np.asarray(Image.fromarray(parts).resize(size, Image.Resampling.NEAREST))
        for file, picture in zip(self.maps(name), maps.pictures(whole, self._colours), strict=True):
            _write_sealed(file, picture, told)
        if self.pictures:
            _write_sealed(self._picture(name), Image.fromarray(overlay(image, parts, self._colours, maps)))

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

    def _scores(self, name: str) -> list[float]:
        """The scores (P,) that stand in an image's first part map; zeros where it has none."""
        try:
            with Image.open(self.maps(name)[0]) as picture:
                scores = json.loads(getattr(picture, "text", {}).get(SCORES, ""))
            if len(scores) == len(self.schema.parts) and all(type(v) is float and 0 <= v <= 1 for v in scores):
                return [float(score) for score in scores]
        except (OSError, ValueError, TypeError, SyntaxError) as error:
            if limits.is_machines(error):
                raise
        return [0.0] * len(self.schema.parts)

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
        path) shows, with its score where it is known; those of an image ``grouped`` or not."""
        categories = [{"id": i, "name": name} for i, name in enumerate(self.schema.parts, start=1)]
        found = Document(categories=categories)
        for name, path in photographs:
            if not self.maps(name)[0].is_file():
                continue
            parts, scores = self.read_back(name), self._scores(name)
            size = {"width": parts.shape[1], "height": parts.shape[0]}
            about = {"id": len(found.images) + 1, "file_name": name} | size
            found.images.append(about | ({} if path is None else {"path": str(path)}))
            for index in range(1, self.schema.channels):
                inside = self.schema.maps.shows(parts, index)
                if not inside.any():
                    continue
                keys = {"id": len(found.annotations) + 1, "image_id": about["id"], "category_id": index}
                more: dict[str, object] = {"score": scores[index - 1]} if scores[index - 1] else {}
                more |= {"group": "1"} if grouped else {}
                found.annotations.append(keys | {"segmentation": rle(inside)} | more)
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


def _write_sealed(path: Path, picture: Image.Image, scores: str = "") -> None:
    seal = PngInfo()
    seal.add_text(SEAL, _hash_of(picture))
    if scores:
        seal.add_text(SCORES, scores)
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
