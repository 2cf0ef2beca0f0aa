"""Folders of masks among those of photographs: told from a look at some of their files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from coarseparts.data.formats.index_names import index_names
from coarseparts.data.formats.labelmap import names_of
from coarseparts.data.formats.mask_names import foreign, index_masks, labelme_s, of_boxes, pictures, without_part
from coarseparts.data.formats.part_files import JPEGS
from coarseparts.data.namesakes import behind
from coarseparts.data.proposal.mask_colours import (
    Colours,
    asked,
    named,
    named_colours,
    palette_of,
    shares_of,
    told,
    written,
)
from coarseparts.data.proposal.mask_kinds import (
    FEW,
    SAYS_MASK,
    Kind,
    are_indices,
    is_painted,
    kind_of,
    some,
    why_unread,
)
from coarseparts.data.proposal.mask_numbers import numbers_in, with_numbers
from coarseparts.data.proposal.mask_photographs import (
    among_photographs,
    endings,
    photographs_of,
    photographs_of_folders,
    preceded,
    without_photograph,
)
from coarseparts.data.proposal.masks import Masks
from coarseparts.data.proposal.survey import split_of
from coarseparts.system.text import listed

COLOURED = 60
"""Files of a folder from which the colours of its parts are told."""

_BESIDE = ("_mask", "-mask", "_masks", "_seg", "_segmentation", "_parts", "_labels", "_label")
"""How the stems of masks end that lie beside their photographs."""


def find_masks(
    folders: Mapping[Path, Sequence[Path]], arrays: Mapping[Path, Sequence[Path]], named: Collection[str] = ()
) -> tuple[list[Masks], list[Path], list[str]]:
    """The folders of masks among those of images and of NumPy's ``arrays``, as far as photographs of their stems are
    there; the folders of photographs; and what was passed over, in words. ``named``: files that exports call
    photographs, which may look like masks."""
    beside = {
        folder: [
            *_beside_others(folder, files),
            *(file for file in arrays.get(folder, ()) if file.stem.lower().endswith(_BESIDE)),
        ]
        for folder, files in folders.items()
    }
    folders = {folder: [file for file in files if file not in beside[folder]] for folder, files in folders.items()}
    folders = {folder: files or beside.pop(folder) for folder, files in folders.items()}
    said: list[str] = []
    folders = {**_without_pictures(folders, said)}
    for folder, files in folders.items():
        if len(own := index_masks(files)) < len(files):
            said.append(f"{folder}: the index masks are used, {len(files) - len(own)} other files are passed over")
            folders[folder] = own
    kinds = {folder: kind_of(folder, files) for folder, files in folders.items()}
    for folder, files in arrays.items():
        own = [file for file in files if file not in beside.get(folder, ())]
        if own and (folder in folders or kind_of(folder, own) == "photographs"):
            said.append(f"{folder} holds {len(own)} arrays that are no masks, or lie among images, and are passed over")
        elif own:
            folders[folder], kinds[folder] = own, kind_of(folder, own)
    kinds |= dict.fromkeys(_named_alone(folders, kinds, named), "photographs")
    painted = Counter(
        folder.parent for folder, kind in kinds.items() if kind == "colours" and is_painted(folders[folder])
    )
    for folder, kind in kinds.items():
        if kind == "colours" and painted[folder.parent] > 1 and is_painted(folders[folder]):
            kinds[folder] = "figures"  # a part in a colour of its own
    if made := [folder for folder, files in folders.items() if labelme_s([file.name for file in files])]:
        said.append(f"{made[0]} (and {len(made) - 1} more) is what labelme makes of a JSON: name those instead")
    photographs = [folder for folder, kind in kinds.items() if kind == "photographs"]
    stems = {folder: {file.stem for file in folders[folder]} for folder in photographs}
    like = [folder for folder in photographs if _are_masks(folder, folders[folder], stems)]
    for folder in like:
        why, remedy = why_unread(folders[folder])
        lossy = any(file.suffix.lower() in JPEGS for file in folders[folder])
        why = why or f"{'JPEGs' if lossy else 'pictures'} called as the photographs are"
        remedy = remedy or "save them as PNG, or name the folder by part_masks with colours"
        said.append(f"{folder} holds {why}, and is passed over: if these are masks, {remedy}")
    photographs = [folder for folder in photographs if folder not in like]
    for folder in photographs:
        if pair := among_photographs(folders[folder]):
            mask, photograph = pair
            told = (
                f"{folder} holds masks among photographs ({mask} for {photograph}): put the masks into another folder"
            )
            said.append(told)
    stems = {folder: stems[folder] for folder in photographs}
    found: list[Masks] = []
    for folder, every in beside.items():
        files = index_masks(every)
        if folder in stems and files and (kind := kind_of(folder, files)) != "photographs":
            _add(_masks_of(folder, kind, files, {folder: stems[folder]}), found, said)
    together: dict[Path, list[Path]] = {}
    for folder, kind in kinds.items():
        if kind == "figures" and split_of(Path(folder.name)) is None:
            together.setdefault(folder.parent, []).append(folder)
    of_photographs: set[Path] = set()
    for parent, own in together.items():
        of_folders = photographs_of_folders(own, stems)
        counts = Counter(without_photograph(folder.name, file.stem) for folder in own for file in folders[folder])
        names = tuple(sorted(counts))
        if of_folders is not None and len(names) > 1 and sum(n > 1 for n in counts.values()) * 2 >= len(names):
            of_photographs.add(parent)
            found.append(Masks(parent, of_folders, "part_masks", names))
    found += _beside_their_photographs(photographs, folders)
    of_parts = {
        parent: own
        for parent, own in together.items()
        if parent not in of_photographs and _are_parts(own, folders, kinds)
    }
    for parent, own in of_parts.items():
        files = [
            file.with_name(without_part(file.stem, folder.name) + file.suffix)
            for folder in own
            for file in folders[folder]
        ]
        names = tuple(folder.name for folder in own)
        of = photographs_of(files, stems)
        found += [Masks(parent, images, "part_masks", names, 0, suffix) for images, suffix in of]
        if not of:
            said.append(f"{parent} {_OF_NONE}")
    for folder, kind in kinds.items():
        if kind == "photographs" or (folder.parent in of_parts.keys() | of_photographs and kind == "figures"):
            continue
        if kind == "instances":
            said.append(f"{folder} tells objects apart and not parts, and is passed over")
            continue
        _add(_masks_of(folder, kind, folders[folder], stems), found, said)
    return found, photographs, _summed(said)


def _named_alone(
    folders: Mapping[Path, Sequence[Path]], kinds: Mapping[Path, Kind], named: Collection[str]
) -> list[Path]:
    """The folder that looks like one of masks, if it is the only one of which exports name most files."""
    own = [folder for folder, files in folders.items() if sum(file.name in named for file in files) * 2 > len(files)]
    return own if len(own) == 1 and kinds[own[0]] != "photographs" else []


def _without_pictures(folders: Mapping[Path, Sequence[Path]], said: list[str]) -> dict[Path, Sequence[Path]]:
    """The folders without the pictures of masks that lie beside these, or beside the photographs; which is ``said``."""
    every = {file.stem for files in folders.values() for file in files}
    found: dict[Path, Sequence[Path]] = {}
    for folder, files in folders.items():
        looks = pictures(files, every)
        if looks:
            ends = listed(sorted({f"_{file.stem.rpartition('_')[2]}" for file in looks}))
            said.append(f"{folder}: {len(looks)} files ending in {ends} are pictures of masks, and are passed over")
        if own := [file for file in files if file not in looks]:
            found[folder] = own
    return found


def _beside_others(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Those of the files of a folder that are masks of others by their names: with an ending that says so, or with one
    that half of the others have, and look like masks."""
    said = [file for file in files if file.stem.lower().endswith(_BESIDE)]
    if said:
        return said
    stems = {file.stem for file in files}
    ends = {file: end for file in files if (end := behind(file.stem, stems, longer=True))}
    ends |= {file: end for file in ends if (end := behind(file.stem, stems - {one.stem for one in ends}))}
    count = Counter(ends.values())
    found = [file for file, end in ends.items() if count[end] > 1 and count[end] * 2 >= len(files) - len(ends)]
    return found if found and kind_of(folder, found) != "photographs" else []


_OF_NONE = "holds masks of no photograph that is there, and is passed over"


def _summed(said: list[str]) -> list[str]:
    """The lines, many of a kind as one."""
    alike = [line for line in said if line.endswith(_OF_NONE)]
    if len(alike) < 4:
        return said
    first = alike[0].removesuffix(_OF_NONE)
    more = f"{first}and {len(alike) - 1} more folders hold masks that are not called as photographs are, passed over"
    return [*(line for line in said if line not in alike), more]


def _are_masks(folder: Path, files: Sequence[Path], stems: Mapping[Path, Collection[str]]) -> bool:
    """Whether a folder of what seems to be photographs is called as masks are, and its files as most photographs of
    another folder; or these begin so, and cannot be read."""
    own, others = stems[folder], [names for other, names in stems.items() if other != folder]
    if any(word in folder.name.lower() for word in SAYS_MASK):
        return any(len({*own} & {*names}) * 2 > len(own) for names in others)
    begin = any(sum(behind(name, names) is not None for name in own) * 2 > len(own) for names in others)
    return begin and bool(why_unread(files)[0])


def with_names(masks: Sequence[Masks], given: Sequence[str], drawn: Collection[str], said: list[str]) -> list[Masks]:
    """The masks, those in colours with the names of these: as ``given``, or after the colours, which is ``said``; those
    are passed over that may be of whole objects, and those beside other labels of parts (``drawn``), where the names
    are not given. Raises BadInput where that cannot be told."""
    masks = with_numbers(masks, named_colours(given)[0], drawn, said)
    palettes = [one.palette for one in masks if one.palette is not None]
    if not palettes:
        return list(masks)
    where = listed(dict.fromkeys(str(one.folder) for one in masks if one.palette is not None))
    shares = shares_of(palettes)
    known = {*drawn, *(part for one in masks for part in one.parts)}
    said_how = f"give --parts '{asked(shares)}'"
    if not named_colours(given)[1] and (known or (len(shares) == 1 and not given)):
        said.append(f"{where} has masks in the colours {told(shares)} that nothing names, passed over: {said_how}")
        return [one for one in masks if one.palette is None]
    names = named(palettes, where, given)
    if not given:
        called = f"after which the parts are called: {said_how}, or rename them under parts and colours"
        said.append(f"{where} has masks in the colours {told(shares)}, {called}")
    found = []
    for one in masks:
        if (palette := one.palette) is not None:
            colours = Colours(names, palette.background, palette.ignored)
            one = replace(one, parts=tuple(name for _, name in names), colours=colours)
            said.append(f"{one.folder}: the background is {written(palette.background)}, which fills the borders")
        found.append(one)
    return found


def _add(made: list[Masks] | str, found: list[Masks], said: list[str]) -> None:
    if isinstance(made, str):
        said.append(made)
    else:
        found += made


def _are_parts(own: Sequence[Path], folders: Mapping[Path, Sequence[Path]], kinds: Mapping[Path, Kind]) -> bool:
    """Whether folders beside each other are of a part each: two or more, of the same photographs, and nothing else."""
    parent = own[0].parent
    others = [folder for folder in folders if (folder == parent or folder.parent == parent) and folder not in own]
    names = [{without_part(file.stem, folder.name) for file in folders[folder]} for folder in own]
    shared = Counter(stem for each in names for stem in each)
    return len(own) > 1 and not others and sum(n > 1 for n in shared.values()) >= len(shared) / 2


def _beside_their_photographs(photographs: Sequence[Path], folders: Mapping[Path, Sequence[Path]]) -> list[Masks]:
    """The masks in folders beside each other that hold a photograph each, and files of masks called after parts."""
    together: dict[Path, list[Path]] = defaultdict(list)
    for folder in photographs:
        together[folder.parent].append(folder)
    found = []
    for parent, own in together.items():
        of_name: dict[str, list[Path]] = defaultdict(list)
        for file in (file for folder in own for file in folders[folder]):
            of_name[file.stem].append(file)
        several = {name: files for name, files in of_name.items() if 1 < len(files) <= len(own)}
        if len(several) > FEW:
            continue
        names = [name for name, files in several.items() if kind_of(files[0].parent, files) == "figures"]
        if len(names) > 1 and all(sum(file.stem not in names for file in folders[folder]) == 1 for folder in own):
            found.append(Masks(parent, parent, "part_masks", tuple(sorted(names))))
    return found


def _masks_of(
    folder: Path, kind: Kind, files: Sequence[Path], stems: Mapping[Path, Collection[str]]
) -> list[Masks] | str:
    """A folder of masks with each folder of its photographs; in words, why it is passed over."""
    if (why := foreign([file.stem for file in files])) is not None:
        return f"{folder} holds masks that are {why[0]}, passed over: {why[1]}"
    of = photographs_of(files, stems)
    if not of and (pair := preceded(files, {stem for own in stems.values() for stem in own})):
        mask, photograph = pair
        way = f"put that behind, as in {photograph}_{mask.removesuffix(photograph).strip('_-. ')}"
        return f"{folder} holds masks with something before the photographs' names ({mask}), and is passed over: {way}"
    if not of:
        return f"{folder} {_OF_NONE}"
    if kind != "figures":  # which may be parts, of another ending each
        files = [file for file in files if file.stem.endswith(of[0][1])]
        kind = kind_of(folder, files)
    key: Literal["part_masks", "masks"] = "part_masks"
    parts, indices, numbers = names_of(folder), 0, tuple[int, ...]()
    if kind == "figures":
        ends = endings(files, {stem for images, _ in of for stem in stems[images]})
        if ends is None:
            return f"{folder} holds masks with another ending for each file, which names no part, and is passed over"
        if (why := of_boxes(ends)) is not None:
            return f"{folder} holds masks that are {why[0]}, passed over: {why[1]}"
        if len(ends) > 1:
            return [Masks(folder, images, key, tuple(ends)) for images, _ in of]
        key, parts = "masks", ()
    elif kind == "colours" and not parts:
        if (palette := palette_of(some(files, COLOURED))) is None:
            return f"{folder} holds masks in more colours than parts have, and no labelmap.txt; it is passed over"
        return [Masks(folder, images, key, suffix=suffix, palette=palette) for images, suffix in of]
    elif not parts:
        values, numbers = numbers_in(files)
        if not are_indices(values):
            if max(values) <= 255 and (palette := palette_of(some(files, COLOURED))) and len(palette.parts) > 1:
                return [Masks(folder, images, key, suffix=suffix, palette=palette) for images, suffix in of]
            told = listed(map(str, sorted(values)))
            came = f"{folder} holds the values {told}, which are no part indices 1, 2, 3, ..., and is passed over"
            return f"{came}: name it by part_masks, and the number of each part under colours"
        indices = max(values)
        named = index_names(folder)[1]
        names = [named.get(index, "") for index in range(1, indices + 1)]
        if all(names) and len(set(names)) == len(names):
            parts = tuple(names)
            indices, numbers = 0, ()
    return [Masks(folder, images, key, parts, indices, suffix, numbers=numbers) for images, suffix in of]
