"""YOLO folders: data.yaml, images, and a text file of labels for each, a line an object, in shares of the image.

A line is a class and a box (centre, width, height); or a class, a box and keypoints, where data.yaml says how many
(``kpt_shape``); or a class and a polygon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import DocumentBuilder, Keypoints, head
from coarseparts.data.formats.labelmap import BACKGROUND
from coarseparts.data.formats.yolo_folder import label_file, write
from coarseparts.data.formats.yolo_layout import labels_elsewhere, named_splits, root_of, unused_labels
from coarseparts.data.images import list_images, probe
from coarseparts.labels.schema import MOST_KEYPOINTS
from coarseparts.system.documents import DocumentError, encoding_of, load_yaml
from coarseparts.system.problems import BadInput, Problem, unreadable
from coarseparts.system.text import abridged, listed, short

__all__ = ["NAME", "read", "recognises", "write"]

NAME = "YOLO"

REMEDY = "export again as YOLO with images, or copy them into its folder images: data.yaml and labels lie beside it"

MOST_BYTES = 20_000_000
"""Bytes of a file of labels, and of a list of names."""

BACKSLASHES = "backslashes in double quotes mean other signs in YAML: write / in their place, or single quotes"

_QUOTED = re.compile(rb'"[^"\n]*\\[^"\n]*"')
"""A text in double quotes with a backslash, as in Windows' paths."""

_NUMERIC = re.compile(r"[-+.,\deE]+")

_COMMAS = re.compile(r"-?\d+(,\d+([eE][+-]?\d+)?)?")
"""A number with a comma for its decimal point, or a whole one."""

BEYOND = 2.0
"""A share of the image beyond which it is no share: a little outside is usual."""


def recognises(path: Path) -> bool:
    """Whether a folder is, or lies in, one with data.yaml or a list of classes and labels; or a file is such a yaml."""
    return root_of(path) is not None


@dataclass(frozen=True)
class Config:
    """What data.yaml says. ``shape``: (keypoints, numbers of each), None where there are none; ``keypoints``: their
    names by class; ``mirror``: pairs of them that swap on a flip; ``outlines``: polygons are outlines, whatever shape
    they have."""

    names: dict[int, str]
    shape: tuple[int, int] | None = None
    keypoints: dict[int, list[str]] = field(default_factory=dict)
    mirror: list[tuple[str, str]] = field(default_factory=list)
    outlines: bool = False


def read(path: Path) -> Document:
    """What a folder says; images are named relative to it. Images without a file of labels, or with an empty one, are
    unlabelled. Raises BadInput."""
    found = root_of(path)
    if found is None:
        raise BadInput(Problem(str(path), "is no YOLO data set: there is no data.yaml with names", REMEDY))
    root, file = found
    builder = DocumentBuilder(path)
    config = _config(file, builder)
    under = root if path.is_file() else path
    images = list_images(under)
    if not images:
        message = "holds no image, expected the images beside the labels: a share of an image says nothing without it"
        raise BadInput(Problem(str(under), message, REMEDY))
    lines = _Lines(config, builder)
    whole = root.absolute()
    labels = {name: whole / label_file(image.absolute().relative_to(whole)) for name, image in images}
    unused = unused_labels(under, set(labels.values()))
    labels |= labels_elsewhere(labels, unused, whole, builder)
    _say_unused(unused - set(labels.values()), builder)
    for name, image in images:
        lines.of_image(name, image, labels[name])
    lines.add()
    return builder.document(config.mirror)


def _say_unused(files: set[Path], builder: DocumentBuilder) -> None:
    """A problem of files of labels that no image has."""
    if files:
        came = f"{len(files):,} files of labels have no image: {listed(map(abridged, sorted(map(str, files))))}"
        remedy = "labels lie beside their images, or in a folder labels beside one called images; or remove these files"
        builder.say(came, remedy)


def _config(file: Path, builder: DocumentBuilder) -> Config:
    """What data.yaml, or a list of classes, says. Raises BadInput."""
    if file.suffix.lower() not in (".yaml", ".yml"):
        return Config(dict(enumerate(line.strip() for line in _lines_of(file) if line.strip())))
    try:
        raw = load_yaml(file)
    except OSError as error:
        raise BadInput(unreadable(file, error, REMEDY)) from None
    except DocumentError as error:
        remedy = BACKSLASHES if _QUOTED.search(head(file)) else REMEDY
        raise BadInput(Problem(str(file), str(error), remedy)) from None
    raw = raw if isinstance(raw, dict) else {}
    names = _by_number(raw.get("names"))
    if names is None or not all(isinstance(name, str | int | float) for name in names.values()):
        message = f"names is {short(raw.get('names'))}, expected a list of names or 0: name, 1: name, ..."
        raise BadInput(Problem(str(file), message, REMEDY))
    classes = {number: str(name) for number, name in names.items()}
    if lists := [value for _, value in named_splits(raw) if value.endswith(".txt")]:
        message = f"divides its images by lists: {listed(map(abridged, lists))}"
        remedy = "init takes train.txt, val.txt and test.txt; name others by `only` in a source of each split"
        builder.say(message, remedy, "note", file)
    return _with_keypoints(file, raw, classes, builder)


def _by_number(value: Any) -> dict[int, Any] | None:
    """A list, or a mapping from numbers, as the latter."""
    if isinstance(value, list):
        return dict(enumerate(value))
    if isinstance(value, dict) and all(type(key) is int or (isinstance(key, str) and key.isdecimal()) for key in value):
        return {int(key): each for key, each in value.items()}
    return None


def _with_keypoints(file: Path, raw: dict, classes: dict[int, str], builder: DocumentBuilder) -> Config:
    """Raises BadInput where ``kpt_shape`` makes no sense; other keys that make none are problems."""
    shape = raw.get("kpt_shape")
    if shape is None:
        return Config(classes, outlines=raw.get("task") == "segment")
    numbers = shape if isinstance(shape, list) else []
    whole = len(numbers) == 2 and all(type(n) is int for n in numbers)
    if not whole or not 0 < numbers[0] <= MOST_KEYPOINTS or numbers[1] not in (2, 3):
        message = f"kpt_shape is {short(shape)}, expected [number of keypoints, 2 or 3]"
        raise BadInput(Problem(str(file), message, REMEDY))
    count = numbers[0]
    default = [f"keypoint_{i}" for i in range(count)]
    given = raw.get("kpt_names", raw.get("node_names"))
    if isinstance(given, list) and not any(isinstance(each, list) for each in given):
        given = dict.fromkeys(classes, given)
    named = _by_number(given)
    keypoints = {}
    for number in classes:
        each = given if named is None else named.get(number, named.get(0) if len(named) == 1 else None)
        names = [str(name) for name in each] if isinstance(each, list) else default
        if given is not None and (len(set(names)) != count or len(names) != count or not isinstance(each, list)):
            came = f"kpt_names has {short(each)} for class {number}, expected {count} different names"
            builder.say(came, "correct it; keypoint_0, keypoint_1, ... are their names now", "note", file)
            names = default
        keypoints[number] = names
    if given is None:
        builder.say("does not name its keypoints; they are keypoint_0, keypoint_1, ...", "add kpt_names", "note", file)
    flip = raw.get("flip_idx")
    if flip is not None and (not isinstance(flip, list) or any(type(i) is not int for i in flip)):
        flip = [-1]
    if flip is not None and (sorted(flip) != list(range(count)) or any(flip[flip[i]] != i for i in flip)):
        came = f"flip_idx is {short(raw['flip_idx'])}, expected the {count} keypoints as they stand in a mirror"
        builder.say(came, "correct it, or state the pairs under keypoint_mirror; it is not used", "note", file)
        flip = None
    pairs = [(i, j) for i, j in enumerate(flip or ()) if i < j]
    mirror = dict.fromkeys((names[i], names[j]) for names in keypoints.values() for i, j in pairs)
    return Config(classes, (count, numbers[1]), keypoints, list(mirror))


def _lines_of(file: Path) -> list[str]:
    """Raises BadInput."""
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise BadInput(Problem(str(file), f"has {size:,} bytes, expected at most {MOST_BYTES:,}", REMEDY))
        return file.read_text(encoding=encoding_of(file)).splitlines()
    except OSError as error:
        raise BadInput(unreadable(file, error, "give yourself permission to read it")) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(file), "is no text in UTF-8", REMEDY)) from None


class _NoClass(ValueError):
    """A line's class has no name."""


@dataclass(frozen=True)
class _Polygon:
    """A polygon, (n, 2) corners in pixels: whether they all are boxes is known when all have been read."""

    image: int
    category: str
    corners: np.ndarray


class _Lines:
    """Reads files of labels, one after the other, into annotations of a builder."""

    def __init__(self, config: Config, builder: DocumentBuilder):
        self._config, self._builder = config, builder
        self._polygons: list[_Polygon] = []
        self._classes: set[int] = set()
        self._beyond: list[tuple[Path, str]] = []

    def of_image(self, name: str, file: Path, labels: Path) -> None:
        """Adds an image and what its file of labels says, if there is one."""
        try:
            size = probe(file)
            lines = _lines_of(labels) if labels.exists() else []
        except BadInput as error:
            for problem in error.problems:
                self._builder.say(problem.message, problem.remedy, file=Path(problem.file))
            return
        image = self._builder.image(name, size)
        if not any(line.strip() for line in lines):
            what = "have an empty file of labels" if labels.exists() else "have no file of labels"
            self._builder.pass_over(f"images {what}: they are unlabelled")
        for number, line in enumerate(lines, 1):
            if image is None or not line.strip():
                continue
            try:
                self._add(image, size, self._words(line))
            except _NoClass as error:
                self._beyond.append((labels, f"line {number}: {error}"))
            except ValueError as error:
                self._builder.say(f"line {number}: {error}", "correct the line, or export again", file=labels)

    def _words(self, line: str) -> list[str]:
        """What stands in a line, decimal commas as points. Raises ValueError where its numbers are parted by something
        else than spaces."""
        words = line.split()
        if len(words) in (9, 10) and not _NUMERIC.fullmatch(words[8]):
            raise ValueError("is corners and a name (DOTA), expected a class and shares: Roboflow's YOLOv8 OBB")
        if "," in line and all(_COMMAS.fullmatch(word) for word in words):
            self._builder.pass_over("lines have decimal commas, which are read as points")
            return [word.replace(",", ".") for word in words]
        if between := next((sign for sign in ";," if sign in line), None):
            raise ValueError(f"its numbers are parted by {between!r}, expected spaces")
        return words

    def _add(self, image: int, size: tuple[int, int], words: list[str]) -> None:
        """Adds the object of a line. Raises ValueError."""
        numbers = [_number(word) for word in words]
        if numbers[0] % 1 == 0:
            self._classes.add(int(numbers[0]))
        if numbers[0] not in self._config.names:
            raise _NoClass(f"class {short(words[0])} is none of the {len(self._config.names)} that data.yaml names")
        number = int(numbers[0])
        category, rest = self._config.names[number], numbers[1:]
        shares = np.array(rest[:4] if self._config.shape else rest[: len(rest) // 2 * 2])
        if shares.size and max(abs(shares)) > BEYOND:
            raise ValueError(f"{max(abs(shares)):g} is no share of the image, expected 0..1: are these pixels?")
        if len(rest) in (4, 5):
            score = rest[4] if len(rest) == 5 else None
            if score is not None and not 0 <= score <= 1:
                raise ValueError(f"the score {score:g} is not in 0..1")
            self._builder.add(image, category, bbox=_box(rest, size), score=score)
        elif self._config.shape is not None:
            points = self._keypoints(rest[4:], self._config.keypoints[number], size)
            self._builder.add(image, category, keypoints=points, bbox=_box(rest, size))
            self._builder.category(category, self._config.keypoints[number])
        elif len(rest) < 6 or len(rest) % 2:
            came = f"{len(words)} numbers, expected a class and 4 (a box), or x and y of 3 corners or more"
            raise ValueError(f"{came}; of keypoints data.yaml must give the kpt_shape")
        elif _are_keypoints(rest):
            raise ValueError("a box and keypoints with visibility, but kpt_shape is missing in data.yaml")
        else:
            self._polygons.append(_Polygon(image, category, np.array(rest).reshape(-1, 2) * size))

    def _keypoints(self, numbers: list[float], names: list[str], size: tuple[int, int]) -> Keypoints:
        """Those that are labelled. Without visibility, one at or beyond the image's corner is not."""
        assert self._config.shape is not None
        count, width = self._config.shape
        if len(numbers) != count * width:
            came = f"{len(numbers)} numbers of keypoints, expected {count} x {width}"
            raise ValueError(f"{came}: is kpt_shape of data.yaml right?")
        found: Keypoints = {}
        for name, (x, y, *seen) in zip(names, np.array(numbers).reshape(count, width).tolist(), strict=True):
            visibility = seen[0] if seen else 2.0 * (x > 0 or y > 0) * (x >= 0 and y >= 0)
            if visibility not in (0, 1, 2):
                raise ValueError(f"visibility {visibility:g}, expected 0, 1 or 2: are these predictions?")
            if visibility and max(abs(x), abs(y)) > BEYOND:
                raise ValueError(f"{max(abs(x), abs(y)):g} is no share of the image, expected 0..1: are these pixels?")
            if visibility:
                found[name] = (x * size[0], y * size[1], int(visibility))
        return found

    def add(self) -> None:
        """Adds the polygons, once all are known: as boxes where all of them are (turned) rectangles."""
        self._say_classes()
        boxes = len(self._polygons) > 0 and all(map(_is_rectangle, (one.corners for one in self._polygons)))
        boxes = boxes and not self._config.outlines
        if boxes:
            what = "polygons are all that there are, and all are rectangles: the upright box around each is used"
            remedy = "write `task: segment` into data.yaml if they are outlines"
            self._builder.pass_over(what, remedy, len(self._polygons))
        lengths = {len(one.corners) for one in self._polygons}
        if len(self._polygons) > 2 and len(lengths) == 1 and not boxes:
            came = f"every polygon has {lengths.pop()} corners"
            self._builder.say(came, "if they are keypoints, write kpt_shape into data.yaml", "note")
        for one in self._polygons:
            if boxes:
                low, high = one.corners.min(0), one.corners.max(0)
                self._builder.add(one.image, one.category, bbox=[*low.tolist(), *(high - low).tolist()])
            else:
                self._builder.add(one.image, one.category, segmentation=[one.corners.ravel().tolist()])

    def _say_classes(self) -> None:
        """Problems of lines whose class has no name, and of classes that seem to begin at 1."""
        names, beyond = self._config.names, self._beyond
        count = len(names)
        named = 0 in names and (beyond or (count > 2 and names[0].lower() not in BACKGROUND))
        if named and self._classes == {*range(1, count + bool(beyond))}:
            right = ", ".join(f"{i}: {abridged(names.get(i - 1, '?'))}" for i in range(1, count + 1))
            lacking = f", and {len(beyond):,} have {count}, which has no name" if beyond else ""
            message = f"no line has the class 0 ({abridged(names[0])}){lacking}: do the classes begin at 1?"
            remedy = f"if so, write `names: {{{right}}}` into data.yaml"
            self._builder.say(message, remedy, "error" if beyond else "note")
            beyond = []
        for file, message in beyond:
            self._builder.say(message, "correct the line, or export again", file=file)


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{short(word)} is no number")
    return value


def _box(rest: list[float], size: tuple[int, int]) -> list[float]:
    """[x, y, width, height] in pixels. Raises ValueError."""
    x, y, width, height = rest[:4]
    if width <= 0 or height <= 0:
        raise ValueError(f"a box of {width:g} x {height:g}, expected an area")
    return [(x - width / 2) * size[0], (y - height / 2) * size[1], width * size[0], height * size[1]]


def _are_keypoints(rest: list[float]) -> bool:
    """Whether a line is a box and keypoints with visibility: every third number is 0, 1 or 2."""
    return len(rest) >= 10 and (len(rest) - 4) % 3 == 0 and set(rest[6::3]) <= {0.0, 1.0, 2.0}


def _is_rectangle(corners: np.ndarray) -> bool:
    """Whether (n, 2) corners in pixels are those of a rectangle, turned or not, as nearly as a hand draws none."""
    if len(corners) != 4:
        return False
    one, other = corners[2] - corners[0], corners[3] - corners[1]
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    middles = np.abs(corners[0] + corners[2] - corners[1] - corners[3]).max()
    return bool(max(middles, abs(lengths[0] - lengths[1])) <= min(1.0, max(lengths) / 50))
