"""What an export of an annotation tool says, whichever tool it is: a COCO document, with what went wrong on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from coarseparts.system.problems import Problem


@dataclass(frozen=True)
class Document:
    """An export as a COCO document; coordinates in pixels of the image.

    ``images``: id (int), file_name (relative path as the tool names it), width and height (None where not known).
    ``categories``: id, name and, where it has any, keypoints (their names). ``annotations``: id, image_id, category_id
    and, as far as they are there, keypoints (flat: x, y, visibility), segmentation (COCO polygons or RLE), bbox (x, y,
    width, height), score (0..1), and group: annotations of one image with the same group are one object.
    ``problems``: what was wrong or passed over; ``mirror``: keypoints that the format says swap on a flip; ``format``:
    its name, of what ``registry.read_export`` gives.
    """

    images: list[dict] = field(default_factory=list)
    categories: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mirror: list[tuple[str, str]] = field(default_factory=list)
    format: str = ""
