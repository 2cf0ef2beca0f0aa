"""From one object's files to a Sample: decode, draw the masks, check everything against the pixels, find the crop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coarseparts.data.dataset_file import Crop
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.drawing import draw, draw_parts
from coarseparts.data.formats.mask_folder import HALF, read_mask
from coarseparts.data.formats.part_masks import is_smoothed, read_overlapping_masks, read_part_mask
from coarseparts.data.formats.units import box_iou
from coarseparts.data.images import decode
from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.sample import Sample
from coarseparts.labels.schema import IGNORE, Schema

TOLERANCE = 1.5
"""Pixels that a keypoint or a box may lie outside the image: rounding in annotation tools, not a mistake."""

AGREEMENT = 0.5
"""Intersection over union of two labels of one object (mask, part mask, box) below which they are worth looking at."""

KEYPOINT_MARGIN = 0.25
"""An object is larger than the box of its keypoints: this share of the box's longer side is added on each side
before the crop's own margin, where keypoints are all there is to crop by. Our own guess."""


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


def load(recipe: Recipe, name: str) -> tuple[Sample, list[Problem]]:
    """The sample and what had to be repaired. Raises BadInput with everything that is wrong with it."""
    image, problems = decode(recipe.image)
    size = (image.shape[1], image.shape[0])
    found = recipe.annotation
    parts = mask = keypoints = box = part_boxes = None
    if found.size is not None and found.size != size:
        message = f"{found.where} was made on {found.size[0]}x{found.size[1]} pixels, {recipe.image} has "
        message += f"{size[0]}x{size[1]} when upright"
        problems.append(Problem(found.file, message, "put back the image that was annotated, or export again"))
    else:  # its other labels would be wrong in the same way
        mask = _mask(found, size, problems)
        keypoints = _keypoints(found, recipe, size, problems)
        box = _box(found, size, problems)
        problems += _contradictions(found, mask, box, keypoints)
    if found.part_boxes:
        part_boxes = _part_boxes(recipe, size, _figure(mask, box), problems)
    try:
        if found.part_files and recipe.schema.overlapping:
            parts = read_overlapping_masks(found.part_files, size)
        elif found.part_files:
            ((_, file),) = found.part_files
            parts = read_part_mask(file, size, recipe.schema.parts)
            if is_smoothed(parts):
                message = "its outlines are smoothed: between two indices lie pixels of the indices between them"
                remedy = "export it without anti-aliasing, and resize masks by nearest neighbour only"
                problems.append(Problem(str(file), message, remedy, "note"))
        elif found.part_segments:
            parts = draw_parts(found.part_segments, size, recipe.schema.overlapping)
    except BadInput as bad:
        problems += bad.problems
    if parts is not None and not found.alone:
        _only_this_object(parts, mask, box)
    if any(problem.severity == "error" for problem in problems):
        raise BadInput(problems)
    crop = None
    if recipe.crop.to == "object":
        crop = object_crop(size, recipe.crop.margin, mask, box, keypoints, parts, part_boxes)
    labels = {"keypoints": keypoints, "mask": mask, "box": box, "part_boxes": part_boxes}
    sample = Sample(
        name=name,
        image=image,
        parts=parts,
        labels={name: label for name, label in labels.items() if label is not None and name in recipe.use},
        crop=crop,
    )
    return sample, problems


def object_crop(
    size: tuple[int, int],
    margin: float,
    mask: np.ndarray | None = None,
    box: np.ndarray | None = None,
    keypoints: np.ndarray | None = None,
    parts: np.ndarray | None = None,
    part_boxes: np.ndarray | None = None,
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


def in_schema(keypoints: np.ndarray, names: tuple[str, ...], schema: Schema) -> np.ndarray:
    """Keypoints (..., k, 3) named ``names`` as (..., K, 3) in the schema's order, a copy; (0, 0, -1) for keypoints that
    are not among ``names``, while those that the schema lacks are left out."""
    out = np.zeros((*keypoints.shape[:-2], len(schema.keypoints), 3), np.float32)
    out[..., 2] = -1
    column = {name: i for i, name in enumerate(names)}
    for row, name in enumerate(schema.keypoints):
        if name in column:
            out[..., row, :] = keypoints[..., column[name], :]
    return out


def _extent(mask: np.ndarray) -> np.ndarray:
    """(x0, y0, x1, y1) around the true pixels, of which there is at least one."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _mask(found: Annotation, size: tuple[int, int], problems: list[Problem]) -> np.ndarray | None:
    try:
        if found.mask_file is not None:
            mask = read_mask(found.mask_file, size)
            if mask.max() < HALF:
                message = f"its brightest grey is {mask.max()} of 255: nowhere rather the object than the background"
                remedy = "if all that is not 0 is the object, make it 255"
                problems.append(Problem(str(found.mask_file), message, remedy, "note"))
            return mask
        if found.segmentation is not None:
            return draw(found.segmentation, size).astype(np.uint8) * 255
    except BadInput as bad:
        problems += bad.problems
    except ValueError as error:
        problems.append(Problem(found.file, f"{found.where}: {error}", "draw the object again or remove its mask"))
    return None


def _keypoints(found: Annotation, recipe: Recipe, size: tuple[int, int], problems: list[Problem]) -> np.ndarray | None:
    """(K, 3) in the schema's order, every labelled point inside the image."""
    if found.keypoints is None:
        return None
    keypoints = in_schema(found.keypoints, found.keypoint_names, recipe.schema)
    if recipe.unlabelled_unknown:
        keypoints[keypoints[:, 2] == 0, 2] = -1
    for row, name in enumerate(recipe.schema.keypoints):
        x, y, v = (float(value) for value in keypoints[row])
        if v <= 0:
            continue
        place = on_image((x, y), size)
        if place is None:
            message = f"{found.where}: keypoint {name!r} at ({x:g}, {y:g}) lies outside the image of "
            message += f"{size[0]}x{size[1]} pixels"
            remedy = "move it, or set its visibility to 0"
            problems.append(Problem(found.file, message, remedy))
            continue
        if place != (x, y):
            message = f"{found.where}: keypoint {name!r} at ({x:g}, {y:g}) moved to the border of the image"
            problems.append(Problem(found.file, message, severity="repaired"))
            keypoints[row, :2] = place
    return keypoints


def on_image(point: tuple[float, float], size: tuple[int, int]) -> tuple[float, float] | None:
    """A keypoint (x, y) in an image of ``size`` (width, height): one that lies outside is moved to its border, None
    where it lies farther out than ``TOLERANCE``."""
    (x, y), (width, height) = point, size
    if max(-x, -y, x - width, y - height) > TOLERANCE:
        return None
    if 0 <= x < width and 0 <= y < height:
        return point
    return min(max(x, 0.5), width - 0.5), min(max(y, 0.5), height - 0.5)


def cut_off(box: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray | None, bool]:
    """What of a box (x0, y0, x1, y1) lies in an image of ``size`` (width, height), (4,) float32, None for nothing; and
    whether more than ``TOLERANCE`` lay beyond."""
    inside = np.clip(box, 0, [*size, *size]).astype(np.float32)
    there = inside[2] > inside[0] and inside[3] > inside[1]
    return (inside if there else None), bool(np.abs(inside - box).max() > TOLERANCE)


def _box(found: Annotation, size: tuple[int, int], problems: list[Problem]) -> np.ndarray | None:
    if found.box is None:
        return None
    box, beyond = cut_off(found.box, size)
    came = f"{found.where}: box {', '.join(f'{v:g}' for v in found.box)} (x0, y0, x1, y1)"
    if box is None:
        message = f"{came} lies outside the image of {size[0]}x{size[1]} pixels"
        problems.append(Problem(found.file, message, "draw it again or remove it"))
        return None
    if beyond:
        message = f"{came} reaches beyond the image of {size[0]}x{size[1]} pixels, cut off there"
        problems.append(Problem(found.file, message, severity="repaired"))
    return box


def _contradictions(
    found: Annotation, mask: np.ndarray | None, box: np.ndarray | None, keypoints: np.ndarray | None
) -> list[Problem]:
    """Notes of a box that does not fit the object's other labels."""
    extent = _figure(mask, None)
    messages = []
    if box is not None and extent is not None and box_iou(box, extent) < AGREEMENT:
        messages.append(f"box and figure-ground mask agree by an IoU of {box_iou(box, extent):.2f} only")
    elif box is not None and extent is None and keypoints is not None:
        points = keypoints[keypoints[:, 2] == 2, :2]
        more = KEYPOINT_MARGIN * (box[2:] - box[:2])
        off = int(((points < box[:2] - more) | (points > box[2:] + more)).any(1).sum())
        if len(points) >= 3 and off * 2 > len(points):
            messages.append(f"{off} of {len(points)} visible keypoints lie outside the box")
    remedy = "do both belong to this object, and is the box x, y, width, height?"
    return [Problem(found.file, f"{found.where}: {message}", remedy, "note") for message in messages]


def around(boxes: np.ndarray) -> np.ndarray:
    """(4,) the box around those of (n, 4) boxes that are not zeros."""
    there = boxes[boxes[:, 2] > boxes[:, 0]]
    return np.concatenate([there[:, :2].min(0), there[:, 2:].max(0)])


def _figure(mask: np.ndarray | None, box: np.ndarray | None) -> np.ndarray | None:
    """The object's box, of its mask if there is one."""
    return _extent(mask >= HALF) if mask is not None and (mask >= HALF).any() else box


def _part_boxes(
    recipe: Recipe, size: tuple[int, int], figure: np.ndarray | None, problems: list[Problem]
) -> np.ndarray | None:
    """(P, 4) the box around each part's boxes, cut off at the image's border, zeros for parts without; in an image with
    several objects of those that are centred in this one's ``figure``."""
    boxes = np.zeros((len(recipe.schema.parts), 4), np.float32)
    alone = recipe.annotation.alone or figure is None
    for said in recipe.annotation.part_boxes:
        if said.size is not None and said.size != size:
            message = f"{said.where} was made on {said.size[0]}x{said.size[1]} pixels, {recipe.image} has "
            message += f"{size[0]}x{size[1]} when upright"
            problems.append(Problem(said.file, message, "put back the image that was annotated, or export again"))
            continue
        box, beyond = cut_off(np.array(said.box), size)
        came = ", ".join(f"{v:g}" for v in said.box)
        if box is None:
            message = f"{said.where}: box {came} (x0, y0, x1, y1) lies outside the image of {size[0]}x{size[1]} pixels"
            problems.append(Problem(said.file, message, "draw it again or remove it"))
            continue
        if beyond:
            message = (
                f"{said.where}: box {came} (x0, y0, x1, y1) reaches beyond the image of {size[0]}x{size[1]} pixels"
            )
            problems.append(Problem(said.file, f"{message}, cut off there", severity="repaired"))
        centre = (box[:2] + box[2:]) / 2
        if not alone and figure is not None and ((centre < figure[:2]) | (centre > figure[2:])).any():
            continue  # another object's
        own = boxes[said.index - 1]
        boxes[said.index - 1] = around(np.stack([own, box]))
    return boxes if boxes.any() else None


def _only_this_object(parts: np.ndarray, mask: np.ndarray | None, box: np.ndarray | None) -> None:
    """In an image with several objects, part pixels outside this one's mask (else box) become "ignore", in place.

    The part mask does not say whose parts they are, and another object's must not count as background either.
    """
    if mask is not None:
        inside = mask >= HALF
    elif box is not None:
        inside = np.zeros(parts.shape, bool)
        x0, y0, x1, y1 = np.round(box).astype(int)
        inside[y0:y1, x0:x1] = True
    else:
        return
    parts[~inside & (parts > 0)] = IGNORE
