"""Figure-ground masks as a folder of images, one of each photograph's stem: 0 is the background, all else the object;
or grey levels 0..255, the share of certainty with which a pixel is the object's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from coarseparts.data.arrays import ARRAYS
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.mask_names import pictures
from coarseparts.data.formats.part_files import OVERLAY
from coarseparts.data.formats.part_masks import refuse_doubtful, whole_numbers
from coarseparts.data.formats.smoothed import coverage
from coarseparts.data.images import list_images, opened_mask, stem
from coarseparts.labels.given import AS_STORED, Given
from coarseparts.labels.mask import HALF
from coarseparts.system.problems import BadInput, Problem

GREY = ("L", "LA", "1", "P")
"""Pillow's modes of images that can be figure-ground masks."""


def find_maps(folder: Path, ending: str = "") -> tuple[dict[str, Path], list[Problem]]:
    """The images and arrays in ``folder`` and below, by their path relative to it without the suffix, and what is wrong
    with them; with an ``ending`` those alone whose stems have it, for photographs lie beside them.

    Hidden ones are passed over, and the pictures of masks that ``predict --overlay`` and EISeg put beside these.
    """
    found: dict[str, Path] = {}
    problems = []
    images = list_images(folder, ARRAYS)
    looks = {*pictures([path for _, path in images])}
    for name, path in images:
        if name.endswith(OVERLAY) or not stem(name).endswith(ending) or path in looks:
            continue
        if stem(name) in found:
            message = f"has the same stem as {found[stem(name)].name}"
            problems.append(Problem(str(path), message, "keep one for each photograph"))
        else:
            found[stem(name)] = path
    if not found:
        problems.append(Problem(str(folder), "holds no image", "name the folder that has one for each photograph"))
    return found, problems


@dataclass(frozen=True)
class MapFile:
    """A map of a folder, not yet decoded (``labels.given.Drawn``)."""

    path: Path

    def grey(self, size: tuple[int, int]) -> np.ndarray:
        """``read_mask``."""
        return read_mask(self.path, size)

    def indices(self, size: tuple[int, int]) -> np.ndarray:
        """``read_indices``."""
        return read_indices(self.path, size)


def of_map(path: Path, image: str, style: str) -> Annotation:
    """What a map in a folder says of an image in a label style."""
    return Annotation(str(path), image, image, labels={style: Given(MapFile(path), str(path), image)})


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 soft figure-ground mask 0..255 of an image of ``size`` (width, height).

    Grey levels are taken as they stand, of more than 8 bits the upper ones; but 0 and 1, or 0 to a few, are numbers of
    objects or parts, and all but 0 is the object. So are colours that are grey, in a JPEG nearly so; of one colour on
    black with smoothed outlines it is how much of a pixel is painted. Of a photograph whose background was cut away,
    the alpha channel says what is left. Of a palette in colours, index 0 is the background and any other
    the object. Raises BadInput.
    """
    with opened_mask(path) as image:
        refuse_doubtful(image, path)
        if image.mode in ("I;16", "I", "F"):
            deep = whole_numbers(image, path).astype(np.int64)
            if deep.min() < 0 or deep.max() > 0xFFFF:
                came = f"holds the numbers {deep.min()}..{deep.max()}"
                raise BadInput(Problem(str(path), came, "save it as a grey-scale PNG, 255 = object"))
            values = (deep >> 8 if deep.max() > 255 else deep).astype(np.uint8)
        elif image.mode == "RGB" and _is_grey(np.asarray(image), 24 if image.format == "JPEG" else 0):
            values = np.array(image.convert("L"))
        elif image.mode == "RGBA" and (cut := _cut_out(np.asarray(image))) is not None:
            values = cut
        elif image.mode == "RGB" and (painted := coverage(np.asarray(image))) is not None:
            values = painted
        elif image.mode not in GREY:
            remedy = "save it as a grey-scale PNG, 255 = object"
            raise BadInput(Problem(str(path), f"is of mode {image.mode}, expected grey-scale", remedy))
        elif image.mode == "P" and _is_coloured(image):
            values = np.where(np.array(image) > 0, 255, 0).astype(np.uint8)
        else:
            values = np.array(image.convert("L"))
    _refuse_other_size(path, values, size)
    if not values.any():
        raise BadInput(Problem(str(path), "is empty: all of it is background", "draw the object or remove the file"))
    if (most := int(values.max())) < HALF and {*np.unique(values).tolist()} >= {*range(1, most + 1)}:
        return np.where(values > 0, 255, 0).astype(np.uint8)
    return values


def read_indices(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: the values of a grey-scale or palette image, of a photograph of ``size``, as they stand. Raises
    BadInput."""
    with opened_mask(path) as image:
        refuse_doubtful(image, path)
        if image.mode not in ("P", "L"):
            remedy = "save it as a PNG whose pixels' values are the indices"
            raise BadInput(Problem(str(path), f"is of mode {image.mode}, expected a palette or grey-scale", remedy))
        values = np.array(image)
    _refuse_other_size(path, values, size)
    return values


def _refuse_other_size(path: Path, values: np.ndarray, size: tuple[int, int]) -> None:
    if values.shape != size[::-1]:
        message = f"is {values.shape[1]}x{values.shape[0]} pixels, its image is {size[0]}x{size[1]}"
        remedy = "export it at the size of the image"
        raise BadInput(Problem(str(path), message, f"{remedy}; {AS_STORED}" if values.shape == size else remedy))


def _is_grey(colours: np.ndarray, most: int) -> bool:
    """Whether the channels of (H, W, 3) uint8 differ by ``most`` levels at most."""
    return int((colours.max(-1).astype(np.int16) - colours.min(-1)).max(initial=0)) <= most


def _cut_out(colours: np.ndarray) -> np.ndarray | None:
    """(H, W) uint8 the figure-ground mask that (H, W, 4) uint8 is: how opaque a photograph is whose background was cut
    away, or the grey of one that is opaque all over; None where it is neither."""
    alpha = colours[..., 3]
    if (alpha < alpha.max()).any():
        return None if _is_grey(colours[..., :3], 0) else alpha.copy()
    return colours[..., 0].copy() if _is_grey(colours[..., :3], 0) else None


def _is_coloured(image: Image.Image) -> bool:
    """Whether one of the colours that a palette image uses is no grey."""
    used = np.array(image.convert("RGB")).reshape(-1, 3)
    return bool((used != used[:, :1]).any())
