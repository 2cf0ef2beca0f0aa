"""Boxes of parts among the annotations of objects: which they are, and which may be a label of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from coarseparts.data.formats.coco_file import CocoFile, where_of
from coarseparts.data.formats.coco_values import is_nothing


def boxes_of_parts(coco: CocoFile, parts: Collection[str]) -> list[dict]:
    """A file's annotations that are nothing but a box and of a category that is a part."""
    named = [one for one in coco.annotations if coco.categories[one["category_id"]][0] in parts]
    return [
        one for one in named if _has_some(one.get("bbox")) and not _drawn(one) and not _has_some(one.get("keypoints"))
    ]


def _has_some(numbers: Any) -> bool:
    return isinstance(numbers, list) and any(number != 0 for number in numbers)


def _drawn(entry: dict) -> bool:
    return not is_nothing(entry.get("segmentation"))


def taken_apart(coco: CocoFile, boxes: list[dict], parts: Collection[str]) -> CocoFile | None:
    """Takes the ``boxes`` of parts out of a file, and the outlines of ``parts`` of images that lack what they show,
    which is said; the usable boxes as a file of their own, None where none is."""
    names = {key: name for key, (name, _) in coco.categories.items()}
    outlined = [one for one in coco.annotations if names[one["category_id"]] in parts and _drawn(one)]
    usable, wrong = _beside_outlines(boxes, outlined, names)
    for one in wrong:
        where = where_of(one["id"], coco.images[one["image_id"]][0])
        coco.say(
            f"{where}: {names[one['category_id']]} has a box and no outline, where other parts of the image are "
            "outlined: it would count as background",
            "outline this part, too, or remove the box and what shows the part from the image",
        )
    gone, broken = {id(one) for one in boxes}, {one["image_id"] for one in wrong}
    gone |= {id(one) for one in outlined if one["image_id"] in broken}
    coco.annotations = [one for one in coco.annotations if id(one) not in gone]
    if spare := len(boxes) - len(usable) - len(wrong):
        coco.say(f"{spare} boxes of parts are passed over, for their images have part masks", "", "note")
    if not usable:
        return None
    message = f"{len(usable)} annotations of parts that are boxes are taken for `part_boxes`"
    coco.say(f"{message}: a part without one cannot be seen in its image", "", "note")
    categories = {key: said for key, said in coco.categories.items() if said[0] in parts}
    return replace(coco, annotations=usable, categories=categories)


def _beside_outlines(
    boxes: Sequence[dict], drawn: Sequence[dict], names: Mapping[str, str]
) -> tuple[list[dict], list[dict]]:
    """The boxes of images without an outline of a part; and those whose part the outlines of their image lack, which
    cannot be used. The others say nothing that the outlines do not say."""
    of: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for entry in drawn:
        of[entry["image_id"]].add(_who(entry, names))
    usable, wrong = [], []
    for box in boxes:
        there, (group, part) = of.get(box["image_id"], set()), _who(box, names)
        groups = {own for own, _ in there}
        same = any(part == other and (own == group or not own or not group) for own, other in there)
        another = bool(group) and "" not in groups and group not in groups  # an object that is not outlined at all
        if not there:
            usable.append(box)
        elif not same and not another:
            wrong.append(box)
    return usable, wrong


def _who(entry: dict, names: Mapping[str, str]) -> tuple[str, str]:
    group = entry.get("group")
    return group if isinstance(group, str) else "", names[entry["category_id"]]
