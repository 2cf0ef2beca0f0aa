"""What the label files of a source say, before it is known which photographs there are."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from coarseparts.data.accounts import counted
from coarseparts.data.arrays import ARRAYS
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.exports import of_document
from coarseparts.data.formats.annotation import Annotation, PartSegment
from coarseparts.data.formats.coco import read_of_parts, read_part_coco
from coarseparts.data.formats.colours import are_numbers, declared
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.index_names import numbers_named
from coarseparts.data.formats.labelmap import Colours, labelmap_of, read_labelmap
from coarseparts.data.formats.mask_folder import find_maps, of_map
from coarseparts.data.formats.mask_layouts import find_in_layout
from coarseparts.data.formats.mask_values import doubts, inverted
from coarseparts.data.formats.part_files import PartFiles
from coarseparts.data.images import image_names, list_images, stem
from coarseparts.data.namesakes import meant, meant_by_masks, taken_for
from coarseparts.data.objects import Counts, joined_as
from coarseparts.data.source_keys import Source
from coarseparts.data.source_paths import kind
from coarseparts.data.twice import drawn_over
from coarseparts.labels import STYLES
from coarseparts.labels.part_boxes import PartBoxes
from coarseparts.system import limits
from coarseparts.system.problems import SHOWN, BadInput, Problem
from coarseparts.system.text import listed

Annotations = tuple[list[Annotation], list[Problem]]
"""What a reader gives: objects, and what is wrong with the file."""


@dataclass(frozen=True)
class Recognised:
    """What labels of a source were taken for: ``key`` in the source, ``path``, ``format`` in words, ``files`` of masks;
    ``counts`` of what is annotated."""

    key: str
    path: str
    format: str
    files: int = 0
    counts: Counts | None = None

    def __str__(self) -> str:
        return f"{self.key} {self.path} is {self.format}{self._counted()}"

    def _counted(self) -> str:
        """Where the annotations went; the numbers add up."""
        if (c := self.counts) is None:
            return f", {counted(self.files, 'file')}"
        told = {"outlines of parts": c.outlines, "boxes of parts": c.boxes, "coarse": c.coarse, "left out": c.left_out}
        said = " + ".join(f"{number} {what}" for what, number in told.items() if number)
        said = f": {counted(c.annotations, 'annotation')} = {said or '0'}"
        joins = {"joined by group": c.by_group, "joined by place": c.by_place, "keypoints of another": c.points}
        joined = ", ".join(f"{number} {how}" for how, number in joins.items() if number)
        return (
            said
            + (f"; the coarse ones are {counted(c.objects, 'object')}" if c.coarse else "")
            + (f" ({joined})" if joined else "")
        )

    def facts(self) -> dict[str, Any]:
        """All of it, for JSON."""
        counts = {} if self.counts is None else asdict(self.counts)
        return {"key": self.key, "path": self.path, "format": self.format, "files": self.files} | counts


@dataclass
class Labels:
    """What a source's label files say, before it is known which images there are: ``objects`` by image; ``whole``:
    labels of images as a whole, by image; files of part masks, as ``Annotation.part_files``, and, by style, of maps, by
    their stem; all names of ``keypoints``, in the order in which the objects of the file have them; what files and
    folders were ``recognised`` as."""

    objects: dict[str, list[Annotation]] = field(default_factory=lambda: defaultdict(list))
    whole: dict[str, list[Annotation]] = field(default_factory=lambda: defaultdict(list))
    part_files: dict[str, PartFiles] = field(default_factory=dict)
    colours: Colours = ()
    maps: dict[str, dict[str, Path]] = field(default_factory=dict)
    keypoints: dict[str, None] = field(default_factory=dict)
    mirror: dict[tuple[str, str], None] = field(default_factory=dict)
    recognised: list[Recognised] = field(default_factory=list)

    @property
    def mask_files(self) -> list[Path]:
        """All files of masks."""
        of_parts = [path for files in self.part_files.values() for _, path in files]
        return of_parts + [path for files in self.maps.values() for path in files.values()]

    def add(self, by_image: dict[str, list[Annotation]], found: Collection[Annotation]) -> None:
        """Adds objects or labels of images to one of the two, and the names of their keypoints."""
        for annotation in found:
            by_image[annotation.image].append(annotation)
        for names in dict.fromkeys(annotation.keypoint_names for annotation in found):
            self.keypoints |= dict.fromkeys(names)

    def find_photographs(self, folder: Path, there: Collection[str]) -> tuple[dict[str, list[str]], list[Problem]]:
        """Gives labels of images that are not ``there`` in a folder, and masks, to the images for which they were
        written, as far as there is one alone (``namesakes``). Returns the names for which there are several, and
        notes."""
        names = self.objects.keys() | self.whole.keys()
        pairs, several = meant(sorted(name for name in names if name in there or not is_file(folder / name)), there)
        notes = taken_for(pairs, str(folder), "images of label files")
        for by_image in (self.objects, self.whole):
            respelled(by_image, pairs)
        each: list[tuple[dict[str, Any], str]] = [(self.part_files, "part masks")]
        for masks, what in (*each, *((maps, style) for style, maps in self.maps.items())):
            stems = meant_by_masks(masks, there)
            notes += taken_for(stems, str(folder), f"files of {what}")
            for old, new in stems.items():
                masks[new] = masks.pop(old)
        return several, notes

    def of_whole(self, name: str) -> list[Annotation]:
        """What is said about an image as a whole: an annotation for each file that says something."""
        found = list(self.whole.get(name, ()))
        if files := self.part_files.get(stem(name)):
            found.append(Annotation(str(files[0][1]), name, name, part_files=files, colours=self.colours))
        for style, files_of in self.maps.items():
            if path := files_of.get(stem(name)):
                found.append(of_map(path, name, style))
        return found


def respelled(by_image: dict[str, list[Annotation]], pairs: Mapping[str, str]) -> None:
    """Moves annotations from the names under which they were written to those of the files that are meant."""
    for old, new in pairs.items():
        by_image.setdefault(new, []).extend(replace(one, image=new) for one in by_image.pop(old, ()))
        if not by_image[new]:
            del by_image[new]


def read_labels(
    dataset: DatasetFile, source: Source, read_coco: Callable[..., Annotations]
) -> tuple[Labels, list[Problem]]:
    """Whatever the source names, as far as it can be read; problems."""
    labels = Labels()
    problems: list[Problem] = []

    def add(by_image: dict[str, list[Annotation]], read: Callable[[], Annotations]) -> None:
        try:
            found, wrong = read()
        except BadInput as bad:
            found, wrong = [], bad.problems
        objects = [one for one in found if not one.of_image]
        labels.add(by_image, objects)
        labels.add(labels.whole, [one for one in found if one.of_image])
        problems.extend(wrong)

    def files(folder: Path, find: Callable[[str], tuple[dict[str, Any], list[Problem]]]) -> dict[str, Any]:
        if unreadable := unlistable(folder):
            problems.extend(unreadable)
            return {}
        ending, notes = _ending(folder, source)
        found, wrong = find(ending)
        problems.extend([*notes, *wrong])
        return {stem.removesuffix(source.suffix): path for stem, path in found.items()}

    parts, masks = source.part_coco, source.part_masks
    if source.coco_files:
        add(labels.objects, lambda: _objects_of(source, read_coco, labels))
        problems += _drawn_twice(source, labels)
    if masks is not None:
        labels.colours, wrong = _colours(dataset, source, masks)
        problems += wrong
        labels.part_files = files(masks, partial(_part_files, dataset, source, masks, labels))
        labels.recognised.append(_of_masks(masks, source, labels))
    elif parts is not None and not (parts in source.coco_files and labels.whole):  # read there already
        add(labels.whole, lambda: read_part_coco(parts, dataset.parts, source.coordinates, _names_there(source)))
        outlines = sum(len(one.part_segments) for own in labels.whole.values() for one in own)
        labels.recognised.append(Recognised("part_coco", str(parts), "COCO", 1, Counts(outlines, outlines)))
    for name, path in source.by_style.items():
        style = STYLES[name]
        if kind(path) == "folder":
            labels.maps[name] = files(path, partial(find_maps, path))
            labels.recognised.append(
                Recognised(str(style.key), str(path), "a folder of images", len(labels.maps[name]))
            )
        else:
            before = boxes_in(one for own in labels.whole.values() for one in own)
            add(labels.whole, partial(read_of_parts, path, dataset.parts, style, source.coordinates))
            boxes = boxes_in(one for own in labels.whole.values() for one in own) - before
            counts = Counts(boxes, boxes=boxes) if name == PartBoxes.name else None
            labels.recognised.append(Recognised(str(style.key), str(path), "COCO", 1, counts))
    return labels, problems


def _ending(folder: Path, source: Source) -> tuple[str, list[Problem]]:
    """How masks end that lie among the photographs, or among others of the same photographs, on which there is a note;
    "" where all files of the folder are masks."""
    if not source.suffix or source.images is None:
        return "", []
    if os.path.samefile(folder, source.images):
        return source.suffix, []
    stems = [stem(name) for name, _ in list_images(folder, ARRAYS)]
    others = [name for name in stems if not name.endswith(source.suffix)]
    photographs = {stem(name) for name in image_names(source.images)} if 0 < len(others) < len(stems) else {*others}
    if not photographs.isdisjoint(others) or not others:
        return "", []
    message = f"{len(others):,} files do not end in {source.suffix} and are passed over: {listed(others, SHOWN)}"
    return source.suffix, [Problem(str(folder), message, "", "note")]


def _of_masks(folder: Path, source: Source, labels: Labels) -> Recognised:
    """What a folder of part masks was taken for."""
    of_each = any(index for files in labels.part_files.values() for index, _ in files)
    coloured = f"{'numbers' if are_numbers(labels.colours) else 'colours'} by `colours`"
    if source.colours is None:
        list_of = labelmap_of(folder)
        coloured = f"colours by {list_of.name}" if list_of else "grey levels or other numbers"
    layout = "a file for each part" if of_each else coloured if labels.colours else "index masks"
    return Recognised("part_masks", str(folder), layout, sum(map(len, labels.part_files.values())))


def _colours(dataset: DatasetFile, source: Source, folder: Path) -> tuple[Colours, list[Problem]]:
    """The colours of part masks as the source or a labelmap says them."""
    if source.colours is not None:
        return declared(source.colours, dataset.parts)[0], []
    if dataset.overlapping:
        return (), []
    colours, problems = read_labelmap(folder, dataset.parts)
    return (colours, problems) if colours or problems else numbers_named(folder, dataset.parts)


def _part_files(
    dataset: DatasetFile, source: Source, folder: Path, labels: Labels, ending: str
) -> tuple[dict[str, PartFiles], list[Problem]]:
    """The part masks in the layout that the folder has; none where their numbers may mean something else than they are
    taken for. Adds to the ``labels`` what they mean where it can be told."""
    assert source.images is not None
    lossy = bool(labels.colours) and not are_numbers(labels.colours)
    laid = partial(find_in_layout, folder, dataset.parts, source.images, source.suffix)
    found, problems = laid(ending, dataset.overlapping, lossy)
    whole = [path for _, ((index, path), *_) in sorted(found.items()) if not index]
    if not whole and not dataset.overlapping and (told := inverted(folder, [found[name] for name in sorted(found)])):
        return {}, [*problems, *told]
    if labels.colours or not whole:
        return found, problems
    labels.colours, told = doubts(folder, whole, dataset.parts)
    return ({} if any(one.severity == "error" for one in told) else found), [*problems, *told]


def _drawn_twice(source: Source, labels: Labels) -> list[Problem]:
    """Takes part masks out of the labels that the COCO files of objects have besides those of another key; a note."""
    other = source.part_masks or source.part_coco
    if not labels.whole or other is None or other in source.coco_files:
        return []
    masks = {name: [one for one in own if not one.labels] for name, own in labels.whole.items()}
    count = sum(map(bool, masks.values()))
    file = next(iter(labels.whole.values()))[0].file
    labels.whole = defaultdict(
        list, {name: rest for name, own in labels.whole.items() if (rest := [o for o in own if o.labels])}
    )
    if not count:
        return []
    return [Problem(file, f"has part masks of {count} images, too; those of {other} are used alone", "", "note")]


def _names_there(source: Source) -> frozenset[str]:
    """The images in the source's folder, relative to it."""
    return frozenset(name for name, _ in list_images(source.images)) if source.images is not None else frozenset()


def _objects_of(source: Source, read_coco: Callable[..., Annotations], labels: Labels) -> Annotations:
    """The objects of all COCO files of a source, joined, and the part masks of those that have parts as categories."""
    there = _names_there(source)

    def read(several: bool) -> Annotations:
        found: list[Annotation] = []
        problems: list[Problem] = []
        for file in source.coco_files:
            how = {"several": several, "objects": source.objects}
            try:
                own, wrong = read_coco(file, coordinates=source.coordinates, photographs=there, **how)
            except BadInput as bad:
                own, wrong = [], bad.problems
            found += own
            problems += wrong
        return found, problems

    found, problems = read(several=len(source.coco_files) > 1)
    if len(source.coco_files) > 1 and _of_one_part(found):  # which is what the objects are called, in all files
        found, problems = read(several=False)
    objects = [one for one in found if not one.of_image]
    if len(source.coco_files) > 1:
        count = Counter(one.image for one in objects)
        objects = [replace(one, alone=one.alone and count[one.image] == 1) for one in objects]
    before = objects
    objects, notes = joined_as(source.join)(before)
    outlines, boxes = sum(len(one.part_segments) for one in found), boxes_in(found)
    counts = Counts.of(outlines + boxes + len(before), outlines, boxes, before, objects)
    named = listed(map(str, source.coco_files))
    labels.recognised.append(Recognised("coco", named, "COCO", len(source.coco_files), counts))
    whole, more = parts_together([one for one in found if one.of_image])
    return objects + whole, [*problems, *notes, *more]


def _of_one_part(found: Iterable[Annotation]) -> bool:
    """Whether annotations are outlines and boxes of one part, and of nothing else."""
    indices: set[int] = set()
    for one in found:
        if not one.of_image:
            return False
        indices |= {segment.index for segment in one.part_segments}
        indices |= {each.index for given in one.labels.values() for each in given.value}
    return len(indices) == 1


def parts_together(whole: list[Annotation]) -> tuple[list[Annotation], list[Problem]]:
    """What several files say of images as a whole, the outlines of an image's parts as one; of those of a part that lie
    over each other in several files the last one's, which a note says."""
    of_image: dict[str, list[Annotation]] = defaultdict(list)
    for one in whole:
        if one.part_segments:
            of_image[one.image].append(one)
    twice: dict[str, None] = {}
    found = [one for one in whole if not one.part_segments]
    for image, own in of_image.items():
        segments: list[PartSegment] = []
        for one in reversed(own):
            left = [each for each in one.part_segments if not drawn_over(each, segments)]
            twice |= {image: None} if len(left) < len(one.part_segments) else {}
            segments = left + segments
        found.append(replace(own[-1], part_segments=tuple(segments)))
    if not twice:
        return found, []
    message = f"{len(twice)} images have outlines of the same parts in other files, too; those of this one are used"
    note = Problem(of_image[next(iter(twice))][-1].file, message, "leave out the file that is not meant", "note")
    return found, [note]


def read_tool(
    dataset: DatasetFile, source: Source, labels: Labels, read_export: Callable[[Path], Document]
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
    names = image_names(folder)
    found = of_document(path, document, dataset.parts, names, joined_as(source.join), source.objects)
    labels.recognised.append(Recognised("labels", str(path), document.format or "an export", 1, found.counts))
    labels.add(labels.objects, found.objects)
    if PartBoxes.name not in source.by_style:  # those that are named by themselves count alone
        labels.add(labels.whole, found.boxed)
    others = source.part_masks or source.part_coco
    if others is not None and found.whole:
        message = f"has part masks of {len(found.whole)} images, and so has {others}, whose are used"
        return [*found.problems, Problem(str(path), message, "make them two sources if both are meant", "note")]
    labels.add(labels.whole, found.whole)
    return found.problems


def boxes_in(annotations: Iterable[Annotation]) -> int:
    """How many boxes of parts annotations have."""
    return sum(len(boxes) for one in annotations if (boxes := one.label(PartBoxes.name)) is not None)


def unlistable(folder: Path) -> list[Problem]:
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


def is_file(path: Path) -> bool:
    try:
        return kind(path) == "file"
    except OSError:
        return False
