"""Label styles: one file a style. A new style is one new file and one entry in ``ALL`` below."""

from coarseparts.labels.box import Box
from coarseparts.labels.keypoints import Keypoints
from coarseparts.labels.mask import Mask
from coarseparts.labels.part_boxes import PartBoxes
from coarseparts.labels.parts import ExclusiveParts, OverlappingParts, Parts, parts_of
from coarseparts.labels.scribbles import Scribbles
from coarseparts.labels.style import LabelStyle

ALL = (Keypoints, Mask, Box, PartBoxes, Scribbles)

STYLES: dict[str, type[LabelStyle]] = {style.name: style for style in ALL}
"""Every coarse label style by its name in dataset files and on the command line, in the order in which the posterior
sees them."""

__all__ = [
    "STYLES",
    "Box",
    "ExclusiveParts",
    "Keypoints",
    "LabelStyle",
    "Mask",
    "OverlappingParts",
    "PartBoxes",
    "Parts",
    "Scribbles",
    "parts_of",
]
