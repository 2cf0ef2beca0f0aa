"""A dataset file's samples as records: which files each is made from, which labels it has; decoded only on demand."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from coarseparts.data import accounts
from coarseparts.data import synthetic as worlds
from coarseparts.data.accounts import Account
from coarseparts.data.dataset_file import DatasetFile, training_problems
from coarseparts.data.formats.coco import read_coco
from coarseparts.data.formats.registry import read_export
from coarseparts.data.images import stem
from coarseparts.data.label_sources import Recognised
from coarseparts.data.namesakes import Namesakes
from coarseparts.data.naming import named_apart, schema_of
from coarseparts.data.record import Record, record_of
from coarseparts.data.shared import bring_together
from coarseparts.data.sources import Found, read_source
from coarseparts.data.synthetic import WORLD_LABELS, WORLDS
from coarseparts.labels.schema import Schema
from coarseparts.system import limits
from coarseparts.system.problems import SHOWN, BadInput, Problem, capped, errors
from coarseparts.system.text import listed

__all__ = ["Contents", "Record", "read_contents", "read_dataset", "without_part_masks"]


@dataclass
class Contents:
    """What a data set holds, before anything is decoded: records, problems and schema as ``read_dataset`` returns them;
    for each source, in the order of ``DatasetFile.sources``, an account of its images and the stems of its part masks
    that have no image (``spare``); and what the labels were ``recognised`` as, by the account's name."""

    records: list[Record]
    problems: list[Problem]
    schema: Schema
    accounts: list[Account]
    spare: list[set[str]]
    recognised: dict[str, list[Recognised]] = field(default_factory=dict)

    def leave_out(self, record: Record) -> None:
        """Tells the account that a record could not be loaded."""
        self.accounts[record.source].take_out(record.shown, accounts.UNREADABLE)


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
    problems: list[Problem] = []
    # Sources may name one file and different images of it.
    read, read_tool = cache(partial(read_coco, parts=dataset.parts)), cache(read_export)
    found = [
        _world(dataset, i) if source.synthetic else read_source(dataset, i, read, read_tool)
        for i, source in enumerate(dataset.sources)
    ]
    annotated: dict[str, None] = {}  # keypoint names in order of appearance
    for one in found:
        problems += one.problems
        annotated |= one.keypoints
    problems = list(dict.fromkeys(problems))  # several sources of one file of labels say the same of it
    schema, wrong = schema_of(dataset, annotated, list(dict.fromkeys(pair for one in found for pair in one.mirror)))
    problems += wrong
    if schema is None:
        raise BadInput(capped((training_problems(dataset) if for_training else []) + problems))

    problems += bring_together(dataset, found)
    records = []
    for i, one in enumerate(found):
        if dataset.sources[i].synthetic:
            records += _synthetic_records(dataset, schema, i, one)
            continue
        unused = 0
        folder = dataset.sources[i].images
        assert folder is not None
        for annotation in one.objects:
            record = record_of(dataset, schema, i, annotation)
            records += [record] if record is not None else []
            one.account.add(folder / annotation.image, "" if record is not None else accounts.NONE_USED)
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
        books[records[j].source].take_out(records[j].shown, accounts.in_split(split))
    records = named_apart([r for j, r in enumerate(records) if j not in leaked])
    if for_training:
        with_parts = {record.split for record in records if "parts" in record.has}
        problems = training_problems(dataset, with_parts) + problems
        problems += _too_few_part_masks(dataset, records, bool(errors(problems)))
    recognised = {one.account.name: one.recognised for one in found}
    return Contents(records, capped(problems), schema, books, [one.spare for one in found], recognised)


def _unused_sources(dataset: DatasetFile, found: list[Found], told: bool) -> list[Problem]:
    """Errors for sources that give no image, where no error says why. ``told``: there are errors already."""
    if not any(one.account.used for one in found):
        message = f"no images with labels were found ({'; '.join(accounts.lines(one.account for one in found))})"
        return [] if told else [Problem(str(dataset.path), message, "see the notes for each source")]
    remedy = "correct its folder, labels and lists, or remove the source"
    return [
        Problem(str(dataset.path), f"sources[{i}]: no image of {dataset.sources[i].images} is used", remedy)
        for i, one in enumerate(found)
        if not one.account.used and not errors(one.problems) and accounts.ELSEWHERE not in one.account.left_out
    ]


def without_part_masks(dataset: DatasetFile, contents: Contents) -> list[Problem]:
    """Notes on images of sources with part masks that have none themselves, as far as they are used."""
    lacking: dict[int, dict[Path, str]] = defaultdict(dict)  # by source: image -> its path relative to the folder
    with_some = {record.source for record in contents.records if "parts" in record.has}
    for record in contents.records:
        source, account = dataset.sources[record.source], contents.accounts[record.source]
        if record.image is None or "parts" in record.has or not source.has_parts:
            continue
        if source.labels is not None and record.source not in with_some:
            continue  # an export of coarse labels alone
        if "" in account.fates[record.image]:
            assert source.images is not None
            lacking[record.source][record.image] = os.path.relpath(record.image, source.images)
    problems = []
    for i, images in lacking.items():
        source, namesakes = dataset.sources[i], Namesakes(sorted(contents.spare[i]))
        names = list(images.values())
        for j, name in enumerate(names[:SHOWN]):
            near = namesakes.near(stem(name))
            names[j] = f"{name} (there is a mask {near})" if near is not None else name
        become = "count as coarse images" if source.split == "train" else "are not measured on"
        message = f"{len(names)} of {contents.accounts[i].used} images have no part mask in "
        message += f"{source.part_masks or source.part_coco or source.labels} and {become}: {listed(names, SHOWN)}"
        remedy = "add their part masks, or give masks and images the same names, if they are to have some"
        problems.append(Problem(str(source.images), message, remedy, "note"))
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


def _world(dataset: DatasetFile, i: int) -> Found:
    """What a synthetic source has."""
    source = dataset.sources[i]
    keypoints = dict.fromkeys(WORLDS[str(source.synthetic)].schema.keypoints)
    return Found(Account(f"sources[{i}] {source.split}"), _synthetic_problems(dataset, i), keypoints=keypoints)


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


def _synthetic_records(dataset: DatasetFile, schema: Schema, i: int, found: Found) -> list[Record]:
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
