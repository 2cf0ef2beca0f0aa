"""NABirds: 48,562 bird photographs of 555 categories with 11 keypoints and a box (Van Horn et al., CVPR 2015).

The folder is read as its authors publish it, and its files are laid out as CUB-200-2011's (``bird_tables``) but for
the images' ids, which are hyphenated UUIDs, part numbers, which start at 0, and ``sizes.txt``, by which an image that
is not the annotated one is found out.
"""

from __future__ import annotations

from pathlib import Path

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.bird_tables import Layout, read_annotations
from coarseparts.system.problems import Problem

LAYOUT = Layout("nabirds.tar.gz", "UUID", "[0-9A-Fa-f-]+", sizes=True)
"""How the archive's text files are laid out."""

KEYPOINTS = (
    *("bill", "crown", "nape", "left eye", "right eye", "belly", "breast", "back", "tail", "left wing", "right wing"),
)
"""The keypoints of the published archive, in its order."""


def read_nabirds(folder: Path, split: str | None) -> tuple[list[Annotation], list[Problem]]:
    """One annotation per image of the official split ("train"; "val" and "test" both give the official test images),
    or of all images (None).

    Keypoints are (x, y, v) with v = 2, or zeros where they are not visible. An empty list and problems when a file is
    missing or malformed.
    """
    return read_annotations(folder, split, LAYOUT)
