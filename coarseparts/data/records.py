"""A dataset file's samples as records: which files each is made from, which labels it has; decoded only on demand.

Names: a record is called after its image, the path in the image folder without the suffix; where an image shows
several objects, "-" and the annotation's id follow; where two sources have the same name, "s0/", "s1/", ... (the
source's position) goes before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from coarseparts.data import loading
from coarseparts.data import synthetic as worlds
from coarseparts.data.dataset_file import DatasetFile, Source, describe, kind, nearest, training_problems
from coarseparts.data.images import list_images, stem
from coarseparts.data.loading import Recipe, in_schema
from coarseparts.data.problems import BadInput, Problem, capped, errors
from coarseparts.data.readers.annotation import Annotation
from coarseparts.data.readers.coco import PartBox, PartSegment, read_coco, read_part_boxes, read_part_coco
from coarseparts.data.readers.cub import read_cub
from coarseparts.data.readers.nabirds import read_nabirds
from coarseparts.data.readers.names import read_names
from coarseparts.data.readers.part_masks import find_overlapping_masks, find_part_masks
from coarseparts.data.sample import STYLES, Sample
from coarseparts.data.schema import Schema
from coarseparts.data.synthetic import WORLD_LABELS, WORLDS, boxes_of_parts
from coarseparts.system.text import readable

ABSENT = "add the image, or correct its name in the annotations"
"""The remedy for labels whose image is not there; who predicts may have labels of more images than are asked for."""


@dataclass(frozen=True)
class Record:
    """One sample of a dataset, not yet decoded.

    ``name``: unique over the dataset; ``source``: position in ``DatasetFile.sources``; ``has``: which of "parts",
    "keypoints", "mask" and "box" it carries; ``fingerprint``: changes whenever ``load`` would return something else. A
    record of a synthetic source has no ``image`` but ``synthetic`` = (world, seed, number): rendering many at once
    (``WORLDS[world].render(count, size, seed, first)``, its keypoints through ``in_schema``) is much faster than one
    ``load`` each, and gives the same.
    """

    name: str
    source: int
    split: str
    image: Path | None
    has: frozenset[str]
    fingerprint: str
    schema: Schema = field(repr=False)
    synthetic: tuple[str, int, int] | None = None
    recipe: Recipe | None = field(default=None, repr=False)
    size: int = field(default=0, repr=False)  # of synthetic images

    def load(self) -> tuple[Sample, list[Problem]]:
        """Decode it: the sample in native pixels, and what had to be repaired. Raises BadInput with everything that is
        wrong with its files."""
        if self.recipe is not None:
            return loading.load(self.recipe, self.name)
        assert self.synthetic is not None
        name, seed, number = self.synthetic
        world = WORLDS[name]
        arrays = {key: rows[0] for key, rows in world.render(1, size=self.size, seed=seed, first=number).items()}
        arrays["part_boxes"] = boxes_of_parts(arrays["parts"][None], world.schema)[0]
        image = arrays.pop("image")
        arrays["keypoints"] = in_schema(arrays["keypoints"], world.schema.keypoints, self.schema)
        return Sample(self.name, image, **{key: value for key, value in arrays.items() if key in self.has}), []


def read_dataset(dataset: DatasetFile, for_training: bool = False) -> tuple[list[Record], list[Problem], Schema]:
    """All samples of all sources, everything that is wrong as far as annotations and file names tell, and the schema.

    Nothing is decoded here; ``Record.load`` finds what is wrong with the pixels. Records are those without an error so
    far, so going on with them is "skip the bad ones". ``for_training`` adds ``training_problems``. More than 20
    problems of a kind are cut short. Raises BadInput only where there is no schema: keypoint names that contradict.
    """
    problems: list[Problem] = training_problems(dataset) if for_training else []
    drafts: list[list[_Draft]] = []
    annotated: dict[str, None] = {}  # keypoint names in order of appearance
    bad_worlds = set()
    for i, source in enumerate(dataset.sources):
        if source.synthetic:
            wrong = _synthetic_problems(dataset, i)
            drafts.append([])
            annotated |= dict.fromkeys(WORLDS[source.synthetic].schema.keypoints)
            bad_worlds |= {i} if wrong else set()
        else:
            found, names, wrong = _read_files(dataset, i)
            drafts.append(found)
            annotated |= names
        problems += wrong
    schema, wrong = _schema(dataset, annotated)
    problems += wrong
    if schema is None:
        raise BadInput(capped(problems))

    records = []
    for i, source in enumerate(dataset.sources):
        if source.synthetic:
            records += _synthetic_records(dataset, schema, i) if i not in bad_worlds else []
            continue
        made = [r for r in (_record(dataset, schema, i, draft) for draft in drafts[i]) if r is not None]
        if len(made) < len(drafts[i]):
            message = f"sources[{i}]: {len(drafts[i]) - len(made)} objects have none of the labels that are used"
            problems.append(Problem(str(dataset.path), message, "they are left out", "note"))
        records += made
    leaked, wrong = _in_two_splits(records)
    if dataset.across_splits == "keep":
        leaked, wrong = set(), [replace(p, remedy="kept, as across_splits says", severity="note") for p in wrong]
    problems += wrong
    records = _named_apart([r for j, r in enumerate(records) if j not in leaked])
    if for_training:
        problems += _too_few_part_masks(dataset, records, bool(errors(problems)))
    if not records and not errors(problems):
        problems.append(Problem(str(dataset.path), "no images with labels were found", "see the notes for each source"))
    return records, capped(problems), schema


def _too_few_part_masks(dataset: DatasetFile, records: list[Record], told: bool) -> list[Problem]:
    """Part masks are needed to train on and to choose the best epoch by (``roles.split_rows``). ``told``: there are
    errors already, which may be why there is none."""
    count = Counter(r.split for r in records if "parts" in r.has)
    if count["val"] or count["train"] > 1 or (told and not count["train"]):
        return []
    message = f"{count['train'] or 'no'} training image has a part mask, and no image of split val has one"
    remedy = "at least two are needed, one to learn from and one to choose the best epoch by: add part masks"
    return [Problem(str(dataset.path), message, remedy)]


@dataclass(frozen=True)
class _Draft:
    """An object of an image before the schema is known."""

    image: Path
    name: str  # relative to the image folder
    annotation: Annotation | None
    part_mask: Path | None
    part_segments: tuple[PartSegment, ...]
    part_files: tuple[tuple[int, Path], ...]
    part_boxes: tuple[PartBox, ...]


def _read_files(dataset: DatasetFile, i: int) -> tuple[list[_Draft], dict[str, None], list[Problem]]:
    """The objects of a source of photographs, limited as it says; all its keypoint names; what is wrong with it."""
    source = dataset.sources[i]
    folder = source.image_folder
    assert folder is not None
    annotations, layers, segments, problems = _read_labels(dataset, source, folder)
    boxes, wrong = _read_part_boxes(dataset, source)
    problems += wrong
    masks = {name: files[0][1] for name, files in layers.items()}
    keypoints = dict.fromkeys(k for names in {a.keypoint_names: None for a in annotations} for k in names)
    unreadable = _unreadable(folder)
    problems += unreadable
    if any(p.file == str(folder) for p in unreadable):
        return [], keypoints, problems
    there = dict(list_images(folder))
    by_image: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        by_image[annotation.image].append(annotation)
    labelled = by_image.keys() | segments.keys() | boxes.keys() | {name for name in there if stem(name) in masks}
    all_labelled = set(labelled)
    if source.only is not None:
        chosen, wrong = _chosen(source.only, labelled, folder)
        problems += wrong
        labelled &= chosen

    stems = Counter(stem(name) for name in labelled)
    remedy = "keep one of them, or rename one and its labels; part masks belong in a folder of their own"
    for name in sorted(name for name in labelled if stems[stem(name)] > 1):
        problems.append(Problem(str(folder / name), "has the same stem as another image of this source", remedy))
        labelled.discard(name)
    unmatched = masks.keys() - {stem(name) for name in all_labelled}
    for unused in sorted(unmatched):
        message = f"no image of this stem in {folder}"
        problems.append(Problem(str(masks[unused]), message, "add the image, rename the part mask, or remove it"))
    without = [name for name in there if name not in all_labelled]
    if without:
        message = f"{len(without)} of {len(there)} images have no labels and are left out, {without[0]} among them"
        problems.append(Problem(str(folder), message, "", "note"))

    drafts = []
    guesses = {stem(name): name for name in there} | {name: name for name in there}
    encoded = {unicodedata.normalize("NFC", name): name for name in there}
    for name in sorted(labelled)[: source.limit]:
        path = there.get(name, folder / name)
        try:
            there_is = kind(path) == "file"  # asked also of those that are listed: a link may lead nowhere
        except OSError as error:
            remedy = "correct its name in the annotations, or give yourself permission to read it"
            problems.append(Problem(str(path), f"cannot be read: {error.strerror}", remedy))
            continue
        if not there_is:
            there_are = by_image.get(name) or segments.get(name)
            by = there_are[0].file if there_are else source.part_boxes
            alike = guesses.get(stem(name)) or guesses.get(name.rpartition("/")[2])
            message = f"does not exist, but {by} has labels for it" + (f" (there is {alike})" if alike else "")
            if not alike and unicodedata.normalize("NFC", name) in encoded:
                message += " (there is a file of the same letters, accents encoded apart from them in one of the two)"
            problems.append(Problem(str(path), message, ABSENT))
            continue
        for annotation in by_image.get(name) or [None]:  # type: ignore[list-item]
            files = layers.get(stem(name), ()) if dataset.overlapping else ()
            mask = None if dataset.overlapping else masks.get(stem(name))
            drafts.append(
                _Draft(path, name, annotation, mask, tuple(segments.get(name, ())), files, tuple(boxes.get(name, ())))
            )
    return drafts, keypoints, problems


def _chosen(only: Path, labelled: Collection[str], folder: Path) -> tuple[set[str], list[Problem]]:
    """The images that a list names, and what is wrong with it; none where it cannot be read."""
    try:
        names, problems = read_names(only)
    except BadInput as bad:
        return set(), bad.problems
    by_stem = {stem(name): name for name in labelled}
    for name in (name for name in names if name not in labelled):
        alike = by_stem.get(stem(name)) or by_stem.get(name)
        message = f"{name!r} is no image with labels of {folder}" + (f" (there is {alike})" if alike else "")
        problems.append(Problem(str(only), message, "correct the name as it is below that folder, or remove the line"))
    return set(names), problems


def _read_labels(
    dataset: DatasetFile, source: Source, folder: Path
) -> tuple[list[Annotation], dict[str, tuple[tuple[int, Path], ...]], dict[str, list[PartSegment]], list[Problem]]:
    """Coarse labels, part masks (index, or 0 for all parts, and file) by stem, part segments by image, of whatever the
    source names; problems."""
    annotations: list[Annotation] = []
    layers: dict[str, tuple[tuple[int, Path], ...]] = {}
    segments: dict[str, list[PartSegment]] = {}
    problems: list[Problem] = []
    split = source.split if source.only is None else None  # of the official splits; None: all of them
    try:
        if source.coco is not None:
            annotations, problems = read_coco(source.coco)
        elif source.cub is not None:
            beside = folder.parent / "segmentations"
            masks_of_cub = source.segmentations or (beside if kind(beside) == "folder" else None)
            annotations, problems = read_cub(source.cub, split, masks_of_cub)
        elif source.nabirds is not None:
            annotations, problems = read_nabirds(source.nabirds, split)
    except BadInput as bad:
        problems = bad.problems
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        problems = [
            Problem(str(error.filename or source.cub or source.nabirds), message, "give yourself permission to read it")
        ]
    try:
        if source.part_masks is not None:
            unreadable = _unreadable(source.part_masks)
            problems += unreadable
            if not unreadable and dataset.overlapping:
                layers, wrong = find_overlapping_masks(source.part_masks, dataset.parts)
                problems += wrong
            elif not unreadable:
                masks, wrong = find_part_masks(source.part_masks)
                layers = {name: ((0, path),) for name, path in masks.items()}
                problems += wrong
        elif source.part_coco is not None:
            segments, wrong = read_part_coco(source.part_coco, dataset.parts)
            problems += wrong
    except BadInput as bad:
        problems += bad.problems
    return annotations, layers, segments, problems


def _read_part_boxes(dataset: DatasetFile, source: Source) -> tuple[dict[str, list[PartBox]], list[Problem]]:
    try:
        return read_part_boxes(source.part_boxes, dataset.parts) if source.part_boxes is not None else ({}, [])
    except BadInput as bad:
        return {}, bad.problems


def _unreadable(folder: Path) -> list[Problem]:
    """The folder, and those below it that are not hidden, as far as they cannot be listed: ``list_images`` would pass
    over them without a word."""
    problems = []

    def add(error: OSError) -> None:
        message = f"cannot be read: {error.strerror}"
        problems.append(Problem(str(error.filename or folder), message, "give yourself permission to list the folder"))

    for _, folders, _ in os.walk(folder, onerror=add):
        folders[:] = [f for f in folders if not f.startswith(".")]
    return problems


def _schema(dataset: DatasetFile, annotated: dict[str, None]) -> tuple[Schema | None, list[Problem]]:
    """Names and mirror pairs: as the dataset file says, else all keypoints that the sources have (``annotated``)."""
    file, problems = str(dataset.path), []
    keypoints = dataset.keypoints if dataset.keypoints is not None else tuple(annotated)
    lacking = [name for name in keypoints if name not in annotated]
    spelled: dict[str, str] = {}
    for name in keypoints:
        other = spelled.setdefault(re.sub(r"[\W_]+", "", name).casefold() or name, name)
        if other != name:
            message = f"keypoints: {other!r} and {name!r} are taken for two"
            remedy = "if they are one, give them one name in all COCO files"
            problems.append(Problem(file, message, remedy, "note"))
    left_out = [name for name in annotated if name not in keypoints]
    for name in lacking if annotated else []:
        # With names left over it is a spelling mistake, without it is a list made for more data than these.
        severity = "error" if left_out else "note"
        remedy = nearest(name, left_out) if left_out else ""
        problems.append(Problem(file, f"keypoints: no source annotates {name!r}", remedy, severity))  # type: ignore[arg-type]
    if left_out:
        message = f"keypoints: {', '.join(left_out)} of the sources are not listed and left out"
        problems.append(Problem(file, message, "", "note"))
    pairs = {"mirror": (dataset.mirror, dataset.parts), "keypoint_mirror": (dataset.keypoint_mirror, keypoints)}
    chosen: dict[str, Any] = {}
    for key, (given, names) in pairs.items():
        chosen[key] = given if given is not None else mirror_pairs(names)
        if given is None and chosen[key]:
            taken = ", ".join(f"{a} - {b}" for a, b in chosen[key])
            message = f"{key} is not given; taken from the names: {taken}"
            problems.append(Problem(file, message, f"write `{key}: []` if they shall not swap on a flip", "note"))
    try:
        return Schema(parts=dataset.parts, overlapping=dataset.overlapping, keypoints=keypoints, **chosen), problems
    except ValidationError as error:
        return None, problems + list(describe(error, file, Schema))


def mirror_pairs(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Names that differ in the word left or right alone: "left eye" and "right eye", but not "eye_L" and "eye_R"."""
    swapped = {name: re.sub(r"(?<![a-z])left(?![a-z])", "right", name, flags=re.IGNORECASE) for name in names}
    by_lower = {name.lower(): name for name in names}
    return tuple((a, by_lower[b.lower()]) for a, b in swapped.items() if a != b and b.lower() in by_lower)


def _record(dataset: DatasetFile, schema: Schema, i: int, draft: _Draft) -> Record | None:
    """The record of a draft; None when nothing is left of its labels."""
    source, found = dataset.sources[i], draft.annotation
    use = frozenset(STYLES if source.use is None else source.use)
    has = {"parts"} if draft.part_mask is not None or draft.part_segments or draft.part_files else set()
    if found is not None:
        listed = np.array([name in schema.keypoints for name in found.keypoint_names], bool)
        if found.keypoints is not None and (found.keypoints[listed, 2] > 0).any():
            has.add("keypoints")
        has |= {"mask"} if found.segmentation is not None or found.soft_mask is not None else set()
        has |= {"box"} if found.box is not None else set()
    has |= {"part_boxes"} if draft.part_boxes else set()
    has &= use | {"parts"}
    if not has:
        return None
    recipe = Recipe(
        draft.image,
        schema,
        dataset.crop,
        frozenset(has - {"parts"}),
        found,
        draft.part_mask,
        draft.part_segments,
        draft.part_files,
        draft.part_boxes,
        source.unlabelled_keypoints == "unknown",
    )
    name = readable(stem(draft.name)) + (f"-{found.object_id}" if found is not None and not found.alone else "")
    return Record(name, i, source.split, draft.image, frozenset(has), _fingerprint(recipe), schema, recipe=recipe)


def _fingerprint(recipe: Recipe) -> str:
    """sha256 over the identity of the files (path, size, time of last change) and the content of the annotations."""
    digest = hashlib.sha256()
    found = recipe.annotation
    layers = (path for _, path in recipe.part_files)
    for path in (recipe.image, recipe.part_mask, *layers, found.soft_mask if found is not None else None):
        if path is not None:
            try:
                stat = path.stat()
                state = f"{stat.st_size}|{stat.st_mtime_ns}"
            except OSError:
                state = "not there"  # found when it is loaded
            digest.update(os.fsencode(path.absolute()) + f"|{state}\n".encode())
    digest.update(json.dumps([(box.index, box.box, box.size) for box in recipe.part_boxes]).encode())
    if found is not None:
        for array in (found.keypoints, found.box):
            digest.update(b"-" if array is None else array.tobytes())
        said = [found.keypoint_names, found.segmentation, found.size, found.alone]
        digest.update(json.dumps(said).encode())
    segments = [(segment.index, segment.segmentation) for segment in recipe.part_segments]
    digest.update(json.dumps([segments, sorted(recipe.use), recipe.unlabelled_unknown]).encode())
    digest.update((recipe.schema.model_dump_json() + recipe.crop.model_dump_json()).encode())
    return digest.hexdigest()


def _synthetic_problems(dataset: DatasetFile, i: int) -> list[Problem]:
    name = str(dataset.sources[i].synthetic)
    own = WORLDS[name].schema
    source = dataset.sources[i]
    of_parts = source.parts is not False or "part_boxes" in (source.use or ())
    if not of_parts or (dataset.parts, dataset.overlapping) == (own.parts, own.overlapping):
        return []
    if dataset.parts == own.parts:
        message = f"sources[{i}]: the parts of the synthetic {name} {'' if own.overlapping else 'do not '}overlap"
        return [Problem(str(dataset.path), message, f"write `overlapping: {str(own.overlapping).lower()}`")]
    message = f"sources[{i}]: the parts of the synthetic {name} are {', '.join(own.parts)}, in this order"
    message += f" and with `overlapping: {str(own.overlapping).lower()}`; `parts` lists {', '.join(dataset.parts)}"
    return [
        Problem(str(dataset.path), message, "list those, or say `parts: false` in that source and use no part_boxes")
    ]


def _synthetic_records(dataset: DatasetFile, schema: Schema, i: int) -> list[Record]:
    source = dataset.sources[i]
    count = min(source.count or 1000, source.limit or source.count or 1000)
    seed = source.seed or 0
    has = frozenset(WORLD_LABELS if source.use is None else source.use) | ({"parts"} if source.has_parts else set())
    code = hashlib.sha256()
    for file in sorted(Path(worlds.__file__).parent.glob("*.py")):
        code.update(file.read_bytes())  # another version of the world is another world
    made = []
    for number in range(source.first or 0, (source.first or 0) + count):
        name, mark = f"{source.synthetic}-{seed}-{number:06d}", f"{seed}|{number}|{dataset.size}|{code.hexdigest()}"
        fingerprint = hashlib.sha256(mark.encode()).hexdigest()
        synthetic = (str(source.synthetic), seed, number)
        made.append(
            Record(name, i, source.split, None, has, fingerprint, schema, synthetic=synthetic, size=dataset.size)
        )
    return made


def _in_two_splits(records: list[Record]) -> tuple[set[int], list[Problem]]:
    """Positions of records whose image stands in another split too, byte for byte, and the problems.

    Of each such image the records of one split are kept: test before val before train, so that what is measured
    stays whole.
    """
    sizes: dict[int, set[str]] = defaultdict(set)
    size_of: dict[Path, int] = {}
    for record in records:
        if record.image is not None:
            if record.image not in size_of:
                try:
                    size_of[record.image] = record.image.stat().st_size
                except OSError:
                    size_of[record.image] = -1  # unreadable: found when it is loaded
            sizes[size_of[record.image]].add(record.split)
    digests: dict[Path, object] = {}
    same: dict[object, list[int]] = defaultdict(list)
    for j, record in enumerate(records):
        if record.image is None:
            same[record.synthetic].append(j)
        elif len(sizes[size_of[record.image]]) > 1:  # only files of one size can have the same content
            if record.image not in digests:
                try:
                    with record.image.open("rb") as file:
                        digests[record.image] = hashlib.file_digest(file, "sha256").digest()
                except OSError:
                    digests[record.image] = record.image  # unreadable: found when it is loaded
            same[digests[record.image]].append(j)
    leaked: set[int] = set()
    problems = []
    for rows in same.values():
        kept = max((records[j].split for j in rows), key=("train", "val", "test").index)
        keeper = next(records[j] for j in rows if records[j].split == kept)
        told: set[tuple[str, str]] = set()
        for j in rows:
            record = records[j]
            if record.split == kept:
                continue
            leaked.add(j)
            image = str(record.image or record.name)
            if (image, record.split) not in told:
                message = f"is in split {record.split} and, as {keeper.image or keeper.name}, in split {kept}"
                problems.append(Problem(image, message, "remove it from one of them: it would be its own test"))
            told.add((image, record.split))
    return leaked, problems


def _named_apart(records: list[Record]) -> list[Record]:
    """The records with names that are unique over the dataset."""
    sources: dict[str, set[int]] = defaultdict(set)
    for record in records:
        sources[record.name].add(record.source)
    seen: Counter[str] = Counter()
    named = []
    for record in records:
        name = f"s{record.source}/{record.name}" if len(sources[record.name]) > 1 else record.name
        seen[name] += 1
        named.append(replace(record, name=name if seen[name] == 1 else f"{name}~{seen[name]}"))
    return named
