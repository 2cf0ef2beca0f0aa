"""The objects that COCO files name in photographs, with the coarse labels that the posterior sees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coarseparts.data.dataset_file import Crop, kind, strangers
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.coco import read_coco, read_part_boxes
from coarseparts.data.loading import Recipe
from coarseparts.data.namesakes import Spellings
from coarseparts.data.problems import BadInput, Problem, capped
from coarseparts.data.sources import joined
from coarseparts.labels.schema import Schema
from coarseparts.system.text import abridged, listed


@dataclass
class Labels:
    """``objects`` of each image by its name, in the order of the files; ``problems`` of the files; ``elsewhere``: how
    many images they name that are not among the photographs."""

    objects: dict[str, list[Recipe]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    elsewhere: int = 0

    def styles(self) -> set[str]:
        """The label styles that an object has."""
        return {style for several in self.objects.values() for one in several for style in one.use}


def read_labels(
    schema: Schema, crop: Crop, photographs: Mapping[str, Path], coco: Path | None, part_boxes: Path | None
) -> Labels:
    """What COCO files say of photographs (name -> path, the names as the files spell them).

    ``coco``: keypoints, masks and boxes of objects; ``part_boxes``: boxes of parts, a category each. ``schema``: whose
    parts and keypoints they are; one without keypoints takes those of the file, by which objects are found. Nothing is
    decoded; ``loading.load`` finds what is wrong with an object. Raises BadInput where a file is missing.
    """
    objects: dict[str, list[Annotation]] = defaultdict(list)
    whole: dict[str, list[Annotation]] = defaultdict(list)
    found = Labels()
    for option, file in (("--labels", coco), ("--part-boxes", part_boxes)):
        if file is not None:
            _refuse_missing(file, option)
    if coco is not None:
        try:
            listed_there, wrong = read_coco(coco)
        except BadInput as bad:
            listed_there, wrong = [], bad.problems
        found.problems += wrong
        for annotation in listed_there:
            objects[annotation.image].append(annotation)
        annotated = dict.fromkeys(name for one in listed_there for name in one.keypoint_names)
        if schema.keypoints:
            found.problems += _unknown_keypoints(coco, annotated, schema)
        else:
            schema = schema.model_copy(update={"keypoints": tuple(annotated)})
    if part_boxes is not None:
        try:
            boxes, wrong = read_part_boxes(part_boxes, schema.parts)
        except BadInput as bad:
            boxes, wrong = [], bad.problems
        found.problems += wrong
        for annotation in boxes:
            whole[annotation.image].append(annotation)
    spellings, without = Spellings(photographs), 0
    for name in sorted({*objects, *whole}):
        if name not in photographs:
            if hint := spellings.hint(name):
                message = f"has labels for {abridged(name, 200)}, which is not there{hint}"
                remedy = "correct its name, relative to the folder of the images"
                found.problems.append(Problem(str(coco or part_boxes), message, remedy))
            else:
                found.elsewhere += 1
            continue
        for annotation in joined(objects.get(name, []), whole.get(name, [])):
            if use := annotation.carries(schema.keypoints):
                recipe = Recipe(photographs[name], annotation, schema, crop, frozenset(use))
                found.objects.setdefault(name, []).append(recipe)
            without += not use
    if without:
        message = f"{without} objects have no keypoints that the model knows, no mask and no box"
        found.problems.append(Problem(str(coco), message, "they are left out", "note"))
    found.problems = capped(found.problems)
    return found


def _refuse_missing(file: Path, option: str) -> None:
    try:
        there = kind(file)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise BadInput(Problem(str(file), message, "give yourself permission to read it")) from None
    if there != "file":
        message = "is no file" if there else "is missing"
        raise BadInput(Problem(str(file), message, f"name a COCO file with {option}"))


def _unknown_keypoints(file: Path, annotated: Mapping[str, None], schema: Schema) -> list[Problem]:
    """Where keypoints of a file are none of the model's: an error if the model has others, for then a name may be
    misspelt; and a note if the file lacks some."""
    lacking = [name for name in schema.keypoints if name not in annotated]
    unknown = [name for name in annotated if name not in schema.keypoints]
    if lacking and unknown:
        return [
            Problem(str(file), f"keypoint {name} is none of the model's", remedy)
            for name, remedy in strangers(unknown, lacking)
        ]
    if unknown:
        message = f"keypoints {listed(map(abridged, unknown))} are none of the model's"
        return [Problem(str(file), message, "they are left out", "note")]
    if lacking and annotated:
        message = f"has no keypoints {listed(map(abridged, lacking))}"
        return [Problem(str(file), message, "they count as unknown", "note")]
    return []
