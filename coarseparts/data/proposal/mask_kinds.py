"""What a folder of images holds, from a look at some of its files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from coarseparts.data.formats.labelmap import Colours as Labelmap
from coarseparts.data.formats.labelmap import names_of, read_labelmap, was_compressed
from coarseparts.data.formats.part_files import JPEGS, OVERLAY
from coarseparts.data.formats.smoothed import areas, coverage
from coarseparts.data.images import opened_mask
from coarseparts.data.proposal.mask_colours import MOST, palette_of
from coarseparts.system.problems import BadInput

Kind = Literal["photographs", "figures", "indices", "colours", "instances"]

GLANCE = 6
"""Files of a folder from which its kind is told."""

FEW = 64
"""Values or colours that a mask has at most."""

INSTANCES = ("segmentationobject", "instance", "panoptic")
"""How folders of masks begin in which a value is an object and no part: VOC's, KITTI's, COCO's."""

SAYS_MASK = ("mask", "segment", "silhouette", "seg_", "matte")
"""What is in the names of folders that hold masks."""


def kind_of(folder: Path, files: Sequence[Path]) -> Kind:
    """What a folder of images holds, from a glance at some: photographs unless all of them look like masks."""
    if folder.name.lower().startswith(INSTANCES):
        return "instances"
    named = any(word in folder.name.lower() for word in SAYS_MASK)
    colours, _ = read_labelmap(folder, names_of(folder))
    glance = [one for file in some(files, GLANCE) if (one := _look(file, named, colours)) is not None]
    if not glance or "photographs" in glance:
        return "photographs"
    return "colours" if "colours" in glance else "indices" if "indices" in glance else "figures"


def is_painted(files: Sequence[Path]) -> bool:
    """Whether masks have one colour, on black or transparent, that no list names."""
    palette = None if names_of(files[0].parent) else palette_of(some(files, GLANCE))
    return palette is not None and palette.background == (0, 0, 0) and len(palette.parts) == 1


def some(files: Sequence[Path], count: int) -> list[Path]:
    """So many of the files, evenly spread, without the overlays that ``predict --overlay`` writes."""
    files = [file for file in files if not file.name.endswith(OVERLAY)]
    return [files[i * len(files) // count] for i in range(count)] if len(files) > count else list(files)


def are_indices(values: Collection[int]) -> bool:
    """Whether numbers of parts may be part indices 1, 2, 3, ..., of which some are missing."""
    return max(values) <= 2 * len(values)


def why_unread(files: Sequence[Path]) -> tuple[str, str]:
    """What keeps files from being masks that are no JPEGs, in words, and the remedy; "" where that is not known."""
    for file in (file for file in some(files, GLANCE) if file.suffix.lower() not in JPEGS):
        try:
            with opened_mask(file) as image:
                if _has_fractions(image):
                    return f"{file.name}, whose numbers are fractions", "save them as whole numbers"
        except BadInput as bad:
            return f"{file.name}, which {bad.problems[0].message}", bad.problems[0].remedy
    return "", ""


def _has_fractions(image: Image.Image) -> bool:
    return image.mode == "F" and not bool((np.asarray(image) == np.rint(np.asarray(image))).all())


def _is_smoothed(image: Image.Image) -> bool:
    """Whether an image is one colour or white on black, with smoothed outlines."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == 255:
        image = image.convert("RGB")
    return image.mode in ("L", "RGB") and coverage(np.asarray(image)) is not None


def _is_of_areas(image: Image.Image) -> bool:
    """Whether an image is areas of few colours, with smoothed outlines."""
    return image.mode == "RGB" and areas(np.asarray(image), MOST) is not None


def _look(file: Path, named: bool, labelled: Labelmap) -> Kind | None:
    """What one file looks like, in the colours that a labelmap names, if there is one; None where it cannot be read."""
    if file.suffix.lower() in JPEGS and not labelled:
        return "photographs"
    try:
        with opened_mask(file) as image:
            if not labelled and _is_smoothed(image):
                return "figures"
            if image.mode in ("RGB", "RGBA") or (image.mode == "P" and labelled):
                colours = image.convert("RGB").getcolors(FEW)
                if colours is None and file.suffix.lower() not in JPEGS and _is_of_areas(image):
                    return "colours"
                if colours is None:
                    lossy = file.suffix.lower() in JPEGS and was_compressed(np.asarray(image.convert("RGB")), labelled)
                    return "colours" if lossy else "photographs"
                grey = all(len(set(colour)) == 1 for _, colour in colours)  # type: ignore[arg-type]
                return "figures" if grey and {c[0] for _, c in colours} <= {0, 255} else "colours"  # type: ignore[index]
            if image.mode not in ("P", "L", "1", "I", "I;16", "I;16B", "F", "LA") or _has_fractions(image):
                return "photographs"
            values = np.asarray(image.getchannel("L") if image.mode == "LA" else image)
            clear = np.asarray(image.getchannel("A")) < 128 if image.mode == "LA" else np.zeros(values.shape, bool)
            values = np.unique(values[~clear])
            if clear.any() and not (1 < len(values) <= FEW and are_indices(values.tolist())):
                return "figures"  # a silhouette, or an object cut out
    except BadInput:
        return None
    if len(values) > FEW:
        return "figures" if named else "photographs"  # soft
    return "figures" if set(values.tolist()) <= {0, 1} or set(values.tolist()) <= {0, 255} else "indices"
