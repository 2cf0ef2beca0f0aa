"""The birds of PASCAL-Part as Appendix A of the paper prepares them: one crop per bird, ten parts, few of them left.

Steps, in the paper's order, each an object's possible end: cropped around its mask with a margin of 20 pixels; dropped
where another instance shows in the crop, where it is no bird, where it has no parts; 13 part names become 10 (legs
with their feet, the neck as ``--neck`` says); dropped where the crop's width or height is at most 80 pixels, and where
it shows mostly a head: area of the body at most 0.95 times that of the head.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from coarseparts.data.images import decode, probe
from coarseparts.data.prepare.archives import read_image_set
from coarseparts.data.prepare.output import Item, Made, Output
from coarseparts.data.prepare.pascal_part import PascalObject, read_pascal_part
from coarseparts.data.synthetic.anatomy import PARTS
from coarseparts.system.problems import BadInput, Problem, errors

PART_OF = {
    "beak": "beak",
    "head": "head",
    "leye": "left_eye",
    "reye": "right_eye",
    "lleg": "left_leg",
    "lfoot": "left_leg",
    "rleg": "right_leg",
    "rfoot": "right_leg",
    "lwing": "left_wing",
    "rwing": "right_wing",
    "tail": "tail",
    "torso": "torso",
    "neck": "head",
}
"""PASCAL-Part's names of a bird's parts and what becomes of them."""

MARGIN, SMALLEST, BODY_TO_HEAD = 20, 80, 0.95
"""Appendix A: pixels around the mask; crops of at most so many pixels are dropped; so are ratios of at most this."""

STEPS = {
    "others": "another instance shows in the crop",
    "class": "no bird",
    "unlabelled": "no parts labelled",
    "small": f"crop at most {SMALLEST} pixels wide or high",
    "head": f"mostly head: area of body to head at most {BODY_TO_HEAD}",
}
"""Why an object is dropped, in Appendix A's order."""

PAPER_BIRDS, PAPER_PHOTOGRAPHS = 536, 625
"""What the paper is left with, and how many photographs with a bird it starts from."""

FOLDER = "pascal"

ROOM = 20_000
"""Bytes per annotation file, on average: most hold no bird."""


@dataclass(frozen=True)
class Rules:
    """Where the paper can be read in two ways. ``neck``: its pixels belong to the head (section 4.1), or are not
    labelled as a part of their own (Appendix A), which leaves them to the torso where that reaches below them.
    ``body``, against which the head is weighed: the torso, or everything but head, beak and eyes."""

    neck: Literal["head", "drop"] = "head"
    body: Literal["torso", "rest"] = "torso"


def bird_items(voc: Path, annotations: Path, rules: Rules) -> list[Item]:
    """An item for each annotation file, named by its photograph: crops and part masks of its birds.

    Facts of an item: ``outcomes``, for each object "kept" or the key of ``STEPS`` that dropped it, and ``birds``, how
    many of its objects are.
    """
    items = []
    for path in sorted(annotations.glob("*.mat")):
        photograph = voc / "JPEGImages" / f"{path.stem}.jpg"
        settings = ["pascal", asdict(rules), MARGIN, SMALLEST, BODY_TO_HEAD]
        items.append(
            Item(f"pascal/{path.stem}", (path, photograph), partial(cut, path, photograph, rules), settings, ROOM)
        )
    return items


def crop_name(photograph: str, number: int) -> str:
    """What the crop of a photograph's object (from 1) is called."""
    return f"{photograph}-{number}"


def cut(annotation: Path, photograph: Path, rules: Rules) -> Made:
    """The crops and part masks of one photograph. Raises BadInput for damaged files, a photograph that is missing or
    of another size, and parts of unknown names."""
    objects = read_pascal_part(annotation)
    outcomes, crops, problems = [], {}, []
    for number, found in enumerate(objects, 1):
        try:
            outcome, box, parts = judge(found, [o for o in objects if o is not found], rules)
        except ValueError as error:
            remedy = f"expected of a bird: {', '.join(sorted(PART_OF))}"
            problems.append(Problem(str(annotation), f"object {number}: {error}", remedy))
            continue
        outcomes.append(outcome)
        if outcome == "kept":
            crops[crop_name(annotation.stem, number)] = box, parts
    birds = sum(found.category == "bird" for found in objects)
    if birds and not photograph.is_file():
        problems.append(Problem(str(photograph), "does not exist", "unpack all of VOC 2010's JPEGImages"))
    elif birds:
        height, width = objects[0].mask.shape
        try:
            problems += _size_problems(photograph, annotation, (width, height))
        except BadInput as bad:
            problems += bad.problems
    if errors(problems):
        raise BadInput(problems)
    files = {}
    if crops:
        image, repaired = decode(photograph)
        problems += repaired
        for name, ((x0, y0, x1, y1), parts) in crops.items():
            files[f"{FOLDER}/images/{name}.png"] = png(image[y0:y1, x0:x1])
            files[f"{FOLDER}/part_masks/{name}.png"] = png(parts)
    return Made(files, {"outcomes": outcomes, "birds": birds}, problems)


def judge(
    found: PascalObject, others: Iterable[PascalObject], rules: Rules
) -> tuple[str, tuple[int, int, int, int], np.ndarray]:
    """ "kept" or the step that drops an object; its crop (x0, y0, x1, y1) and part indices (H, W) uint8 of the crop.
    Raises ValueError for a bird with a part of an unknown name."""
    height, width = found.mask.shape
    columns, rows = np.flatnonzero(found.mask.any(0)), np.flatnonzero(found.mask.any(1))
    x0, x1 = max(int(columns[0]) - MARGIN, 0), min(int(columns[-1]) + 1 + MARGIN, width)
    y0, y1 = max(int(rows[0]) - MARGIN, 0), min(int(rows[-1]) + 1 + MARGIN, height)
    box, nothing = (x0, y0, x1, y1), np.zeros((0, 0), np.uint8)
    if found.category == "bird" and (unknown := [name for name, _ in found.parts if name not in PART_OF]):
        raise ValueError(f"unknown part {', '.join(unknown)}")
    if any(other.mask[y0:y1, x0:x1].any() for other in others):
        return "others", box, nothing
    if found.category != "bird":
        return "class", box, nothing
    areas = [(name, area[y0:y1, x0:x1]) for name, area in found.parts]
    without_neck = draw([(name, area) for name, area in areas if name != "neck"], (y1 - y0, x1 - x0))
    parts = draw(areas, without_neck.shape) if rules.neck == "head" else without_neck
    if not parts.any():
        return "unlabelled", box, nothing
    if min(parts.shape) <= SMALLEST:
        return "small", box, nothing
    if mostly_head(without_neck, rules.body):  # without the neck, as in Appendix A: the same birds for either --neck
        return "head", box, nothing
    return "kept", box, parts


def draw(areas: list[tuple[str, np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8 part indices of masks under PASCAL-Part's names; where they overlap, the smaller one is on top (an
    eye on its head, a beak on the head that reaches below it)."""
    parts = np.zeros(shape, np.uint8)
    for name, area in sorted(areas, key=lambda pair: -int(pair[1].sum())):
        parts[area] = PARTS.index(PART_OF[name]) + 1
    return parts


def mostly_head(parts: np.ndarray, body: str) -> bool:
    """Whether the area of the body is at most 0.95 times that of the head; without a head, never."""
    counts = dict(zip(PARTS, np.bincount(parts.ravel(), minlength=len(PARTS) + 1)[1:].tolist(), strict=True))
    of_head = ("head", "beak", "left_eye", "right_eye")
    weighed = counts["torso"] if body == "torso" else sum(n for name, n in counts.items() if name not in of_head)
    return bool(counts["head"]) and weighed <= BODY_TO_HEAD * counts["head"]


def funnel(outcomes: Iterable[str]) -> list[tuple[str, int, int]]:
    """Rows (step, objects that it dropped, objects that are left) from all objects to the crops."""
    counts = Counter(outcomes)
    left = sum(counts.values())
    rows = [("objects", 0, left)]
    for key, text in STEPS.items():
        left -= counts[key]
        rows.append((text, counts[key], left))
    return rows


def split_birds(crops: Mapping[str, list[str]], train: set[str], seed: int) -> dict[str, str]:
    """The split of each crop. ``crops``: photograph -> its crops; those of ``train`` (VOC's own list) are for training,
    the others are dealt to val and test at random, half each, the crops of a photograph together."""
    splits = {name: "train" for photograph, names in crops.items() if photograph in train for name in names}
    rest = sorted(photograph for photograph in crops if photograph not in train)
    half = sum(len(crops[photograph]) for photograph in rest) // 2  # the paper: 132 and 133
    taken = 0
    for photograph in np.random.default_rng(seed).permutation(np.array(rest, object)):
        names = crops[photograph]
        split = "val" if taken + len(names) <= half else "test"
        taken += len(names) * (split == "val")
        splits |= dict.fromkeys(names, split)
    return splits


@dataclass
class Birds:
    """PASCAL's crops: ``splits`` by crop; ``funnel``; how many photographs show a bird; names a split file may use."""

    splits: dict[str, str] = field(default_factory=dict)
    funnel: list[tuple[str, int, int]] = field(default_factory=list)
    photographs: int = 0
    known: set[str] = field(default_factory=set)


def prepare_birds(
    output: Output, voc: Path, annotations: Path, rules: Rules, dealt: Mapping[str, str], seed: int
) -> Birds:
    """Cut all birds and deal them to the splits: VOC's ``train.txt``, ``dealt`` (by crop or photograph), ``seed``."""
    train = read_image_set(voc, "train", output.problems)
    rest = read_image_set(voc, "val", output.problems)
    items = bird_items(voc, annotations, rules)
    facts = {name.partition("/")[2]: found for name, found in output.make(items).items()}
    crops = {}
    for photograph, found in facts.items():
        kept = [number for number, outcome in enumerate(found["outcomes"], 1) if outcome == "kept"]
        if kept:
            crops[photograph] = [crop_name(photograph, number) for number in kept]
    outside = [name for name in crops if name not in train and name not in rest]
    if outside and (train or rest):
        message = f"neither train.txt nor val.txt names {', '.join(outside[:5])}{' and more' * (len(outside) > 5)}"
        folder = str(voc / "ImageSets" / "Main")
        output.problems.append(Problem(folder, f"{message} ({len(outside)})", "dealt to val and test", "note"))
    given = {name: split for photo in crops for name in crops[photo] if (split := dealt.get(name, dealt.get(photo)))}
    free = {photo: left for photo, names in crops.items() if (left := [n for n in names if n not in given])}
    splits = given | split_birds(free, train, seed)
    rows = funnel(outcome for found in facts.values() for outcome in found["outcomes"])
    known = {name for names in crops.values() for name in names} | crops.keys()
    return Birds(dict(sorted(splits.items())), rows, sum(f["birds"] > 0 for f in facts.values()), known)


def png(array: np.ndarray) -> bytes:
    """An image (H, W) or (H, W, 3) uint8 as a PNG file, compressed for speed."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _size_problems(photograph: Path, annotation: Path, expected: tuple[int, int]) -> list[Problem]:
    size: Any = probe(photograph)
    if size == expected:
        return []
    message = f"is {size[0]}x{size[1]} pixels, the masks of {annotation} are {expected[0]}x{expected[1]}"
    return [Problem(str(photograph), message, "take both from VOC 2010 and its PASCAL-Part annotations")]
