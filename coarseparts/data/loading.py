"""From one object's files to a Sample: decode, draw the masks, check everything against the pixels, find the crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coarseparts.data.formats.annotation import Annotation, PartSegment
from coarseparts.data.formats.drawing import Outline, draw, draw_parts
from coarseparts.data.formats.part_masks import read_part_files
from coarseparts.data.formats.units import TIGHT, box_iou
from coarseparts.data.images import orientation, read_photograph
from coarseparts.data.sample import Sample
from coarseparts.data.scaling import fitted, fitted_parts
from coarseparts.data.source_keys import Crop
from coarseparts.labels import STYLES
from coarseparts.labels.given import Canvas
from coarseparts.labels.mask import HALF
from coarseparts.labels.part_boxes import around
from coarseparts.labels.schema import IGNORE, Schema
from coarseparts.system.problems import BadInput, Problem

AGREEMENT = 0.5
"""Intersection over union of two labels of one object (mask, part mask, box) below which they are worth looking at."""

KEYPOINT_MARGIN = 0.25
"""An object is larger than the box of its keypoints: this share of the box's longer side is added on each side
before the crop's own margin, where keypoints are all there is to crop by. Our own guess."""


NEAR = 3
"""Pixels between a keypoint and the piece of the part masks that is taken to be its object's: tips are clicked just
beyond the outline."""

WITHIN = 0.7
"""Share of the box around a part's outline that lies in an object's box, from which on it may be that object's."""

_OBJECTS = "name the categories that are objects by `objects: [...]` in this source"

LEAST = 0.1
"""Share of a connected piece of the part masks that lies in an object whose parts they may be, at least."""


@dataclass(frozen=True)
class Recipe:
    """What one sample is made from, and how. ``use``: coarse styles that the sample carries (the crop goes by all that
    there are, so that samples are framed alike whichever of their labels are used)."""

    image: Path
    annotation: Annotation
    schema: Schema
    crop: Crop
    use: frozenset[str]
    unlabelled_unknown: bool = False
    visible: int = 2


def load(recipe: Recipe, name: str) -> tuple[Sample, list[Problem]]:
    """The sample and what had to be repaired. Raises BadInput with everything that is wrong with it."""
    photograph = read_photograph(recipe.image)
    image, native, problems = photograph.array, photograph.size, list(photograph.problems)
    size, found, schema = (image.shape[1], image.shape[0]), recipe.annotation, recipe.schema
    canvas = Canvas(recipe.image, size, schema, problems, recipe.unlabelled_unknown, recipe.visible)
    stated = {one.size for one in found.labels.values()} | {one.size for one in found.part_segments}
    if size[::-1] != size and size[::-1] in stated:
        canvas.orientation = orientation(recipe.image)
    labels: dict[str, np.ndarray] = {}
    for style in sorted(STYLES.values(), key=lambda style: style.of_image):  # first what is said of the object
        if style.of_image and not found.alone and canvas.region is None:
            canvas.region = _region(labels, size)
        given = found.labels.get(style.name)
        given = None if given is None else fitted(given, canvas, native)
        if given is not None and (label := style.read(given, canvas)) is not None:
            labels[style.name] = label
    problems += _contradictions(found, labels)
    parts = None
    try:
        if found.part_files:
            parts, notes = read_part_files(found.part_files, size, schema.parts, found.colours, schema.overlapping)
            problems += notes
        elif found.part_segments:
            segments = fitted_parts(found.part_segments, canvas, native)
            if not found.alone and not found.owned and "mask" not in labels and "box" in labels:
                segments = _of_box(segments, labels["box"])
            elif found.neighbours and "keypoints" in labels:
                others = [given for one in found.neighbours if (given := fitted(one, canvas, native)) is not None]
                segments = _of_keypoints(segments, labels["keypoints"], [given.value.xyv for given in others], size)
            parts = _drawn(segments, size, schema)
    except BadInput as bad:
        problems += bad.problems
    if parts is not None and found.alone and not schema.overlapping:
        problems += _apart_from_parts(found, labels, parts)
    if parts is not None and not found.alone and not found.owned:
        own = _region(labels, size)
        own = _pieces(labels, parts) if own is None else own
        if _has_some(own, parts):
            # Whose parts they are is not said, and another object's must not count as background either.
            parts[~own & (parts > 0)] = IGNORE
        elif labels:
            message = f"{found.where}: none of the part masks of its image lies in it: its parts count as not labelled"
            remedy = f"label them, too, if they can be seen; if it is something else, {_OBJECTS}"
            problems.append(Problem(found.file, message, remedy, "note"))
            parts = None
    if any(problem.severity == "error" for problem in problems):
        raise BadInput(problems)
    crop = object_crop(size, recipe.crop.margin, parts=parts, **labels) if recipe.crop.to == "object" else None
    by_points = not labels.keys() & {"mask", "box", "part_boxes"}
    if crop is not None and parts is not None and by_points and (found.alone or found.owned):
        crop = with_parts(crop, parts, recipe.crop.margin)
    used = {style: labels[style] for style in STYLES if style in labels and style in recipe.use}
    return Sample(name, image, parts, used, crop), problems


def _of_box(segments: list[PartSegment], box: np.ndarray) -> list[PartSegment]:
    """The outlines of an image of several objects, those of which most lies beyond an object's box (x0, y0, x1, y1) as
    other objects', of index 255; as they are where none lies within it."""
    own = []
    for segment in segments:
        extent = Outline(segment.segmentation, segment.file, segment.where).extent
        sides = extent[2:] - extent[:2] if extent is not None else np.ones(2)
        common = sides if extent is None else np.minimum(box[2:], extent[2:]) - np.maximum(box[:2], extent[:2])
        own.append(float(np.prod(np.clip(common, 0, None))) >= WITHIN * float(np.prod(sides)))
    if not any(own):
        return segments
    return [one if its else replace(one, index=IGNORE) for one, its in zip(segments, own, strict=True)]


def _of_keypoints(
    segments: list[PartSegment], own: np.ndarray, others: Sequence[np.ndarray], size: tuple[int, int]
) -> list[PartSegment]:
    """The outlines of an image of ``size`` (width, height), those on which, or else near which, more keypoints
    (k, 3) of one of the ``others`` lie than an object's ``own`` as that one's, of index 255."""
    found = []
    for segment in segments:
        try:
            drawn = draw(segment.segmentation, size)
        except ValueError:
            return segments  # told where all are drawn
        theirs = max((_count_on(drawn, points) for points in others), default=(0, 0))
        found.append(replace(segment, index=IGNORE) if theirs > _count_on(drawn, own) else segment)
    return found


def _count_on(drawn: np.ndarray, points: np.ndarray) -> tuple[int, int]:
    """How many labelled keypoints (k, 3) lie on what is drawn (H, W) bool, and how many on it or ``NEAR`` it."""
    places = np.clip(points[points[:, 2] > 0, :2].astype(int), 0, np.array(drawn.shape[::-1]) - 1).tolist()
    near = (drawn[max(0, y - NEAR) : y + NEAR + 1, max(0, x - NEAR) : x + NEAR + 1] for x, y in places)
    return sum(bool(drawn[y, x]) for x, y in places), sum(bool(window.any()) for window in near)


def _drawn(segments: Sequence[PartSegment], size: tuple[int, int], schema: Schema) -> np.ndarray:
    """(H, W) uint8 part map, 255 where parts of another object are alone. Raises BadInput."""
    own = [segment for segment in segments if segment.index != IGNORE]
    parts = draw_parts(own, size, schema.maps)
    if others := [replace(segment, index=1) for segment in segments if segment.index == IGNORE]:
        parts[(draw_parts(others, size, schema.maps) > 0) & (parts == 0)] = IGNORE
    return parts


def object_crop(
    size: tuple[int, int],
    margin: float,
    mask: np.ndarray | None = None,
    box: np.ndarray | None = None,
    keypoints: np.ndarray | None = None,
    parts: np.ndarray | None = None,
    part_boxes: np.ndarray | None = None,
    **others: np.ndarray,
) -> np.ndarray | None:
    """(4,) float32: the object's box, ``margin`` times its width and height larger on each side; it may reach beyond
    the image. None, the whole image, when nothing says where the object is.

    The box is that of the first of these: the mask (pixels of 128 and more), the box label, the parts' boxes, at least
    three keypoints, the parts. A box label around the whole image means that somebody has cropped already: None, too.
    """
    width, height = size
    extent: np.ndarray | None = None
    box = box if box is not None or part_boxes is None else around(part_boxes)
    if mask is not None and (mask >= HALF).any():
        extent = _extent(mask >= HALF)
    elif box is not None:
        if (box[:2] <= 1).all() and box[2] >= width - 1 and box[3] >= height - 1:
            return None
        extent = box
    elif keypoints is not None and (keypoints[:, 2] > 0).sum() >= 3:
        points = keypoints[keypoints[:, 2] > 0, :2]
        low, high = points.min(0), points.max(0)
        more = KEYPOINT_MARGIN * max(float((high - low).max()), 1.0)
        extent = np.concatenate([np.maximum(low - more, 0), np.minimum(high + more, size)])
    elif parts is not None and ((parts > 0) & (parts != IGNORE)).any():
        extent = _extent((parts > 0) & (parts != IGNORE))
    if extent is None:
        return None
    more = margin * (extent[2:] - extent[:2])
    return np.concatenate([extent[:2] - more, extent[2:] + more]).astype(np.float32)


def with_parts(crop: np.ndarray, parts: np.ndarray, margin: float) -> np.ndarray:
    """(4,) float32: a crop around the keypoints of an image's one object, larger where a part of it lies beyond, with
    the ``margin`` of ``object_crop``: keypoints are few, and some of them missing."""
    drawn = object_crop(parts.shape[::-1], margin, parts=parts)  # type: ignore[arg-type]
    if drawn is None:
        return crop
    return np.concatenate([np.minimum(crop[:2], drawn[:2]), np.maximum(crop[2:], drawn[2:])])


def _extent(mask: np.ndarray) -> np.ndarray:
    """(x0, y0, x1, y1) around the true pixels, of which there is at least one."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _contradictions(found: Annotation, labels: Mapping[str, np.ndarray]) -> list[Problem]:
    """Notes of a box that does not fit the object's other labels."""
    box, mask, keypoints = (labels.get(name) for name in ("box", "mask", "keypoints"))
    if box is None:
        return []
    messages = []
    if mask is not None and (mask >= HALF).any():
        if (iou := box_iou(box, _extent(mask >= HALF))) < AGREEMENT:
            messages.append(f"box and figure-ground mask agree by an IoU of {iou:.2f} only")
    elif keypoints is not None:
        points = keypoints[keypoints[:, 2] == 2, :2]
        more = KEYPOINT_MARGIN * (box[2:] - box[:2])
        off = int(((points < box[:2] - more) | (points > box[2:] + more)).any(1).sum())
        if len(points) >= 3 and off * 2 > len(points):
            messages.append(f"{off} of {len(points)} visible keypoints lie outside the box")
    remedy = "do both belong to this object, and is the box x, y, width, height?"
    return [Problem(found.file, f"{found.where}: {message}", remedy, "note") for message in messages]


def _apart_from_parts(found: Annotation, labels: Mapping[str, np.ndarray], parts: np.ndarray) -> list[Problem]:
    """Notes of a box or keypoints that are elsewhere than the object's parts, which fill it; an error where they
    are theirs in percent, and where a box or mask has nothing of them."""
    shown = (parts > 0) & (parts != IGNORE)
    if not shown.any():
        return []
    extent, scale = _extent(shown), np.array(parts.shape[::-1]) / 100
    sides, messages, in_percent = extent[2:] - extent[:2], [], ""
    drawn = labels["mask"] >= HALF if "mask" in labels else np.zeros(0, bool)
    places = [box for box in (labels.get("box"), _extent(drawn) if drawn.any() else None) if box is not None]
    apart = any((np.minimum(box[2:], extent[2:]) <= np.maximum(box[:2], extent[:2])).any() for box in places)
    if (box := labels.get("box")) is not None:
        common = np.minimum(box[2:], extent[2:]) - np.maximum(box[:2], extent[:2])
        share = float(np.prod(np.maximum(common, 0) / sides))
        if share < AGREEMENT:
            messages.append(f"the box holds {100 * share:.0f} % of the box around the part masks")
            fits = box.max() <= 100 and box_iou(box * np.tile(scale, 2), extent) >= TIGHT
            in_percent = "the box is that of" if fits else ""
    if (keypoints := labels.get("keypoints")) is not None and (keypoints[:, 2] == 2).sum() >= 3:
        points = keypoints[keypoints[:, 2] == 2, :2]
        far = len(points) - int(_inside(points, extent, sides / 2).sum())
        if far * 2 > len(points):
            messages.append(f"{far} of {len(points)} visible keypoints lie far from the part masks")
        if points.max() <= 100 and _inside(points, extent, sides / 10).mean() < AGREEMENT:
            fit = _inside(points * scale, extent, sides / 10).mean() >= TIGHT
            in_percent = in_percent or ("the keypoints lie in" if fit else "")
    if in_percent:
        message = f"{found.where}: {in_percent} the part masks if coordinates are percent, not if they are pixels"
        return [Problem(found.file, message, "write `coordinates: percent` in this source")]
    if apart:
        message = f"{found.where}: lies elsewhere than the part masks of its image, of which it has nothing"
        remedy = f"if it is something else, {_OBJECTS}, or remove it; if it is the object, its coordinates are not "
        remedy += "those of the part masks"
        return [Problem(found.file, message, remedy)]
    remedy = "do both belong to this object, and are the coordinates pixels of this image?"
    return [Problem(found.file, f"{found.where}: {message}", remedy, "note") for message in messages]


def _inside(points: np.ndarray, extent: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """(n,) bool: which points (n, 2) lie in a box (x0, y0, x1, y1) that is larger by ``margin`` (2,) on each side."""
    inside: np.ndarray = ((points >= extent[:2] - margin) & (points <= extent[2:] + margin)).all(1)
    return inside


def _pieces(labels: Mapping[str, np.ndarray], parts: np.ndarray) -> np.ndarray:
    """(H, W) bool: the connected pieces of all parts together, of a map (H, W), on which one of the object's keypoints
    lies or to which it is nearest by ``NEAR`` pixels at most."""
    from scipy import ndimage  # here, for it takes a third of a second to import

    pieces, count = ndimage.label((parts > 0) & (parts != IGNORE), np.ones((3, 3)))
    points = labels.get("keypoints", np.zeros((0, 3)))
    if not count or not len(points):
        return pieces > 0
    away, (rows, columns) = ndimage.distance_transform_edt(pieces == 0, return_indices=True)
    x, y = np.clip(points[points[:, 2] > 0, :2].astype(int), 0, np.array(parts.shape[::-1]) - 1).T
    near = away[y, x] <= NEAR
    return np.isin(pieces, pieces[rows[y, x], columns[y, x]][near])


def _has_some(own: np.ndarray, parts: np.ndarray) -> bool:
    """Whether the parts (H, W) of an image of several objects are also those of one that is where ``own`` (H, W) says:
    a tenth of one of their connected pieces lies in it, and not merely the tip of a neighbour's leg."""
    shown = (parts > 0) & (parts != IGNORE)
    within = int((shown & own).sum())
    if not 0 < within < LEAST * shown.sum():
        return within > 0
    from scipy import ndimage

    pieces, count = ndimage.label(shown, np.ones((3, 3)))
    sizes, inside = (np.bincount(pieces[where], minlength=count + 1)[1:] for where in (shown, shown & own))
    return bool((inside >= LEAST * sizes).any())


def _region(labels: Mapping[str, np.ndarray], size: tuple[int, int]) -> np.ndarray | None:
    """(H, W) bool: where the object is, by its mask, else by its box."""
    if "mask" in labels:
        return labels["mask"] >= HALF
    if "box" not in labels:
        return None
    inside = np.zeros(size[::-1], bool)
    x0, y0, x1, y1 = np.round(labels["box"]).astype(int)
    inside[y0:y1, x0:x1] = True
    return inside
