"""A dataset file from what lies in folders and exports, with everything that was assumed on the way."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from coarseparts.data.dataset_file import DatasetFile, describe
from coarseparts.data.formats.spelling import plain
from coarseparts.data.images import probe
from coarseparts.data.proposal.copies import without_copies
from coarseparts.data.proposal.division import divided, relative
from coarseparts.data.proposal.mask_choice import one_of_each
from coarseparts.data.proposal.mask_colours import named_colours
from coarseparts.data.proposal.mask_folders import find_masks, with_names
from coarseparts.data.proposal.masks import Masks
from coarseparts.data.proposal.part_names import Drawn, drawn_categories, mirrored, numbered
from coarseparts.data.proposal.proposed_sources import ProposedSource, proposed_sources
from coarseparts.data.proposal.survey import Survey, survey
from coarseparts.data.proposal.unpacking import unpacked_beside
from coarseparts.data.record import Record
from coarseparts.data.records import Contents, read_contents
from coarseparts.system.documents import dump_yaml
from coarseparts.system.files import write_whole
from coarseparts.system.problems import SHOWN, BadInput, Problem, capped, unwritable
from coarseparts.system.text import abridged, close_to, listed, readable

SIZES = (128, 256)
"""Training sizes that are proposed: the first that is not smaller than most objects, else the last."""

LOOKED_AT = 200
"""Photographs whose size is looked at, where labels do not tell how large the objects are."""


@dataclass
class Proposal:
    """The dataset file ``path``: its ``keys``; ``lists`` of images by the file's name, beside it; ``assumed``: what was
    recognised and assumed, a sentence each."""

    path: Path
    keys: dict[str, Any]
    lists: dict[str, list[str]] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Writes the lists, then the dataset file. Raises BadInput where one of them is there or cannot be written."""
        refuse_existing([self.path, *(self.path.with_name(name) for name in self.lists)])
        comments = "".join(f"# {readable(line)}\n" for line in self.assumed)
        try:
            for name, images in self.lists.items():
                text = "".join(f"{image}\n" for image in images)
                write_whole(self.path.with_name(name), text.encode("utf-8", "surrogateescape"))
            write_whole(self.path, (comments + dump_yaml(self.keys)).encode())
        except OSError as error:
            raise unwritable(self.path.parent, error, "choose another place by --out", self.path.name) from error


def refuse_existing(files: Sequence[Path]) -> None:
    """Raises BadInput for files that are there already: somebody may have worked on them."""
    there = [file for file in files if os.path.lexists(file)]
    if there:
        remedy = "move it away, or choose another name by --out"
        raise BadInput([Problem(str(file), "is there and would be written over", remedy) for file in there])


def propose(paths: Sequence[Path], out: Path, parts: tuple[str, ...] = ()) -> Proposal:
    """A dataset file ``out`` of what lies at ``paths``; where no photographs belong to it, archives that hold
    images are unpacked beside it. ``parts``: their names, where the user gives them; of masks in colours with these
    (head=#ff0000).

    Raises BadInput for what cannot be read or is none of these, and where nothing names a part.
    """
    refuse_existing([out])
    paths = [Path(os.path.abspath(path)) for path in paths]
    try:
        there = _there(paths, parts)
    except BadInput:
        paths, unpacked = unpacked_beside(paths, out)
        if not unpacked:
            raise
        there = _there(paths, parts)
        there.said[:0] = unpacked
    found, base = there.survey, Path(os.path.abspath(out)).parent
    assumed = [_recognised(source, base) for source in there.sources] + there.said
    assumed += [_passed_over(path, told) for path, told in found.passed_over.items()]
    assumed += [readable(f"{one} says the same as {other}, and is passed over") for one, other in found.twice.items()]
    assumed += [readable(f"{told.file} {told.message}, and passed over; {told.remedy}") for told in found.not_read]
    assumed += [readable(f"{told.file} {told.message}, and is passed over") for told in found.unknown]
    parts, _ = named_colours(parts)
    names = _part_names(paths, parts, there.drawn, there.masks, assumed, found.told)
    keys: dict[str, Any] = {"parts": list(names)}
    if pairs := mirrored(names):
        keys["mirror"] = [list(pair) for pair in pairs]
        assumed.append(f"parts swap on a flip: {_told(pairs)}")
    _leave_out(_undeclared(there.drawn, parts), names, there.sources, assumed)
    dataset = _dataset(out, keys, there.sources)
    contents = read_contents(dataset)
    _add_keypoint_pairs(keys, found, contents, assumed)
    keys["size"] = _size(contents.records, assumed)
    proposal = Proposal(out, keys, assumed=assumed)
    division = divided(there.sources, contents.records, dataset, found.lists, Path(os.path.abspath(out)))
    keys["sources"] = division.sources
    proposal.lists |= division.lists
    assumed += division.assumed
    return proposal


@dataclass(frozen=True)
class _There:
    """What lies at some paths: labels, masks and photographs; which of them belong together; what was ``said``."""

    survey: Survey
    masks: list[Masks]
    drawn: Drawn
    sources: list[ProposedSource]
    said: list[str]


def _there(paths: Sequence[Path], parts: tuple[str, ...]) -> _There:
    """Raises BadInput where no photographs belong to what is there."""
    found = survey(paths)
    entries = [one for export in found.exports for one in export.document.images if isinstance(one, dict)]
    files = {re.split(r"[\\/]", name)[-1] for one in entries if isinstance(name := one.get("file_name"), str)}
    masks, photographs, said = find_masks(found.folders, found.arrays, files)
    drawn = drawn_categories(found.exports)
    stems = {folder: {file.stem for file in found.folders[folder]} for folder in photographs}
    masks = one_of_each(with_names(masks, parts, drawn.parts, said), stems, said)
    of_folders = {folder: found.folders[folder] for folder in photographs}
    sources = without_copies(proposed_sources(found.exports, masks, of_folders), of_folders, said)
    if not sources:
        counts = (f"{folder} ({len(found.folders[folder]):,} images)" for folder in photographs)
        seen = f"; taken for photographs: {listed(counts, SHOWN)}" if photographs else ""
        message = f"nothing here is an export of labels or a folder of masks that belongs to photographs{seen}"
        remedy = "name the export or the folder of the masks, too"
        raise BadInput([Problem(listed(map(str, paths)), "; ".join([message, *said]), remedy), *capped(found.told)])
    return _There(found, masks, drawn, sources, said)


def _passed_over(path: Path, told: Sequence[Problem]) -> str:
    why = f": {readable(told[0].message)}" if told else ""
    return f"{readable(path)} holds no labels that are read, and is passed over{why}"


def _recognised(source: ProposedSource, base: Path) -> str:
    what = [f"{export.name} ({abridged(export.path.name)})" for export in source.exports]
    for masks in source.masks:
        kind = "part masks" if masks.key == "part_masks" else "figure-ground masks"
        what.append(f"{kind} ({abridged(masks.folder.name)}{f', ending in {masks.suffix}' if masks.suffix else ''})")
    where = readable(relative(source.images, base))
    return f"{source.split}: photographs in {where}, {' and '.join(what) or 'without labels'}"


def _part_names(
    paths: Sequence[Path],
    given: tuple[str, ...],
    drawn: Drawn,
    masks: Sequence[Masks],
    assumed: list[str],
    told: Sequence[Problem],
) -> tuple[str, ...]:
    """The names of the parts: as given, else those of labelmaps and folders, else the categories that are drawn within
    others. Raises BadInput, with what was ``told`` of the labels, where there is none, or where index masks may mean
    any of them."""
    folders = [one for one in masks if one.key == "part_masks"]
    if given:
        if not folders:  # whose indices may be called anything
            _refuse_misspelt(given, [*drawn.parts, *drawn.wholes, *drawn.beside])
        return given
    names = dict.fromkeys(name for one in folders for name in one.parts)
    largest = max((one.indices for one in folders), default=0)
    if largest > 1 and len(drawn.parts) == 1 and not drawn.wholes:  # one category beside masks of several parts
        drawn = Drawn([], drawn.parts)
    names |= dict.fromkeys(drawn.parts)
    names = _once(names, assumed)
    where = listed(readable(one.folder) for one in folders if one.indices)
    if largest and names:
        message = f"has part indices up to {largest}, and other labels name the parts {listed(map(abridged, names))}"
        raise BadInput(Problem(where, message, "say which index is which: --parts NAME,NAME,... in that order"))
    if largest:
        names = dict.fromkeys(f"part {index}" for index in range(1, largest + 1))
        remedy = "give --parts NAME,NAME,..., or rename them under parts"
        assumed.append(f"{where} has part indices 1 to {largest} and nothing names them: {remedy}")
    if not names:
        whole = f"; {listed(map(abridged, drawn.wholes))} are taken for whole objects" if drawn.wholes else ""
        remedy = "name what has the part masks, too; or say which categories are parts: --parts NAME,NAME,..."
        raise BadInput([Problem(listed(map(str, paths)), f"no part masks were found{whole}", remedy), *capped(told)])
    if drawn.wholes:
        assumed.append(f"{listed(map(abridged, drawn.wholes))}: whole objects, for they cover what else is drawn")
    assumed.append(f"parts: {listed(map(abridged, names))}; they do not overlap, where they do the smaller is on top")
    if alike := numbered(names):
        each = f"{abridged(alike[0])}, {abridged(alike[1])} and others are parts of their own each, by their numbers"
        assumed.append(f"{each}: if these are of animals, give both one label in the tool, and each animal a group")
    return tuple(names)


def _undeclared(drawn: Drawn, given: Sequence[str]) -> list[str]:
    """The drawn categories that are neither parts nor objects: what lies beside objects; and where some of the parts
    that the user has ``given`` are drawn, what else is drawn within objects."""
    named = set(map(plain, given))
    others = [name for name in drawn.parts if plain(name) not in named]
    others = others if named and len(others) < len(drawn.parts) else []
    return [*others, *(name for name in drawn.beside if plain(name) not in named)]


def _leave_out(
    others: Sequence[str], parts: Sequence[str], sources: Sequence[ProposedSource], assumed: list[str]
) -> None:
    """Says in the sources of categories that are neither objects nor ``parts`` which are objects."""
    named = set(map(plain, parts))
    for source in sources:
        categories = [one for export in source.exports for one in export.document.categories if isinstance(one, dict)]
        names = dict.fromkeys(name for one in categories if isinstance(name := one.get("name"), str))
        if names.keys() & {*others}:
            source.objects = tuple(name for name in names if name not in others and plain(name) not in named)
    if others:
        told = listed(map(abridged, others))
        assumed.append(f"{told}: neither named as parts nor drawn within or around some, and left out by `objects`")


def _once(names: Collection[str], assumed: list[str]) -> dict[str, None]:
    """The names, of those that differ in capitals, spaces, hyphens and underscores alone the first, if there is one
    without spaces around it that; which is told."""
    first: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name != name.strip()):
        first.setdefault(plain(name) or name, name)
    alike = {name: other for name in names if (other := first[plain(name) or name]) != name}
    if alike:
        told = listed(f"{abridged(name)!r} for {abridged(other)!r}" for name, other in alike.items())
        assumed.append(f"names that are spelt otherwise are taken for one part: {told}")
    return dict.fromkeys(first[plain(name) or name] for name in names)


def _refuse_misspelt(given: Sequence[str], drawn: Sequence[str]) -> None:
    """Raises BadInput for names of parts that no category has, where one is called nearly so."""
    there = set(map(plain, drawn))
    wrong = [(name, near) for name in given if plain(name) not in there and (near := close_to(name, drawn))]
    if wrong:
        raise BadInput(
            Problem(f"--parts {abridged(name)}", "no category is called so", f"did you mean {abridged(near)}?")
            for name, near in wrong
        )


def _dataset(out: Path, keys: dict[str, Any], sources: Sequence[ProposedSource]) -> DatasetFile:
    """The proposal as it stands, to find out what is in it. Raises BadInput."""
    try:
        found = [{"split": source.split} | source.keys() for source in sources]
        return DatasetFile.model_validate(keys | {"sources": found})
    except ValidationError as error:
        raise BadInput(describe(error, str(out), DatasetFile)) from None


def _add_keypoint_pairs(keys: dict[str, Any], found: Survey, contents: Contents, assumed: list[str]) -> None:
    names = contents.schema.keypoints
    told = dict.fromkeys(pair for export in found.exports for pair in export.document.mirror)
    pairs = [pair for pair in told if set(pair) <= set(names)]
    why = "as the export says"
    if not pairs:
        pairs, why = mirrored(names), "by their names"
    if pairs:
        keys["keypoint_mirror"] = [list(pair) for pair in pairs]
        assumed.append(f"keypoints swap on a flip, {why}: {_told(pairs)}")


def _told(pairs: Sequence[tuple[str, str]]) -> str:
    return listed(f"{abridged(a)} - {abridged(b)}" for a, b in pairs)


def _size(records: Sequence[Record], assumed: list[str]) -> int:
    """The training size, by the median of the objects' longer sides; of the photographs' where labels do not tell."""
    sides = [side for record in records if (side := _side(record))]
    of = "objects"
    if not sides:
        of = "photographs"
        for image in list(dict.fromkeys(record.image for record in records if record.image))[:LOOKED_AT]:
            try:
                sides.append(float(max(probe(image))))
            except BadInput:
                continue  # told by check
    if not sides:
        assumed.append(f"size: {SIZES[-1]} pixels, for no photograph tells how large its object is")
        return SIZES[-1]
    median = float(np.median(sides))
    size = next((size for size in SIZES if size >= median), SIZES[-1])
    assumed.append(f"size: {size} pixels, for the longer side of the {of} is {median:.0f} (median)")
    return size


def _side(record: Record) -> float:
    """The longer side of an object's box, mask or keypoints in pixels; 0 where it has none of them."""
    if record.recipe is None:
        return 0.0
    found = record.recipe.annotation
    box = found.label("box")
    if box is None and (mask := found.label("mask")) is not None:
        box = getattr(mask, "extent", None)
    if box is None and (points := found.keypoints) is not None and (points[:, 2] > 0).any():
        seen = points[points[:, 2] > 0, :2]
        box = np.concatenate([seen.min(0), seen.max(0)])
    return 0.0 if box is None else float(max(box[2] - box[0], box[3] - box[1]))
