"""What an export of an annotation tool says, whichever tool it is: a COCO document, with what went wrong on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coarseparts.system.problems import Problem


@dataclass(frozen=True)
class Document:
    """An export as a COCO document; coordinates in pixels of the image.

    ``images``: id (int), file_name (relative path as the tool names it), width and height (None where not known).
    ``categories``: id, name and, where it has any, keypoints (their names). ``annotations``: id, image_id, category_id
    and, as far as they are there, keypoints (flat: x, y, visibility), segmentation (COCO polygons or RLE), bbox (x, y,
    width, height), score (0..1), layer (int: those of a higher one lie over the others), and group: annotations of one
    image with the same group are one object.
    ``problems``: what was wrong or passed over; ``mirror``: keypoints that the format says swap on a flip; ``format``:
    its name, of what ``registry.read_export`` gives.
    """

    images: list[dict] = field(default_factory=list)
    categories: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mirror: list[tuple[str, str]] = field(default_factory=list)
    format: str = ""


def content_of(annotation: Mapping[str, Any], category: Mapping[str, Any]) -> str:
    """What an annotation of a ``category`` says of its image, whatever their numbers."""
    own = {key: value for key, value in annotation.items() if key not in ("id", "category_id")}
    return json.dumps([category.get("name"), category.get("keypoints"), own], sort_keys=True, default=str)


def contents_of(document: Document) -> list[tuple[str, list[str]]]:
    """What a document says of each of its images by name, the same of those that say the same."""
    categories = {str(one.get("id")): one for one in document.categories if isinstance(one, dict)}
    names = {str(one.get("id")): str(one.get("file_name")) for one in document.images if isinstance(one, dict)}
    said: dict[str, list[str]] = {name: [] for name in names.values()}
    for entry in document.annotations:
        if isinstance(entry, dict):
            name = names.get(str(entry.get("image_id")), "")
            own = content_of(entry | {"image_id": name}, categories.get(str(entry.get("category_id")), {}))
            said.setdefault(name, []).append(own)
    return sorted((name, sorted(own)) for name, own in said.items())
