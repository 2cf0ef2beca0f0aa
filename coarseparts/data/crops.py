"""From an image of any size to a square sample of S x S pixels, and back.

Both ways keep to the one convention of coordinates (pixel centres at +0.5): the point (x, y) of the image lies at
((x - x0) * S / side, (y - y0) * S / side) of the sample, where (x0, y0, x0 + side, y0 + side) is the crop.
"""

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


def uncrop(prediction: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
    """Parts of a sample back at the image's own size: (H, W) uint8, background beyond the crop.

    ``prediction`` is (S, S), part indices, taken by the nearest pixel centre; or (C, S, S), probabilities or scores,
    interpolated bilinearly before the largest is taken. ``crop`` (4,) as ``crop_and_resize`` gave it, ``native``
    (width, height) in pixels. Raises ValueError for another shape.
    """
    if prediction.ndim not in (2, 3) or prediction.shape[-1] != prediction.shape[-2]:
        raise ValueError(f"prediction of shape {prediction.shape}; expected (S, S) indices or (C, S, S) probabilities")
    width, height = native
    out = np.zeros((height, width), np.uint8)
    (x0, x1, u), (y0, y1, v) = (_inside(crop[i], crop[i + 2], n, prediction.shape[-1]) for i, n in enumerate(native))
    if prediction.ndim == 2:
        out[y0:y1, x0:x1] = prediction[np.ix_(v.astype(np.int64), u.astype(np.int64))]
        return out
    out[y0:y1, x0:x1] = _largest(prediction, v, u)
    return out


def uncrop_probabilities(probabilities: np.ndarray, crop: np.ndarray, native: tuple[int, int]) -> np.ndarray:
    """(C, S, S) values back at the image's own size, bilinearly: (C, H, W) float32, 0 beyond the crop."""
    (x0, x1, u), (y0, y1, v) = (_inside(crop[i], crop[i + 2], n, probabilities.shape[-1]) for i, n in enumerate(native))
    out = np.zeros((probabilities.shape[0], native[1], native[0]), np.float32)
    out[:, y0:y1, x0:x1] = _bilinear(_bilinear(probabilities, v, 1), u, 2)
    return out


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


def _inside(start: float, stop: float, length: int, size: int) -> tuple[int, int, np.ndarray]:
    """Along one axis of ``length`` pixels: the first and last + 1 whose centres lie in the crop, and where in the
    sample those centres fall (0..S, half-integers at the centres of its pixels)."""
    first, last = max(int(np.ceil(float(start) - 0.5)), 0), min(int(np.ceil(float(stop) - 0.5)), length)
    at = (np.arange(first, max(first, last)) + 0.5 - float(start)) * (size / (float(stop) - float(start)))
    return first, max(first, last), at.clip(0, np.nextafter(size, 0))


def _largest(values: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """argmax over the channels of (C, S, S) values, interpolated bilinearly at rows ``v`` and columns ``u``: (h, w).

    Between four pixel centres where the same channel is the largest it is so everywhere; only the other places, a few
    in a hundred, have to be interpolated.
    """
    (y0, y1, wy), (x0, x1, wx) = _neighbours(v, values.shape[1]), _neighbours(u, values.shape[2])
    largest = values.argmax(0).astype(np.uint8)
    pairs = np.pad(largest, ((0, 1), (0, 1)), "edge")
    same = (largest == pairs[1:, :-1]) & (largest == pairs[:-1, 1:]) & (largest == pairs[1:, 1:])
    out = largest.take(y0, 0).take(x0, 1)
    rows, columns = np.nonzero(~same.take(y0, 0).take(x0, 1))
    for start in range(0, len(rows), 1 << 18):  # in pieces: a large photograph times all channels would not fit
        r, c = rows[start : start + (1 << 18)], columns[start : start + (1 << 18)]
        left = values[:, y0[r], x0[c]] * (1 - wy[r]) + values[:, y1[r], x0[c]] * wy[r]
        right = values[:, y0[r], x1[c]] * (1 - wy[r]) + values[:, y1[r], x1[c]] * wy[r]
        out[r, c] = (left * (1 - wx[c]) + right * wx[c]).argmax(0)
    return out


def _neighbours(at: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels before and behind each place, and the weight of the one behind; constant past the outermost ones."""
    position = (at - 0.5).clip(0, size - 1)
    below = np.floor(position).astype(np.int64)
    return below, np.minimum(below + 1, size - 1), (position - below).astype(np.float32)


def _bilinear(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation of (C, S, S) values along one axis."""
    below, above, weight = _neighbours(at, values.shape[axis])
    weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
    return values.take(below, axis) * (1 - weight) + values.take(above, axis) * weight
