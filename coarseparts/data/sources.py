"""The files of one source: its images, and the objects that its labels name in them, joined across the files.

What is wrong as far as annotations and file names tell is told here; nothing is decoded.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coarseparts.data import accounts
from coarseparts.data.accounts import Account
from coarseparts.data.dataset_file import DatasetFile, Source, kind
from coarseparts.data.exports import of_document
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.coco import read_of_parts, read_part_coco
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.labelmap import Colours, read_labelmap
from coarseparts.data.formats.mask_folder import find_maps, of_map
from coarseparts.data.formats.names import read_names
from coarseparts.data.formats.part_masks import PartFiles, find_part_files
from coarseparts.data.formats.registry import read_export
from coarseparts.data.images import list_images, stem
from coarseparts.data.namesakes import Namesakes, Spellings
from coarseparts.data.objects import grouped, join
from coarseparts.labels import STYLES
from coarseparts.labels.part_maps import maps_of
from coarseparts.system import limits
from coarseparts.system.problems import SHOWN, BadInput, Problem
from coarseparts.system.text import listed

Annotations = tuple[list[Annotation], list[Problem]]
"""What a reader gives: objects, and what is wrong with the file."""


@dataclass
class Found:
    """What a source has. ``account``: of the images that are left out so far; ``objects``: those of the other images,
    whose files are ``Source.images / Annotation.image``; ``keypoints``: all names; ``spare``: stems of part masks
    without an image; ``mirror``: pairs of keypoints that an export says swap on a flip."""

    account: Account
    problems: list[Problem]
    objects: list[Annotation] = field(default_factory=list)
    keypoints: dict[str, None] = field(default_factory=dict)
    spare: set[str] = field(default_factory=set)
    mirror: dict[tuple[str, str], None] = field(default_factory=dict)


@dataclass
class _Labels:
    """What a source's label files say, before it is known which images there are: ``objects`` by image; ``whole``:
    labels of images as a whole, by image; files of part masks, as ``Annotation.part_files``, and, by style, of maps, by
    their stem; all names of ``keypoints``, in the order in which the objects of the file have them."""

    objects: dict[str, list[Annotation]] = field(default_factory=lambda: defaultdict(list))
    whole: dict[str, list[Annotation]] = field(default_factory=lambda: defaultdict(list))
    part_files: dict[str, PartFiles] = field(default_factory=dict)
    colours: Colours = ()
    maps: dict[str, dict[str, Path]] = field(default_factory=dict)
    keypoints: dict[str, None] = field(default_factory=dict)
    mirror: dict[tuple[str, str], None] = field(default_factory=dict)

    def add(self, by_image: dict[str, list[Annotation]], found: Collection[Annotation]) -> None:
        """Adds objects or labels of images to one of the two, and the names of their keypoints."""
        for annotation in found:
            by_image[annotation.image].append(annotation)
        for names in dict.fromkeys(annotation.keypoint_names for annotation in found):
            self.keypoints |= dict.fromkeys(names)

    def of_whole(self, name: str) -> list[Annotation]:
        """What is said about an image as a whole: an annotation for each file that says something."""
        found = list(self.whole.get(name, ()))
        if files := self.part_files.get(stem(name)):
            found.append(Annotation(str(files[0][1]), name, name, part_files=files, colours=self.colours))
        for style, files_of in self.maps.items():
            if path := files_of.get(stem(name)):
                found.append(of_map(path, name, style))
        return found


def read_source(
    dataset: DatasetFile,
    i: int,
    read_coco: Callable[[Path], Annotations],
    read_export: Callable[[Path], Document] = read_export,
) -> Found:
    """What the source ``i``, one of photographs, has, limited as it says. ``read_coco``: ``formats.coco.read_coco``,
    and ``read_export``: ``formats.registry.read_export``, or the same for files that several sources name."""
    source = dataset.sources[i]
    folder = source.images
    assert folder is not None
    account = Account(f"sources[{i}] {source.split}")
    labels, problems = _read_labels(dataset, source, read_coco)
    problems += _read_tool(dataset, source, labels, read_export)
    unreadable = _unreadable(folder)
    problems += unreadable
    if any(p.file == str(folder) for p in unreadable):
        return Found(account, problems, keypoints=labels.keypoints)
    there = dict(list_images(folder))
    of_stem = labels.part_files.keys() | {stem for files in labels.maps.values() for stem in files}
    labelled = labels.objects.keys() | labels.whole.keys() | {name for name in there if stem(name) in of_stem}
    # Labels may name files that do not look like images from their names: they are images of this source as well.
    images = there | {name: folder / name for name in labelled - there.keys() if _is_file(folder / name)}

    def leave_out(names: Collection[str], reason: str) -> None:
        for name in names:
            if name in images:
                account.add(images[name], reason)

    stems_there = {stem(name) for name in labelled}
    without = sorted(images.keys() - labelled)
    leave_out(without, accounts.NO_LABELS)
    if source.only is not None:
        chosen, wrong = _chosen(source.only, labelled, folder)
        problems += wrong
        leave_out(labelled - chosen, accounts.NOT_LISTED)
        labelled &= chosen

    stems = Counter(stem(name) for name in labelled & images.keys())  # a name without a file is told as such
    remedy = "keep one of them, or rename one and its labels; part masks belong in a folder of their own"
    for name in sorted(name for name in labelled & images.keys() if stems[stem(name)] > 1):
        problems.append(Problem(str(folder / name), "has the same stem as another image of this source", remedy))
        leave_out([name], accounts.SAME_STEM)
        labelled.discard(name)
    part_masks = {name: files[0][1] for name, files in labels.part_files.items()}
    for masks, what in ((part_masks, "part mask"), *((maps, style) for style, maps in labels.maps.items())):
        problems += _without_image(masks, stems_there, images, folder, what)
    if without:
        message = f"{len(without)} of {len(images)} images have no labels that can be used and are left out"
        problems.append(Problem(str(folder), f"{message}: {listed(without, SHOWN)}", "", "note"))
    leave_out(sorted(labelled)[len(labelled) if source.limit is None else source.limit :], accounts.BEYOND_LIMIT)

    objects: list[Annotation] = []
    masked: list[list[Annotation]] = []  # objects of images for which the folder of masks has one
    spellings = Spellings(there)
    for name in sorted(labelled)[: source.limit]:
        path = there.get(name, folder / name)
        own, whole = labels.objects.get(name, []), labels.of_whole(name)
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
            message = f"does not exist, but {(own + whole)[0].file} has labels for it{spellings.hint(name)}"
            problems.append(Problem(str(path), message, "add the image, or correct its name in the annotations"))
            continue
        if own and stem(name) in labels.maps.get("mask", ()):
            masked.append(own)
        objects += joined(own, whole)
    problems += _masks_not_used(source, masked)
    return Found(account, problems, objects, labels.keypoints, part_masks.keys() - stems_there, labels.mirror)


def joined(objects: list[Annotation], whole: list[Annotation]) -> list[Annotation]:
    """The objects of an image, each with what is said about the image as a whole; if there are none, the one object
    that this is about. A figure-ground mask of several objects is nobody's."""
    if not whole:
        return objects
    masks = {
        key: value
        for one in whole
        for key in ("part_files", "part_segments", "colours")
        if (value := getattr(one, key))
    }
    several = any(not each.alone for each in objects)
    given = {
        style: label for one in whole for style, label in one.labels.items() if STYLES[style].of_image or not several
    }
    return [replace(each, labels={**each.labels, **given}, **masks) for each in objects or whole[:1]]


def _masks_not_used(source: Source, masked: list[list[Annotation]]) -> list[Problem]:
    """Notes on objects with two masks, and on masks of several objects. ``masked``: the objects of each image that has
    a mask in the folder."""
    problems = []
    twice = [own[0].image for own in masked if own[0].alone and "mask" in own[0].labels]
    if twice:
        given = source.coco or source.labels
        message = f"{len(twice)} images have a mask here and one in {given}; that of this folder is used"
        problems.append(Problem(str(source.by_style["mask"]), f"{message}: {listed(twice, SHOWN)}", "", "note"))
    shared = [own[0].image for own in masked if not own[0].alone]
    if shared:
        message = f"{len(shared)} images show several objects, and their mask does not say whose it is; it is not used"
        remedy = "give each object its own segmentation in the COCO file"
        problems.append(Problem(str(source.by_style["mask"]), f"{message}: {listed(shared, SHOWN)}", remedy, "note"))
    return problems


def _read_labels(
    dataset: DatasetFile, source: Source, read_coco: Callable[[Path], Annotations]
) -> tuple[_Labels, list[Problem]]:
    """Whatever the source names, as far as it can be read; problems."""
    labels = _Labels()
    problems: list[Problem] = []

    def add(by_image: dict[str, list[Annotation]], read: Callable[[], Annotations]) -> None:
        try:
            found, wrong = read()
        except BadInput as bad:
            found, wrong = [], bad.problems
        labels.add(by_image, found)
        problems.extend(wrong)

    def files(folder: Path, find: Callable[[], tuple[dict[str, Any], list[Problem]]]) -> dict[str, Any]:
        unreadable = _unreadable(folder)
        found, wrong = ({}, unreadable) if unreadable else find()
        problems.extend(wrong)
        return {stem.removesuffix(source.suffix): path for stem, path in found.items()}

    coco, parts, masks = source.coco, source.part_coco, source.part_masks
    if coco is not None:
        add(labels.objects, lambda: _objects_of(coco, source, read_coco))
    if masks is not None:
        folders = maps_of(dataset.overlapping, len(dataset.parts)).folders(dataset.parts)
        labels.part_files = files(masks, lambda: find_part_files(masks, folders))
        if not dataset.overlapping:
            labels.colours, wrong = read_labelmap(masks, dataset.parts)
            problems += wrong
    elif parts is not None:
        add(labels.whole, lambda: read_part_coco(parts, dataset.parts))
    for name, path in source.by_style.items():
        style = STYLES[name]
        if kind(path) == "folder":
            labels.maps[name] = files(path, lambda path=path: find_maps(path))  # type: ignore[misc]
        else:
            add(labels.whole, lambda path=path, style=style: read_of_parts(path, dataset.parts, style))  # type: ignore[misc]
    return labels, problems


def _objects_of(coco: Path, source: Source, read_coco: Callable[[Path], Annotations]) -> Annotations:
    found, problems = read_coco(coco)
    objects, notes = _joined_as(source.join)(found)
    return objects, [*problems, *notes]


def _joined_as(how: str) -> Callable[[list[Annotation]], Annotations]:
    """Joins the annotations of a file as ``Source.join`` says."""

    def all_ways(found: list[Annotation]) -> Annotations:
        objects, problems = grouped(found)
        if how == "id":
            return objects, problems
        objects, notes = join(objects)
        return objects, [*problems, *notes]

    return (lambda found: (found, [])) if how == "none" else all_ways


def _read_tool(
    dataset: DatasetFile, source: Source, labels: _Labels, read_export: Callable[[Path], Document]
) -> list[Problem]:
    """Adds what the export of a tool says to the ``labels``; problems."""
    path, folder = source.labels, source.images
    if path is None or folder is None:
        return []
    try:
        document = read_export(path)
    except BadInput as bad:
        return bad.problems
    labels.mirror |= dict.fromkeys(document.mirror)
    names = [name for name, _ in list_images(folder)]
    found = of_document(path, document, dataset.parts, names, _joined_as(source.join))
    labels.add(labels.objects, found.objects)
    others = source.part_masks or source.part_coco
    if others is not None and found.whole:
        message = f"has part masks of {len(found.whole)} images, and so has {others}, whose are used"
        return [*found.problems, Problem(str(path), message, "make them two sources if both are meant", "note")]
    labels.add(labels.whole, found.whole)
    return found.problems


def _without_image(
    masks: Mapping[str, Path], stems: Collection[str], images: Iterable[str], folder: Path, what: str
) -> list[Problem]:
    """Problems of masks of none of the ``stems``, with an image's name that is near."""
    spare = masks.keys() - stems
    bare = {stem(name): name for name in images if stem(name) not in masks} if spare else {}
    if told := _of_one_ending(spare, bare):
        example = sorted(spare)[0]
        return [Problem(str(masks[example]), f"{len(spare)} {what}s like this one {told[0]}", told[1])]
    namesakes = Namesakes(bare)
    problems = []
    for j, unused in enumerate(sorted(spare)):
        near = namesakes.near(unused) if j < SHOWN else None
        message = f"no image of this stem in {folder}" + (f" (there is {bare[near]})" if near is not None else "")
        problems.append(Problem(str(masks[unused]), message, f"add the image, rename the {what}, or remove it"))
    return problems


def _of_one_ending(masks: Collection[str], images: Collection[str]) -> tuple[str, str] | None:
    """What the stems of all masks, two at least, have in common and those of images have not, or the other way round,
    and the remedy; None if there is no such ending."""

    def ending(longer: Collection[str], shorter: Collection[str]) -> str:
        first = min(longer, default="")
        endings = (first[i:] for i in range(len(first) - 1, 0, -1) if first[:i] in shorter)
        every = (end for end in endings if all(name.endswith(end) and name[: -len(end)] in shorter for name in longer))
        return next(every, "") if len(longer) > 1 else ""

    if end := ending(masks, images):
        return f"end in {end!r}, which the photographs' names do not", f"write `suffix: {end}` in this source"
    if end := ending(images, masks):
        remedy = "give masks and photographs the same names"
        return f"lack {end!r}, in which the photographs' names end", remedy
    return None


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
