"""The objects that COCO files name in photographs, with the coarse labels that the posterior sees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coarseparts.data.exports import of_document
from coarseparts.data.formats import coco_document
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.coco import read_coco, read_of_parts
from coarseparts.data.formats.mask_folder import find_maps, of_map
from coarseparts.data.formats.registry import format_of, read_export
from coarseparts.data.formats.unpacked import is_archive
from coarseparts.data.images import stem
from coarseparts.data.label_sources import respelled
from coarseparts.data.loading import Recipe
from coarseparts.data.namesakes import Spellings, meant, taken_for
from coarseparts.data.objects import joined_as
from coarseparts.data.source_keys import Crop
from coarseparts.data.source_paths import FILES, FOLDERS, OF_STYLES, kind
from coarseparts.data.sources import joined
from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.system.problems import BadInput, Problem, capped, unreadable
from coarseparts.system.text import abridged, listed, strangers


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


def read_labels(schema: Schema, crop: Crop, photographs: Mapping[str, Path], files: Mapping[str, Path]) -> Labels:
    """What files say of photographs (name -> path, the names as the files spell them).

    ``files`` by the key that a source of a dataset file has for them: "coco" (keypoints, masks and boxes of objects, in
    COCO or another tool's export), or that of one label style (``LabelStyle.key``). ``schema``: whose parts and
    keypoints they are; one without keypoints takes those of the file, by which objects are found. Nothing is decoded;
    ``loading.load`` finds what is wrong with an object. Raises BadInput where a file is missing.
    """
    objects: dict[str, list[Annotation]] = defaultdict(list)
    whole: dict[str, list[Annotation]] = defaultdict(list)
    found = Labels()
    for key, path in files.items():
        _refuse_missing(path, key)
    for key, path in files.items():
        try:
            if key == "coco":
                read, wrong = _objects_of(path, schema, photographs)
            elif kind(path) == "folder":
                maps, wrong = find_maps(path)
                names = (name for name in photographs if stem(name) in maps)
                read = [of_map(maps[stem(name)], name, OF_STYLES[key]) for name in names]
            else:
                read, wrong = read_of_parts(path, schema.parts, STYLES[OF_STYLES[key]])
        except BadInput as bad:
            read, wrong = [], bad.problems
        found.problems += wrong
        for annotation in read:
            (whole if (annotation.labels and annotation.of_image) or key != "coco" else objects)[
                annotation.image
            ].append(annotation)
        if key == "coco":
            annotated = dict.fromkeys(name for one in read for name in one.keypoint_names)
            if schema.keypoints:
                found.problems += _unknown_keypoints(path, annotated, schema)
            else:
                schema = schema.model_copy(update={"keypoints": tuple(annotated)})
    pairs, several = meant(sorted({*objects, *whole}), photographs)
    found.problems += taken_for(pairs, str(files.get("coco") or next(iter(files.values()))), "images of label files")
    respelled(objects, pairs)
    respelled(whole, pairs)
    spellings, without = Spellings(photographs), 0
    for name in sorted({*objects, *whole}):
        if name not in photographs:
            hint = f" (it might be {listed(several[name], 4)})" if name in several else spellings.hint(name)
            if hint:
                message = f"has labels for {abridged(name, 200)}, which is not there{hint}"
                remedy = "correct its name, relative to the folder of the images"
                first = (objects.get(name) or whole[name])[0]
                found.problems.append(Problem(first.file, message, remedy))
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
        found.problems.append(Problem(str(files.get("coco", "")), message, "they are left out", "note"))
    found.problems = capped(found.problems)
    return found


def _objects_of(path: Path, schema: Schema, photographs: Mapping[str, Path]) -> tuple[list[Annotation], list[Problem]]:
    """The objects of a COCO file, or of the export of another tool; part masks in it are passed over. Raises
    BadInput."""

    join = joined_as("place")
    if path.is_file() and not is_archive(path) and format_of(path) in (None, coco_document):
        read, problems = read_coco(path, schema.parts, photographs=frozenset(photographs))
        objects, notes = join([one for one in read if not one.of_image])
        return objects + [one for one in read if one.labels and one.of_image], [*problems, *notes]
    export = of_document(path, read_export(path), schema.parts, photographs, join)
    notes = []
    if export.whole:
        message = f"has part masks of {len(export.whole)} images, which are not used"
        notes = [Problem(str(path), message, "", "note")]
    return export.objects + export.boxed, [*export.problems, *notes]


def _refuse_missing(path: Path, key: str) -> None:
    try:
        there = kind(path)
    except OSError as error:
        raise BadInput(unreadable(path, error, "give yourself permission to read it")) from None
    key_of = "labels" if key == "coco" else key  # an export is a file or a folder
    may_be = [what for what, keys in (("folder", FOLDERS), ("file", FILES)) if key_of in keys]
    if there not in may_be:
        message = f"is no {' and no '.join(may_be)}" if there else "is missing"
        what = {"file": "a COCO file", "folder": "a folder of maps"}
        option = "--labels" if key == "coco" else f"--labels {key}=PATH"
        named = "an export of labels" if key == "coco" else " or ".join(what[w] for w in may_be)
        raise BadInput(Problem(str(path), message, f"name {named} with {option}"))


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
