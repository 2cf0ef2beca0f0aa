"""NABirds: the archive checked image by image, and dataset files that read it where it lies, alone or beside PASCUB."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import yaml

from coarseparts.data.dataset_file import FILES, FOLDERS, DatasetFile, load_dataset_file
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.nabirds import KEYPOINTS, LAYOUT, read_nabirds
from coarseparts.data.images import decode
from coarseparts.data.prepare.output import Item, Made, Output, Progress
from coarseparts.data.prepare.pascal_birds import PARTS
from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.naming import mirror_pairs
from coarseparts.system.text import readable

_BILL = {"bill": "beak"}
"""The part of the one keypoint that only NABirds has, where the joint file has such a table and part."""


def prepare_nabirds(
    archive: Path, out: Path, beside: Path | None = None, progress: Progress | None = None
) -> tuple[bool, list[Problem]]:
    """``out``/nabirds.yaml, which reads the unpacked archive in place, once every image of it has been decoded.

    ``beside``: a dataset file, PASCUB's; ``out``/<its name>-nabirds.yaml then has its sources and NABirds' training
    images as a further coarse source. Keypoints of one name are one keypoint: crown, nape, eyes, belly, breast, back,
    tail and wings are those of CUB. "bill" and CUB's "beak" are kept apart, the archives do not say that they mean the
    same place. Returns whether anything was written that was not there before, and what was repaired. Raises BadInput
    with everything that is wrong; then there is no dataset file.
    """
    joint = None if beside is None else load_dataset_file(beside)
    if joint is not None and any(source.nabirds for source in joint.sources):
        message = "has a source with nabirds already"
        raise BadInput(Problem(str(beside), message, "give the file without it"))
    splits = {split: read_nabirds(archive, split) for split in ("train", "test")}
    with Output(out, "nabirds.yaml", progress) as output:
        output.problems += dict.fromkeys(problem for _, problems in splits.values() for problem in problems)
        annotations = [annotation for found, _ in splits.values() for annotation in found]
        output.make([_item(archive / "images" / annotation.image, annotation) for annotation in annotations])
        if joint is not None:
            output.write(f"{joint.path.stem}-nabirds.yaml", _joint_yaml(joint, archive))
        changed = output.finish(_own_yaml(archive))
        return changed, [p for p in output.problems if p.severity != "error"]


def _item(path: Path, annotation: Annotation) -> Item:
    return Item(annotation.image, (path,), partial(_checked, path, annotation.size), {"size": annotation.size})


def _checked(path: Path, size: tuple[int, int] | None) -> Made:
    """Nothing but what had to be repaired to decode the image. Raises BadInput."""
    pixels, problems = decode(path)
    if size is not None and pixels.shape[:2] != size[::-1]:
        message = f"is {pixels.shape[1]}x{pixels.shape[0]} pixels, sizes.txt says {size[0]}x{size[1]}"
        raise BadInput(Problem(str(path), message, f"restore it from {LAYOUT.archive}"))
    return Made(problems=problems)


def _own_yaml(archive: Path) -> str:
    content = {
        "parts": list(PARTS),
        "mirror": _pairs(PARTS),
        "keypoints": list(KEYPOINTS),
        "keypoint_mirror": _pairs(KEYPOINTS),
        "size": 256,
        "crop": {"to": "object", "margin": 0.1},
        "sources": [{"split": split, "nabirds": str(archive.absolute())} for split in ("train", "test")],
    }
    return _yaml("NABirds: keypoints and boxes, but no part masks", content)


def _joint_yaml(dataset: DatasetFile, archive: Path) -> str:
    content: dict[str, Any] = dataset.model_dump(mode="json", exclude_unset=True)
    for source in content["sources"]:
        for key in (*FOLDERS, *FILES):
            if source.get(key) is not None:
                source[key] = str(Path(source[key]).absolute())
    content["sources"].append({"split": "train", "nabirds": str(archive.absolute())})
    if dataset.keypoints is not None:
        content["keypoints"] = list(dict.fromkeys((*dataset.keypoints, *KEYPOINTS)))
    if dataset.keypoint_mirror is not None:
        taken = {name for pair in dataset.keypoint_mirror for name in pair}
        content["keypoint_mirror"] += [pair for pair in _pairs(KEYPOINTS) if not taken.intersection(pair)]
    if dataset.keypoint_parts is not None:
        known = {point: part for point, part in _BILL.items() if part in dataset.parts}
        content["keypoint_parts"] = known | dataset.keypoint_parts
    return _yaml(f"{dataset.path.name} and, as a further coarse source, NABirds", content)


def _pairs(names: tuple[str, ...]) -> list[list[str]]:
    """Pairs of names that swap on a flip; ``mirror_pairs`` lists each once."""
    return [list(pair) for pair in mirror_pairs(names)]


def _yaml(title: str, content: dict[str, Any]) -> str:
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return f"# {readable(title)}, made by `coarseparts prepare nabirds`. Images are used from where they are.\n{text}"
