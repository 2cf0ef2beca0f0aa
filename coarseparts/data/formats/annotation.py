"""What all readers give: one object of one image, as files describe it."""

from __future__ import annotations

import ntpath
import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from coarseparts.data.formats.labelmap import Colours
from coarseparts.labels import STYLES
from coarseparts.labels.given import LATER, Given
from coarseparts.system.text import short

LONGEST = 4096
"""Characters of a path, at most; systems take no more bytes."""

_NO_NAME = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""What no file's name holds. The lone surrogates U+DC80 to U+DCFF stand for bytes of names that are not UTF-8."""


@dataclass(frozen=True)
class PartSegment:
    """A region of part ``index`` (1..P) as COCO polygons or RLE; ``file``, ``where``, ``size`` and ``of`` as
    ``labels.given.Given`` has them; those of a higher ``layer`` lie over the others."""

    index: int
    segmentation: Any
    file: str
    where: str
    size: tuple[int, int] | None = None
    of: tuple[int, int] | None = None
    layer: int = field(default=0, metadata={LATER: True})


@dataclass(frozen=True)
class Annotation:
    """One object of one image: its labels as files give them, in the image's pixels, checked as far as that is possible
    without opening the image.

    ``image``: path relative to the image folder, with forward slashes; ``object_id`` tells the objects of an image
    apart; ``alone``: it is the image's only object; ``keypoint_names``: those that the file has, labelled or not;
    ``labels``: the coarse ones by style. ``file`` and ``where`` say where it stands. Those of an image with the same
    ``group``, if they have any, are one object.

    Part masks, if any, are one of these two: ``part_files``: (index, file) of the parts that an image shows, or one
    file with all of them and 0 as its index, in ``colours`` where a labelmap names them; ``part_segments``. They, a
    mask of a folder and styles that are ``of_image`` are the image's: whose they are where it shows several objects is
    seen when they are drawn. But ``owned`` part segments are its own, those of index 255 other objects'.
    ``neighbours``: the keypoints of the image's other objects, where nothing but keypoints says whose they are.
    """

    file: str
    where: str
    image: str
    object_id: str = ""
    alone: bool = True
    keypoint_names: tuple[str, ...] = ()
    labels: Mapping[str, Given] = field(default_factory=dict)
    part_files: tuple[tuple[int, Path], ...] = ()
    part_segments: tuple[PartSegment, ...] = ()
    colours: Colours = ()
    group: str = ""
    owned: bool = False
    neighbours: tuple[Given, ...] = ()

    @property
    def has_parts(self) -> bool:
        """Whether it has part masks."""
        return bool(self.part_files or self.part_segments)

    @property
    def of_image(self) -> bool:
        """Whether it is of no object, but of the parts that the image shows."""
        named = [STYLES[name].of_image for name in self.labels]
        return all(named) if named else bool(self.part_segments)

    def label(self, style: str) -> Any:
        """What its file gives of a style; None if it gives nothing."""
        return self.labels[style].value if style in self.labels else None

    @property
    def keypoints(self) -> np.ndarray | None:
        """(k, 3) of ``keypoint_names``, None where none is labelled."""
        points = self.label("keypoints")
        return None if points is None else points.xyv

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the image as its file of coarse labels states it."""
        return next((given.size for given in self.labels.values()), None)

    def carries(self, keypoints: Collection[str]) -> set[str]:
        """Its label styles, of its keypoints those of these names: a visible or hidden one has to be among them."""
        return {name for name, given in self.labels.items() if STYLES[name].says_something(given.value, keypoints)}


def inside(name: Any) -> str:
    """A file name from an annotation file as a path relative to the image folder, with forward slashes.

    Raises ValueError when it is no text that can name a file, too long, or would lead out of that folder (absolute, or
    too many "..").
    """
    if not isinstance(name, str) or not name.strip() or _NO_NAME.search(name):
        raise ValueError(f"file name {short(name, 60)} is not a file name")
    if len(name) > LONGEST:
        raise ValueError(f"file name {short(name)} has {len(name):,} characters, expected at most {LONGEST:,}")
    if leads_out(name):
        raise ValueError(f"file name {short(name, 60)} leads out of the image folder")
    return posixpath.normpath(name)


def leads_out(name: str) -> bool:
    """Whether a path leads out of the folder to which it should be relative, on this system or another one."""
    normal = posixpath.normpath(name)
    if normal in ("..", ".") or normal.startswith(("/", "../")):
        return True
    if "\\" in name or ":" in name:  # a path that climbs on one system must not be made on another
        windows = PureWindowsPath(ntpath.normpath(name))
        return windows.is_absolute() or windows.parts[:1] in ((), ("..",))
    return False
