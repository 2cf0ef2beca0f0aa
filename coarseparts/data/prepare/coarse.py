"""Keypoints and boxes of an archive as a plain COCO file, and the dataset file that uses it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.naming import mirror_pairs
from coarseparts.data.prepare.output import Output
from coarseparts.data.synthetic.anatomy import PARTS
from coarseparts.system.text import readable


def coco_text(annotations: Iterable[Annotation], sizes: Mapping[str, tuple[int, int]], category: str) -> str:
    """A COCO file of annotations, an image each, whose coordinates are read back to the bit. ``sizes``: (width, height)
    of the images, as far as they are known; ``category``: what they show. Masks are not written."""
    images, objects = [], []
    names: tuple[str, ...] = ()
    for number, found in enumerate(annotations, 1):
        names = found.keypoint_names
        size = dict(zip(("width", "height"), sizes.get(found.image, ()), strict=False))
        images.append({"id": number, "file_name": found.image} | size)
        entry: dict[str, Any] = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        if found.keypoints is not None:
            entry["keypoints"] = [_number(v) for v in found.keypoints.ravel().tolist()]
            entry["num_keypoints"] = int((found.keypoints[:, 2] > 0).sum())
        if "box" in found.labels:
            x0, y0, x1, y1 = found.labels["box"].value.tolist()  # in double precision the differences are exact
            entry["bbox"] = [_number(v) for v in (x0, y0, x1 - x0, y1 - y0)]
            entry["area"] = _number((x1 - x0) * (y1 - y0))
        objects.append(entry)
    categories = [{"id": 1, "name": category, "keypoints": list(names), "skeleton": []}]
    content = {"images": images, "categories": categories, "annotations": objects}
    return json.dumps(content, separators=(",", ":")) + "\n"


def _number(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def write_list(output: Output, name: str, images: Iterable[str]) -> dict[str, str]:
    """The key ``only`` of a source: a list of image names, which is written with the output's other texts."""
    output.write(f"lists/{name}.txt", "".join(f"{image}\n" for image in images))
    return {"only": f"lists/{name}.txt"}


def of_birds(keypoints: tuple[str, ...]) -> dict[str, Any]:
    """What all dataset files of birds say, but for their sources."""
    return {
        "parts": list(PARTS),
        "mirror": pairs(PARTS),
        "keypoints": list(keypoints),
        "keypoint_mirror": pairs(keypoints),
        "size": 256,
        "crop": {"to": "object", "margin": 0.1},
    }


def pairs(names: tuple[str, ...]) -> list[list[str]]:
    """Pairs of names that swap on a flip; ``mirror_pairs`` lists each once."""
    return [list(pair) for pair in mirror_pairs(names)]


def yaml_text(title: str, verb: str, content: dict[str, Any]) -> str:
    """A dataset file that says who made it."""
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    made = f"made by `coarseparts prepare {verb}`. Images are used from where they are."
    return f"# {readable(title)}, {made}\n{text}"


def photographs(archive: Path) -> str:
    """The folder of an archive's photographs, for the key ``images`` of a source."""
    return str((archive / "images").absolute())
