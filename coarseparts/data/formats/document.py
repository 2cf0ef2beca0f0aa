"""What an export of any tool says, as a COCO document: everything behind the formats reads this one form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coarseparts.system.problems import Problem


@dataclass(frozen=True)
class Document:
    """What an export of any tool says, as a COCO document.

    ``images``: {id: int, file_name: relative path as the tool names it, width: int or None, height: int or None};
    ``categories``: {id: int, name: str, optional keypoints: [names]};
    ``annotations``: {id: int, image_id, category_id, optional keypoints: flat [x, y, v] * k in pixels, optional
    segmentation: COCO polygons or RLE, optional bbox: [x, y, width, height] in pixels, optional group: str}, of which
    those of one image with the same group are one object;
    ``problems``: what was wrong or passed over; ``mirror``: pairs of keypoint names that the format swaps on a flip.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mirror: list[tuple[str, str]] = field(default_factory=list)
