"""OID Aircraft as section 4.2 uses it: outlines on all photographs, four kinds of parts that may overlap.

The photographs end with a banner that names their owner: 20 rows. They are written anew without it, because a dataset
file has no way to say which rows of an image count, and a network would see the text. They are encoded with their own
quantization tables on the same grid of blocks, which changes a grey level by 0.1 on average or less, where quality 95
changes three times as much or more at a third more bytes or more (``tests/data/prepare/test_oid_aircraft.py``).
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import JpegImagePlugin

from coarseparts.data.images import opened, stem
from coarseparts.data.prepare import polygons
from coarseparts.data.prepare.oid_quality import proposal
from coarseparts.data.prepare.output import Item, Made, Output, Progress, write_file
from coarseparts.data.problems import BadInput, Problem, errors, readable
from coarseparts.data.readers.oid_aircraft import ANNOTATIONS, IMAGES, PARTS, SPLITS, OidImage, read_oid_aircraft

BANNER = 20
"""Rows at the bottom of each photograph that name its owner."""

_HEADER = """\
# OID Aircraft, prepared from {archive}; paths are relative to this file.
# {clean}
"""


def prepare_oid_aircraft(
    archive: Path, out: Path, clean: Path | None = None, banner: int = BANNER, progress: Progress | None = None
) -> tuple[bool, list[Problem]]:
    """``out``/oid-aircraft.yaml with its images and COCO files, from the unpacked archive.

    ``clean``: a list of the photographs whose part labels are used (lines "split name"; ``read_clean_list``); all
    others, in their official splits, have outlines only. Without it all photographs have their part labels.
    Returns whether anything was written that was not there before, and what was repaired or left out. Raises BadInput
    with everything that is wrong; then there is no dataset file.
    """
    images, problems = read_oid_aircraft(archive)
    groups = _groups(images, clean, problems)
    with Output(out, "oid-aircraft.yaml", progress) as output:
        output.problems += problems
        labels: dict[str, list[_Labelled]] = {}
        items = []
        for group, members in groups.items():
            labels[group] = []
            for image in members:
                if image.size[1] <= banner:
                    message = f"{image.name} is {image.size[1]} pixels high, not more than the banner's {banner}"
                    output.problems.append(Problem(str(archive / ANNOTATIONS), message, "give a smaller --banner"))
                    continue
                labelled = _Labelled(image, banner, archive / ANNOTATIONS, with_parts=not group.startswith("coarse"))
                output.problems += labelled.problems
                if labelled.outline:
                    labels[group].append(labelled)
                    items.append(_item(archive / IMAGES / image.name, group, image, banner))
        output.make(items)
        for group, members_ in labels.items():
            output.write(f"{group}/coarse.json", _json(_outlines_coco(members_)))
            if not group.startswith("coarse"):
                output.write(f"{group}/parts.json", _json(_parts_coco(members_)))
        changed = output.finish(_dataset_yaml(archive, clean, labels))
        return changed, [p for p in output.problems if p.severity != "error"]


def propose_clean(archive: Path, target: Path, banner: int = BANNER) -> bool:
    """Write a list of photographs with part labels that fit together (``oid_quality.proposal``) to look through.

    False if it was there already. Raises BadInput where ``target`` holds something else: somebody's choices.
    """
    images, problems = read_oid_aircraft(archive)
    if errors(problems):
        raise BadInput(errors(problems))
    content = proposal(images, banner).encode()
    try:
        if target.exists() and target.read_bytes() != content:
            message = "is there already and holds something else, perhaps your changes"
            raise BadInput(Problem(str(target), message, "name another file"))
        return write_file(target, content)
    except OSError as error:
        raise BadInput(Problem(str(target), f"cannot be written: {error.strerror}", "name another file")) from None


def read_clean_list(path: Path, images: list[OidImage]) -> dict[str, str]:
    """The split of each listed photograph, by its name. Lines are "train 0034309" (or 0034309.jpg); what follows a #
    is a comment. Raises BadInput with every line that is wrong: of another form, unknown or listed twice, a photograph
    without part labels or of which a polygon had to be left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(Problem(str(path), f"cannot be read: {error.strerror}", "name an existing file")) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(path), "is not text in UTF-8", "save it as UTF-8")) from None
    known = {stem(image.name): image for image in images}
    chosen: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        image = known.get(stem(fields[-1]))
        if len(fields) != 2 or fields[0] not in SPLITS:
            came, remedy = f"is {line[:60]!r}", "write a split (train, val or test) and a photograph's name"
        elif image is None:
            came, remedy = f"names {fields[1]}, which has no aeroplane's outline", "correct or remove the line"
        elif image.name in chosen:
            came, remedy = f"names {image.name} again", "keep one of the lines"
        elif not image.complete or not any(image.parts.values()):
            what = "has no part labels" if image.complete else "has a polygon that encloses nothing"
            came, remedy = f"names {image.name}, which {what}", "choose another photograph"
        else:
            chosen[image.name] = fields[0]
            continue
        problems.append(Problem(str(path), f"line {number} {came}", remedy))
    if not chosen and not problems:
        problems.append(Problem(str(path), "lists no photograph", "write lines such as: train 0034309"))
    if problems:
        raise BadInput(problems)
    return chosen


def _groups(images: list[OidImage], clean: Path | None, problems: list[Problem]) -> dict[str, list[OidImage]]:
    """The photographs of each source, in the order of the dataset file. Raises BadInput, ``problems`` included."""
    groups: dict[str, list[OidImage]] = defaultdict(list)
    try:
        chosen = None if clean is None else read_clean_list(clean, images)
    except BadInput as bad:
        raise BadInput([*errors(problems), *bad.problems]) from None
    for image in images:
        if chosen is None:
            groups[image.split].append(image)
        elif image.name in chosen:
            groups[f"clean-{chosen[image.name]}"].append(image)
        else:
            groups[f"coarse-{image.split}"].append(image)
    order = [f"{kind}{split}" for kind in ("", "clean-", "coarse-") for split in SPLITS]
    return {group: groups[group] for group in order if groups[group]}


class _Labelled:
    """A photograph's labels, cut to what is left of it without the banner: ``outline``, the polygons of all its
    aeroplanes, and ``parts``, a name and a polygon each."""

    def __init__(self, image: OidImage, banner: int, file: Path, with_parts: bool):
        self.name, self.size = image.name, (image.size[0], image.size[1] - banner)
        self.problems: list[Problem] = []
        self.outline = [p for p in (self._cut(polygon) for polygon in image.outlines) if p is not None]
        if not self.outline:
            message = f"{image.name}: no aeroplane lies in the photograph above the banner; left out"
            self.problems.append(Problem(str(file), message, "", "repaired"))
        self.parts: list[tuple[str, np.ndarray]] = []
        for part, drawn in image.parts.items() if with_parts and image.complete else ():
            for polygon in drawn:
                inside = self._cut(polygon)
                if inside is None:
                    message = f"{image.name}: a polygon of {part} lies in the banner or outside; left out"
                    self.problems.append(Problem(str(file), message, "", "repaired"))
                else:
                    self.parts.append((part, inside))

    def _cut(self, polygon: np.ndarray) -> np.ndarray | None:
        """In the photograph, to a hundredth of a pixel; None if it covers no pixel's centre there."""
        inside = polygons.cut(polygon, *self.size)
        if inside is None:
            return None
        inside = inside.round(2)
        return inside if polygons.covered(polygons.run_lengths([inside], *self.size)) else None


def _item(path: Path, group: str, image: OidImage, banner: int) -> Item:
    target = f"{group}/images/{image.name}"
    try:
        room = path.stat().st_size
    except OSError:
        room = 0  # told when it is made
    settings = {"target": target, "size": image.size, "banner": banner}
    return Item(image.name, (path,), partial(_without_banner, path, target, image.size, banner), settings, room)


def _without_banner(path: Path, target: str, size: tuple[int, int], banner: int) -> Made:
    """The photograph without its lowest rows. Raises BadInput. An EXIF rotation is not applied: MATLAB, with which the
    labels were made, does not know it, and the new file has none."""
    with opened(path, formats=("JPEG",)) as image:
        if image.size != size:
            message = f"is {image.width}x{image.height} pixels, annotated at {size[0]}x{size[1]}"
            raise BadInput(Problem(str(path), message, "restore it from oid-aircraft-beta-1.tar.gz"))
        image.load()
        options: dict[str, Any] = {"qtables": getattr(image, "quantization", None)}
        if image.mode == "RGB":
            options["subsampling"] = JpegImagePlugin.get_sampling(image)
        elif image.mode != "L":
            image, options = image.convert("RGB"), {}
        if not options.get("qtables") or options.get("subsampling") == -1:
            options = {"quality": 95, "subsampling": 0}
        encoded = io.BytesIO()
        image.crop((0, 0, size[0], size[1] - banner)).save(encoded, "JPEG", **options)
    return Made({target: encoded.getvalue()})


def _outlines_coco(members: list[_Labelled]) -> dict[str, Any]:
    """One annotation an image: all its aeroplanes together, for photographs are used whole."""
    annotations = [
        _annotation(number, number, 1, labelled.outline, labelled.size) for number, labelled in enumerate(members, 1)
    ]
    return _coco(members, ["aeroplane"], annotations)


def _parts_coco(members: list[_Labelled]) -> dict[str, Any]:
    """One annotation a polygon."""
    names = list(PARTS)
    annotations: list[dict[str, Any]] = []
    for number, labelled in enumerate(members, 1):
        for part, polygon in labelled.parts:
            category = names.index(part) + 1
            annotations.append(_annotation(len(annotations) + 1, number, category, [polygon], labelled.size))
    return _coco(members, names, annotations)


def _coco(members: list[_Labelled], categories: list[str], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": labelled.name, "width": labelled.size[0], "height": labelled.size[1]}
        for number, labelled in enumerate(members, 1)
    ]
    named = [{"id": number, "name": name} for number, name in enumerate(categories, 1)]
    return {"images": images, "categories": named, "annotations": annotations}


def _annotation(
    number: int, image: int, category: int, drawn: list[np.ndarray], size: tuple[int, int]
) -> dict[str, Any]:
    points = np.concatenate(drawn)
    low, extent = points.min(0), np.ptp(points, axis=0)
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": [polygon.ravel().tolist() for polygon in drawn],
        "bbox": [round(v, 2) for v in (*low.tolist(), *extent.tolist())],
        "area": polygons.covered(polygons.run_lengths(drawn, *size)),
        "iscrowd": 0,
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"


def _dataset_yaml(archive: Path, clean: Path | None, labels: dict[str, list[_Labelled]]) -> str:
    said = (
        f"Part labels: the photographs of {readable(clean.name)}"
        if clean
        else "Part labels: of all photographs; they are noisy"
    )
    sources = []
    for group, members in labels.items():
        source = {"split": group.rpartition("-")[2], "images": f"{group}/images"}
        if any(labelled.parts for labelled in members):
            source["part_coco"] = f"{group}/parts.json"
        sources.append(source | {"coco": f"{group}/coarse.json", "use": ["mask"]})
    content = {
        "parts": list(PARTS),
        "overlapping": True,
        "mirror": [],
        "size": 256,
        "crop": {"to": "none"},
        "sources": sources,
    }
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return _HEADER.format(archive=readable(archive.resolve().name), clean=said) + text
