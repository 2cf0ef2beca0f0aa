"""From an image of any size to a square sample of S x S pixels (``labels/uncrop.py``: and back)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from coarseparts.data.sample import Sample
from coarseparts.labels import STYLES
from coarseparts.labels.frames import CropFrame
from coarseparts.labels.part_maps import PartMaps

_LARGEST_CROP = 4.0
"""A crop may be this many times as long as the image's longer side; a larger one can only be a wrong annotation."""


def square_crop(crop: np.ndarray | None, width: int, height: int) -> np.ndarray:
    """The smallest square around ``crop`` (x0, y0, x1, y1), or around the whole image if it is None: float32 (4,).

    The aspect ratio is kept: what lies beyond the image is filled up later. Raises ValueError if the crop is not
    finite, empty, entirely outside the image, or more than 4 times as long as the image.
    """
    x0, y0, x1, y1 = np.array([0, 0, width, height] if crop is None else crop, np.float64)
    described = f"crop ({x0:g}, {y0:g}, {x1:g}, {y1:g}) of an image of {width} x {height} pixels"
    if not np.isfinite([x0, y0, x1, y1]).all():
        raise ValueError(f"{described} is not finite; give numbers")
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"{described} is empty; expected x1 > x0 and y1 > y0")
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise ValueError(f"{described} lies outside of it; are the coordinates those of this image?")
    side = max(x1 - x0, y1 - y0)
    if side > _LARGEST_CROP * max(width, height):
        raise ValueError(f"{described} is far larger than it; are the coordinates those of this image?")
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    return np.array([left, top, left + side, top + side], np.float32)


def crop_and_resize(sample: Sample, size: int, maps: PartMaps) -> dict[str, np.ndarray | None]:
    """The sample's crop at S x S pixels (S = ``size``), its labels with it; a label that it lacks is None.

    Returns "crop" (4,) float32, the square of the image that is shown, and

    - "image" (S, S, 3) uint8: antialiased bilinear resize; beyond the image its border pixels are repeated;
    - "parts" (S, S) uint8, as ``maps.cropped`` gives them;
    - each coarse label by its style's name, as ``LabelStyle.cropped`` gives it; None too if nothing of it is left.

    Raises ValueError as ``square_crop`` does.
    """
    height, width = sample.image.shape[:2]
    crop = square_crop(sample.crop, width, height)
    frame = CropFrame(crop, size)
    return {
        "crop": crop,
        "image": _image(sample.image, crop, size),
        "parts": None if sample.parts is None else maps.cropped(sample.parts, frame),
        **{name: None for name in STYLES},
        **{name: STYLES[name].cropped(label, frame) for name, label in sample.labels.items()},
    }


def _image(image: np.ndarray, crop: np.ndarray, size: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = float(crop[2] - crop[0]) / size
    context = int(np.ceil(max(scale, 1))) + 1  # the filter looks this far beyond the crop
    x0, x1 = int(np.floor(crop[0])) - context, int(np.ceil(crop[2])) + context
    y0, y1 = int(np.floor(crop[1])) - context, int(np.ceil(crop[3])) + context
    beyond = (max(-y0, 0), max(y1 - height, 0)), (max(-x0, 0), max(x1 - width, 0)), (0, 0)
    region = np.pad(image[max(y0, 0) : y1, max(x0, 0) : x1], beyond, "edge")
    box = (float(crop[0]) - x0, float(crop[1]) - y0, float(crop[2]) - x0, float(crop[3]) - y0)
    return np.asarray(Image.fromarray(region).resize((size, size), Image.Resampling.BILINEAR, box=box))
