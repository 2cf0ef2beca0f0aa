"""CUB-200-2011: 11,788 bird photographs with 15 keypoints, a box and, separately, figure-ground masks.

The folder is read as its authors publish it (``bird_tables``).
"""

from __future__ import annotations

from pathlib import Path

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.bird_tables import Layout, read_annotations
from coarseparts.system.problems import Problem

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
