"""OID Aircraft as section 4.2 uses it: outlines on all photographs, four kinds of parts that may overlap.

The photographs end with a banner that names their owner: 20 rows. They are written anew without it, because a dataset
file has no way to say which rows of an image count, and a network would see the text. They are encoded with their own
quantization tables on the same grid of blocks, which changes a grey level by about 0.1 on average or less, where
quality 95 changes at least twice as much and needs a third more bytes or more.
"""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import JpegImagePlugin

from coarseparts.data.formats.names import read_lines
from coarseparts.data.images import opened, stem
from coarseparts.data.prepare import polygons
from coarseparts.data.prepare.oid_annotations import ANNOTATIONS, IMAGES, PARTS, SPLITS, OidImage, read_oid_aircraft
from coarseparts.data.prepare.oid_quality import proposal
from coarseparts.data.prepare.output import Item, Made, Output, Progress, write_file
from coarseparts.system.problems import BadInput, Problem, errors
from coarseparts.system.text import readable

BANNER = 20
"""Rows at the bottom of each photograph that name its owner."""

_HEADER = """\
# OID Aircraft, prepared from {archive}; paths are relative to this file.
# Part labels: {parts}.
"""


def prepare_oid_aircraft(
    archive: Path, out: Path, clean: Path | None = None, banner: int = BANNER, progress: Progress | None = None
) -> tuple[bool, list[Problem]]:
    """``out``/oid-aircraft.yaml with images/, coarse.json (outlines), parts.json and lists/, from the unpacked archive.

    ``clean``: a list of the photographs whose part labels are used (lines "split name"; ``read_clean_list``); all
    others, in their official splits, have outlines only. Without it all photographs have their part labels.
    Returns whether anything was written that was not there before, and what was repaired or left out. Raises BadInput
    with everything that is wrong; then there is no dataset file.
    """
    images, problems = read_oid_aircraft(archive)
    chosen = None
    try:
        chosen = None if clean is None else read_clean_list(clean, images)
    except BadInput as bad:
        problems += bad.problems
    for image in images:
        if image.size[1] <= banner:
            message = f"{image.name} is {image.size[1]} pixels high, the banner {banner}"
            problems.append(Problem(str(archive / ANNOTATIONS), message, "give a smaller --banner"))
    with Output(out, "oid-aircraft.yaml", progress) as output:
        output.problems += problems
        found = [_Labelled(image, banner, archive / ANNOTATIONS) for image in images if image.size[1] > banner]
        output.problems += [problem for labelled in found for problem in labelled.problems]
        members = [labelled for labelled in found if labelled.outline]
        output.make([_item(archive / IMAGES / labelled.image.name, labelled.image, banner) for labelled in members])
        output.write("coarse.json", _json(_outlines_coco(members)))
        output.write("parts.json", _json(_parts_coco(members)))
        groups = _groups(members, chosen)
        for group, names in groups.items():
            output.write(f"lists/{group}.txt", "".join(f"{name}\n" for name in names))
        changed = output.finish(_dataset_yaml(archive, clean, groups))
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
    known = {stem(image.name): image for image in images}
    chosen: dict[str, str] = {}
    problems = []
    for number, line in enumerate(read_lines(path, "name an existing file"), 1):
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


class _Labelled:
    """A photograph's labels, cut to what is left of it without the banner: ``outline``, the polygons of all its
    aeroplanes, and ``parts``, a name and a polygon each; none where a polygon had to be left out, for a part that is
    not labelled would count as absent."""

    def __init__(self, image: OidImage, banner: int, file: Path):
        self.image, self.size = image, (image.size[0], image.size[1] - banner)
        self.problems: list[Problem] = []
        self.outline = [p for p in map(self._cut, image.outlines) if p is not None]
        if not self.outline:
            message = f"{image.name}: no aeroplane lies in the photograph above the banner; left out"
            self.problems.append(Problem(str(file), message, "", "repaired"))
        self.parts: list[tuple[str, np.ndarray]] = []
        for part, drawn in image.parts.items() if image.complete else ():
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


def _groups(members: list[_Labelled], chosen: dict[str, str] | None) -> dict[str, list[str]]:
    """The names of each source's photographs, in the order of the dataset file."""
    groups: dict[str, list[str]] = {f"{kind}-{split}": [] for kind in ("parts", "coarse") for split in SPLITS}
    for labelled in members:
        image = labelled.image
        if chosen is None:
            groups[f"{'parts' if labelled.parts else 'coarse'}-{image.split}"].append(image.name)
        elif image.name in chosen:
            groups[f"parts-{chosen[image.name]}"].append(image.name)
        else:
            groups[f"coarse-{image.split}"].append(image.name)
    return {group: names for group, names in groups.items() if names}


def _item(path: Path, image: OidImage, banner: int) -> Item:
    target = f"images/{image.name}"
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
        {"id": number, "file_name": labelled.image.name, "width": labelled.size[0], "height": labelled.size[1]}
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


def _dataset_yaml(archive: Path, clean: Path | None, groups: dict[str, list[str]]) -> str:
    said = f"of the photographs of {readable(clean.name)}" if clean else "of all photographs; they are noisy"
    sources = []
    for group in groups:
        kind, _, split = group.partition("-")
        parts = {"part_coco": "parts.json"} if kind == "parts" else {}
        source = {"split": split, "images": "images", "only": f"lists/{group}.txt"}
        sources.append(source | parts | {"coco": "coarse.json", "use": ["mask"]})
    content = {
        "parts": list(PARTS),
        "overlapping": True,
        "mirror": [],
        "size": 256,
        "crop": {"to": "none"},
        "sources": sources,
    }
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return _HEADER.format(archive=readable(archive.resolve().name), parts=said) + text
