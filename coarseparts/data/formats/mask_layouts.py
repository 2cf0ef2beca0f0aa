"""How a folder of part masks is laid out: an index mask for each photograph, a folder for each part, a file for each
part (its name behind the photograph's), or a folder for each photograph with a file for each part in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from coarseparts.data.arrays import ARRAYS
from coarseparts.data.formats.part_masks import PartFiles, find_part_files
from coarseparts.data.formats.spelling import Spelling
from coarseparts.data.images import list_images, stem
from coarseparts.data.suffixes import IMAGES
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import abridged, listed

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
    if _has_part_folders(folder, parts, photographs):
        return find_part_files(folder, parts, ending, lossy)
    found, problems = find_part_files(folder, (), ending, lossy=True)
    whole = {name: path for name, ((_, path), *_) in found.items()}
    of_each = _by_part_name(whole, parts, suffix)
    if of_each and (beside or not whole.keys() & {stem(name) for name, _ in list_images(photographs)}):
        return of_each, [*problems, *_told(whole, parts, suffix)]
    if overlapping:
        return find_part_files(folder, parts, ending, lossy)
    return (found, problems) if lossy else find_part_files(folder, (), ending)


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
