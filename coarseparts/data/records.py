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
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coarseparts.data import accounts, loading
from coarseparts.data import synthetic as worlds
from coarseparts.data.accounts import Account
from coarseparts.data.dataset_file import DatasetFile, Source, close_to, describe, kind, strangers, training_problems
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.coco import PartBox, PartSegment, read_coco, read_part_boxes, read_part_coco
from coarseparts.data.formats.cub import read_cub
from coarseparts.data.formats.nabirds import read_nabirds
from coarseparts.data.formats.names import read_names
from coarseparts.data.formats.part_masks import find_overlapping_masks, find_part_masks
from coarseparts.data.images import list_images, stem
from coarseparts.data.loading import Recipe, in_schema
from coarseparts.data.namesakes import Namesakes, Spellings
from coarseparts.data.problems import BadInput, Problem, capped, errors
from coarseparts.data.sample import STYLES, Sample
from coarseparts.data.schema import MOST_KEYPOINTS, Schema
from coarseparts.data.synthetic import WORLD_LABELS, WORLDS, boxes_of_parts
from coarseparts.system import limits
from coarseparts.system.text import abridged, listed, readable, short

SHOWN = 12
"""Images that a message names; of more it says how many there are."""


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


@dataclass
class Contents:
    """What a data set holds, before anything is decoded: records, problems and schema as ``read_dataset`` returns them;
    for each source, in the order of ``DatasetFile.sources``, an account of its images and the stems of its part masks
    that have no image (``spare``)."""

    records: list[Record]
    problems: list[Problem]
    schema: Schema
    accounts: list[Account]
    spare: list[set[str]]

    def leave_out(self, record: Record) -> None:
        """Tells the account that a record could not be loaded."""
        self.accounts[record.source].take_out(_shown(record), accounts.UNREADABLE)


def read_dataset(dataset: DatasetFile, for_training: bool = False) -> tuple[list[Record], list[Problem], Schema]:
    """All samples of all sources, everything that is wrong as far as annotations and file names tell, and the schema.

    Nothing is decoded here; ``Record.load`` finds what is wrong with the pixels. Records are those without an error so
    far, so going on with them is "skip the bad ones". ``for_training`` adds ``training_problems``. More than 20
    problems of a kind are cut short. Raises BadInput only where there is no schema: keypoint names that contradict.
    """
    found = read_contents(dataset, for_training)
    return found.records, found.problems + without_part_masks(dataset, found), found.schema


def read_contents(dataset: DatasetFile, for_training: bool = False) -> Contents:
    """``read_dataset``, and where the images of each source went; not yet with the notes of ``without_part_masks``."""
    problems: list[Problem] = training_problems(dataset) if for_training else []
    found = [_read_files(dataset, i) if not s.synthetic else _world(dataset, i) for i, s in enumerate(dataset.sources)]
    annotated: dict[str, None] = {}  # keypoint names in order of appearance
    for one in found:
        problems += one.problems
        annotated |= one.keypoints
    schema, wrong = _schema(dataset, annotated)
    problems += wrong
    if schema is None:
        raise BadInput(capped(problems))

    records = []
    for i, one in enumerate(found):
        if dataset.sources[i].synthetic:
            records += _synthetic_records(dataset, schema, i, one)
            continue
        unused = 0
        for draft in one.drafts:
            record = _record(dataset, schema, i, draft)
            records += [record] if record is not None else []
            one.account.add(draft.image, "" if record is not None else accounts.NONE_USED)
            unused += record is None
        if unused:
            message = f"sources[{i}]: {unused} objects have none of the labels that are used"
            problems.append(Problem(str(dataset.path), message, "they are left out", "note"))
    for i, one in enumerate(found):
        if cut := one.account.left_out[accounts.BEYOND_LIMIT]:
            message = f"sources[{i}]: limit: {dataset.sources[i].limit} leaves out {cut} of {one.account.images} images"
            problems.append(Problem(str(dataset.path), message, "raise it, or remove it, to use them", "note"))
    books = [one.account for one in found]
    problems += _unused_sources(dataset, found, bool(errors(problems)))
    leaked, wrong = _in_two_splits(records)
    if dataset.across_splits == "keep":
        leaked, wrong = {}, [replace(p, remedy="kept, as across_splits says", severity="note") for p in wrong]
    problems += wrong
    for j, split in leaked.items():
        books[records[j].source].take_out(_shown(records[j]), accounts.in_split(split))
    records = _named_apart([r for j, r in enumerate(records) if j not in leaked])
    if for_training:
        problems += _too_few_part_masks(dataset, records, bool(errors(problems)))
    return Contents(records, capped(problems), schema, books, [one.spare for one in found])


def _shown(record: Record) -> object:
    """What stands for the image in an account."""
    return record.image or record.synthetic


def _unused_sources(dataset: DatasetFile, found: list[_Found], told: bool) -> list[Problem]:
    """Errors for sources that give no image, where no error says why. ``told``: there are errors already."""
    if not any(one.account.used for one in found):
        message = f"no images with labels were found ({'; '.join(accounts.lines(one.account for one in found))})"
        return [] if told else [Problem(str(dataset.path), message, "see the notes for each source")]
    remedy = "correct its folder, labels and lists, or remove the source"
    return [
        Problem(str(dataset.path), f"sources[{i}]: no image of {dataset.sources[i].image_folder} is used", remedy)
        for i, one in enumerate(found)
        if not one.account.used and not errors(one.problems)
    ]


def without_part_masks(dataset: DatasetFile, contents: Contents) -> list[Problem]:
    """Notes on images of sources with part masks that have none themselves, as far as they are used."""
    lacking: dict[int, dict[Path, str]] = defaultdict(dict)  # by source: image -> its path relative to the folder
    for record in contents.records:
        source, account = dataset.sources[record.source], contents.accounts[record.source]
        if record.image is None or "parts" in record.has or not source.has_parts:
            continue
        if "" in account.fates[record.image]:
            assert source.image_folder is not None
            lacking[record.source][record.image] = os.path.relpath(record.image, source.image_folder)
    problems = []
    for i, images in lacking.items():
        source, namesakes = dataset.sources[i], Namesakes(sorted(contents.spare[i]))
        names = list(images.values())
        for j, name in enumerate(names[:SHOWN]):
            near = namesakes.near(stem(name))
            names[j] = f"{name} (there is a mask {near})" if near is not None else name
        become = "count as coarse images" if source.split == "train" else "are not measured on"
        message = f"{len(names)} of {contents.accounts[i].used} images have no part mask in "
        message += f"{source.part_masks or source.part_coco} and {become}: {listed(names, SHOWN)}"
        remedy = "add their part masks, or give masks and images the same names, if they are to have some"
        problems.append(Problem(str(source.image_folder), message, remedy, "note"))
    return problems


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


@dataclass
class _Found:
    """What a source has. ``account``: of the images that are left out so far; ``drafts``: objects of the other ones;
    ``keypoints``: all names; ``spare``: stems of part masks without an image."""

    account: Account
    problems: list[Problem]
    drafts: list[_Draft] = field(default_factory=list)
    keypoints: dict[str, None] = field(default_factory=dict)
    spare: set[str] = field(default_factory=set)


def _read_files(dataset: DatasetFile, i: int) -> _Found:
    """What a source of photographs has, limited as it says."""
    source = dataset.sources[i]
    folder = source.image_folder
    assert folder is not None
    account = Account(f"sources[{i}] {source.split}")
    annotations, layers, segments, problems = _read_labels(dataset, source, folder)
    boxes, wrong = _read_part_boxes(dataset, source)
    problems += wrong
    masks = {name: files[0][1] for name, files in layers.items()}
    keypoints = dict.fromkeys(k for names in {a.keypoint_names: None for a in annotations} for k in names)
    unreadable = _unreadable(folder)
    problems += unreadable
    if any(p.file == str(folder) for p in unreadable):
        return _Found(account, problems, keypoints=keypoints)
    there = dict(list_images(folder))
    by_image: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        by_image[annotation.image].append(annotation)
    labelled = by_image.keys() | segments.keys() | boxes.keys() | {name for name in there if stem(name) in masks}
    all_labelled = set(labelled)
    # Labels may name files that do not look like images from their names: they are images of this source as well.
    images = there | {name: folder / name for name in labelled - there.keys() if _is_file(folder / name)}

    def leave_out(names: Collection[str], reason: str) -> None:
        for name in names:
            if name in images:
                account.add(images[name], reason)

    without = sorted(images.keys() - labelled)
    official = (source.cub or source.nabirds) is not None and source.only is None
    leave_out(without, accounts.NOT_IN_SPLIT if official else accounts.NO_LABELS)
    if source.only is not None:
        chosen, wrong = _chosen(source.only, labelled, folder)
        problems += wrong
        leave_out(labelled - chosen, accounts.NOT_LISTED)
        labelled &= chosen

    stems = Counter(stem(name) for name in labelled)
    remedy = "keep one of them, or rename one and its labels; part masks belong in a folder of their own"
    for name in sorted(name for name in labelled if stems[stem(name)] > 1):
        problems.append(Problem(str(folder / name), "has the same stem as another image of this source", remedy))
        leave_out([name], accounts.SAME_STEM)
        labelled.discard(name)
    spare = masks.keys() - {stem(name) for name in all_labelled}
    bare = {stem(name): name for name in images if stem(name) not in masks} if spare else {}
    namesakes = Namesakes(bare)
    for j, unused in enumerate(sorted(spare)):
        near = namesakes.near(unused) if j < SHOWN else None
        message = f"no image of this stem in {folder}" + (f" (there is {bare[near]})" if near is not None else "")
        problems.append(Problem(str(masks[unused]), message, "add the image, rename the part mask, or remove it"))
    if without:
        what = f"are not in its official split {source.split}" if official else "have no labels that can be used"
        message = f"{len(without)} of {len(images)} images {what} and are left out: {listed(without, SHOWN)}"
        problems.append(Problem(str(folder), message, "", "note"))
    leave_out(sorted(labelled)[len(labelled) if source.limit is None else source.limit :], accounts.BEYOND_LIMIT)

    drafts = []
    spellings = Spellings(there)
    for name in sorted(labelled)[: source.limit]:
        path = there.get(name, folder / name)
        try:
            there_is = kind(path) == "file"  # asked also of those that are listed: a link may lead nowhere
        except OSError as error:
            remedy = "correct its name in the annotations, or give yourself permission to read it"
            problems.append(Problem(str(path), f"cannot be read: {error.strerror}", remedy))
            leave_out([name], accounts.UNREADABLE)
            account.absent += name not in images
            continue
        if not there_is:
            leave_out([name], accounts.UNREADABLE)  # a link that leads nowhere
            account.absent += name not in images
            there_are = by_image.get(name) or segments.get(name)
            by = there_are[0].file if there_are else source.part_boxes
            message = f"does not exist, but {by} has labels for it{spellings.hint(name)}"
            problems.append(Problem(str(path), message, "add the image, or correct its name in the annotations"))
            continue
        for annotation in by_image.get(name) or [None]:  # type: ignore[list-item]
            files = layers.get(stem(name), ()) if dataset.overlapping else ()
            mask = None if dataset.overlapping else masks.get(stem(name))
            drafts.append(
                _Draft(path, name, annotation, mask, tuple(segments.get(name, ())), files, tuple(boxes.get(name, ())))
            )
    return _Found(account, problems, drafts, keypoints, set(spare))


def _is_file(path: Path) -> bool:
    try:
        return kind(path) == "file"
    except OSError:
        return False


def _chosen(only: Path, labelled: Collection[str], folder: Path) -> tuple[set[str], list[Problem]]:
    """The images that a list names, and what is wrong with it; none where it cannot be read."""
    try:
        names, problems = read_names(only)
    except BadInput as bad:
        return set(), bad.problems
    by_stem = {stem(name): name for name in labelled}
    unknown = [name for name in names if name not in labelled]
    namesakes = Namesakes(by_stem if unknown else ())
    for j, name in enumerate(unknown):
        near = namesakes.near(stem(name)) if j < SHOWN else None
        alike = by_stem.get(stem(name)) or by_stem.get(name) or (by_stem[near] if near is not None else None)
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
        if limits.is_machines(error):
            raise
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
        if limits.is_machines(error):
            raise error
        message = f"cannot be read: {error.strerror}"
        problems.append(Problem(str(error.filename or folder), message, "give yourself permission to list the folder"))

    for _, folders, _ in os.walk(folder, onerror=add):
        folders[:] = [f for f in folders if not f.startswith(".")]
    return problems


def _schema(dataset: DatasetFile, annotated: dict[str, None]) -> tuple[Schema | None, list[Problem]]:
    """Names and mirror pairs: as the dataset file says, else all keypoints that the sources have (``annotated``)."""
    file, problems = str(dataset.path), []
    keypoints = dataset.keypoints if dataset.keypoints is not None else tuple(annotated)
    if len(keypoints) > MOST_KEYPOINTS:
        message = f"keypoints: the sources have {len(keypoints):,}, expected at most {MOST_KEYPOINTS:,}"
        return None, [Problem(file, message, "list those that are meant under `keypoints`")]
    lacking = [name for name in keypoints if name not in annotated]
    spelled: dict[str, str] = {}
    for name in keypoints:
        other = spelled.setdefault(re.sub(r"[\W_]+", "", name).casefold() or name, name)
        if other != name:
            message = f"keypoints: {short(other, 60)} and {short(name, 60)} are taken for two"
            remedy = "if they are one, give them one name in all COCO files"
            problems.append(Problem(file, message, remedy, "note"))
    there = set(keypoints)
    left_out = [name for name in annotated if name not in there]
    for name, near in strangers(lacking, left_out) if annotated else ():
        # With names left over it is a spelling mistake, without it is a list made for more data than these.
        severity, remedy = ("error", near) if left_out else ("note", "")
        problems.append(Problem(file, f"keypoints: no source annotates {name}", remedy, severity))  # type: ignore[arg-type]
    if left_out:
        said = left_out.copy()
        for j, name in enumerate(left_out[:SHOWN]):
            close = close_to(name, keypoints)
            said[j] = abridged(name) + (f" (near {short(close, 60)})" if close else "")
        message = f"keypoints: {listed(said, SHOWN)} of the sources are not listed and left out"
        problems.append(Problem(file, message, "", "note"))
    pairs = {"mirror": (dataset.mirror, dataset.parts), "keypoint_mirror": (dataset.keypoint_mirror, keypoints)}
    chosen: dict[str, Any] = {}
    for key, (given, names) in pairs.items():
        chosen[key] = given if given is not None else mirror_pairs(names)
        if given is None and chosen[key]:
            taken = listed(f"{abridged(a)} - {abridged(b)}" for a, b in chosen[key])
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
        has |= found.carries(schema.keypoints)
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


def _world(dataset: DatasetFile, i: int) -> _Found:
    """What a synthetic source has."""
    source = dataset.sources[i]
    keypoints = dict.fromkeys(WORLDS[str(source.synthetic)].schema.keypoints)
    return _Found(Account(f"sources[{i}] {source.split}"), _synthetic_problems(dataset, i), keypoints=keypoints)


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


def _synthetic_records(dataset: DatasetFile, schema: Schema, i: int, found: _Found) -> list[Record]:
    source = dataset.sources[i]
    whole = source.count or 1000
    count = min(whole, source.limit or whole)
    seed, first = source.seed or 0, source.first or 0
    for number in range(first, first + whole):
        left = accounts.BEYOND_LIMIT if number >= first + count else accounts.OTHER_PARTS if found.problems else ""
        found.account.add((str(source.synthetic), seed, number), left)
    if found.problems:
        return []
    has = frozenset(WORLD_LABELS if source.use is None else source.use) | ({"parts"} if source.has_parts else set())
    code = hashlib.sha256()
    for file in sorted(Path(worlds.__file__).parent.glob("*.py")):
        code.update(file.read_bytes())  # another version of the world is another world
    made = []
    for number in range(first, first + count):
        name, mark = f"{source.synthetic}-{seed}-{number:06d}", f"{seed}|{number}|{dataset.size}|{code.hexdigest()}"
        fingerprint = hashlib.sha256(mark.encode()).hexdigest()
        synthetic = (str(source.synthetic), seed, number)
        made.append(
            Record(name, i, source.split, None, has, fingerprint, schema, synthetic=synthetic, size=dataset.size)
        )
    return made


def _in_two_splits(records: list[Record]) -> tuple[dict[int, str], list[Problem]]:
    """Records (by position) whose image stands in another split too, byte for byte: the split that keeps it; and the
    problems.

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
                except OSError as error:
                    if limits.is_machines(error):
                        raise
                    digests[record.image] = record.image  # unreadable: found when it is loaded
            same[digests[record.image]].append(j)
    leaked: dict[int, str] = {}
    problems = []
    for rows in same.values():
        kept = max((records[j].split for j in rows), key=("train", "val", "test").index)
        keeper = next(records[j] for j in rows if records[j].split == kept)
        told: set[tuple[str, str]] = set()
        for j in rows:
            record = records[j]
            if record.split == kept:
                continue
            leaked[j] = kept
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
