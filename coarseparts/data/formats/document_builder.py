"""A document put together from what a reader of a tool's export finds, in the order in which it finds it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from coarseparts.data.formats.annotation import inside
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.units import MOST
from coarseparts.labels.schema import unfit
from coarseparts.system.documents import DocumentError, in_utf_8, load_json
from coarseparts.system.files import write_whole
from coarseparts.system.problems import BadInput, Problem, capped, unreadable
from coarseparts.system.text import abridged

HEAD = 65_536
"""Bytes of a file from which its format is recognised."""

Keypoints = dict[str, tuple[float, float, int]]
"""x, y in pixels and visibility (1 hidden, 2 visible) of each labelled keypoint, by name."""


class DocumentBuilder:
    """Collects images, categories and annotations of an export; ``file`` is what messages name."""

    def __init__(self, file: Path):
        self.file = file
        self._images: dict[str, dict] = {}
        self._categories: dict[str, dict] = {}
        self._known: dict[str, set[str]] = {}  # keypoints by category
        self._annotations: list[dict] = []
        self._of_image: dict[int, list[dict]] = defaultdict(list)
        self._skeletons: list[tuple[dict, Keypoints]] = []
        self._problems: list[Problem] = []
        self._passed_over: Counter[tuple[str, str]] = Counter()

    def say(self, message: str, remedy: str, severity: str = "error", file: Path | None = None) -> None:
        """A finding about the export, or about one ``file`` of it."""
        self._problems.append(Problem(str(file or self.file), message, remedy, severity))  # type: ignore[arg-type]

    def pass_over(self, what: str, remedy: str = "", number: int = 1) -> None:
        """Counts something that is read otherwise than written or not at all; one note says how often it came."""
        self._passed_over[what, remedy] += number

    def image(self, name: Any, size: tuple[int, int] | None = None) -> int | None:
        """The id of an image of ``size`` (width, height); one that is known keeps what is known of it. None, and a
        problem more, where ``name`` is no relative path inside a folder."""
        try:
            name = inside(name)
        except ValueError as error:
            self.say(str(error), "name the images relative to their folder, and inside it")
            return None
        entry = self._images.setdefault(name, {"id": len(self._images) + 1, "file_name": name})
        if size is not None or "width" not in entry:
            entry["width"], entry["height"] = size or (None, None)
        return entry["id"]

    def category(self, name: str, keypoints: Iterable[str] = ()) -> int | None:
        """The id of a category; ``keypoints`` it does not have yet are added to it. None, and a problem more, where a
        name cannot be used."""
        keypoints = list(keypoints)
        known = self._known.setdefault(name, set())
        if name in self._categories and known.issuperset(keypoints):
            return self._categories[name]["id"]
        for each in (name, *keypoints):
            if why := unfit(each):
                self.say(f"the name {abridged(each)!r} {why}", "give it another name and export again")
                return None
        entry = self._categories.setdefault(name, {"id": len(self._categories) + 1, "name": name})
        if keypoints:
            entry["keypoints"] = list(dict.fromkeys([*entry.get("keypoints", ()), *keypoints]))
            known.update(keypoints)
        return entry["id"]

    def add(self, image: int, category: str, keypoints: Keypoints | None = None, **labels: Any) -> None:
        """An annotation: ``keypoints`` by name, those of the category that are not among them being absent; ``labels``
        as in ``Document``, None for what is not there. Nothing is added where the category cannot be used."""
        key = self.category(category, keypoints or ())
        if key is None:
            return
        entry = {"id": len(self._annotations) + 1, "image_id": image, "category_id": key}
        entry |= {name: value for name, value in labels.items() if value is not None}
        self._annotations.append(entry)
        self._of_image[image].append(entry)
        if keypoints:
            self._skeletons.append((entry, keypoints))

    def drawn_on(self, image: int) -> list[tuple[dict, str]]:
        """The annotations of an image so far, and what their categories are called."""
        names = {entry["id"]: name for name, entry in self._categories.items()}
        own = self._of_image[image]
        return [(entry, names[entry["category_id"]]) for entry in own]

    def document(self, mirror: Iterable[tuple[str, str]] = ()) -> Document:
        """All of it; annotations of one category have its keypoints in one order, whichever came first."""
        names = {entry["id"]: entry.get("keypoints", ()) for entry in self._categories.values()}
        for entry, points in self._skeletons:
            entry["keypoints"] = [
                number for name in names[entry["category_id"]] for number in points.get(name, (0, 0, 0))
            ]
        for (what, remedy), number in self._passed_over.items():
            self.say(f"{number:,} {what}", remedy, "note")
        return Document(
            images=list(self._images.values()),
            categories=list(self._categories.values()),
            annotations=self._annotations,
            problems=capped(self._problems),
            mirror=list(mirror),
        )


def finite(value: Any) -> float | None:
    """A number that can be a coordinate; None for anything else."""
    if type(value) not in (int, float) or not abs(value) <= MOST:
        return None
    return float(value)


def head(path: Path) -> bytes:
    """The first bytes of a file, in UTF-8 without a byte-order mark where it is a text in another Unicode; none of what
    is no file. Raises OSError."""
    if not path.is_file():
        return b""
    with open(path, "rb") as file:
        return in_utf_8(file.read(HEAD))


def json_of(path: Path, remedy: str, raw: bytes | None = None) -> Any:
    """What a JSON file says, of its bytes where they have been read. Raises BadInput, with the remedy, where it says
    nothing."""
    try:
        return load_json(path, raw)
    except OSError as error:
        raise BadInput(unreadable(path, error, "name an existing file")) from None
    except DocumentError as error:
        raise BadInput(Problem(str(path), str(error), remedy)) from None


def rle(mask: np.ndarray) -> dict:
    """COCO's compressed run-length code of an (H, W) bool mask. Raises ValueError where it is empty."""
    if not mask.any():
        raise ValueError("its mask is empty: it holds no pixel")
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [mask.shape[0], mask.shape[1]], "counts": code["counts"].decode()}


def plain_path(path: str) -> tuple[str, bool]:
    """A path with forward slashes and without its beginning (a drive, a root), and whether it had one: then it is of
    this or another machine, and not relative to the export."""
    pure = PureWindowsPath(path)
    elsewhere = bool(pure.anchor)
    return "/".join(pure.parts[1:] if elsewhere else pure.parts), elsewhere


def told_apart(paths: Collection[tuple[str, bool]]) -> dict[str, str]:
    """What to call images by their ``plain_path``: the file's name alone for those of a machine, where no other path
    ends in it; else the path."""
    ends: dict[str, set[str]] = defaultdict(set)
    for path, _ in paths:
        ends[path.rpartition("/")[2]].add(path)
    names = {}
    for path, elsewhere in paths:
        end = path.rpartition("/")[2]
        names[path] = end if elsewhere and len(ends[end]) == 1 else path
    return names


def write_json(value: Any, out: Path) -> None:
    """Writes a value as JSON, whole or not at all. Names of files that are no text stand there as escapes (\\udcff)."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = json.dumps(value, allow_nan=False, indent=1).encode()
    write_whole(out, data)
