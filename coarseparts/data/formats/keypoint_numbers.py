"""Numbers of keypoints in the forms in which files write them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from coarseparts.data.formats.coco_file import CocoFile
from coarseparts.labels.schema import unfit
from coarseparts.system.text import abridged, listed


def name_keypoints(coco: CocoFile) -> None:
    """Names the keypoints of categories that have numbers of keypoints and no names, where all objects of a category
    have as many: keypoint_0, keypoint_1, ..., or as the category where there is one; or as those of another category,
    where all that name some name these, as many. Notes tell it. Those that objects name themselves are called so."""
    counts: dict[str, set[float]] = defaultdict(set)
    named: dict[str, dict[str, None]] = defaultdict(dict)
    for entry in coco.annotations:
        value = entry.get("keypoints")
        if isinstance(value, list) and any(value) and not coco.categories[entry["category_id"]][1]:
            lists = all(isinstance(one, list) and len(one) in (2, 3) for one in value)
            counts[entry["category_id"]].add(len(value) if lists else len(value) / 3)
        elif isinstance(value, dict) and not coco.categories[entry["category_id"]][1]:
            named[entry["category_id"]] |= dict.fromkeys(name for name in value if not unfit(name))
    for key, own in named.items():
        coco.categories[key] = (coco.categories[key][0], tuple(own))
    of = {key: int(min(own)) for key, own in counts.items() if len(own) == 1 and min(own) % 1 == 0}
    others = [*dict.fromkeys(names for _, names in coco.categories.values() if names)]
    if len(others) == 1 and (alike := [key for key, count in of.items() if count == len(others[0])]):
        coco.categories |= {key: (coco.categories[key][0], others[0]) for key in alike}
        of = {key: count for key, count in of.items() if key not in alike}
        told = listed(abridged(coco.categories[key][0]) for key in alike)
        message = f"the categories {told} do not name their keypoints; they are taken for those that another one names"
        coco.say(message, "name them in each category's list `keypoints`", "note")
    for key, count in of.items():
        name = coco.categories[key][0]
        prefix = "keypoint_" if len(set(of.values())) == 1 else f"{name} keypoint_"
        names = (name,) if count == 1 else tuple(f"{prefix}{i}" for i in range(count))
        coco.categories[key] = (name, names)
        told = listed(map(abridged, names[:3])) + (", ..." if count > 3 else "")
        message = f"category {abridged(name)} does not name its {count} keypoints; they are called {told}"
        coco.say(message, "name them in the category's list `keypoints`", "note")


def in_threes(value: list[Any], count: int, plain: int) -> tuple[list[Any], int]:
    """Numbers of ``count`` keypoints as x, y, visibility one after the other: also those written as a list each; and as
    x and y alone, or with nothing for the visibility: they are visible then, which is counted on ``plain``."""
    if len(value) == count and all(isinstance(one, list) and len(one) in (2, 3) for one in value):
        given = [[*one, None] if len(one) == 2 else one for one in value]
    elif len(value) == 2 * count and count:
        given = [[*value[i : i + 2], None] for i in range(0, len(value), 2)]
    elif len(value) == 3 * count:
        given = [value[i : i + 3] for i in range(0, len(value), 3)]
    else:
        return value, plain
    flat = []
    for x, y, visibility in given:
        nowhere = x is None or y is None or x != x or y != y
        plain += visibility is None and not nowhere
        flat += [x, y, visibility if visibility is not None else 0 if nowhere else 2]
    return flat, plain


def with_nowhere(value: list[Any]) -> tuple[list[Any], np.ndarray]:
    """Keypoint numbers with zeros for the keypoints whose x or y is NaN or null, and which these are, (k,) bool."""
    odd = [number is None or number != number for number in value]
    missing = [odd[i] or odd[i + 1] for i in range(0, len(value), 3)]
    plain = list(value)
    for i in (3 * row for row, no in enumerate(missing) if no):
        plain[i : i + 3] = 0, 0, 0 if odd[i + 2] else value[i + 2]
    return plain, np.array(missing, bool)
