"""How a folder of part masks is laid out: an index mask for each photograph, a folder for each part, a file for each
part (its name behind the photograph's), or a folder for each photograph with a file for each part in it, which may lie
beside the photograph."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from coarseparts.data.arrays import ARRAYS
from coarseparts.data.formats.part_files import PartFiles, find_part_files
from coarseparts.data.formats.spelling import Spelling
from coarseparts.data.images import list_images, stem
from coarseparts.data.suffixes import IMAGES
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import abridged, listed, nearest, short

_SEPARATOR = re.compile(r"[\s_./-]")


def find_in_layout(
    folder: Path,
    parts: tuple[str, ...],
    photographs: Path,
    suffix: str,
    ending: str,
    overlapping: bool,
    lossy: bool = False,
) -> tuple[dict[str, PartFiles], list[Problem]]:
    """``find_part_files`` in the layout that ``folder`` has. ``suffix``: what the masks' names have behind those of the
    ``photographs``, which may lie in the same folder; ``ending``: the same where files without it are no masks, else
    ""; ``overlapping``: parts may cover each other, so that each needs
    files of its own; ``lossy``: colours are known, which a JPEG may hold."""
    beside = photographs.samefile(folder)
    if beside and not suffix and (own := _by_photograph(folder, parts))[0]:
        return own
    if _has_part_folders(folder, parts, photographs):
        return find_part_files(folder, parts, ending, lossy)
    found, problems = find_part_files(folder, (), ending, lossy=True)
    whole = {name: path for name, ((_, path), *_) in found.items()}
    of_each = _by_part_name(whole, parts, suffix)
    there = {stem(name) for name, _ in list_images(photographs)} if of_each and not beside else set()
    if there.isdisjoint(of_each) and all(_named_twice(name) in there for name in of_each):  # photo/photo_head.png
        of_each = {_named_twice(name): files for name, files in of_each.items()}
    if of_each and (beside or not whole.keys() & there):
        return of_each, [*problems, *_told(whole, parts, suffix)]
    if overlapping:
        return find_part_files(folder, parts, ending, lossy)
    return (found, problems) if lossy else find_part_files(folder, (), ending)


def _named_twice(name: str) -> str:
    """The folder of a file that is called as it is; "" where it is called otherwise."""
    folder, _, file = name.rpartition("/")
    return folder if folder.rpartition("/")[2] == file else ""


def _by_photograph(folder: Path, parts: tuple[str, ...]) -> tuple[dict[str, PartFiles], list[Problem]]:
    """The files called after parts in folders called as the photographs beside these are (``photo.jpg``,
    ``photo/head.png``), or in those of one photograph each (``ant7/photo.jpg``, ``ant7/head.png``), or beside them
    (``photo_head.png``); and what is wrong with the others there; none where no file is called so."""
    images = list_images(folder, ARRAYS)
    stems = {stem(name) for name, _ in images}
    spelling = Spelling(parts)
    inside: dict[str, dict[int, Path]] = defaultdict(dict)
    others: dict[str, list[str]] = defaultdict(list)
    problems = []
    for name, path in images:
        within, _, part = stem(name).rpartition("/")
        index = spelling.index(part) if within else None
        if index is None and (end := _end(stem(name), spelling.index)) and stem(name)[: end[0]] in stems:
            within, index = stem(name)[: end[0]], end[1]
        if index is None:
            others[within].append(name)
        elif index in inside[within]:
            message = f"and {inside[within][index].name} are both called as the part {short(parts[index - 1], 60)} is"
            problems.append(Problem(str(path), message, "keep one of them"))
        else:
            inside[within][index] = path
    found = {}
    for within, files in inside.items():
        own = [] if within in stems else [stem(name) for name in others[within]]
        for name in others[within] if len(own) != 1 else ():
            called = short(stem(name).rpartition("/")[2], 60)
            message = f"lies among masks of parts, and {called} is not among `parts`"
            problems.append(Problem(str(folder / name), message, nearest(called, parts)))
        found[own[0] if len(own) == 1 else within] = tuple(sorted(files.items()))
    return found, problems


def _has_part_folders(folder: Path, parts: tuple[str, ...], photographs: Path) -> bool:
    """Whether all folders in one of part masks are named after ``parts``, and it holds no image itself; not where the
    photographs lie in such folders, too."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    folders = [path.name for path in inside if path.is_dir()]
    named = map(Spelling(parts).index, folders)
    if not folders or None in named or any((photographs / name).is_dir() for name in folders):
        return False
    return not any(path.name.lower().endswith((*IMAGES, *ARRAYS)) for path in inside if not path.is_dir())


def _by_part_name(whole: dict[str, Path], parts: tuple[str, ...], ending: str) -> dict[str, PartFiles]:
    """Files by the stem before a separator and a part's name, in which all their stems end, of two parts at least;
    empty where that is not so. An ``ending`` may stand behind the part, too, and stays with the photograph's name."""
    index_of = Spelling(parts).index
    found: dict[str, dict[int, Path]] = {}
    for name, path in whole.items():
        bare = name.removesuffix(ending)
        end = _end(bare, index_of)
        if end is None or end[1] in found.setdefault(bare[: end[0]], {}):
            return {}
        found[bare[: end[0]]][end[1]] = path
    if len({index for files in found.values() for index in files}) < 2:
        return {}
    behind = ending if all(name.endswith(ending) for name in whole) else ""
    return {f"{name}{behind}": tuple(sorted(files.items())) for name, files in found.items()}


def _end(name: str, index_of: Callable[[str], int | None]) -> tuple[int, int] | None:
    """Where the longest part's name begins with which a stem ends, its separator included, and the part's index."""
    for found in _SEPARATOR.finditer(name, 1):
        if (index := index_of(name[found.end() :])) is not None:
            return found.start(), index
    return None


def _told(whole: dict[str, Path], parts: tuple[str, ...], ending: str) -> list[Problem]:
    """A note where names end in parts' names that are spelt otherwise."""
    odd = [path for name, path in whole.items() if not name.removesuffix(ending).endswith(parts)]
    if not odd:
        return []
    message = f"{len(odd)} files spell parts otherwise than `parts`: {listed((abridged(p.name) for p in odd), SHOWN)}"
    return [Problem(str(odd[0].parent), message, "they are taken for the parts of these names", "note")]
