"""The three lists of a COCO file as they stand: what is wrong inside of them is found where they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coarseparts.data.formats.known_by_name import known_by_name
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.problems import BadInput, Problem, unreadable

MOST_ANNOTATIONS = 10_000
"""Annotations of one image."""

LARGE = 20_000_000
"""Bytes of a file that is glanced at before it is parsed."""

CROWDED = "is image_id right? export the file again, or divide the image"
"""What to do where an image has more annotations than that."""

NAMES = ("path", "image_path", "filename", "coco_url")
"""Keys under which images without a ``file_name`` have it, or a path or an address that ends in it."""


def read_lists(path: Path) -> dict[str, list]:
    """The three lists of a COCO file as they stand, their entries unchecked. Raises BadInput."""
    remedy = "export it again as COCO JSON with images, annotations and categories"
    try:
        _refuse_unread(path)
        raw = load_json(path)
    except OSError as error:
        raise BadInput(unreadable(path, error, "name an existing file")) from None
    except DocumentError as error:
        raise BadInput(_named(path) or Problem(str(path), str(error), remedy)) from None
    if not isinstance(raw, dict):
        came = f"holds a {type(raw).__name__}"
        raise BadInput(_named(path) or Problem(str(path), f"{came}, expected a COCO object", remedy))
    annotations = raw.get("annotations")
    if isinstance(annotations, list) and any(isinstance(one, dict) and "segments_info" in one for one in annotations):
        message = "is COCO panoptic, whose segments are in PNG files, which is not read"
        raise BadInput(Problem(str(path), message, "convert it to instances, as panopticapi does"))
    wrong = [key for key in ("images", "annotations", "categories") if not isinstance(raw.get(key), list)]
    if wrong:
        raise BadInput(_named(path) or Problem(str(path), f"has no list {', '.join(wrong)}", remedy))
    return raw | {"images": [_named_by_another_key(entry) for entry in raw["images"]]}


def _named_by_another_key(entry: Any) -> Any:
    """An image's entry with a ``file_name``, if it has one of ``NAMES``."""
    if not isinstance(entry, dict) or entry.get("file_name"):
        return entry
    name = next((value for key in NAMES if isinstance(value := entry.get(key), str) and value), None)
    return entry if name is None else entry | {"file_name": name}


def _named(path: Path) -> Problem | None:
    """The problem of a file of another format that is known by name."""
    told = known_by_name(path)
    return told and Problem(str(path), f"looks like {told[0]}, which is not read", f"export it as {told[1]}")


def _refuse_unread(path: Path) -> None:
    """Raises BadInput where so many annotations stand beside so few images that one of them must have too many: a
    glance at a large file, of which the parsing alone would take longer than anybody waits for a refusal."""
    if path.stat().st_size < LARGE:
        return
    raw = path.read_bytes()
    annotations, images = raw.count(b'"image_id"'), raw.count(b'"file_name"')
    if annotations > MOST_ANNOTATIONS * max(images, 1):
        came = (
            f"has {annotations:,} annotations on {images:,} images, expected at most {MOST_ANNOTATIONS:,} of an image"
        )
        raise BadInput(Problem(str(path), came, CROWDED))
