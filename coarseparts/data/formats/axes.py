"""Outlines and run lengths whose axes seem to be the other way round: scripts write rows before columns where COCO has
them the other way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coarseparts.data.formats.coco_file import CocoFile
from coarseparts.data.formats.coco_values import Broken, as_segmentation
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.units import TIGHT, Finding, box_iou
from coarseparts.system.problems import Severity

LOOKED_AT, DRAWN = 200, 4
"""Annotations of a file that are looked at, and masks of run lengths that are drawn."""

FRAYED = 2
"""How many times as long the edges of masks are whose pixels were put in the wrong order, at least."""

LARGEST = 25_000_000
"""Pixels of such masks."""

_SLACK = 1.5


def other_way_round(coco: CocoFile) -> list[tuple[Finding, Severity]]:
    """Whether the outlines of a file, two at least, fit their boxes, or their images where they have none, only with x
    and y swapped; and whether run lengths, of two masks at least, make whole shapes only row by row."""
    outlined = [entry for entry in coco.annotations if entry.get("segmentation")]
    by_box: list[int] = []
    by_size: list[int] = []
    masks: list[np.ndarray] = []
    for entry in outlined[:: max(1, len(outlined) // LOOKED_AT)]:
        try:
            said = as_segmentation(entry["segmentation"])
            if isinstance(said, dict) and len(masks) < DRAWN and said["size"][0] * said["size"][1] <= LARGEST:
                masks.append(draw(said, (said["size"][1], said["size"][0])))
            elif isinstance(said, list):
                size = coco.images[entry["image_id"]][1]
                (by_box if _is_box(box := entry.get("bbox")) else by_size).append(_vote(said, box, size))
        except (Broken, ValueError):
            continue  # told where it is used
    found: list[tuple[Finding, Severity]] = []
    remedy = "write x before y: contours in rows and columns are y before x"
    kinds: tuple[tuple[list[int], str, Severity], ...] = ((by_box, "boxes", "error"), (by_size, "images", "note"))
    for votes, what, severity in kinds:  # the sizes that a file states may be swapped themselves
        if (swapped := votes.count(1)) > 1 and votes.count(-1) * 10 <= swapped:
            message = f"{swapped} outlines fit their {what} only with x and y the other way round"
            found.append(((message, remedy), severity))
    if len(masks) > 1 and sum(map(_edges, masks)) > FRAYED * sum(_edges(_row_by_row(mask)) for mask in masks):
        message = "its run lengths make whole shapes only row by row, and COCO's go column by column"
        found.append(((message, "encode np.asfortranarray(mask)"), "error"))
    return found


def _vote(polygons: Sequence[Sequence[float]], box: Any, size: tuple[int, int] | None) -> int:
    """1 where an outline fits with x and y swapped alone, -1 where it fits as it is alone, 0 for neither."""
    points = np.concatenate([np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons])
    extent = np.concatenate([points.min(0), points.max(0)])
    swapped = extent[[1, 0, 3, 2]]
    if _is_box(box):
        corners = np.array([*box[:2], box[0] + box[2], box[1] + box[3]], np.float64)
        fits, otherwise = (box_iou(corners, one) >= TIGHT for one in (extent, swapped))
    elif size is not None:
        fits, otherwise = (bool((one[2:] <= np.array(size) + _SLACK).all()) for one in (extent, swapped))
    else:
        return 0
    return int(otherwise and not fits) - int(fits and not otherwise)


def _is_box(box: Any) -> bool:
    whole = isinstance(box, list) and len(box) == 4 and all(type(number) in (int, float) for number in box)
    return whole and min(box[2:]) > 0


def _edges(mask: np.ndarray) -> int:
    """How many neighbouring pixels of (H, W) bool differ."""
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


def _row_by_row(mask: np.ndarray) -> np.ndarray:
    """A mask of run lengths as it were if these went row by row."""
    return mask.ravel(order="F").reshape(mask.shape)
