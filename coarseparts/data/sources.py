"""The files of one source: its images, and the objects that its labels name in them, joined across the files.

What is wrong as far as annotations and file names tell is told here; nothing is decoded.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from coarseparts.data import accounts
from coarseparts.data.accounts import Account
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.elsewhere import elsewhere, masked_elsewhere, named_elsewhere
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.mask_names import foreign
from coarseparts.data.formats.names import read_names
from coarseparts.data.formats.registry import read_export
from coarseparts.data.images import list_images, stem
from coarseparts.data.label_sources import Annotations, Labels, Recognised, is_file, read_labels, read_tool, unlistable
from coarseparts.data.namesakes import Namesakes, Spellings
from coarseparts.data.scaling import doubts
from coarseparts.data.source_keys import Source
from coarseparts.data.source_paths import kind
from coarseparts.data.suffixes import passed_over
from coarseparts.labels import STYLES
from coarseparts.labels.given import Given
from coarseparts.system.problems import SHOWN, BadInput, Problem
from coarseparts.system.text import listed

Said = tuple[list[Annotation], list[Annotation]]
"""What is said of an image's objects, and of the image as a whole."""


@dataclass
class Found:
    """What a source has. ``account``: of the images that are left out so far; ``said``: of the other images, by name,
    whose files are ``Source.images / name``; ``keypoints``: all names; ``spare``: stems of part masks
    without an image; ``mirror``: pairs of keypoints that an export says swap on a flip;
    ``recognised``: what its labels are."""

    account: Account
    problems: list[Problem]
    said: dict[str, Said] = field(default_factory=dict)
    keypoints: dict[str, None] = field(default_factory=dict)
    spare: set[str] = field(default_factory=set)
    mirror: dict[tuple[str, str], None] = field(default_factory=dict)
    recognised: list[Recognised] = field(default_factory=list)

    @property
    def objects(self) -> list[Annotation]:
        """The objects of all images."""
        return [one for own, whole in self.said.values() for one in joined(own, whole)]


def read_source(
    dataset: DatasetFile,
    i: int,
    read_coco: Callable[..., Annotations],
    read_export: Callable[[Path], Document] = read_export,
) -> Found:
    """What the source ``i``, one of photographs, has, limited as it says. ``read_coco``: ``formats.coco.read_coco``,
    and ``read_export``: ``formats.registry.read_export``, or the same for files that several sources name."""
    source = dataset.sources[i]
    folder = source.images
    assert folder is not None
    account = Account(f"sources[{i}] {source.split}")
    labels, problems = read_labels(dataset, source, read_coco)
    problems += read_tool(dataset, source, labels, read_export)
    unreadable = unlistable(folder)
    problems += unreadable
    if any(p.file == str(folder) for p in unreadable):
        return Found(account, problems, keypoints=labels.keypoints)
    there = _photographs(source, labels)
    several, told = labels.find_photographs(folder, there)
    problems += told
    if source.coordinates is None:
        problems += doubts((labels.objects, labels.whole), there)
    of_stem = labels.part_files.keys() | {stem for files in labels.maps.values() for stem in files}
    if source.unlabelled:
        for name in there:
            labels.whole[name].append(Annotation(str(folder), name, name))
        message = f"no key of its source names labels: of {len(there)} images the picture alone is known"
        problems.append(Problem(str(folder), message, "name its labels if it has some", "note"))
    labelled = labels.objects.keys() | labels.whole.keys() | {name for name in there if stem(name) in of_stem}
    # Labels may name files that do not look like images from their names: they are images of this source as well.
    images = there | {name: folder / name for name in labelled - there.keys() if is_file(folder / name)}
    others = elsewhere(dataset, i)
    absent = {name: [*labels.objects.get(name, ()), *labels.of_whole(name)] for name in labelled - images.keys()}
    labelled -= named_elsewhere({name: said[0].file for name, said in absent.items()}, others) if others else set()
    among = {mask.relative_to(folder).as_posix() for mask in labels.mask_files if folder in mask.parents}
    problems += passed_over(folder, images.keys() | among)

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
    each = [(part_masks, source.part_masks, "part mask")]
    each += [(maps, source.by_style[style], style) for style, maps in labels.maps.items()]
    for masks, of, what in each:
        known = stems_there | masked_elsewhere(masks.keys() - stems_there, of, others)
        problems += _without_image(masks, known, images, folder, what)
    if without:
        message = f"{len(without)} of {len(images)} images have no labels that can be used and are left out"
        problems.append(Problem(str(folder), f"{message}: {listed(without, SHOWN)}", "", "note"))
    leave_out(sorted(labelled)[len(labelled) if source.limit is None else source.limit :], accounts.BEYOND_LIMIT)

    said: dict[str, Said] = {}
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
            hint = f" (it might be {listed(several[name], 4)})" if name in several else spellings.hint(name)
            message = f"does not exist, but {(own + whole)[0].file} has labels for it{hint}"
            problems.append(Problem(str(path), message, "add the image, or correct its name in the annotations"))
            continue
        if own and stem(name) in labels.maps.get("mask", ()):
            masked.append(own)
        said[name] = own, whole
    problems += [*_masks_not_used(source, masked), *_shared_parts(folder, said)]
    spare = part_masks.keys() - stems_there
    spare -= masked_elsewhere(spare, source.part_masks, others)
    return Found(account, problems, said, labels.keypoints, spare, labels.mirror, labels.recognised)


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
    masks |= {"owned": False} if masks else {}
    found = [replace(each, labels={**each.labels, **given}, **masks) for each in objects or whole[:1]]
    return [replace(each, neighbours=_neighbours(each, found)) for each in found] if several else found


def _neighbours(one: Annotation, objects: Sequence[Annotation]) -> tuple[Given, ...]:
    """The keypoints of the other objects of an image with outlines of parts, for one that has nothing else."""
    if not one.part_segments or "keypoints" not in one.labels or {"mask", "box"} & one.labels.keys():
        return ()
    return tuple(other.labels["keypoints"] for other in objects if other is not one and "keypoints" in other.labels)


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


def _shared_parts(folder: Path, said: Mapping[str, Said]) -> list[Problem]:
    """A note on images of several objects whose part masks are the image's, where nothing but keypoints says where the
    objects are."""
    shared = [
        name
        for name, (own, whole) in said.items()
        if any(one.has_parts for one in whole)
        and any(not one.alone and "keypoints" in one.labels and not {"mask", "box"} & one.labels.keys() for one in own)
    ]
    if not shared:
        return []
    message = (
        f"{len(shared)} images show several objects with keypoints, and their part masks do not say whose they are"
    )
    remedy = "each object has the pieces on which its keypoints lie, and the others are not learned from; give objects "
    remedy += "that touch a mask or box each"
    return [Problem(str(folder), f"{message}: {listed(shared, SHOWN)}", remedy, "note")]


def _photographs(source: Source, labels: Labels) -> dict[str, Path]:
    """The images of a source's folder by name, without the masks that lie among them: in a folder below, or beside them
    with an ending of their own (``suffix``), or a file for each part in folders called as they are."""
    assert source.images is not None
    listed_there = dict(list_images(source.images))
    root = os.path.realpath(source.images)
    masks: set[str] = set()
    of_parts = [path for files in labels.part_files.values() for _, path in files]
    each: list[tuple[Path | None, list[Path]]] = [(source.part_masks, of_parts)]
    each += [(source.by_style[style], [*files.values()]) for style, files in labels.maps.items()]
    for folder, files in each:
        there = os.path.realpath(folder) if folder is not None else ""
        of_each = files is of_parts and any(index for own in labels.part_files.values() for index, _ in own)
        if there.startswith(root + os.sep) or (there == root and (source.suffix or of_each)):
            masks.update(os.path.realpath(path) for path in files)
    if not masks:
        return listed_there
    return {name: path for name, path in listed_there.items() if os.path.realpath(path) not in masks}


def _without_image(
    masks: Mapping[str, Path], stems: Collection[str], images: Iterable[str], folder: Path, what: str
) -> list[Problem]:
    """Problems of masks of none of the ``stems``, with an image's name that is near."""
    spare = masks.keys() - stems
    if (told := foreign(spare)) is not None:
        return [Problem(str(masks[min(spare)]), f"{len(spare)} {what}s like this one are {told[0]}", told[1])]
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
