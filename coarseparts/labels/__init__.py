"""Label styles: one file a style. A new style is one new file and one entry in ``STYLES`` below."""

from coarseparts.labels.box import Box
from coarseparts.labels.keypoints import Keypoints
from coarseparts.labels.mask import Mask
from coarseparts.labels.parts import ExclusiveParts, OverlappingParts, Parts, parts_of
from coarseparts.labels.style import LabelStyle

STYLES: dict[str, type[LabelStyle]] = {"keypoints": Keypoints, "mask": Mask, "box": Box}
"""Every coarse label style by its name in dataset files and on the command line."""

__all__ = [
    "STYLES",
    "Box",
    "ExclusiveParts",
    "Keypoints",
    "LabelStyle",
    "Mask",
    "OverlappingParts",
    "Parts",
    "parts_of",
]
