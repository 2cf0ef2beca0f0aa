"""The structure of a COCO file: its images, categories and annotations, as far as ids, names and sizes make sense.

The JSON is parsed here rather than by pycocotools, which trusts its input: a malformed file can crash the process.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coarseparts.data.formats.annotation import inside
from coarseparts.data.formats.coco_lists import CROWDED, MOST_ANNOTATIONS, read_lists
from coarseparts.data.formats.habits import are_boxes
from coarseparts.data.formats.spelling import plain, spelt_otherwise
from coarseparts.data.formats.units import MOST
from coarseparts.data.namesakes import renamed
from coarseparts.labels.schema import MOST_KEYPOINTS, unfit
from coarseparts.system.problems import BadInput, Problem, capped
from coarseparts.system.text import abridged, close_to, listed, short

_AS_FLOAT = re.compile(r"^(-?\d{1,15})\.0+$")
"""A whole number that went through a table with gaps, as a text."""


_SIDE = re.compile(r"^\s*\d{1,9}(\.0*)?\s*$")
"""A number of pixels that was written as a text."""


class Broken(ValueError):
    """An entry or a label that cannot be used, with what to do about it."""

    def __init__(self, message: str, remedy: str):
        super().__init__(message)
        self.remedy = remedy


@dataclass
class CocoFile:
    """A COCO file's entries that make sense by themselves: ``images`` id -> (relative path, (width, height) or None),
    ``named`` relative path -> id, ``categories`` id -> (name, keypoint names), ``annotations`` with a known image and
    category, without ``crowds`` (``_keep_regions``). Ids are texts (``identity``). ``broken_...``: ids of entries with
    an error; ``incomplete``: ids of images of which an annotation is left out because of one; ``same``: ids of
    images that are listed once more, and those that they have here; ``points``: how many annotations became keypoints
    of another one."""

    path: Path
    images: dict[str, tuple[str, tuple[int, int] | None]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    categories: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    annotations: list[dict] = field(default_factory=list)
    crowds: list[dict] = field(default_factory=list)
    broken_images: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    broken_categories: set[str] = field(default_factory=set)
    same: dict[str, str] = field(default_factory=dict)
    points: int = 0
    problems: list[Problem] = field(default_factory=list)

    def say(self, message: str, remedy: str, severity: str = "error") -> None:
        """Add a finding about this file."""
        self.problems.append(Problem(str(self.path), message, remedy, severity))  # type: ignore[arg-type]


def load_coco(
    path: Path, photographs: frozenset[str] = frozenset(), parts: Sequence[str] = (), as_drawn: bool = False
) -> CocoFile:
    """Parse a COCO file. An image whose name leads out of the folder of ``photographs``, as a path of another machine,
    is the one of these that is meant (``namesakes``); a category that spells one of ``parts`` has its name; outlines
    that are their boxes are boxes, unless all are meant ``as_drawn``. Raises BadInput when it is no JSON or has not the
    three lists; what is wrong inside them goes to ``problems`` and is left out."""
    lists = read_lists(path)
    images, told = renamed(lists["images"], photographs, str(path), outside_alone=True)
    coco = of_lists(path, lists | {"images": images}, as_drawn)
    coco.problems += told
    meant, note = spelt_otherwise({name: bool(names) for name, names in coco.categories.values()}, parts)
    if meant:
        coco.categories = {key: (meant.get(name, name), names) for key, (name, names) in coco.categories.items()}
        coco.say(note, "", "note")
    return coco


def of_lists(path: Path, lists: Mapping[str, list], as_drawn: bool = False) -> CocoFile:
    """``load_coco`` of the three lists images, categories and annotations that a file ``path`` says."""
    coco = CocoFile(path)
    _refuse_crowding(path, lists["annotations"])
    for i, entry in enumerate(lists["images"]):
        _add_image(coco, i, entry)
    if coco.same:
        message = f"{len(coco.same):,} images are listed twice, with an id each, and taken for one each"
        coco.say(message, "", "note")
    for i, entry in enumerate(lists["categories"]):
        _add_category(coco, i, entry)
    named = {name for _, names in coco.categories.values() for name in names}
    if len(named) > MOST_KEYPOINTS:
        came = f"has {len(named):,} names of keypoints in all its categories, expected at most {MOST_KEYPOINTS:,}"
        raise BadInput(Problem(str(path), came, "is the list of names the right one? export the file again"))
    _keep_usable(coco, lists["annotations"])
    if not as_drawn:
        _without_drawn_boxes(coco)
    return coco


def _without_drawn_boxes(coco: CocoFile) -> None:
    """Takes the outlines of the categories away whose are their boxes (``habits.are_boxes``); a note says of which."""
    of_category: dict[str, list[dict]] = defaultdict(list)
    for entry in coco.annotations:
        of_category[entry["category_id"]].append(entry)
    boxed = {key for key, own in of_category.items() if are_boxes(own)}
    if boxed:
        coco.annotations = [
            one | {"segmentation": None} if one["category_id"] in boxed else one for one in coco.annotations
        ]
        names = listed(abridged(coco.categories[key][0]) for key in boxed)
        coco.say(f"all outlines of {names} are rectangles, their boxes, and taken for boxes alone", "", "note")


def _refuse_crowding(path: Path, annotations: list) -> None:
    """Raises BadInput where an image has more annotations than any has that somebody drew."""
    if len(annotations) <= MOST_ANNOTATIONS:
        return
    written = (entry.get("image_id") for entry in annotations if isinstance(entry, dict))
    counts: Counter[str | None] = Counter()
    for value, count in Counter(value for value in written if isinstance(value, int | float | str)).items():
        counts[identity(value)] += count
    crowded = [(image, count) for image, count in counts.items() if count > MOST_ANNOTATIONS and image is not None]
    if crowded:
        at_most = f"expected at most {MOST_ANNOTATIONS:,}"
        told = (f"image {abridged(image)} has {count:,} annotations, {at_most}" for image, count in crowded)
        raise BadInput(capped(Problem(str(path), message, CROWDED) for message in told))


def _add_image(coco: CocoFile, i: int, entry: Any) -> None:
    key = _id_of(coco, f"images[{i}]", entry)
    if key is None:
        return
    try:
        name = inside(entry.get("file_name"))
        if key in coco.images or key in coco.same:
            coco.say(f"image id {key} stands twice ({coco.images[coco.same.get(key, key)][0]}, {name})", "renumber one")
        elif name in coco.named and len({coco.images[coco.named[name]][1], _stated_size(entry)} - {None}) > 1:
            message = f"image {name} is listed twice, with the ids {coco.named[name]} and {key}, and two sizes"
            coco.say(message, "keep one entry")
        elif name in coco.named:
            coco.same[key] = coco.named[name]
            return
        else:
            coco.named[name] = key
            coco.images[key] = (name, _stated_size(entry))
            return
    except Broken as broken:
        coco.say(f"image {key}: {broken}", broken.remedy)
    except ValueError as error:
        coco.say(f"image {key}: {error}", "write it relative to the image folder, and inside it")
    coco.broken_images.add(key)


def _stated_size(entry: dict) -> tuple[int, int] | None:
    """(width, height) of an image; None where one of them is missing or 0, as tools write that do not know it."""
    sides = []
    for key in ("width", "height"):
        value = entry.get(key)
        if isinstance(value, str) and _SIDE.match(value):
            value = float(value)
        if type(value) not in (int, float, type(None)) or not 0 <= (value or 0) <= MOST or (value or 0) % 1:
            raise Broken(f"{key} is {short(value)}", "expected a whole number of pixels, or none")
        sides.append(int(value or 0))
    return (sides[0], sides[1]) if all(sides) else None


def _add_category(coco: CocoFile, i: int, entry: Any) -> None:
    key = _id_of(coco, f"categories[{i}]", entry)
    if key is None:
        return
    name = entry.get("name", key)
    name = identity(name) if isinstance(name, int | float) else name
    names = [] if _is_none(entry.get("keypoints")) else entry["keypoints"]
    where = f"categories[{i}]"
    if key in coco.categories:
        coco.say(f"category id {key} stands twice", "renumber one")
    elif not isinstance(name, str) or (why := unfit(name)):
        came = f"name {why}" if isinstance(name, str) else f"name is {short(entry['name'])}"
        coco.say(f"{where}: {came}", "expected a text: correct the name and export the file again")
    elif isinstance(names, list) and len(names) > MOST_KEYPOINTS:
        came = f"{where} has {len(names):,} keypoints, expected at most {MOST_KEYPOINTS:,}"
        coco.say(came, "is the list of names the right one? export the file again")
    elif not isinstance(names, list) or (odd := [v for v in names if not isinstance(v, str) or unfit(v)]):
        which = f", of which {short(odd[0])} is no name" if isinstance(names, list) else ""
        came = f"{where}: keypoints is {short(names)}{which}"
        coco.say(came, "expected a list of names, such as [head, tail]: export the file again")
    elif len(set(names)) < len(names):
        coco.say(f"{where} names a keypoint twice", "give every keypoint a name of its own")
    else:
        coco.categories[key] = (name, tuple(names))
        return
    coco.broken_categories.add(key)


def _is_none(value: Any) -> bool:
    """Whether nothing is said: null, or NaN as tables have it in its place."""
    return value is None or value != value


def _keep_usable(coco: CocoFile, annotations: list) -> None:
    """Adds the annotations whose ids make sense, those ids as the dictionaries of images and categories have them."""
    lost = 0
    crowds: list[dict] = []
    broken = (coco.broken_images - coco.images.keys(), coco.broken_categories - coco.categories.keys())
    seen: set[tuple] = set()
    for i, entry in enumerate(annotations):
        before = len(coco.problems) + lost
        key = _id_of(coco, f"annotations[{i}]", entry, f"#{i}")
        if not isinstance(entry, dict):
            continue
        image, category = identity(entry.get("image_id")), identity(entry.get("category_id"))
        image = coco.same.get(image, image) if image is not None else None
        where = f"annotation {abridged(key or '')}"
        crowd = 0 if _is_none(entry.get("iscrowd")) else entry["iscrowd"]
        crowd = {"0": 0, "1": 1}.get(crowd) if isinstance(crowd, str) else crowd
        if key is None:
            pass
        elif image in broken[0] or category in broken[1]:
            lost += 1
        elif image is None or image not in coco.images:
            remedy = "list it under images, or remove the annotation"
            coco.say(f"{where}: image {short(entry.get('image_id'))} is not listed", remedy)
        elif category is None or category not in coco.categories:
            coco.say(f"{where}: category {short(entry.get('category_id'))} is not listed", "list it under categories")
        elif (image, key) in seen:
            coco.say(f"annotation id {abridged(key)} stands twice at image {abridged(image)}", "renumber one")
        elif type(crowd) not in (int, float, bool) or crowd not in (0, 1):
            coco.say(f"{where}: iscrowd is {short(entry['iscrowd'])}", "expected 0 or 1")
        else:
            seen.add((image, key))
            kept = entry | {"id": key, "image_id": image, "category_id": category}
            (crowds if crowd else coco.annotations).append(kept)
        if image is not None and len(coco.problems) + lost > before:
            coco.incomplete.add(image)
    if lost:
        coco.say(f"{lost} annotations of images or categories with an error are left out", "", "note")
    _keep_regions(coco, crowds)


def _keep_regions(coco: CocoFile, crowds: list[dict]) -> None:
    """Of annotations with iscrowd 1 adds those that are their image's only one of their category, or of a category of
    which there are no others: brush tools write so every region that is no polygon. The others are crowds."""
    of = Counter((entry["image_id"], entry["category_id"]) for entry in (*coco.annotations, *crowds))
    plain = {entry["category_id"] for entry in coco.annotations if entry.get("segmentation")}
    lone = [entry for entry in crowds if of[entry["image_id"], entry["category_id"]] == 1]
    several = [entry for entry in crowds if of[entry["image_id"], entry["category_id"]] > 1]
    brushed = [entry for entry in several if entry["category_id"] not in plain]
    coco.crowds = [entry for entry in several if entry["category_id"] in plain]
    coco.annotations += lone + brushed
    if lone:
        message = f"{len(lone)} annotations with iscrowd 1 are their image's only ones of their category"
        coco.say(f"{message}, and are taken for the one region that they are", "", "note")
    if brushed:
        message = f"{len(brushed)} annotations with iscrowd 1 are of categories of which all have it"
        coco.say(f"{message}, and are taken for a region each", "", "note")


def divide_crowds(coco: CocoFile, parts: Collection[str]) -> None:
    """Adds the crowds that are of ``parts``, of which each outline counts: tools write masks with holes and pieces so.
    The others are left out, which a note says."""
    own = [entry for entry in coco.crowds if coco.categories[entry["category_id"]][0] in parts]
    coco.annotations += own
    if own:
        coco.say(f"{len(own)} annotations with iscrowd 1 are of parts, and are taken for regions of these", "", "note")
    if left := len(coco.crowds) - len(own):
        coco.say(f"{left} annotations are crowds (iscrowd) and left out", "", "note")
    coco.crowds = []


def leave_out_others(coco: CocoFile, kept: Sequence[str]) -> None:
    """Takes the annotations of the categories out that are not called as one of ``kept``; a note says of which, and an
    error which one of these a category was probably meant to be."""
    called = set(map(plain, kept))
    gone = {key: name for key, (name, _) in coco.categories.items() if plain(name) not in called}
    left = [entry for entry in coco.annotations if entry["category_id"] not in gone]
    counts = Counter(gone[entry["category_id"]] for entry in coco.annotations if entry["category_id"] in gone)
    coco.annotations = left
    named = {plain(name) for name, _ in coco.categories.values()}
    lacking = [name for name in kept if plain(name) not in named]
    for name in counts:
        if near := close_to(name, lacking):
            message = f"category {abridged(name)} is none of `objects` and `parts`"
            coco.say(message, f"did you mean {abridged(near)}? Write the names as the file has them")
    if counts:
        told = listed(f"{abridged(name)} ({count:,})" for name, count in counts.items())
        coco.say(f"annotations of categories that are none of `objects` are left out: {told}", "", "note")


def _id_of(coco: CocoFile, where: str, entry: Any, default: str | None = None) -> str | None:
    """The id of a list's entry, ``default`` where it has none; None, and a problem more, where there is none to use."""
    if not isinstance(entry, dict):
        coco.say(f"{where} is {short(entry)}, expected an object", "export the file again")
    elif "id" not in entry and default is None:
        coco.say(f"{where} has no id", "export the file again")
    else:
        key = identity(entry["id"]) if "id" in entry else default
        if key is None:
            coco.say(f"{where}: id is {short(entry['id'])}", "expected a whole number or a text: export the file again")
        return key
    return None


def where_of(key: str, image: str) -> str:
    """How messages call an annotation of an image."""
    return f"annotation {abridged(key)} ({abridged(image, 200)})"


def identity(value: Any) -> str | None:
    """An id as one text, however it is written: 3, 3.0, "3", "3.0" and " 3" are the same; None for what is no id."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:  # beyond, floats are no longer exact
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _AS_FLOAT.sub(r"\1", value.strip()) if isinstance(value, str) and not unfit(value) else None
