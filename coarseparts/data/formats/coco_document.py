"""COCO as one of the formats that are recognised and written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from coarseparts.data.formats.coco_lists import read_lists
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import HEAD, head, write_json

NAME = "COCO"

_LISTS = re.compile(rb'"(images|annotations|categories|licenses|info)"\s*:\s*[\[{]')
_SHORT = re.compile(rb'"(images|annotations)"\s*:')
_OTHERS = re.compile(
    rb'"(shapes|_via_\w+|result|regions|schema_ref|slot_names|segments_info)"\s*:'
    rb'|"(image|images|annotations|categories)"\s*:\s*\{'
)


def recognises(path: Path) -> bool:
    """Whether a file begins as a COCO file does."""
    begin = head(path).lstrip()
    if not begin.startswith(b"{") or not _LISTS.search(begin) or _OTHERS.search(begin):
        return False
    return len(begin) > HEAD // 2 or bool(_SHORT.search(begin))  # Label Studio's notes.json has categories alone


def read(path: Path) -> Document:
    """The three lists as they stand: what is wrong with their entries is found where they are used. Raises BadInput."""
    lists = read_lists(path)
    return Document(lists["images"], lists["categories"], lists["annotations"])


def write(document: Document, out: Path) -> None:
    """Writes a COCO file. Groups are kept under ``group``, which other tools pass over."""
    images = [{key: value for key, value in entry.items() if key != "path"} for entry in document.images]
    annotations = [with_area(entry) for entry in document.annotations]
    write_json({"images": images, "annotations": annotations, "categories": document.categories}, out)


def with_area(entry: dict) -> dict[str, Any]:
    """An annotation with what COCO's tools ask for: iscrowd, and area and box of an RLE."""
    outline, more = entry.get("segmentation"), {}
    if isinstance(outline, dict) and isinstance(outline["counts"], str):
        code: Any = outline | {"counts": outline["counts"].encode()}
        more = {"area": int(coco_mask.area(code)), "bbox": [float(v) for v in coco_mask.toBbox(code)]}
    return {"iscrowd": 0} | more | entry
