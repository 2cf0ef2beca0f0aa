"""What all readers give: one object of one image, as files describe it."""

from __future__ import annotations

import ntpath
import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from coarseparts.system.text import short

LONGEST = 4096
"""Characters of a path, at most; systems take no more bytes."""

_NO_NAME = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""What no file's name holds. The lone surrogates U+DC80 to U+DCFF stand for bytes of names that are not UTF-8."""


@dataclass(frozen=True)
class PartSegment:
    """A region of part ``index`` (1..P) as COCO polygons or RLE; ``file`` and ``where`` say where it stands."""

    index: int
    segmentation: Any
    file: str
    where: str


@dataclass(frozen=True)
class PartBox:
    """A box (x0, y0, x1, y1) of part ``index`` (1..P), not yet clipped; ``size`` (width, height) of the image as the
    file states it; ``file`` and ``where`` say where it stands."""

    index: int
    box: tuple[float, ...]
    size: tuple[int, int] | None
    file: str
    where: str


@dataclass(frozen=True)
class Annotation:
    """One object of one image: its labels as files give them, in the image's pixels, checked as far as that is possible
    without opening the image. Missing ones are None or ().

    ``image``: path relative to the image folder, with forward slashes; ``object_id`` tells the objects of an image
    apart; ``alone``: it is the image's only object; ``size`` (width, height) as the file states it;
    ``keypoints`` (k, 3) float32 (x, y, v), v in 0, 1, 2, named by ``keypoint_names``; ``box`` (4,) float32
    (x0, y0, x1, y1), not yet clipped to the image; ``segmentation``: the figure-ground mask as COCO polygons or RLE,
    not yet drawn; ``mask_file``: an image with that mask, instead. ``file`` and ``where`` say where it stands.

    Part masks, if any, are one of these two: ``part_files``: (index, file) of the parts that an image shows, or one
    file with all of them and 0 as its index; ``part_segments``. They, ``mask_file`` and ``part_boxes`` are the
    image's: whose they are where it shows several objects is seen when they are drawn.
    """

    file: str
    where: str
    image: str
    object_id: str = ""
    alone: bool = True
    size: tuple[int, int] | None = None
    keypoints: np.ndarray | None = None
    keypoint_names: tuple[str, ...] = ()
    box: np.ndarray | None = None
    segmentation: Any = None
    mask_file: Path | None = None
    part_files: tuple[tuple[int, Path], ...] = ()
    part_segments: tuple[PartSegment, ...] = ()
    part_boxes: tuple[PartBox, ...] = ()

    @property
    def has_parts(self) -> bool:
        """Whether it has part masks."""
        return bool(self.part_files or self.part_segments)

    def carries(self, keypoints: Collection[str]) -> set[str]:
        """Its label styles, of its keypoints those of these names: a visible or hidden one has to be among them."""
        given = {
            "keypoints": self.keypoints is not None and self._labelled(keypoints),
            "mask": self.segmentation is not None or self.mask_file is not None,
            "box": self.box is not None,
            "part_boxes": bool(self.part_boxes),
        }
        return {style for style, present in given.items() if present}

    def _labelled(self, names: Collection[str]) -> bool:
        assert self.keypoints is not None
        among = np.array([name in names for name in self.keypoint_names], bool)
        return bool((self.keypoints[among, 2] > 0).any())


def inside(name: Any) -> str:
    """A file name from an annotation file as a path relative to the image folder, with forward slashes.

    Raises ValueError when it is no text that can name a file, too long, or would lead out of that folder (absolute, or
    too many "..").
    """
    if not isinstance(name, str) or not name.strip() or _NO_NAME.search(name):
        raise ValueError(f"file name {short(name, 60)} is not a file name")
    if len(name) > LONGEST:
        raise ValueError(f"file name {short(name)} has {len(name):,} characters, expected at most {LONGEST:,}")
    normal = posixpath.normpath(name)
    windows = PureWindowsPath(ntpath.normpath(name))  # a path that climbs on one system must not be made on another
    if normal in ("..", ".") or normal.startswith(("/", "../")) or windows.is_absolute() or windows.parts[0] == "..":
        raise ValueError(f"file name {short(name, 60)} leads out of the image folder")
    return normal
