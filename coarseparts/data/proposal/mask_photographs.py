"""Which photographs masks are of, by their names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from coarseparts.data.namesakes import behind, by_beginning, ending_of, says_mask, without_upload
from coarseparts.data.proposal.mask_kinds import kind_of, some
from coarseparts.data.proposal.mask_numbers import LOOKED_AT
from coarseparts.data.proposal.survey import split_of


def photographs_of(files: Sequence[Path], stems: Mapping[Path, Collection[str]]) -> list[tuple[Path, str]]:
    """The folders of photographs of whose stems the masks are, that of the most of them first, and the ending that most
    masks have behind them; none where at most a few masks have a photograph. Of folders whose photographs are called
    alike the nearest ones count. Where there is none, the one whose photographs' stems masks have behind a word that
    says so."""
    left = [file.stem for file in some(files, LOOKED_AT)]
    name, few = files[0].parent.name, len(left) // 10
    all_stems = stems
    left, stems = _alike(left, stems)
    stems = {folder: _without_ending(own, left) for folder, own in stems.items()}
    near = {folder: len(Path(os.path.commonpath([folder, files[0].parent])).parts) for folder in stems}

    def otherwise_called(folder: Path) -> tuple[bool, int]:
        rank = 0 if folder.name == name else 1 if name.startswith(folder.name) or name.endswith(folder.name) else 2
        return split_of(folder) != split_of(files[0].parent), rank

    own = sorted(stems, key=lambda folder: (otherwise_called(folder), -near[folder]))  # of equal ones the namesake
    matched = {folder: {each for each in left if behind(each, stems[folder]) is not None} for folder in own}

    def has_namesakes_nearer(folder: Path) -> bool:
        others = (matched[folder] & matched[other] for other in own if near[other] > near[folder])
        return any(len(shared) * 2 > len(matched[folder]) for shared in others)

    own = [folder for folder in own if not has_namesakes_nearer(folder)]
    found: list[tuple[Path, str]] = []
    while own and left:
        ends = {
            folder: {each: end for each in left if (end := behind(each, stems[folder])) is not None} for folder in own
        }
        best = max(own, key=lambda folder: len(ends[folder]))
        if len(ends[best]) <= (0 if found else few):
            break
        found.append((best, Counter(ends[best].values()).most_common(1)[0][0]))
        left = [each for each in left if each not in ends[best]]
        own.remove(best)
    if not found:
        names = [file.stem for file in some(files, LOOKED_AT)]
        begun = [folder for folder in own if by_beginning(names, all_stems[folder])]
        return [(folder, "") for folder in begun[:1]]
    return [(folder, suffix) for folder, suffix in found if suffix == found[0][1]]


def _alike(names: list[str], stems: Mapping[Path, Collection[str]]) -> tuple[list[str], dict[Path, Collection[str]]]:
    """The masks' names and the photographs' stems as they are; where none of them fit, without capitals, or also
    without what tools put before the names of uploads, of the one or the other."""

    def as_it_is(name: str) -> str:
        return name

    def plain(name: str) -> str:
        return name.casefold()

    def uploaded(name: str) -> str:
        return without_upload(name.casefold())

    for of_mask, of_photograph in ((as_it_is, as_it_is), (plain, plain), (uploaded, plain), (plain, uploaded)):
        found = {folder: {of_photograph(name) for name in own} for folder, own in stems.items()}
        masks = [of_mask(name) for name in names]
        if any(behind(name, own) is not None for own in found.values() for name in masks):
            return masks, {**found}
    return names, {**stems}


def _without_ending(stems: Collection[str], names: Sequence[str]) -> Collection[str]:
    """The stems of photographs, without what all have behind them where masks lack it."""
    if any(behind(name, stems) is not None for name in names):
        return stems
    end = ending_of(stems, names)
    return {stem.removesuffix(end) for stem in stems}


def photographs_of_folders(own: Sequence[Path], stems: Mapping[Path, Collection[str]]) -> Path | None:
    """The folder of the photographs after whose stems most of some folders are named; None where there is none."""
    named = (images for images, names in stems.items() if sum(folder.name in names for folder in own) * 2 > len(own))
    return next(named, None)


def among_photographs(files: Sequence[Path]) -> tuple[str, str] | None:
    """The stem of a mask and that of its photograph, where files of both lie in one folder, and masks look like some
    and begin with a word that says so; else None."""
    masks = [file for file in files if says_mask(re.split(r"[_\-. ]", file.stem)[0])]
    pairs = by_beginning([file.stem for file in masks], {file.stem for file in files if file not in masks})
    return next(iter(pairs.items())) if pairs and kind_of(masks[0].parent, masks) != "photographs" else None


def preceded(files: Sequence[Path], stems: Collection[str]) -> tuple[str, str] | None:
    """The stem of a mask and that of its photograph, which it ends in behind "_", "-" or "."; None where not most are
    called so."""
    pairs = []
    for name in (file.stem for file in some(files, LOOKED_AT)):
        ends = (name[i + 1 :] for i in range(len(name)) if name[i] in "_-.")
        pairs += [(name, end) for end in ends if end in stems][:1]
    return pairs[0] if len(pairs) * 2 > len(some(files, LOOKED_AT)) else None


def endings(files: Sequence[Path], stems: Collection[str]) -> list[str] | None:
    """The names of parts with which the stems of masks end, where they are several of each photograph; None where
    hardly two end alike."""
    ends = Counter(end for file in files if (end := behind(file.stem, stems)))
    if len(ends) < 2 or len(files) <= 1.5 * max(ends.values()):
        return []
    return [end[1:] for end in sorted(ends)] if sum(n > 1 for n in ends.values()) * 2 > len(ends) else None


def without_photograph(photograph: str, name: str) -> str:
    """What a mask's stem has behind that of its photograph, if it begins so."""
    return (behind(name, (photograph,)) and name[len(photograph) + 1 :]) or name
