"""NABirds: the archive checked image by image, and dataset files that read it where it lies, alone or beside PASCUB."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from coarseparts.data.dataset_file import DatasetFile, load_dataset_file
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.images import decode
from coarseparts.data.prepare.bird_tables import NABIRDS, NABIRDS_KEYPOINTS, read_annotations
from coarseparts.data.prepare.coarse import coco_text, of_birds, pairs, photographs, write_list, yaml_text
from coarseparts.data.prepare.output import Item, Made, Output, Progress
from coarseparts.data.source_paths import FILES, FOLDERS
from coarseparts.system.problems import BadInput, Problem, errors

COARSE = "nabirds.json"

_BILL = {"bill": "beak"}
"""The part of the one keypoint that only NABirds has, where the joint file has such a table and part."""


def prepare_nabirds(
    archive: Path, out: Path, beside: Path | None = None, progress: Progress | None = None
) -> tuple[bool, list[Problem]]:
    """``out``/nabirds.yaml with nabirds.json (keypoints and boxes) and lists/ of the official training and test images,
    from the unpacked archive, once every image of it, which stays where it is, has been decoded.

    ``beside``: a dataset file, PASCUB's; ``out``/<its name>-nabirds.yaml then has its sources and NABirds' training
    images as a further coarse source. Keypoints of one name are one keypoint: crown, nape, eyes, belly, breast, back,
    tail and wings are those of CUB. "bill" and CUB's "beak" are kept apart, the archives do not say that they mean the
    same place. Returns whether anything was written that was not there before, and what was repaired. Raises BadInput
    with everything that is wrong; then there is no dataset file.
    """
    joint = None if beside is None else load_dataset_file(beside)
    own = Path(photographs(archive)).resolve()
    there = [] if joint is None else [source.images for source in joint.sources if source.images is not None]
    if any(images.resolve() == own for images in there):
        message = "has a source with NABirds already"
        raise BadInput(Problem(str(beside), message, "give the file without it"))
    splits = {split: read_annotations(NABIRDS, archive, split) for split in ("train", "test")}
    with Output(out, "nabirds.yaml", progress) as output:
        output.problems += dict.fromkeys(problem for _, problems in splits.values() for problem in problems)
        annotations = [annotation for found, _ in splits.values() for annotation in found]
        output.make([_item(archive / "images" / annotation.image, annotation) for annotation in annotations])
        if not errors(output.problems):
            sizes = {a.image: a.size for a in annotations if a.size is not None}
            output.write(COARSE, coco_text(annotations, sizes, "bird"))
        sources = [
            {"split": split, "images": photographs(archive), "coco": COARSE}
            | write_list(output, split, [annotation.image for annotation in found])
            for split, (found, _) in splits.items()
        ]
        if joint is not None:
            output.write(f"{joint.path.stem}-nabirds.yaml", _joint_yaml(joint, sources[0]))
        title = "NABirds: keypoints and boxes, but no part masks"
        changed = output.finish(yaml_text(title, "nabirds", of_birds(NABIRDS_KEYPOINTS) | {"sources": sources}))
        return changed, [p for p in output.problems if p.severity != "error"]


def _item(path: Path, annotation: Annotation) -> Item:
    return Item(annotation.image, (path,), partial(_checked, path, annotation.size), {"size": annotation.size})


def _checked(path: Path, size: tuple[int, int] | None) -> Made:
    """Nothing but what had to be repaired to decode the image. Raises BadInput."""
    pixels, problems = decode(path)
    if size is not None and pixels.shape[:2] != size[::-1]:
        message = f"is {pixels.shape[1]}x{pixels.shape[0]} pixels, sizes.txt says {size[0]}x{size[1]}"
        raise BadInput(Problem(str(path), message, f"restore it from {NABIRDS.archive}"))
    return Made(problems=problems)


def _joint_yaml(dataset: DatasetFile, further: dict[str, str]) -> str:
    """The dataset file with a further source and NABirds' keypoints."""
    content: dict[str, Any] = dataset.model_dump(mode="json", exclude_unset=True)
    for source in content["sources"]:
        for key in (*FOLDERS, *FILES):
            if source.get(key) is not None:
                source[key] = str(Path(source[key]).absolute())
    content["sources"].append(further)
    if dataset.keypoints is not None:
        content["keypoints"] = list(dict.fromkeys((*dataset.keypoints, *NABIRDS_KEYPOINTS)))
    if dataset.keypoint_mirror is not None:
        taken = {name for pair in dataset.keypoint_mirror for name in pair}
        content["keypoint_mirror"] += [pair for pair in pairs(NABIRDS_KEYPOINTS) if not taken.intersection(pair)]
    if dataset.keypoint_parts is not None:
        known = {point: part for point, part in _BILL.items() if part in dataset.parts}
        content["keypoint_parts"] = known | dataset.keypoint_parts
    return yaml_text(f"{dataset.path.name} and, as a further coarse source, NABirds", "nabirds", content)
