"""CUB-200-2011: 11,788 bird photographs with 15 keypoints, a box and, separately, figure-ground masks.

The folder is read as its authors publish it (``bird_tables``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.bird_tables import Layout, read_annotations
from coarseparts.data.images import opened
from coarseparts.data.problems import BadInput, Problem

LAYOUT = Layout("CUB_200_2011.tgz", "number", "[0-9]+", sizes=False)
"""How the archive's text files are laid out."""


def read_cub(
    folder: Path, split: str | None, segmentations: Path | None = None
) -> tuple[list[Annotation], list[Problem]]:
    """One annotation per image of the official split ("train"; "val" and "test" both give the official test images),
    or of all images (None).

    ``segmentations``: folder with a PNG per image, grey = share of the annotators who said "bird"; images without one
    have no mask. Numbers of images and parts need not be consecutive. An empty list and problems when a file is
    missing or malformed.
    """
    return read_annotations(folder, split, LAYOUT, segmentations)


def read_soft_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 soft figure-ground mask 0..255 of an image of ``size`` (width, height). Raises BadInput."""
    with opened(path) as image:
        if image.mode not in ("L", "LA", "1", "P"):
            remedy = "save it as a grey-scale PNG, 255 = object"
            raise BadInput(Problem(str(path), f"is of mode {image.mode}, expected grey-scale", remedy))
        values = np.array(image.convert("L"))
    if values.shape != size[::-1]:
        message = f"is {values.shape[1]}x{values.shape[0]} pixels, its image is {size[0]}x{size[1]}"
        raise BadInput(Problem(str(path), message, "export it at the size of the image"))
    if not values.any():
        raise BadInput(Problem(str(path), "is empty: all of it is background", "draw the object or remove the file"))
    return values
